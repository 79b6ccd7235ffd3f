"""NPY format 1.0 for C-ordered arrays of plain types (numpy.lib.format), as numpy, DALI and webdataset decode it."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError

_MAGIC = b"\x93NUMPY\x01\x00"
_SHAPE = r"\((\d{1,9}(?:, \d{1,9})*,?|)\)"
_HEADER = re.compile(rf"\{{'descr': '(<f[48]|\|u1)', 'fortran_order': False, 'shape': {_SHAPE}, \}} *\n")


@lru_cache(maxsize=256)
def header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of an array, a multiple of 64 bytes long.

    Args:
        descr: numpy's type string, such as `<f4` or `|u1`.
        shape: shape of the array.
    """
    size = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({size}), }}"
    pad = -(len(_MAGIC) + 2 + len(text) + 1) % 64
    body = text.encode() + b" " * pad + b"\n"
    return _MAGIC + len(body).to_bytes(2, "little") + body


def dump(array: NDArray[np.float32]) -> bytes:
    """Return the NPY file of a float32 array."""
    return header("<f4", array.shape) + array.astype("<f4").tobytes()


def exactly(data: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the array of a file that `dump` wrote for this shape.

    Raises:
        FormatError: the file is not one.
    """
    head = header("<f4", shape)
    if data[: len(head)] != head or len(data) != len(head) + 4 * math.prod(shape):
        raise FormatError(f"an array is not float32 of {shape}")
    return np.frombuffer(data, "<f4", offset=len(head)).reshape(shape)


@lru_cache(maxsize=64)
def picture_header(head: bytes) -> tuple[tuple[int, int, int], int]:
    """Return the shape (height, width, 3) of a uint8 picture's file, and the offset of its pixels.

    Raises:
        FormatError: the header is not that of a uint8 picture.
    """
    dtype, shape, start = read_header(head)
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
        raise FormatError(f"its raw picture is {dtype} of shape {shape}")
    return (shape[0], shape[1], 3), start


def read_header(head: bytes | memoryview) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return the type and shape of a file's array, and the offset of its payload.

    Args:
        head: the file's first bytes, or the whole file.

    Raises:
        FormatError: the file does not start with a header that `header` writes.
    """
    length = int.from_bytes(head[8:10], "little")
    match = _HEADER.fullmatch(bytes(head[10 : 10 + length]).decode("latin-1"))
    if bytes(head[:8]) != _MAGIC or match is None:
        raise FormatError("not an NPY file of format 1.0", 0)
    return np.dtype(match[1]), tuple(int(n) for n in match[2].split(",") if n.strip()), 10 + length
