"""Checks of every sample that is read, in any format."""

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
    """Refuse fields that break the schema, or belong to another sample.

    Raises:
        FormatError: the fields break the schema, or their key is another one.
    """
    reason = fields.fault(scalars)
    if reason is None and scalars["key"] != key:
        reason = f"its field key is {scalars['key']}, but it is stored as {key}"
    if reason:
        raise FormatError(reason)


def checked(sample: Sample, layout: Layout) -> Sample:
    """Return the sample after a check against the schema.

    Raises:
        FormatError: its picture, camera, landmarks or scalars break the schema.
    """
    check_fields(sample.key, sample.scalars)
    reason = None
    if not KEY_RULE.fullmatch(sample.key):
        reason = f"its key is {sample.key!r}, which some readers do not support"
    for name, shape in ARRAY_SHAPES.items():
        reason = reason or _array_fault(name, getattr(sample, name), name in layout.arrays, shape)
    if reason:
        raise FormatError(reason)
    _check_picture(sample.picture)
    return sample


def sample_of(key: str, kind: str, data: bytes, shape: tuple[int, int, int] | None, annotations: Annotations) -> Sample:
    """Return the sample of the given parts.

    Args:
        kind, data: kind and bytes of its picture.
        shape: shape of raw pixels, None for a file.

    Raises:
        FormatError: a field of the picture is missing, or raw pixels differ in size from the fields.
    """
    scalars = annotations.scalars
    try:
        width, height, mode = scalars["width"], scalars["height"], "RGB" if shape else scalars["mode"]
    except KeyError as error:
        raise FormatError(f"its field {error} is missing") from None
    if shape and shape[:2] != (height, width):
        raise FormatError(f"its raw picture is {shape[1]}x{shape[0]}, its fields give {width}x{height}")
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
