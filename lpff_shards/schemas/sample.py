"""Sample: the argument of every writer and the result of every reader, the same for all formats."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.schemas.fields import Scalar
from lpff_shards.schemas.landmarks import Points

SUFFIXES: Mapping[str, str] = {"png": "png", "jpeg": "jpg", "webp": "webp", "raw": "image.npy"}
"""Suffix of each kind of picture."""
FILE_KINDS: Mapping[str, str] = {suffix: kind for kind, suffix in SUFFIXES.items() if kind != "raw"}
"""Kind of a picture's file by its suffix."""


class Picture(Struct, frozen=True, eq=False):
    """A picture as stored.

    Attributes:
        kind: `png`, `jpeg`, `webp`, or `raw` (uint8 height x width x 3, row-major).
        data: the file's bytes, or the pixels for `raw`.
        width, height: pixels.
        mode: color mode, such as RGB.
    """

    kind: str
    data: bytes
    width: int
    height: int
    mode: str


class Sample(Struct, frozen=True, eq=False):
    """One sample.

    Attributes:
        key: its name in the data set.
        picture: as stored.
        camera: float32 [25], or None in a data set without cameras.
        landmarks: float32 [68, 2], or None in a data set without landmarks.
        scalars: the fields of `schemas.fields.FIELDS`, in that order.
        channels: the files of its channels by name, as stored in a tar.
    """

    key: str
    picture: Picture
    camera: NDArray[np.float32] | None
    landmarks: Points | None
    scalars: Mapping[str, Scalar]
    channels: Mapping[str, bytes] = {}


NO_PICTURE = Picture("", b"", 0, 0, "")
"""The picture of a sample in shards of channels, see `Layout.attached`."""
