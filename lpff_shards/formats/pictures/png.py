"""Fast PNG files of RGB pixels: decoded by libspng, encoded by numpy's and zlib-ng's vector instructions.

A filtered photo is noise without repetitions: run lengths and Huffman codes pack it as tightly as zlib's default does,
in a tenth of the time; drawings repeat and become a tenth larger. The run-length strategy needs no hash of earlier
bytes, so it also gives the same bytes on every machine. Source: PNG third edition (filters, chunks, CRCs).
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
from isal import isal_zlib
from isal.isal_zlib import adler32, crc32
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.png_chunks import SIGNATURE, chunks, is_interlaced, rows_size

Rows = NDArray[np.uint8]

BLOCK = 32
"""Rows that are filtered at once: few enough that their candidates fit in a core's cache."""

_RGB = (8, 2, 0, 0, 0)
_NONE, _SUB, _UP, _AVERAGE, _PAETH = range(5)
_STORED = 65535
"""Most bytes of a stored deflate block."""
_AT_ONCE = 1 << 26
"""Most bytes of rows that are inflated before decoding, which takes three times as much memory."""
_PIECE = 1 << 20
"""Bytes that are inflated at once if they are not kept."""


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture's PNG file.

    Args:
        pixels: uint8 [height, width, 3], RGB, at least one pixel.
    """
    height, width, _ = pixels.shape
    header = struct.pack(">II5B", width, height, *_RGB)
    packer = zlib_ng.compressobj(1, zlib_ng.DEFLATED, zlib_ng.MAX_WBITS, 9, zlib_ng.Z_RLE)
    packed = [packer.compress(block) for block in _filtered(pixels)]
    return b"".join((SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", *packed, packer.flush()), _chunk(b"IEND")))


def encode_stored(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture's PNG file without filters or compression, which readers unpack at the speed of a copy.

    Args:
        pixels: uint8 [height, width, 3], RGB, at least one pixel.
    """
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    for start in range(0, height, BLOCK):
        rows[start : start + BLOCK, 1:] = pixels[start : start + BLOCK].reshape(-1, width * channels)
    header = struct.pack(">II5B", width, height, *_RGB)
    packed = _zlib_stored(rows.data.cast("B"))
    return b"".join((SIGNATURE, _chunk(b"IHDR", header), *_pieces(b"IDAT", *packed), _chunk(b"IEND")))


def beginning(height: int, width: int) -> bytes:
    """Return the first bytes of an RGB PNG of this size: the signature and the header chunk."""
    return SIGNATURE + _chunk(b"IHDR", struct.pack(">II5B", width, height, *_RGB))


def _zlib_stored(data: memoryview) -> Iterator[bytes | memoryview]:
    """Yield a zlib stream of uncompressed deflate blocks (RFC 1950, RFC 1951)."""
    yield b"\x78\x01"
    for start in range(0, len(data), _STORED):
        block = data[start : start + _STORED]
        yield struct.pack("<BHH", start + _STORED >= len(data), len(block), len(block) ^ 0xFFFF)
        yield block
    yield struct.pack(">I", adler32(data))


def decode(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a PNG of only the chunks that its pixels need, uint8 [height, width, 3], RGB.

    libspng checks neither the end nor the checksum of the zlib stream; libpng and Pillow refuse a stream with a wrong
    one. So the stream is inflated here, which is also faster than libspng's zlib.

    Raises:
        FormatError: the zlib stream is damaged, or is shorter or far longer than the rows.
        Exception: of any type: it does not decode.
    """
    try:
        plain = _inflated(data)
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stub calls the class an instance
        raise FormatError(f"its zlib stream is damaged: {error}") from None
    return _decoder()(plain)


@cache
def _decoder() -> Callable[[bytes], Rows]:
    """Return libspng's decoder, or Pillow's on machines without a wheel: the same pixels in 1.5 times the time."""
    try:
        from pyspng import load
    except ImportError:
        return _by_pillow
    return partial(load, format="RGB")


def _by_pillow(data: bytes) -> Rows:
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns of large pictures; their size is checked already.
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.mode.startswith("I"):
                # libspng keeps the high byte of 16-bit gray; Pillow does the same only for 16-bit color.
                return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
            return np.asarray(image.convert("RGB"))


def _inflated(data: bytes) -> bytes:
    """Return the PNG with its rows inflated; only check a large or interlaced one, so that its rows are held once."""
    bodies = [(start, end) for kind, start, end in chunks(data) if kind == b"IDAT"]
    packed = b"".join(data[start + 8 : end - 4] for start, end in bodies)
    size, stream = rows_size(data), isal_zlib.decompressobj()
    if is_interlaced(data) or size > _AT_ONCE:
        _check_rest(stream, packed, size)
        return data
    rows = stream.decompress(packed, size + 1)
    _check_rest(stream, stream.unconsumed_tail, size - len(rows))
    stored = _pieces(b"IDAT", *_zlib_stored(memoryview(rows)[:size]))
    return b"".join((data[: bodies[0][0]], *stored, data[bodies[-1][1] :]))


def _check_rest(stream: Any, packed: bytes, size: int) -> None:
    """Inflate the rest of a stream without keeping it; check its length, its end and its checksum.

    Args:
        size: bytes of rows that it must contain; decoders ignore a few more.
    """
    found = _PIECE
    while (packed or found) and not stream.eof and size > -_PIECE:
        found = len(stream.decompress(packed, _PIECE))
        size -= found
        packed = stream.unconsumed_tail
    if size > 0:
        raise FormatError(f"its zlib stream is cut short: {size} bytes of rows are missing")
    if not stream.eof:
        raise FormatError(
            "its zlib stream has no end" if size > -_PIECE else "its zlib stream holds far too many bytes"
        )


def _chunk(kind: bytes, *parts: bytes) -> bytes:
    return b"".join(_pieces(kind, *parts))


def _pieces(kind: bytes, *parts: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """Yield a chunk in pieces, so that large pieces are joined once."""
    crc = crc32(kind)
    for part in parts:
        crc = crc32(part, crc)
    yield struct.pack(">I4s", sum(map(len, parts)), kind)
    yield from parts
    yield struct.pack(">I", crc)


def _filtered(pixels: NDArray[np.uint8]) -> Iterator[bytes]:
    """Yield the filtered rows in blocks, each row after the number of its filter.

    Each row gets the filter with the least sum of absolute values of signed bytes, as the standard advises.
    """
    height, width, channels = pixels.shape
    # One row of zeros above the picture, one pixel of zeros to its left.
    above = np.zeros((1, (width + 1) * channels), np.uint8)
    for start in range(0, height, BLOCK):
        rows = pixels[start : start + BLOCK].reshape(-1, width * channels)
        padded = np.zeros((len(rows) + 1, (width + 1) * channels), np.uint8)
        padded[0], padded[1:, channels:] = above[0], rows
        above = padded[-1:]
        candidates = _candidates(padded, channels)
        costs = np.abs(candidates.view(np.int8)).view(np.uint8).sum(axis=2, dtype=np.uint32)
        best = costs.argmin(axis=0)
        out = np.empty((len(rows), 1 + width * channels), np.uint8)
        out[:, 0] = best
        out[:, 1:] = candidates[best, np.arange(len(rows))]
        yield out.tobytes()


def _candidates(padded: Rows, channels: int) -> NDArray[np.uint8]:
    """Return the rows under each of the five filters, uint8 [5, rows, bytes].

    Args:
        padded: the row above the first one, then the rows, each after a pixel of zeros.
    """
    rows, left = padded[1:, channels:], padded[1:, :-channels]
    up, corner = padded[:-1, channels:], padded[:-1, :-channels]
    out = np.empty((5, *rows.shape), np.uint8)
    out[_NONE] = rows
    np.subtract(rows, left, out=out[_SUB])
    np.subtract(rows, up, out=out[_UP])
    # The mean of two bytes, rounded down, in bytes: the common bits plus half of the different ones.
    np.subtract(rows, (left & up) + ((left ^ up) >> 1), out=out[_AVERAGE])
    np.subtract(rows, _paeth(left, up, corner), out=out[_PAETH])
    return out


def _paeth(left: Rows, up: Rows, corner: Rows) -> Rows:
    """Return Paeth's predictor: the nearest of left, up and corner to left + up - corner, in this order on ties."""
    middle = corner.astype(np.int16)
    from_left, from_up = up - middle, left - middle
    from_corner = np.abs(from_left + from_up)
    np.abs(from_left, out=from_left)
    np.abs(from_up, out=from_up)
    take_left = _mask((from_left <= from_up) & (from_left <= from_corner))
    take_up = _mask(from_up <= from_corner)
    others = (up & take_up) | (corner & ~take_up)
    return (left & take_left) | (others & ~take_left)


def _mask(chosen: NDArray[np.bool_]) -> Rows:
    """Return 255 where chosen, else 0: bit masks are several times as fast as `numpy.where`."""
    return chosen.view(np.uint8) * np.uint8(255)
