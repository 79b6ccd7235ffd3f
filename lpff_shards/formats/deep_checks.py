"""Slow checks of a sample: its picture decodes, and its fields, camera and landmarks agree."""

from __future__ import annotations

import numpy as np

from lpff_shards.formats.pictures.decoding import PictureError, decode
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.schemas import camera
from lpff_shards.schemas.sample import Sample

ANGLE_TOLERANCE = 1e-4


def deep_fault(sample: Sample) -> str | None:
    """Return the first fault of a sample with a valid structure, or None.

    Its picture must decode as in loaders and match its fields. Its camera must be valid (see `schemas.camera.faults`)
    with the yaw and pitch of its fields. A landmark must be in the picture. Unknown arrays must be zeros.
    """
    return _picture_fault(sample) or _camera_fault(sample) or _landmarks_fault(sample)


def _picture_fault(sample: Sample) -> str | None:
    picture, field, orientation = sample.picture, sample.scalars["exif_orientation"], 1
    if picture.kind != "raw":
        header = inspect(picture.data)
        orientation = header.orientation
        fields = f"{picture.kind}, {picture.mode}, {picture.width}x{picture.height}"
        found = f"{header.kind}, {header.mode}, {header.width}x{header.height}"
        if found != fields:
            return f"its picture is {found}, its fields give {fields}"
        try:
            decode(picture.data, header)
        except PictureError as error:
            return f"its {str(error).removeprefix('the ')}"
    return None if field == orientation else f"its EXIF orientation is {orientation}, its fields give {field}"


def _camera_fault(sample: Sample) -> str | None:
    if sample.camera is None:
        return None
    if not sample.scalars["has_camera"]:
        return "has_camera is false, but its camera is not zeros" if sample.camera.any() else None
    numbers = sample.camera.astype(np.float64)[None]
    for reason in camera.faults(numbers).values():
        return f"its {reason}"
    found = camera.yaw_pitch(camera.centers(numbers))[0]
    fields = np.array([sample.scalars["yaw"], sample.scalars["pitch"]], np.float64)
    # Angles that differ by a full turn are equal.
    off = np.abs((found - fields + np.pi) % (2 * np.pi) - np.pi)
    if off.max() > ANGLE_TOLERANCE:
        return f"its yaw and pitch are {fields[0]:.4f}, {fields[1]:.4f}, its camera's {found[0]:.4f}, {found[1]:.4f}"
    return None


def _landmarks_fault(sample: Sample) -> str | None:
    points, picture = sample.landmarks, sample.picture
    if points is None:
        return None
    if not sample.scalars["has_landmarks"]:
        return "has_landmarks is false, but its landmarks are not zeros" if points.any() else None
    inside = (points > -0.5) & (points < np.array([picture.width, picture.height]) - 0.5)
    if not inside.all(axis=1).any():
        return f"its landmarks are all outside its picture of {picture.width}x{picture.height}"
    return None
