"""Read a sample's pixels and annotations from its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.base import HEAD, Annotations, ImageSpan
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import Pixels, decoded
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders.shards import Reads, Span
from lpff_shards.manifest import Manifest


class Loaded(NamedTuple):
    """A loaded sample: pixels uint8 [height, width, 3], and the annotations."""

    pixels: Pixels
    annotations: Annotations


class OtherSizeError(Exception):
    """A picture of another size than its batch; the text contains both sizes."""


class Samples:
    """Read the samples of an export. Picklable, without state."""

    def __init__(self, manifest: Manifest) -> None:
        self._layout = manifest.layout
        spans = get_format(manifest.format).spans()
        assert spans is not None, "other formats were refused before"
        self._spans = spans

    def load(self, span: Span, reads: Reads, into: NDArray[np.uint8] | None, scalars: bool) -> Loaded:
        """Return a whole sample.

        Args:
            span: of the sample.
            into: array uint8 [height, width, 3] for its pixels; None for a new one.
            scalars: whether to read its fields.

        Raises:
            FormatError, PictureError: the sample is damaged.
            OtherSizeError: its picture has another size than `into`.
            ShardsError: the shard cannot be read.
        """
        return self._raw(span, reads, into, scalars) if self._layout.raw else self._file(span, reads, into, scalars)

    def fields(self, span: Span, reads: Reads) -> Mapping[str, Any]:
        """Return a sample's fields without reading its picture; raises the errors of `load`."""
        shard, start, end = span
        head, found = self._found(span, reads)
        stop = found.start + found.size
        tail = reads.read(shard, start + stop, end - start - stop)
        return self._annotations(head[: found.start], tail, scalars=True).scalars

    def _raw(self, span: Span, reads: Reads, into: NDArray[np.uint8] | None, scalars: bool) -> Loaded:
        """Return a sample of raw pixels, read directly into their array."""
        shard, start, end = span
        head, found = self._found(span, reads)
        assert found.shape is not None
        pixels = np.empty(found.shape, np.uint8) if into is None else _fitting(into, found.shape)
        tail = bytearray(end - start - found.start - found.size)
        reads.read_into(shard, start + found.start, [pixels.reshape(-1).data, tail])
        return Loaded(pixels, self._annotations(head[: found.start], bytes(tail), scalars))

    def _file(self, span: Span, reads: Reads, into: NDArray[np.uint8] | None, scalars: bool) -> Loaded:
        """Return a sample with a picture's file, decoded."""
        shard, start, end = span
        head, found = self._found(span, reads)
        stop = found.start + found.size
        # Read separately: decoders need bytes, and slicing larger ones would copy.
        pixels = decoded(reads.read(shard, start + found.start, found.size))
        if into is not None:
            _fitting(into, pixels.shape)[:] = pixels
        tail = reads.read(shard, start + stop, end - start - stop)
        return Loaded(pixels, self._annotations(head[: found.start], tail, scalars))

    def _found(self, span: Span, reads: Reads) -> tuple[bytes, ImageSpan]:
        """Return a sample's first bytes, and the span of its picture."""
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
    """Return the span of a picture; refuse one outside its sample."""
    if found is None:
        raise FormatError("it has no picture")
    if found.start + found.size > size:
        raise FormatError("its picture is cut short")
    return found


def _fitting(into: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if into.shape != shape:
        raise OtherSizeError(f"{shape[1]}x{shape[0]}, others of its batch of {into.shape[1]}x{into.shape[0]}")
    return into
