"""Positions of a sample's parts in its bytes, without a copy of its picture. Checks the structure, not checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.landmarks import LANDMARKS

HEAD = 4096
"""First bytes of a sample to read: they contain the headers before nearly every picture."""


Offsets = NDArray[np.int64]
"""int64 [samples + 1]: the start of each sample of a shard, and the end of the last."""


ARRAY_SHAPES = {"camera": (CAMERA_NUMBERS,), "landmarks": (LANDMARKS, 2)}
"""Shapes of a sample's arrays of float32, by name."""


class ImageSpan(Struct, frozen=True):
    """The position of the picture in a sample's bytes.

    Attributes:
        start, size: offset from the start of the sample and size of the payload, in bytes.
        shape: (height, width, 3) of raw pixels, None for a picture file.
    """

    start: int
    size: int
    shape: tuple[int, int, int] | None


class Annotations(Struct, frozen=True):
    """The fields and arrays of a sample.

    Attributes:
        scalars: the fields of `schemas.fields.FIELDS`; empty if not requested.
        camera: float32 [25], or None if the data set has no cameras.
        landmarks: float32 [68, 2], or None.
    """

    scalars: Mapping[str, Any]
    camera: NDArray[np.float32] | None = None
    landmarks: NDArray[np.float32] | None = None


class Spans(Protocol):
    """Finds the samples of a shard of one format, and the parts of a sample. Stateless.

    Attributes:
        end: the bytes after the last sample of a shard.
    """

    end: bytes

    def picture(self, head: bytes, size: int, raw: bool) -> ImageSpan | None:
        """Return the position of the picture.

        Args:
            head: the sample's first bytes.
            size: bytes of the sample.
            raw: whether the data set holds pixels, not files.

        Returns:
            None if `head` is too short.

        Raises:
            FormatError: these are not a sample's bytes.
        """

    def annotations(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
        """Return the fields and arrays around the picture.

        Args:
            head: the sample up to the picture's payload.
            tail: the sample after that payload.
            layout: what every sample of the data set holds.
            scalars: whether to read the fields.

        Raises:
            FormatError: these are not a sample's bytes.
        """

    def offsets(self, index: bytes) -> Offsets:
        """Return the offsets of the samples from the last of the format's `index_names`.

        Raises:
            ValueError, OverflowError: the index is damaged.
        """

    def scan(self, read: Callable[[int, int], bytes]) -> Iterator[int]:
        """Yield the same offsets from the headers of a shard, without reading its samples.

        Args:
            read: returns bytes of the shard by offset and number, fewer at its end; its errors are passed on.

        Raises:
            FormatError: the shard breaks the format.
        """


def payload(spans: Spans, sample: bytes, raw: bool) -> bytes:
    """Return the file or the pixels of a whole sample's picture.

    Raises:
        FormatError: these are not a sample's bytes.
    """
    found = spans.picture(sample, len(sample), raw)
    if found is None or found.start + found.size > len(sample):
        raise FormatError("its picture is cut short")
    return sample[found.start : found.start + found.size]
