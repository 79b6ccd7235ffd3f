"""What only a close look at a sample shows: that its picture decodes, and that its numbers agree with one another."""

from __future__ import annotations

import io
import warnings

import numpy as np

from lpff_shards.schemas import camera
from lpff_shards.schemas.sample import Picture, Sample
from lpff_shards.wire import png
from lpff_shards.wire.pictures import inspect

ANGLE_TOLERANCE = 1e-4


def deep_fault(sample: Sample) -> str | None:
    """What is wrong with a sample whose structure is whole, or None.

    Its picture must decode to the size and colour mode that its fields tell, its camera be one (see
    `schemas.camera.faults`) with the yaw and pitch of its fields, and what is unknown be zeros.
    """
    return _picture_fault(sample.picture) or _camera_fault(sample) or _landmarks_fault(sample)


def _picture_fault(picture: Picture) -> str | None:
    if picture.kind == "raw":
        return None
    header = inspect(picture.data)
    if header.plain and png.decode(picture.data, picture.height, picture.width) is not None:
        return None
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures, whose pixels are counted already, and of odd EXIF data.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(picture.data), formats=(picture.kind.upper(),)) as image:
                image.load()
                size = image.size
    except Exception as error:  # Pillow's decoders raise many kinds on hostile bytes
        return f"its picture does not decode: {error}"
    if size != (picture.width, picture.height):
        return f"its picture decodes to {size[0]}x{size[1]}, not {picture.width}x{picture.height}"
    return None


def _camera_fault(sample: Sample) -> str | None:
    if sample.camera is None:
        return None
    if not sample.scalars["has_camera"]:
        return "its camera is said to be unknown, and is not zeros" if sample.camera.any() else None
    numbers = sample.camera.astype(np.float64)[None]
    for reason in camera.faults(numbers).values():
        return f"its {reason}"
    found = camera.yaw_pitch(camera.centres(numbers))[0]
    told = np.array([sample.scalars["yaw"], sample.scalars["pitch"]], np.float64)
    # Angles that differ by a whole turn are one.
    off = np.abs((found - told + np.pi) % (2 * np.pi) - np.pi)
    if off.max() > ANGLE_TOLERANCE:
        return f"its yaw and pitch are {told[0]:.4f}, {told[1]:.4f}, its camera's {found[0]:.4f}, {found[1]:.4f}"
    return None


def _landmarks_fault(sample: Sample) -> str | None:
    if sample.landmarks is None or sample.scalars["has_landmarks"] or not sample.landmarks.any():
        return None
    return "its landmarks are said to be unknown, and are not zeros"
