"""What only a close look at a sample shows: that its picture decodes, and that its numbers agree with one another."""

from __future__ import annotations

import numpy as np

from lpff_shards.formats.pictures.decoding import PictureError, decode
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.schemas import camera
from lpff_shards.schemas.sample import Sample

ANGLE_TOLERANCE = 1e-4


def deep_fault(sample: Sample) -> str | None:
    """What is wrong with a sample whose structure is whole, or None.

    Its picture must decode as loaders decode it and be what its fields tell, its camera be one (see
    `schemas.camera.faults`) with the yaw and pitch of its fields, some landmark be in the picture, and what is unknown
    be zeros.
    """
    return _picture_fault(sample) or _camera_fault(sample) or _landmarks_fault(sample)


def _picture_fault(sample: Sample) -> str | None:
    picture, told, orientation = sample.picture, sample.scalars["exif_orientation"], 1
    if picture.kind != "raw":
        header = inspect(picture.data)
        orientation = header.orientation
        told_is = f"{picture.kind}, {picture.mode}, {picture.width}x{picture.height}"
        found = f"{header.kind}, {header.mode}, {header.width}x{header.height}"
        if found != told_is:
            return f"its picture is {found}, its fields tell {told_is}"
        try:
            decode(picture.data, header)
        except PictureError as error:
            return f"its {str(error).removeprefix('the ')}"
    return None if told == orientation else f"its EXIF orientation is {orientation}, its fields tell {told}"


def _camera_fault(sample: Sample) -> str | None:
    if sample.camera is None:
        return None
    if not sample.scalars["has_camera"]:
        return "its camera is said to be unknown, and is not zeros" if sample.camera.any() else None
    numbers = sample.camera.astype(np.float64)[None]
    for reason in camera.faults(numbers).values():
        return f"its {reason}"
    found = camera.yaw_pitch(camera.centers(numbers))[0]
    told = np.array([sample.scalars["yaw"], sample.scalars["pitch"]], np.float64)
    # Angles that differ by a whole turn are one.
    off = np.abs((found - told + np.pi) % (2 * np.pi) - np.pi)
    if off.max() > ANGLE_TOLERANCE:
        return f"its yaw and pitch are {told[0]:.4f}, {told[1]:.4f}, its camera's {found[0]:.4f}, {found[1]:.4f}"
    return None


def _landmarks_fault(sample: Sample) -> str | None:
    points, picture = sample.landmarks, sample.picture
    if points is None:
        return None
    if not sample.scalars["has_landmarks"]:
        return "its landmarks are said to be unknown, and are not zeros" if points.any() else None
    inside = (points > -0.5) & (points < np.array([picture.width, picture.height]) - 0.5)
    if not inside.all(axis=1).any():
        return f"its landmarks are all outside its picture of {picture.width}x{picture.height}"
    return None
