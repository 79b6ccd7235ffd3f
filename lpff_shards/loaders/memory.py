"""Memory of batches, used again once nobody looks at it: fresh memory costs a reader more than reading into it."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

MOST_FREE = 4
"""Free pieces of memory that are kept."""


class Recycler:
    """Hands out uint8 arrays whose memory comes back when the last view of them goes.

    Safe in threads; a copy in another process has memory of its own.
    """

    def __init__(self) -> None:
        self._free: deque[NDArray[np.uint8]] = deque(maxlen=MOST_FREE)

    def __reduce__(self) -> tuple[type[Recycler], tuple[()]]:
        return Recycler, ()

    def take(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """An array, its contents undefined."""
        size = math.prod(shape)
        try:
            piece = self._free.pop()
        except IndexError:
            piece = np.empty(0, np.uint8)
        if piece.size != size:
            piece = np.empty(size, np.uint8)
        return np.asarray(_Lease(piece, self._free)).reshape(shape)


class _Lease:
    """A piece of memory on loan: numpy keeps it alive as long as an array of it is."""

    def __init__(self, piece: NDArray[np.uint8], free: deque[NDArray[np.uint8]]) -> None:
        self.__array_interface__ = piece.__array_interface__
        self._piece = piece
        self._free = free

    def __del__(self) -> None:
        self._free.append(self._piece)
