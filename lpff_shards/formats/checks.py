"""Checks of every sample that is read, in any format; and slow ones, that its contents agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lpff_shards.formats import channels
from lpff_shards.formats.base import ARRAY_SHAPES, Annotations
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, decode, inspect
from lpff_shards.schemas import camera, fields
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.keys import KEY_RULE
from lpff_shards.schemas.sample import NO_PICTURE, Picture, Sample

ANGLE_TOLERANCE = 1e-4


def check_fields(key: str, scalars: Mapping[str, Any], layout: Layout) -> None:
    """Refuse fields that break the schema, or belong to another sample, by FormatError."""
    reason = fields.fault(scalars, layout.fields)
    if reason is None and scalars["key"] != key:
        reason = f"its field key is {scalars['key']}, but it is stored as {key}"
    if reason:
        raise FormatError(reason)


def checked(sample: Sample, layout: Layout) -> Sample:
    """Return the sample if its picture, camera, landmarks and scalars keep the schema; else raise FormatError."""
    check_fields(sample.key, sample.scalars, layout)
    if not KEY_RULE.fullmatch(sample.key):
        raise FormatError(f"its key is {sample.key!r}, which some readers do not support")
    for name, shape in ARRAY_SHAPES.items():
        array, due = getattr(sample, name), name in layout.arrays
        if (array is not None) != due:
            raise FormatError(f"its {name} {'is missing' if due else 'is not in the schema'}")
        if due and (array.dtype != np.float32 or array.shape != shape):
            raise FormatError(f"its {name} is {array.dtype} of shape {array.shape}, not float32 of {shape}")
        if due and not np.isfinite(array).all():
            raise FormatError(f"its {name} holds a number that is not finite")
    if sample.channels.keys() != {channel.name for channel in layout.channels or ()}:
        raise FormatError(f"its channels are {', '.join(sample.channels)}, which the schema does not say")
    for channel in layout.channels or ():
        channels.check(channel, sample.channels[channel.name])
    picture = sample.picture
    if picture.kind != "raw" and not layout.attached:
        header = inspect(picture.data)
        if (header.kind, header.width, header.height) != (picture.kind, picture.width, picture.height):
            raise FormatError(
                f"its picture is {header.kind} of {header.width}x{header.height}, "
                f"not {picture.kind} of {picture.width}x{picture.height}"
            )
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
    picture, arrays = Picture(kind, data, width, height, mode), (annotations.camera, annotations.landmarks)
    return Sample(key, picture, *arrays, scalars, annotations.channels)


def attached_sample(key: str, channels: Mapping[str, bytes]) -> Sample:
    """Return a sample that has only channels, see `Layout.attached`."""
    return Sample(key, NO_PICTURE, None, None, {"key": key}, channels)


def deep_fault(sample: Sample) -> str | None:
    """Return the first fault of a sample with a valid structure, or None.

    Its picture must decode as in loaders and match its fields. Its camera must be valid (see `schemas.camera.faults`)
    with the yaw and pitch of its fields. A landmark must be in the picture. Unknown arrays must be zeros.
    """
    picture, scalars, points, orientation = sample.picture, sample.scalars, sample.landmarks, 1
    if picture.kind != "raw":
        header = inspect(picture.data)
        orientation = header.orientation
        given = f"{picture.kind}, {picture.mode}, {picture.width}x{picture.height}"
        found = f"{header.kind}, {header.mode}, {header.width}x{header.height}"
        if found != given:
            return f"its picture is {found}, its fields give {given}"
        try:
            decode(picture.data, header)
        except PictureError as error:
            return f"its {str(error).removeprefix('the ')}"
    if orientation != scalars["exif_orientation"]:
        return f"its EXIF orientation is {orientation}, its fields give {scalars['exif_orientation']}"
    if sample.camera is not None and scalars["has_camera"]:
        numbers = sample.camera.astype(np.float64)[None]
        for reason in camera.faults(numbers).values():
            return f"its {reason}"
        pose = camera.yaw_pitch(camera.centers(numbers))[0]
        yaw, pitch = scalars["yaw"], scalars["pitch"]
        # Angles that differ by a full turn are equal.
        off = np.abs((pose - np.array([yaw, pitch], np.float64) + np.pi) % (2 * np.pi) - np.pi)
        if off.max() > ANGLE_TOLERANCE:
            return f"its yaw and pitch are {yaw:.4f}, {pitch:.4f}, its camera's {pose[0]:.4f}, {pose[1]:.4f}"
    elif sample.camera is not None and sample.camera.any():
        return "has_camera is false, but its camera is not zeros"
    if points is not None and scalars["has_landmarks"]:
        inside = (points > -0.5) & (points < np.array([picture.width, picture.height]) - 0.5)
        if not inside.all(axis=1).any():
            return f"its landmarks are all outside its picture of {picture.width}x{picture.height}"
    elif points is not None and points.any():
        return "has_landmarks is false, but its landmarks are not zeros"
    return None


def channel_fault(sample: Sample, layout: Layout) -> str | None:
    """Return the first fault of a sample's channels, or None: they must decode, a mask to its picture's size."""
    size = (sample.picture.height, sample.picture.width)
    for channel in layout.channels or ():
        try:
            found = channels.decode(channel, sample.channels[channel.name])
        except FormatError as error:
            return str(error)
        if channel.kind == "png" and not layout.attached and found.shape[:2] != size:
            return f"its {channel.suffix} is {found.shape[1]}x{found.shape[0]}, its picture {size[1]}x{size[0]}"
    return None
