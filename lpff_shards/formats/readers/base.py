"""The reader interface, and the checks that every sample passes, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import WireError
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.schemas import fields, landmarks
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.keys import KEY_RULE
from lpff_shards.schemas.sample import Picture, Sample


class SampleError(Exception):
    """A shard that breaks its format or schema at one of its samples.

    Args:
        reason: what is wrong.
        number: of the sample in its shard, from 0.
        key: of the sample, empty where the damage hides it.
    """

    def __init__(self, reason: str, number: int, key: str = "") -> None:
        super().__init__(reason, number, key)
        self.reason = reason
        self.number = number
        self.key = key


class Reader(Protocol):
    """Reads the samples of one shard, in order."""

    def __call__(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        """The samples of a shard.

        Raises:
            SampleError: at the first one that breaks the format or the schema.
        """


def checked(sample: Sample, layout: Layout) -> Sample:
    """The sample itself.

    Raises:
        WireError: its picture, camera, landmarks or scalars are not as the schema says.
    """
    reason = fields.fault(sample.scalars)
    if reason is None and not KEY_RULE.fullmatch(sample.key):
        reason = f"its key is {sample.key!r}, which readers may not take"
    if reason is None and sample.scalars["key"] != sample.key:
        reason = f"its field key is {sample.scalars['key']}"
    reason = reason or _array_fault("camera", sample.camera, layout.camera, (CAMERA_NUMBERS,))
    reason = reason or _array_fault("landmarks", sample.landmarks, layout.landmarks, (landmarks.LANDMARKS, 2))
    if reason:
        raise WireError(reason)
    _check_picture(sample.picture)
    return sample


def pixels(array: NDArray[Any], scalars: dict[str, Any]) -> Picture:
    """A raw picture; `checked` compares its size with what the scalars say.

    Raises:
        WireError: it is not uint8 height x width x 3.
    """
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise WireError(f"its raw picture is {array.dtype} of shape {array.shape}")
    height, width, _ = array.shape
    if (width, height) != (scalars.get("width"), scalars.get("height")):
        raise WireError(f"its raw picture is {width}x{height}, not as its fields say")
    return Picture("raw", array.tobytes(), width, height, "RGB")


def _array_fault(name: str, array: NDArray[Any] | None, due: bool, shape: tuple[int, ...]) -> str | None:
    if (array is not None) != due:
        return f"its {name} {'is missing' if due else 'is not in the schema'}"
    if array is None:
        return None
    if array.dtype != np.float32 or array.shape != shape:
        return f"its {name} is {array.dtype} of shape {array.shape}, not float32 of {shape}"
    return None if np.isfinite(array).all() else f"its {name} holds a number that is not finite"


def _check_picture(picture: Picture) -> None:
    if picture.kind == "raw":
        return
    header = inspect(picture.data)
    if (header.kind, header.width, header.height) != (picture.kind, picture.width, picture.height):
        raise WireError(
            f"its picture is {header.kind} of {header.width}x{header.height}, "
            f"not {picture.kind} of {picture.width}x{picture.height}"
        )
