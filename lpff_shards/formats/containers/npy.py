"""NPY format 1.0 for C-ordered arrays of plain types (numpy.lib.format), as numpy, DALI and webdataset decode it."""

from __future__ import annotations

import math
import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError

_MAGIC = b"\x93NUMPY\x01\x00"
_SHAPE = r"\((\d{1,9}(?:, \d{1,9})*,?|)\)"
_HEADER = re.compile(rf"\{{'descr': '(<f[48]|\|u1)', 'fortran_order': False, 'shape': {_SHAPE}, \}} *\n")


@lru_cache(maxsize=256)
def header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of an array of numpy's type string, such as `<f4`, a multiple of 64 bytes long."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    body = text.encode() + b" " * (-(len(_MAGIC) + 2 + len(text) + 1) % 64) + b"\n"
    return _MAGIC + len(body).to_bytes(2, "little") + body


def dump(array: NDArray[np.float32]) -> bytes:
    """Return the NPY file of a float32 array."""
    return header("<f4", array.shape) + array.astype("<f4").tobytes()


def exactly(data: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the array of a file that `dump` wrote for this shape; raise FormatError for other files."""
    head = header("<f4", shape)
    if data[: len(head)] != head or len(data) != len(head) + 4 * math.prod(shape):
        raise FormatError(f"an array is not float32 of {shape}")
    return np.frombuffer(data, "<f4", offset=len(head)).reshape(shape)


@lru_cache(maxsize=64)
def picture_header(head: bytes) -> tuple[tuple[int, int, int], int]:
    """Return the shape (height, width, 3) of a uint8 picture's file, and the offset of its pixels.

    Raise FormatError if the file does not start with a header that `header` writes for such a picture.
    """
    length = int.from_bytes(head[8:10], "little")
    found = _HEADER.fullmatch(head[10 : 10 + length].decode("latin-1"))
    if head[:8] != _MAGIC or found is None:
        raise FormatError("not an NPY file of format 1.0", 0)
    dtype, shape = np.dtype(found[1]), tuple(int(n) for n in found[2].split(",") if n.strip())
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
        raise FormatError(f"its raw picture is {dtype} of shape {shape}")
    return (shape[0], shape[1], 3), 10 + length
