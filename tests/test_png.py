"""Our PNGs are read by others, have the right pixels, and are no larger than Pillow's own of photos."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import chunk, stored_size
from PIL import Image, ImageFile

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures import png
from lpff_shards.formats.pictures.decoding import PictureError, decoded, inspect
from lpff_shards.formats.pictures.header import PictureHeader
from lpff_shards.formats.pictures.png import rows_size

Pixels = np.ndarray
Encoder = Callable[[Pixels], bytes]


def _photo(seed: int, side: int) -> Pixels:
    """Smooth shapes under a photo's noise, which is alike in the three channels."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    noise = draw.normal(0, 4, (side, side, 1)) + draw.normal(0, 1.5, (side, side, 3))
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def _drawn(kind: str, height: int, width: int, seed: int) -> Pixels:
    draw = np.random.default_rng(seed)
    if kind == "noise":
        return draw.integers(0, 256, (height, width, 3), np.uint8)
    if kind == "flat":
        return np.full((height, width, 3), draw.integers(0, 256, 3), np.uint8)
    ramp = np.add.outer(np.arange(height) * 3, np.arange(width) * 5)[..., None] * draw.integers(1, 4, 3)
    return (ramp + draw.integers(0, 3, (height, width, 3))).astype(np.uint8)


def _pillow(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _others(data: bytes) -> Iterator[Pixels]:
    """The pixels of a PNG by other readers."""
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        yield np.asarray(image)
    if find_spec("pyspng"):
        yield import_module("pyspng").load(data)
    if find_spec("cv2"):
        cv2 = import_module("cv2")
        yield cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


ENCODERS = [png.encode, png.encode_fast, png.encode_stored]
HEIGHTS = st.one_of(st.integers(1, 5), st.integers(png.BLOCK - 1, png.BLOCK + 1), st.integers(2 * png.BLOCK, 70))
SEEDS = st.integers(0, 99)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(ENCODERS), st.sampled_from(["noise", "flat", "ramp"]), HEIGHTS, st.integers(1, 65), SEEDS)
def test_other_readers_read_the_right_pixels(encode: Encoder, kind: str, height: int, width: int, seed: int) -> None:
    pixels = _drawn(kind, height, width, seed)
    data = encode(pixels)
    assert inspect(data) == PictureHeader("png", width, height, "RGB", plain=True)
    for found in (png.decode(data), *_others(data)):
        assert np.array_equal(found, pixels)


@pytest.mark.parametrize("encode", ENCODERS)
def test_tensorflow_reads_the_right_pixels(tf: ModuleType, encode: Encoder) -> None:
    pixels = _photo(1, 64)
    assert np.array_equal(tf.io.decode_png(encode(pixels)).numpy(), pixels)


@pytest.mark.parametrize("seed", range(4))
def test_photos_take_no_more_room_than_pillow_s_own(seed: int) -> None:
    pixels = _photo(seed, 192)
    assert len(png.encode(pixels)) <= len(_pillow(pixels))


@pytest.mark.parametrize("seed", range(4))
def test_fast_photos_take_a_fifth_more_room_at_most(seed: int) -> None:
    pixels = _photo(seed, 192)
    assert len(png.encode_fast(pixels)) <= 1.2 * len(_pillow(pixels))


@pytest.mark.parametrize("encode", ENCODERS)
def test_views_are_read_as_they_show(encode: Encoder) -> None:
    pixels = _photo(2, 48)
    assert encode(pixels[:, ::-1]) == encode(np.ascontiguousarray(pixels[:, ::-1]))


def test_each_row_takes_the_filter_that_leaves_least() -> None:
    draw = np.random.default_rng(3)
    across = np.cumsum(draw.integers(0, 200, (1, 30, 3)), axis=1)
    rows = [
        np.tile([[1], [255]], (15, 3)).reshape(1, 30, 3),  # small as it is, unlike its neighbors
        np.broadcast_to([[[90, 160, 250]]], (1, 30, 3)),  # like its left neighbors
        across,
        across + 1,  # like the row above
    ]
    data = png.encode(np.concatenate(rows).astype(np.uint8))
    raw = zlib.decompress(data[data.index(b"IDAT") + 4 : data.index(b"IEND") - 8])
    filters = [raw[row * 91] for row in range(4)]
    assert (filters[0], filters[1], filters[3]) == (0, 1, 2)


def _predicted(left: int, up: int, corner: int) -> int:
    """Paeth's predictor as the standard tells it."""
    estimate = left + up - corner
    return min((left, up, corner), key=lambda value: abs(estimate - value))


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_paeth_s_predictor_is_the_standard_s(left: int, up: int, corner: int) -> None:
    one = [np.array([[value]], np.uint8) for value in (left, up, corner)]
    assert png._paeth(*one)[0, 0] == _predicted(left, up, corner)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 99))
def test_stored_pngs_have_the_right_pixels_and_a_size_of_their_own(height: int, width: int, seed: int) -> None:
    pixels = _drawn("noise", height, width, seed)
    data = png.encode_stored(pixels)
    assert len(data) == stored_size(height, width)
    assert inspect(data) == PictureHeader("png", width, height, "RGB", plain=True)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert np.array_equal(png.decode(data), pixels)


def test_every_row_of_a_fast_png_is_filtered_by_up() -> None:
    pixels = _drawn("ramp", 70, 9, 1)
    rows = zlib.decompress(png.encode_fast(pixels)[8 + 25 + 8 : -16])
    lines = np.frombuffer(rows, np.uint8).reshape(70, -1)
    assert set(lines[:, 0]) == {2}
    assert np.array_equal(lines[:, 1:].cumsum(0, dtype=np.uint8).reshape(pixels.shape), pixels)


def _verdict(data: bytes) -> object:
    """The pixels of a file, or its fault."""
    try:
        return decoded(data).tolist()
    except (FormatError, PictureError) as error:
        return type(error), str(error)


FILTERS = st.sampled_from([[0], [2], [0, 2], [2, 0], [2, 4], [1], [2, 7]])
"""The filter of the first row, and of the others."""


@settings(max_examples=300, deadline=None)
@given(FILTERS, st.integers(1, 70), st.integers(1, 20), SEEDS, st.integers(-3, 3), st.data())
def test_rows_that_numpy_decodes_have_libspng_s_pixels_and_faults(
    filters: list[int], height: int, width: int, seed: int, more: int, draw: st.DataObject
) -> None:
    lines = np.random.default_rng(seed).integers(0, 256, (height, 1 + 3 * width), np.uint8)
    lines[0, 0], lines[1:, 0] = filters[0], filters[-1]
    rows = lines.tobytes()[: lines.size + min(more, 0)] + bytes(max(more, 0))
    data = bytearray(_with_stream(np.empty((height, width, 3)), zlib.compress(rows)))
    if draw.draw(st.booleans()):
        data[draw.draw(st.integers(8, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    end = draw.draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    file = bytes(data[:end])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(png, "_SMALL", 0)
        found = _verdict(file)
        patched.setattr(png, "_unfiltered", lambda *_: None)
        assert found == _verdict(file)


def test_numpy_decodes_large_pictures_of_up_and_of_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "_decoder", lambda: pytest.fail("libspng was called"))
    pixels = _drawn("ramp", 430, 410, 1)
    first_is_plain = png.encode_fast(pixels)[41:-16]
    rows = b"\0" + zlib.decompress(first_is_plain)[1:]
    for data in (png.encode_fast(pixels), png.encode_stored(pixels), _with_stream(pixels, zlib.compress(rows))):
        assert np.array_equal(decoded(data), pixels)


def _with_stream(pixels: Pixels, packed: bytes) -> bytes:
    """The PNG of pixels with another zlib stream, in two chunks."""
    half = len(packed) // 2
    chunks = chunk(b"IDAT", packed[:half]), chunk(b"IDAT", packed[half:])
    return b"".join((png.beginning(*pixels.shape[:2]), *chunks, chunk(b"IEND", b"")))


@pytest.mark.parametrize("at_once", [0, png._AT_ONCE])
def test_a_stream_that_is_damaged_is_refused_however_large(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures are inflated at once, large ones piece by piece: with the same verdict."""
    monkeypatch.setattr(png, "_AT_ONCE", at_once)
    pixels = _drawn("noise", 40, 30, 1)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    packed = zlib.compress(rows)
    assert np.array_equal(png.decode(_with_stream(pixels, packed)), pixels)
    assert np.array_equal(png.decode(_with_stream(pixels, zlib.compress(rows + bytes(999)))), pixels)
    for wrong in (packed[:-4], packed[:-1] + b"?", packed[:-40], zlib.compress(rows[:-1]), b"no stream", b""):
        with pytest.raises((FormatError, RuntimeError)):
            png.decode(_with_stream(pixels, wrong))
    with pytest.raises(FormatError, match="far too many bytes"):
        png.decode(_with_stream(pixels, zlib.compress(rows + bytes(1 << 22))))


def test_a_stored_png_holds_its_rows_as_they_are() -> None:
    pixels = _drawn("ramp", 2, 3, 1)
    packed = png.encode_stored(pixels)[8 + 25 + 8 : -16]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    assert packed[:7] == b"\x78\x01\x01" + len(rows).to_bytes(2, "little") + (len(rows) ^ 0xFFFF).to_bytes(2, "little")
    assert packed[7:-4] == rows
    assert zlib.decompress(packed) == rows


COLORS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Depths of each color type, as the standard has them."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
Pack = Callable[[bytes], bytes]


def _file(color: int, depth: int, interlaced: bool, width: int, height: int, pack: Pack = zlib.compress) -> bytes:
    """A PNG of random rows under random filters, with its rows packed by `pack`."""
    draw = np.random.default_rng([color, depth, interlaced, width])
    rows = b""
    for left, top, across, down in PASSES if interlaced else ((0, 0, 1, 1),):
        size = (len(range(left, width, across)) * depth * CHANNELS[color] + 7) // 8
        for _ in range(top, height, down) if size else ():
            rows += bytes([draw.integers(5)]) + draw.bytes(size)
    header = struct.pack(">II5B", width, height, depth, color, 0, 0, interlaced)
    palette = chunk(b"PLTE", draw.bytes(3 << depth)) if color == 3 else b""
    chunks = (chunk(b"IHDR", header), palette, chunk(b"IDAT", pack(rows)), chunk(b"IEND", b""))
    return png.SIGNATURE + b"".join(chunks)


@pytest.fixture
def no_pyspng(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine for which pyspng has no wheel."""
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pyspng", None)
        png._decoder.cache_clear()
        yield
    png._decoder.cache_clear()


KINDS = [(color, depth, interlaced) for color in COLORS for depth in COLORS[color] for interlaced in (False, True)]


def test_without_pyspng_pixels_are_the_same(no_pyspng: None) -> None:
    files = [_file(*kind, *size) for kind in KINDS for size in ((1, 1), (3, 2), (9, 7))]
    found = [decoded(data) for data in files]
    sys.modules.pop("pyspng")
    load = pytest.importorskip("pyspng").load
    for data, pixels in zip(files, found, strict=True):
        assert np.array_equal(pixels, load(data, "RGB"))


BROKEN: dict[str, Pack] = {
    "lacks a byte": lambda rows: zlib.compress(rows[:-1]),
    "lacks rows": lambda rows: zlib.compress(rows[: len(rows) // 2]),
    "has no rows": lambda rows: zlib.compress(b""),
    "is empty": lambda rows: b"",
    "is cut": lambda rows: zlib.compress(rows)[: len(rows) // 3],
    "is no zlib stream": lambda rows: rows,
    "has an unknown filter": lambda rows: zlib.compress(b"\7" + rows[1:]),
}


# What lacks is found whatever a script has asked Pillow to overlook; its own verdict on filters is its own.
@pytest.mark.parametrize(
    ("how", "lenient"), [*((how, False) for how in BROKEN), *((how, True) for how in [*BROKEN][:-1])]
)
@pytest.mark.parametrize("interlaced", [False, True], ids=["rows", "passes"])
def test_without_pyspng_the_same_files_are_broken(
    no_pyspng: None, monkeypatch: pytest.MonkeyPatch, how: str, interlaced: bool, lenient: bool
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    for color, depth in ((2, 8), (0, 1), (3, 4), (6, 16)):
        with pytest.raises(PictureError):
            decoded(_file(color, depth, interlaced, 9, 7, BROKEN[how]))
        assert decoded(_file(color, depth, interlaced, 9, 7)).shape == (7, 9, 3)


@given(st.sampled_from(KINDS), st.integers(1, 40), st.integers(1, 40))
def test_rows_are_counted_as_decoders_do(kind: tuple[int, int, bool], width: int, height: int) -> None:
    sizes: list[int] = []
    data = _file(*kind, width, height, lambda rows: sizes.append(len(rows)) or zlib.compress(rows))
    assert [rows_size(data)] == sizes
