"""Headers of pictures: what Pillow says of the same files, every cut found, nothing but FormatError for bad ones."""

import io
import struct
import zlib
from contextlib import suppress
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from PIL import Image

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import inspect
from lpff_shards.formats.pictures.header import MAX_PIXELS, PictureHeader

WIDTH, HEIGHT = 23, 17
PNG = b"\x89PNG\r\n\x1a\n"


def noise(*shape):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def save(image, kind, **how):
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def exif_with_thumbnail():
    """TIFF with an empty first directory and a second one that holds a JPEG, as cameras write it."""
    thumbnail = save(noise(8, 8, 3), "JPEG")
    entries = struct.pack("<HHII", 0x201, 4, 1, 44) + struct.pack("<HHII", 0x202, 4, 1, len(thumbnail))
    return b"Exif\0\0II*\0" + struct.pack("<IHIH", 8, 0, 14, 2) + entries + bytes(4) + thumbnail


def exif():
    found = Image.Exif()
    found[0x010E] = "a description"
    return found


RGB = noise(HEIGHT, WIDTH, 3)
RGBA = noise(HEIGHT, WIDTH, 4)
PICTURES = {
    "png RGB": save(RGB, "PNG"),
    "png RGBA": save(RGBA, "PNG"),
    "png L": save(RGB.convert("L"), "PNG"),
    "png LA": save(RGBA.convert("LA"), "PNG"),
    "png P": save(RGB.convert("P"), "PNG"),
    "png P of 2 bits": save(RGB.convert("P", palette=Image.Palette.ADAPTIVE, colors=4), "PNG"),
    "png I;16": save(Image.fromarray(np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH)), "PNG"),
    "png transparent": save(RGB, "PNG", transparency=(1, 2, 3)),
    "png with EXIF": save(RGB, "PNG", exif=exif()),
    "jpeg RGB": save(RGB, "JPEG"),
    "jpeg L": save(RGB.convert("L"), "JPEG"),
    "jpeg CMYK": save(RGB.convert("CMYK"), "JPEG"),
    "jpeg progressive": save(RGB, "JPEG", progressive=True),
    "jpeg with restarts": save(RGB, "JPEG", restart_marker_blocks=1),
    "jpeg with comment": save(RGB, "JPEG", comment=b"\xff\xd9 \xff\xda"),
    "jpeg with thumbnail": save(RGB, "JPEG", exif=exif_with_thumbnail()),
    "webp lossy": save(RGB, "WEBP"),
    "webp lossless": save(RGB, "WEBP", lossless=True),
    "webp lossy alpha": save(RGBA, "WEBP"),
    "webp lossless alpha": save(RGBA, "WEBP", lossless=True),
    "webp lossy opaque": save(RGB.convert("RGBA"), "WEBP"),
    "webp lossless opaque": save(RGB.convert("RGBA"), "WEBP", lossless=True),
    "webp lossy EXIF": save(RGB, "WEBP", exif=exif()),
    "webp lossless EXIF": save(RGB, "WEBP", lossless=True, exif=exif()),
    "webp lossless alpha EXIF": save(RGBA, "WEBP", lossless=True, exif=exif()),
}

pictures = pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width=WIDTH, height=HEIGHT, depth=8, color=2):
    """A PNG of that header, and no pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(3)) if color == 3 else b""
    return PNG + chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def jpeg(width, height):
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\0\x08\1\1\0\0\x3f\0\0\xff\xd9"


def webp(kind, body):
    body = kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def vp8(width, height):
    return webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(10))


def vp8x(width, height):
    return webp(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


@pictures
def test_pillow_agrees(data):
    found = inspect(data)
    with Image.open(io.BytesIO(data)) as image:
        assert (found.kind, (found.width, found.height)) == (image.format.lower(), image.size)
        assert found.mode == image.mode


@pictures
def test_every_cut_is_found(data):
    for length in range(len(data)):
        with pytest.raises(FormatError):
            inspect(data[:length])


@pictures
def test_bytes_behind_the_picture_do_no_harm(data):
    found, alone = inspect(data + b"\0\0more"), inspect(data)
    assert structs.replace(found, plain=alone.plain, extras=alone.extras) == alone
    assert not found.plain


PNG_MODES = [*product([0], [2, 4, 8, 16]), *product([3], [1, 2, 4, 8]), *product([2, 4, 6], [8, 16])]


@pytest.mark.parametrize(("color", "depth"), PNG_MODES)
def test_modes_of_png_are_pillows_but_for_16_bits(color, depth):
    data = png(depth=depth, color=color)
    ours = {(2, 16): "RGB;16", (4, 16): "LA;16", (6, 16): "RGBA;16"}.get((color, depth))
    with Image.open(io.BytesIO(data)) as image:
        assert inspect(data).mode == (ours or image.mode)


def test_a_png_of_one_bit_is_as_pillow_names_it():
    data = save(RGB.convert("1"), "PNG")
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "1"
    assert inspect(data) == PictureHeader("png", WIDTH, HEIGHT, "1", plain=True)


@pytest.mark.parametrize("data", [png(color=5), jpeg(5, 7).replace(b"\0\5\1", b"\0\5\2")])
def test_a_mode_that_there_is_not_is_refused(data):
    with pytest.raises(FormatError, match=r"which PNG does not define|1, 3 or 4 are supported"):
        inspect(data)


@pytest.mark.parametrize("frame", [0xC0, 0xC1, 0xC2])
def test_huffman_coded_frames_of_jpeg_are_taken(frame):
    assert inspect(jpeg(5, 7).replace(b"\xff\xc0", bytes([0xFF, frame]))) == PictureHeader("jpeg", 5, 7, "L")


@pytest.mark.parametrize("frame", [0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)])
def test_other_frames_of_jpeg_are_refused(frame):
    with pytest.raises(FormatError, match="lossless, hierarchical or arithmetic-coded"):
        inspect(jpeg(5, 7).replace(b"\xff\xc0", bytes([0xFF, frame])))


def test_a_jpeg_of_12_bits_is_refused():
    with pytest.raises(FormatError, match="12 bits per color"):
        inspect(jpeg(5, 7).replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc0\0\x0b\x0c"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(color=3).replace(chunk(b"PLTE", bytes(3)), b""), "no palette before its pixels"),
        (png().replace(b"\x08\x02\0\0\0", b"\x08\x02\0\0\x02"), "unknown compression, filter or interlace method"),
        (png()[:33] + chunk(b"ABCD", b"") + png()[33:], "an unknown critical chunk ABCD"),
        (png()[:-12] + chunk(b"abcd", b"") + png()[33:], "chunks IDAT in two places"),
    ],
)
def test_a_png_that_decoders_refuse_is_refused(data, message):
    header = PNG + chunk(b"IHDR", data[16:29])
    with pytest.raises(FormatError, match=message):
        inspect(header + data[33:])


def test_fill_bytes_and_tables_before_the_frame_are_passed_over():
    tables = b"\xff\xc4\0\4\xff\xc0\xff\xff\xff\xdb\0\3\0\xff\xcc\0\2\xff\x01\xff\xd0\xff"
    assert inspect(b"\xff\xd8" + tables + jpeg(5, 7)[2:]) == PictureHeader("jpeg", 5, 7, "L")


def test_the_thumbnail_is_not_the_picture():
    data = PICTURES["jpeg with thumbnail"]
    assert data.count(b"\xff\xd9") == 2
    assert inspect(data) == PictureHeader("jpeg", WIDTH, HEIGHT, "RGB", extras=("metadata dropped",))
    with pytest.raises(FormatError, match="cut short: no pixels or no end mark"):
        inspect(data[:-1])


@pytest.mark.parametrize(
    "data",
    [png(40_000, 40_000), png(MAX_PIXELS + 1, 1), jpeg(65_535, 65_535), vp8(16_383, 16_383), vp8x(1 << 24, 1 << 24)],
)
def test_too_many_pixels_are_refused(data):
    with pytest.raises(FormatError, match=r"the picture is \d+x\d+ pixels; the limit is 67,108,864"):
        inspect(data)


def test_pillow_refuses_just_as_many():
    assert inspect(png(MAX_PIXELS, 1)).width == MAX_PIXELS
    assert inspect(png(2, MAX_PIXELS // 2)).height == MAX_PIXELS // 2
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(png(MAX_PIXELS, 1))).close()
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(png(MAX_PIXELS + 1, 1)))


@pytest.mark.parametrize("data", [png(width=0), png(height=0), jpeg(0, 7), jpeg(5, 0), vp8(0, 7), vp8(5, 0)])
def test_a_picture_without_pixels_is_refused(data):
    with pytest.raises(FormatError, match=r"the picture is (0x\d+|\d+x0) pixels"):
        inspect(data)


def test_sizes_of_webp():
    assert inspect(vp8(16_383, 3)) == PictureHeader("webp", 16_383, 3, "RGB")
    assert inspect(vp8(0x4000 | 5, 0xC000 | 7)) == PictureHeader("webp", 5, 7, "RGB")  # the upper bits scale
    assert inspect(vp8x(70_000, 2)) == PictureHeader("webp", 70_000, 2, "RGB")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (save(RGB, "GIF"), "not a PNG, JPEG or WebP file: it starts with 47 49 46 38"),
        (save(RGB, "BMP"), "not a PNG, JPEG or WebP file: it starts with 42 4d"),
        (b"<html>404</html>", "not a PNG, JPEG or WebP file: it starts with 3c 68 74 6d 6c 3e 34 30$"),
        (b"\xff", "not a PNG, JPEG or WebP file: it starts with ff$"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "not a PNG, JPEG or WebP file: it starts with 52 49 46 46"),
        (PNG, "the picture is cut short"),
        (png()[:-1], r"the PNG is cut short: \d+ bytes, \d+ are needed"),
        (png().replace(b"IHDR", b"CgBI"), "the PNG does not start with IHDR"),
        (b"\xff\xd8\xff", "the JPEG is cut short: no frame header"),
        (b"\xff\xd8\xff\xda\0\2", "the JPEG has no frame header"),
        (b"\xff\xd8\xff\xd9", "the JPEG has no frame header"),
        (b"\xff\xd8\xff\xe0\0\2abc", "the JPEG is cut short: no frame header or no pixels in its 9 bytes"),
        (vp8(5, 7)[:-1], "the WebP is cut short: 39 bytes, 40 are needed"),
        (webp(b"EXIF", bytes(20)), "the WebP starts with an unknown chunk b'EXIF'"),
    ],
)
def test_bad_files_are_named(data, message):
    with pytest.raises(FormatError, match=message):
        inspect(data)


HEADS = [
    *(b"", PNG, png()[:33], b"\xff\xd8\xff", b"\xff\xd8\xff\xc0", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8 "),
    *(b"RIFF\0\0\0\0WEBPVP8L", b"RIFF\0\0\0\0WEBPVP8X", PICTURES["jpeg RGB"], PICTURES["webp lossy"]),
]


@given(st.sampled_from(HEADS), st.binary(max_size=80))
@settings(max_examples=60, deadline=None)
def test_random_bytes_raise_nothing_but_wire_errors(head, tail):
    with suppress(FormatError):
        inspect(head + tail)


@given(st.sampled_from(list(PICTURES.values())), st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_pictures_raise_nothing_but_wire_errors(data, draw):
    place = draw.draw(st.integers(0, len(data) - 1))
    damaged = bytearray(data)
    damaged[place] ^= draw.draw(st.integers(1, 255))
    with suppress(FormatError):
        inspect(bytes(damaged))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xd8\xff" + b"\xff\x00" * 10**6, "no frame header or no pixels"),
        (b"\xff\xd8" + b"\xff\xe0\0\2" * 10**5, "more than 65,536 segments"),
        (
            save(RGB, "JPEG", progressive=True).replace(b"\xff\xda", b"\xff\xda\0\2" * 99, 1),
            "scans of 23x17 pixels, far more than pictures need",
        ),
        (PNG + png()[8:33] + struct.pack(">I4sI", 0, b"tEXt", zlib.crc32(b"tEXt")) * 50_000, "far more chunks"),
        (
            b"RIFF" + struct.pack("<I", 560_022) + b"WEBPVP8X\n\0\0\0" + bytes(10) + b"JUNK\0\0\0\0" * 70_000,
            "more than 65,536 chunks",
        ),
    ],
)
def test_files_of_endless_parts_are_refused(data, message):
    with pytest.raises(FormatError, match=message):
        inspect(data)
