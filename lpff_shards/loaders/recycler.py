"""Reuse the memory of batches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MOST_FREE = 4
"""Most free blocks of memory to keep."""

ALIGNMENT = 64
"""Bytes: TensorFlow and JAX use the memory of an array at a multiple of it, and copy other arrays."""


Take = Callable[[tuple[int, ...]], NDArray[np.uint8]]
"""Returns an array of a shape, with undefined contents."""


class Recycler:
    """Allocate aligned uint8 arrays whose memory is reused after their last view is deleted.

    Safe in threads; a copy in another process has its own memory.
    """

    def __init__(self) -> None:
        self._free: deque[NDArray[np.uint8]] = deque(maxlen=MOST_FREE)

    def __reduce__(self) -> tuple[type[Recycler], tuple[()]]:
        return Recycler, ()

    def take(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return an array with undefined contents."""
        size = math.prod(shape)
        try:
            piece = self._free.pop()
        except IndexError:
            piece = np.empty(0, np.uint8)
        if piece.size != size:
            block = np.empty(size + ALIGNMENT, np.uint8)
            piece = block[-block.ctypes.data % ALIGNMENT :][:size]
        return lease(piece, self._free).reshape(shape)


def lease(piece: NDArray[np.uint8], free: deque[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return an array over a block of memory, which is appended to `free` when the last view of it is deleted."""
    return np.asarray(_Lease(piece, free))


class _Lease:
    """A block of memory in use: numpy keeps it alive as long as its arrays."""

    def __init__(self, piece: NDArray[np.uint8], free: deque[NDArray[np.uint8]]) -> None:
        self.__array_interface__ = piece.__array_interface__
        self._piece = piece
        self._free = free

    def __del__(self) -> None:
        self._free.append(self._piece)
