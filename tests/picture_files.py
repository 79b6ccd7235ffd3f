"""Picture files of every kind, sound, odd and broken, all of one size, with the pixels that they mean."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 21, 13
SIGNATURE = b"\x89PNG\r\n\x1a\n"
INTERLACED = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: the first column and row of each pass, and its steps."""
PNG_TYPES = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bit depths by color type."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_TRANSPARENT = {0: b"\0\1", 2: b"\0\1\0\2\0\3", 3: b"\0\x80"}


class Meant(NamedTuple):
    """A picture file and its pixels, uint8 [height, width, 3]."""

    data: bytes
    pixels: np.ndarray


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk, behind its IHDR."""
    return png[:33] + chunk(kind, body) + png[33:]


def with_pixels(png: bytes, *streams: bytes) -> bytes:
    """A PNG of one IDAT with others in its place."""
    start = png.index(b"IDAT") - 4
    end = start + 12 + int.from_bytes(png[start : start + 4], "big")
    return png[:start] + b"".join(chunk(b"IDAT", stream) for stream in streams) + png[end:]


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment, behind its start."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def shown(data: bytes) -> np.ndarray:
    """The pixels that Pillow finds, without transparency."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata
        image = Image.open(io.BytesIO(data))
        return np.asarray(image.convert("RGB"))


def photo(mode: str = "RGB") -> Image.Image:
    """A smooth picture, of some transparency where the mode has it."""
    small = np.random.default_rng(4).integers(0, 256, (4, 5, 3), np.uint8)
    image = Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    image.putalpha(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))
    return image if mode == "RGBA" else image.convert("RGB").convert(mode)


def png_of(color: int, depth: int, interlaced: bool, transparent: bool) -> Meant:
    """A PNG of noise, written without a library."""
    draw = np.random.default_rng(depth)
    levels = draw.integers(0, 1 << depth, (HEIGHT, WIDTH, _CHANNELS[color]))
    palette = draw.integers(0, 256, (1 << min(depth, 8), 3), np.uint8)
    passes = INTERLACED if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(_packed(levels[y::down, x::across], depth) for x, y, across, down in passes)
    data = SIGNATURE + chunk(b"IHDR", struct.pack(">II5B", WIDTH, HEIGHT, depth, color, 0, 0, interlaced))
    data += chunk(b"PLTE", palette.tobytes()) if color == 3 else b""
    data += chunk(b"tRNS", _TRANSPARENT[color]) if transparent else b""
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    if color == 3:
        return Meant(data, palette[levels[..., 0]])
    bytes_ = (levels >> 8 if depth == 16 else levels * 255 // ((1 << depth) - 1)).astype(np.uint8)
    return Meant(data, bytes_[..., :3] if color & 2 else np.repeat(bytes_[..., :1], 3, axis=2))


def _packed(levels: np.ndarray, depth: int) -> bytes:
    """Rows without filters, each padded to whole bytes."""
    packed = b""
    for row in levels:
        bits = "".join(f"{level:0{depth}b}" for level in row.ravel().tolist())
        bits += "0" * (-len(bits) % 8)
        packed += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    return packed


def _pngs() -> Iterable[tuple[str, Meant]]:
    for color, depths in PNG_TYPES.items():
        for depth in depths:
            for interlaced in (False, True):
                for transparent in (False, True)[: 1 + (color in _TRANSPARENT)]:
                    name = f"png {color} of {depth} bits{' interlaced' * interlaced}{' tRNS' * transparent}"
                    yield name, png_of(color, depth, interlaced, transparent)


def _odd_pngs() -> Iterable[tuple[str, Meant]]:
    plain = png_of(2, 8, False, False)
    large = zlib.compress(bytes(3 << 20))
    for name, kind, body in (
        ("broken EXIF", b"eXIf", b"\0\x08\0\x02\x01\x12\0\x03"),
        ("large profile", b"iCCP", b"x\0\0" + large),
        ("broken profile", b"iCCP", b"junk"),
        ("large text", b"zTXt", b"x\0\0" + large),
        ("broken text", b"zTXt", b"x\0\0junk"),
        ("broken international text", b"iTXt", b"x\0\1\0junk"),
        ("broken XMP", b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta"),
        ("broken transparency", b"tRNS", b"x"),
        ("broken gamma", b"gAMA", b"x"),
        ("unknown chunk", b"quIz", b"x"),
    ):
        yield f"png with {name}", Meant(with_chunk(plain.data, kind, body), plain.pixels)
    stream = zlib.decompress(plain.data[plain.data.index(b"IDAT") + 4 : -16])
    packed = zlib.compress(stream)
    yield "png of many IDATs", Meant(with_pixels(plain.data, b"", packed[:1], packed[1:]), plain.pixels)
    yield "png with bytes behind its pixels", Meant(with_pixels(plain.data, packed + b"junk"), plain.pixels)
    yield "png with bytes behind its end", Meant(plain.data + b"junk", plain.pixels)
    frames = [photo(), Image.new("RGB", (WIDTH, HEIGHT))]
    yield "png animated", Meant(saved(frames[0], "PNG", save_all=True, append_images=frames[1:]), np.asarray(photo()))


def without_adobe(jpeg: bytes) -> bytes:
    start = jpeg.index(b"\xff\xee")
    return jpeg[:start] + jpeg[start + 16 :]


def as_ycck(jpeg: bytes) -> bytes:
    """A CMYK JPEG whose marker says that its colors are YCCK."""
    at = jpeg.index(b"\xff\xee") + 15
    return jpeg[:at] + b"\2" + jpeg[at + 1 :]


def of_jfif_9(jpeg: bytes) -> bytes:
    at = jpeg.index(b"JFIF\0") + 5
    return jpeg[:at] + b"\x09" + jpeg[at + 1 :]


def _jpegs() -> Iterable[tuple[str, bytes]]:
    plain, cmyk = saved(photo(), "JPEG"), saved(photo("CMYK"), "JPEG")
    yield "jpeg", plain
    yield "jpeg 4:4:4", saved(photo(), "JPEG", subsampling=0)
    yield "jpeg 4:2:2", saved(photo(), "JPEG", subsampling=1)
    yield "jpeg progressive", saved(photo(), "JPEG", progressive=True)
    yield "jpeg with restarts", saved(photo(), "JPEG", restart_marker_blocks=1)
    yield "jpeg gray", saved(photo("L"), "JPEG")
    yield "jpeg gray progressive", saved(photo("L"), "JPEG", progressive=True)
    yield "jpeg of RGB colors", saved(photo(), "JPEG", keep_rgb=True)
    yield "jpeg CMYK", cmyk
    yield "jpeg CMYK without Adobe's marker", without_adobe(cmyk)
    yield "jpeg CMYK progressive", saved(photo("CMYK"), "JPEG", progressive=True)
    yield "jpeg YCCK", as_ycck(cmyk)
    yield "jpeg of a sampling without a name", plain.replace(b"\x11\1\x22\0\2\x11", b"\x11\1\x31\0\2\x11", 1)
    yield "jpeg of another JFIF", of_jfif_9(plain)
    yield "jpeg of an unknown transform", with_segment(plain[:2] + plain[20:], 0xEE, b"Adobe\0\x64\0\0\0\0\x09")
    yield "jpeg with broken EXIF", with_segment(plain, 0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff")
    yield "jpeg with a broken profile", with_segment(plain, 0xE2, b"ICC_PROFILE\0\5\3")
    yield "jpeg with broken XMP", with_segment(plain, 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta")
    yield "jpeg with a comment", with_segment(plain, 0xFE, b"\xff\xd9 \xff\xda")
    yield "jpeg with a thumbnail", with_segment(plain, 0xE1, b"Exif\0\0" + saved(photo("L"), "JPEG"))
    yield "jpeg with bytes between segments", plain[:20] + b"abc" + plain[20:]
    yield "jpeg with bytes before its end", plain[:-2] + bytes(range(1, 60)) + plain[-2:]
    yield "jpeg with bytes behind its end", plain + b"junk\xff\xd9"


def _webps() -> Iterable[tuple[str, bytes]]:
    for lossless in (False, True):
        for mode in ("RGB", "RGBA"):
            name = f"webp {mode}{' lossless' * lossless}"
            yield name, saved(photo(mode), "WEBP", lossless=lossless)
            broken = {"exif": b"Exif\0\0junkjunk", "icc_profile": b"junk", "xmp": b"<x:xmpmeta"}
            yield f"{name} with broken metadata", saved(photo(mode), "WEBP", lossless=lossless, **broken)
    frames = [photo(), Image.new("RGB", (WIDTH, HEIGHT))]
    yield "webp animated", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])


def _refused() -> Iterable[tuple[str, bytes, str]]:
    png, jpeg, webp = png_of(2, 8, False, False).data, saved(photo(), "JPEG"), saved(photo(), "WEBP")
    frame = jpeg.index(b"\xff\xc0")
    indexed = png_of(3, 8, False, False).data
    yield "jpeg of 12 bits", jpeg[: frame + 4] + b"\x0c" + jpeg[frame + 5 :], "12 bits"
    yield "jpeg arithmetic", jpeg[: frame + 1] + b"\xc9" + jpeg[frame + 2 :], "arithmetic"
    yield "jpeg arithmetic progressive", jpeg[: frame + 1] + b"\xca" + jpeg[frame + 2 :], "arithmetic"
    yield "jpeg lossless", jpeg[: frame + 1] + b"\xc3" + jpeg[frame + 2 :], "lossless"
    yield "jpeg of 2 components", jpeg[: frame + 9] + b"\2" + jpeg[frame + 10 :], "2 components"
    yield "jpeg without an end", jpeg[:-2], "cut short"
    yield "jpeg of its head alone", jpeg[:100], "cut short"
    yield "png of a damaged chunk", png.replace(b"IDAT\x78", b"IDAT\x79"), "does not match its CRC"
    yield "png without palette", indexed[:33] + indexed[33 + 12 + 768 :], "no palette"
    yield "png of an unknown needed chunk", with_chunk(png, b"ABCD", b""), "unknown critical chunk"
    yield "png cut", png[:-20], "cut short"
    yield "webp cut", webp[:-20], "cut short"


def _broken() -> Iterable[tuple[str, bytes]]:
    png, jpeg, webp = png_of(2, 8, False, False).data, saved(photo(), "JPEG", quality=95), saved(photo(), "WEBP")
    stream = zlib.decompress(png[png.index(b"IDAT") + 4 : -16])
    packed = zlib.compress(stream)
    progressive = saved(photo(), "JPEG", quality=95, progressive=True)
    restarts = saved(photo(), "JPEG", quality=95, restart_marker_blocks=1)
    lost = restarts.index(b"\xff\xd0")
    scan = jpeg.index(b"\xff\xda")
    yield "jpeg cut in its pixels", jpeg[: scan + (len(jpeg) - scan) // 2] + b"\xff\xd9"
    yield "jpeg progressive cut in its pixels", progressive[: len(progressive) * 3 // 4] + b"\xff\xd9"
    yield "jpeg of another JFIF cut in its pixels", of_jfif_9(jpeg)[: scan + (len(jpeg) - scan) // 2] + b"\xff\xd9"
    yield "jpeg without a restart", restarts[:lost] + restarts[lost + 2 :]
    yield "png of half its rows", with_pixels(png, zlib.compress(stream[: len(stream) // 2]))
    yield "png of a cut stream", with_pixels(png, packed[:-30])
    yield "png of no stream", with_pixels(png, b"no zlib stream at all")
    for name, data in (("webp", webp), ("webp lossless", saved(photo(), "WEBP", lossless=True))):
        size = (len(data) - 20) * 2 // 3 & ~1
        head = data[:4] + struct.pack("<I", size + 12) + data[8:16] + struct.pack("<I", size)
        yield f"{name} of cut pixels", head + data[20 : 20 + size]


SOUND: dict[str, Meant] = {
    **dict(_pngs()),
    **dict(_odd_pngs()),
    **{name: Meant(data, shown(data)) for name, data in (*_jpegs(), *_webps())},
}
"""Files whose pixels every loader gives."""
REFUSED: dict[str, tuple[bytes, str]] = {name: (data, says) for name, data, says in _refused()}
"""Files that no export takes, and what the refusal says."""
BROKEN: dict[str, bytes] = dict(_broken())
"""Files whose damage only decoding shows."""
SUFFIXES = {"png": "png", "jpeg": "jpg", "webp": "webp"}


def suffix(name: str) -> str:
    """The suffix of a file by its name here."""
    return SUFFIXES[name.split(" ")[0]]


def stored_size(height: int, width: int) -> int:
    """Bytes of an RGB PNG without compression: signature, header, the blocks of its rows, checksums, end."""
    rows = height * (1 + 3 * width)
    return 8 + (12 + 13) + 12 + 2 + rows + 5 * -(-rows // 0xFFFF) + 4 + 12
