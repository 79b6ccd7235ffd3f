"""What lies where in a sample's bytes, found without copying its picture. Structure is checked, checksums are not."""

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
"""Bytes that hold what stands before nearly every picture."""


Offsets = NDArray[np.int64]
"""int64 [samples + 1]: where each sample of a shard starts, and where the last one ends."""


ARRAY_SHAPES = {"camera": (CAMERA_NUMBERS,), "landmarks": (LANDMARKS, 2)}
"""Shapes of a sample's arrays of float32, by name."""


class ImageSpan(Struct, frozen=True):
    """A sample's picture in its bytes.

    Attributes:
        start, size: of its payload, in bytes from the sample's first.
        shape: (height, width, 3) of raw pixels, None for a picture's file.
    """

    start: int
    size: int
    shape: tuple[int, int, int] | None


class Annotations(Struct, frozen=True):
    """What a sample holds beside its picture.

    Attributes:
        scalars: the fields of `schemas.fields.FIELDS`; empty where they were not asked for.
        camera: float32 [25], or None where the data set holds none.
        landmarks: float32 [68, 2], or None.
    """

    scalars: Mapping[str, Any]
    camera: NDArray[np.float32] | None = None
    landmarks: NDArray[np.float32] | None = None


class Spans(Protocol):
    """Finds the samples of a shard of one format, and the parts of a sample. Stateless.

    Attributes:
        end: what stands behind the last sample of a shard.
    """

    end: bytes

    def picture(self, head: bytes, size: int, raw: bool) -> ImageSpan | None:
        """Where the picture is.

        Args:
            head: the sample's first bytes.
            size: of the sample in bytes.
            raw: whether the data set holds pixels, not files.

        Returns:
            None where more of the sample is needed to tell.

        Raises:
            FormatError: these are not a sample's bytes.
        """

    def annotations(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
        """What stands around the picture.

        Args:
            head: the sample up to the picture's payload.
            tail: the sample from the end of that payload on.
            layout: what every sample of the data set holds.
            scalars: whether the fields are wanted.

        Raises:
            FormatError: these are not a sample's bytes.
        """

    def offsets(self, index: bytes) -> Offsets:
        """The offsets of the samples, as the last of the format's `index_names` tells them.

        Raises:
            ValueError, OverflowError: it is damaged.
        """

    def scan(self, read: Callable[[int, int], bytes]) -> Iterator[int]:
        """The same, read off the headers of a shard without its samples' bytes.

        Args:
            read: gives bytes of the shard by offset and number, fewer where it ends; what it raises is raised.

        Raises:
            FormatError: it breaks the format.
        """


def payload(spans: Spans, sample: bytes, raw: bool) -> bytes:
    """The file of a whole sample's picture, or its pixels.

    Raises:
        FormatError: these are not a sample's bytes.
    """
    found = spans.picture(sample, len(sample), raw)
    if found is None or found.start + found.size > len(sample):
        raise FormatError("its picture is cut short")
    return sample[found.start : found.start + found.size]
