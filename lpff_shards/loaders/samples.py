"""Read a sample's pixels and annotations from its bytes, and reuse the memory of batches."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.base import HEAD, Annotations, ImageSpan
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import Pixels, decoded
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders.files import ShardFiles
from lpff_shards.loaders.object_reader import FetchedSpan
from lpff_shards.loaders.shards import Span
from lpff_shards.manifest import Manifest

Reads = ShardFiles | FetchedSpan
"""Reads bytes of shards, or of one fetched span."""


class OtherSizeError(Exception):
    """A picture of another size than its batch; the text contains both sizes."""


class Samples:
    """Read the samples of an export. Picklable, without state."""

    def __init__(self, manifest: Manifest) -> None:
        self._layout = manifest.layout
        spans = get_format(manifest.format).spans()
        assert spans is not None, "other formats were refused before"
        self._spans = spans

    def load(
        self, span: Span, reads: Reads, into: NDArray[np.uint8] | None, scalars: bool
    ) -> tuple[Pixels, Annotations]:
        """Return a whole sample: its pixels uint8 [height, width, 3], in `into` if given, and its annotations.

        Raises:
            FormatError, PictureError: the sample is damaged.
            OtherSizeError: its picture has another size than `into`.
            ShardsError: the shard cannot be read.
        """
        shard, first, end = span
        head, found = self._found(span, reads)
        start = first + found.start
        stop = start + found.size
        if found.shape is None:
            # Read separately: decoders need bytes, and slicing larger ones would copy.
            pixels = decoded(reads.read(shard, start, found.size))
            if into is not None:
                _fitting(into, pixels.shape)[:] = pixels
            tail = reads.read(shard, stop, end - stop)
        else:
            # Raw pixels are read directly into their array.
            pixels = np.empty(found.shape, np.uint8) if into is None else _fitting(into, found.shape)
            rest = bytearray(end - stop)
            reads.read_into(shard, start, [pixels.reshape(-1).data, rest])
            tail = bytes(rest)
        return pixels, self._spans.annotations(head[: found.start], tail, self._layout, scalars)

    def fields(self, span: Span, reads: Reads) -> Mapping[str, Any]:
        """Return a sample's fields without reading its picture; raises the errors of `load`."""
        head, found = self._found(span, reads)
        stop = span.start + found.start + found.size
        tail = reads.read(span.shard, stop, span.end - stop)
        return self._spans.annotations(head[: found.start], tail, self._layout, True).scalars

    def _found(self, span: Span, reads: Reads) -> tuple[bytes, ImageSpan]:
        """Return a sample's first bytes, and the span of its picture."""
        shard, start, end = span
        size = end - start
        head = reads.read(shard, start, min(HEAD, size))
        found = self._spans.picture(head, size, self._layout.raw)
        if found is None:
            head = reads.read(shard, start, size)
            found = self._spans.picture(head, size, self._layout.raw)
        if found is None:
            raise FormatError("it has no picture")
        if found.start + found.size > size:
            raise FormatError("its picture is cut short")
        return head, found


def _fitting(into: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if into.shape != shape:
        raise OtherSizeError(f"{shape[1]}x{shape[0]}, others of its batch of {into.shape[1]}x{into.shape[0]}")
    return into


MOST_FREE = 4
"""Most free blocks of memory to keep."""


class Recycler:
    """Allocate uint8 arrays whose memory is reused after their last view is deleted.

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
            piece = np.empty(size, np.uint8)
        return np.asarray(_Lease(piece, self._free)).reshape(shape)


class _Lease:
    """A block of memory in use: numpy keeps it alive as long as its arrays."""

    def __init__(self, piece: NDArray[np.uint8], free: deque[NDArray[np.uint8]]) -> None:
        self.__array_interface__ = piece.__array_interface__
        self._piece = piece
        self._free = free

    def __del__(self) -> None:
        self._free.append(self._piece)
