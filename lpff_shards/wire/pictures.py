"""Headers of PNG, JPEG and WebP files: kind, size and colour mode, and whether the file is whole, without decoding.

Sources: PNG third edition (chunks, IHDR), ITU T.81 (JPEG markers), RFC 9649 (WebP container).
"""

from __future__ import annotations

import struct

from isal.isal_zlib import crc32
from msgspec import Struct

from lpff_shards.wire.errors import WireError

MAX_PIXELS = 178_956_970
"""Above this Pillow refuses a picture as a decompression bomb."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_MODES = {
    **{(0, 1): "1", (0, 2): "L", (0, 4): "L", (0, 8): "L", (0, 16): "I;16"},
    **{(2, 8): "RGB", (2, 16): "RGB;16", (3, 1): "P", (3, 2): "P", (3, 4): "P", (3, 8): "P"},
    **{(4, 8): "LA", (4, 16): "LA;16", (6, 8): "RGBA", (6, 16): "RGBA;16"},
}
_CHUNK = struct.Struct(">I4s")
_CRC = struct.Struct(">I")
_HEEDED = frozenset({b"iCCP", b"tRNS", b"eXIf", b"acTL"})
_JPEG_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}


class PictureHeader(Struct, frozen=True):
    """What a picture file says of itself.

    Attributes:
        kind: png, jpeg or webp.
        width, height: pixels.
        mode: colour mode, as Pillow names it.
        plain: an RGB PNG of one frame without colour profile, transparency or EXIF: its pixels are all there is to it.
    """

    kind: str
    width: int
    height: int
    mode: str
    plain: bool = False


def inspect(data: bytes) -> PictureHeader:
    """Reads a whole picture file's header and checks that the file is not cut short.

    Raises:
        WireError: it is none of the three kinds, is cut short, or has no pixels or too many.
    """
    header = _inspect(data)
    _check_size(header)
    return header


def glance(data: bytes) -> PictureHeader | None:
    """What the first bytes of a picture file say of it; None where they do not reach its size.

    Raises:
        WireError: they are of none of the three kinds, or of no picture.
    """
    try:
        if data.startswith(_PNG):
            width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
            header = PictureHeader("png", width, height, _PNG_MODES.get((colour, depth), ""))
        elif data.startswith(b"\xff\xd8\xff"):
            header = _frame(data)[0]
        elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            header = _webp_header(data)
        else:
            return None
    except (IndexError, struct.error):
        return None
    _check_size(header)
    return header


def _check_size(header: PictureHeader) -> None:
    if not (header.width and header.height):
        raise WireError(f"the picture is {header.width}x{header.height} pixels")
    if header.width * header.height > MAX_PIXELS:
        raise WireError(f"the picture is {header.width}x{header.height} pixels; at most {MAX_PIXELS} are taken")


def _inspect(data: bytes) -> PictureHeader:
    try:
        if data.startswith(_PNG):
            return _png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (IndexError, struct.error):
        raise WireError("the picture is cut short") from None
    if not data:
        raise WireError("the file is empty")
    raise WireError(f"not a PNG, JPEG or WebP file: it starts with {data[:8].hex(' ')}")


def _png(data: bytes) -> PictureHeader:
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR":
        raise WireError("the PNG does not start with IHDR")
    mode = _PNG_MODES.get((colour, depth))
    if mode is None:
        raise WireError(f"the PNG has colour type {colour} of {depth} bits, which there is not")
    _check_size(PictureHeader("png", width, height, mode))
    kinds = _check_chunks(data)
    return PictureHeader("png", width, height, mode, mode == "RGB" and kinds.isdisjoint(_HEEDED))


def _check_chunks(data: bytes) -> set[bytes]:
    """The kinds of its chunks, after every one was found whole and as its CRC-32 says, pixels among them."""
    view = memoryview(data)
    at, kinds = len(_PNG), set()
    while True:
        length, kind = _CHUNK.unpack_from(data, at)
        end = at + 12 + length
        if end > len(data):
            raise WireError(f"the PNG is cut short: {len(data)} bytes, {end} are needed")
        if crc32(view[at + 4 : end - 4]) != _CRC.unpack_from(data, end - 4)[0]:
            raise WireError(f"the PNG is damaged: chunk {kind.decode('latin-1')} does not match its CRC", at)
        kinds.add(kind)
        if kind == b"IEND":
            break
        at = end
    if b"IDAT" not in kinds:
        raise WireError("the PNG has no pixels")
    return kinds


def _jpeg(data: bytes) -> PictureHeader:
    header, at = _frame(data)
    # A thumbnail in front of the frame has an end mark of its own; bytes behind the picture's do no harm.
    if data.find(b"\xff\xda", at) < 0 or data.rfind(b"\xff\xd9") < at:
        raise WireError(f"the JPEG is cut short: no pixels or no end mark in its {len(data)} bytes")
    return header


def _frame(data: bytes) -> tuple[PictureHeader, int]:
    """What a JPEG's frame header says, and where it starts."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise WireError("the JPEG has no frame header", at)
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            height, width, components = struct.unpack_from(">HHB", data, at + 5)
            if components not in _JPEG_MODES:
                raise WireError(f"the JPEG has {components} components, which is no picture")
            return PictureHeader("jpeg", width, height, _JPEG_MODES[components]), at
        elif marker in (0xD9, 0xDA):
            raise WireError("the JPEG has no frame header", at)
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]


def _webp(data: bytes) -> PictureHeader:
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise WireError(f"the WebP is cut short: {len(data)} bytes, {length + 8} are needed")
    return _webp_header(data)


def _webp_header(data: bytes) -> PictureHeader:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return PictureHeader("webp", width & 0x3FFF, height & 0x3FFF, "RGB")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return PictureHeader(
            "webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, "RGBA" if bits >> 28 & 1 else "RGB"
        )
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        return PictureHeader("webp", width, height, "RGBA" if data[20] & 0x10 else "RGB")
    raise WireError(f"the WebP starts with an unknown chunk {kind!r}")
