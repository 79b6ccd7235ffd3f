"""From a sample's bytes to its pixels and annotations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import Pixels, decoded
from lpff_shards.formats.registry import get_format
from lpff_shards.formats.spans import HEAD, Annotations, ImageSpan
from lpff_shards.loaders.shards import Reads, Span
from lpff_shards.manifest import Manifest


class Loaded(NamedTuple):
    """A sample as read: pixels uint8 [height, width, 3], and the annotations."""

    pixels: Pixels
    annotations: Annotations


class OtherSizeError(Exception):
    """A picture that does not fit its batch; the text names both sizes."""


class Samples:
    """Reads the samples of an export. Picklable, without state."""

    def __init__(self, manifest: Manifest) -> None:
        self._layout = manifest.layout
        spans = get_format(manifest.format).spans()
        assert spans is not None, "loaders refuse other formats before"
        self._spans = spans

    def load(self, span: Span, reads: Reads, into: NDArray[np.uint8] | None, scalars: bool) -> Loaded:
        """A whole sample.

        Args:
            span: of the sample.
            into: array [height, width, 3] for its pixels; None makes a new one.
            scalars: whether its fields are wanted.

        Raises:
            FormatError, PictureError: it is damaged.
            OtherSizeError: its picture does not fit.
            ShardsError: it cannot be read.
        """
        return self._raw(span, reads, into, scalars) if self._layout.raw else self._file(span, reads, into, scalars)

    def fields(self, span: Span, reads: Reads) -> Mapping[str, Any]:
        """A sample's fields, without its picture; raises what `load` does."""
        shard, start, end = span
        head, found = self._found(span, reads)
        stop = found.start + found.size
        tail = reads.read(shard, start + stop, end - start - stop)
        return self._annotations(head[: found.start], tail, scalars=True).scalars

    def _raw(self, span: Span, reads: Reads, into: NDArray[np.uint8] | None, scalars: bool) -> Loaded:
        """A sample of raw pixels, which are read straight to where they belong."""
        shard, start, end = span
        head, found = self._found(span, reads)
        assert found.shape is not None
        pixels = np.empty(found.shape, np.uint8) if into is None else _fitting(into, found.shape)
        tail = bytearray(end - start - found.start - found.size)
        reads.read_into(shard, start + found.start, [pixels.reshape(-1).data, tail])
        return Loaded(pixels, self._annotations(head[: found.start], bytes(tail), scalars))

    def _file(self, span: Span, reads: Reads, into: NDArray[np.uint8] | None, scalars: bool) -> Loaded:
        """A sample with a picture's file, which is decoded."""
        shard, start, end = span
        head, found = self._found(span, reads)
        stop = found.start + found.size
        # Read alone: decoders need bytes, and a slice of larger ones would be a copy.
        pixels = decoded(reads.read(shard, start + found.start, found.size))
        if into is not None:
            _fitting(into, pixels.shape)[:] = pixels
        tail = reads.read(shard, start + stop, end - start - stop)
        return Loaded(pixels, self._annotations(head[: found.start], tail, scalars))

    def _found(self, span: Span, reads: Reads) -> tuple[bytes, ImageSpan]:
        """A sample's first bytes, and where its picture is."""
        shard, start, end = span
        size = end - start
        head = reads.read(shard, start, min(HEAD, size))
        found = self._spans.picture(head, size, self._layout.raw)
        if found is None:
            head = reads.read(shard, start, size)
            found = self._spans.picture(head, size, self._layout.raw)
        return head, _whole(found, size)

    def _annotations(self, head: bytes, tail: bytes, scalars: bool) -> Annotations:
        return self._spans.annotations(head, tail, self._layout, scalars)


def _whole(found: ImageSpan | None, size: int) -> ImageSpan:
    """The span of a picture, which must be inside its sample."""
    if found is None:
        raise FormatError("it has no picture")
    if found.start + found.size > size:
        raise FormatError("its picture is cut short")
    return found


def _fitting(into: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if into.shape != shape:
        raise OtherSizeError(f"{shape[1]}x{shape[0]}, others of its batch of {into.shape[1]}x{into.shape[0]}")
    return into
