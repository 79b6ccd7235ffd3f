"""The checks that every sample passes when it is read, whatever its format; and an outline of what was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.formats.spans import ARRAY_SHAPES, Annotations
from lpff_shards.schemas import fields
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.keys import KEY_RULE
from lpff_shards.schemas.sample import Picture, Sample


def check_fields(key: str, scalars: Mapping[str, Any]) -> None:
    """Refuse fields that break the schema, or are another sample's.

    Raises:
        FormatError: they are.
    """
    reason = fields.fault(scalars)
    if reason is None and scalars["key"] != key:
        reason = f"its field key is {scalars['key']}, it is stored as {key}"
    if reason:
        raise FormatError(reason)


def checked(sample: Sample, layout: Layout) -> Sample:
    """The sample itself.

    Raises:
        FormatError: its picture, camera, landmarks or scalars are not as the schema says.
    """
    check_fields(sample.key, sample.scalars)
    reason = None
    if not KEY_RULE.fullmatch(sample.key):
        reason = f"its key is {sample.key!r}, which readers may not take"
    for name, shape in ARRAY_SHAPES.items():
        reason = reason or _array_fault(name, getattr(sample, name), name in layout.arrays, shape)
    if reason:
        raise FormatError(reason)
    _check_picture(sample.picture)
    return sample


def sample_of(key: str, kind: str, data: bytes, shape: tuple[int, int, int] | None, annotations: Annotations) -> Sample:
    """A sample of what was found of it, fields included.

    Args:
        kind, data: of its picture.
        shape: of raw pixels.

    Raises:
        FormatError: a field of the picture is missing, or raw pixels have another size than the fields say.
    """
    scalars = annotations.scalars
    try:
        width, height, mode = scalars["width"], scalars["height"], "RGB" if shape else scalars["mode"]
    except KeyError as error:
        raise FormatError(f"its field {error} is missing") from None
    if shape and shape[:2] != (height, width):
        raise FormatError(f"its raw picture is {shape[1]}x{shape[0]}, not as its fields say")
    return Sample(key, Picture(kind, data, width, height, mode), annotations.camera, annotations.landmarks, scalars)


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
        raise FormatError(
            f"its picture is {header.kind} of {header.width}x{header.height}, "
            f"not {picture.kind} of {picture.width}x{picture.height}"
        )
