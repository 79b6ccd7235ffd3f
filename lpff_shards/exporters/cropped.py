"""A picture's crop: its pixels, and its record, with camera and landmarks carried into the crop."""

from __future__ import annotations

import json

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from lpff_shards.errors import BadInput
from lpff_shards.exporters.cropping import crop
from lpff_shards.formats.pictures.decoding import Pixels
from lpff_shards.schemas import camera, landmarks
from lpff_shards.schemas.crops import Crops, Maps, carry, crop_maps, recrop
from lpff_shards.schemas.fields import CROP_TRANSFORM
from lpff_shards.schemas.record import Record

_DIGITS = 12
"""Decimals of a transform in a sample: float32 landmarks have fewer, and the last ones differ between machines."""


def landmarks_in(record: Record, original: tuple[int, int], size: tuple[int, int]) -> NDArray[np.floating]:
    """Return the landmarks of a record that has some, in pixels of a picture.

    Args:
        original: width and height of the record's picture in its file; size: of the picture that was made of it.

    Raises:
        BadInput: they are of another picture.
    """
    points = record.landmarks
    assert points is not None, "pictures without landmarks are not cropped"
    of = record.landmarks_size if record.landmarks_size[0] else original
    if of[0] * size[1] != of[1] * size[0]:
        reason = f"its landmarks are of a picture of {of[0]}x{of[1]}, it has {original[0]}x{original[1]}"
        raise BadInput(record.blob.where, record.id, reason)
    if of != size:
        points = landmarks.rescale(points, of, size)
    if landmarks.leaves(points[None], np.array([size]))[0]:
        raise BadInput(record.blob.where, record.id, landmarks.elsewhere(points, size))
    return points


def crop_pixels(pixels: Pixels, record: Record, crops: Crops) -> tuple[Pixels, str]:
    """Return the crop of a record's picture, uint8 [side, side, 3], and how it was made, as text.

    Raises:
        BadInput: the landmarks are of another picture.
        PictureError: the landmarks are those of no face, or the face is too far outside the picture.
    """
    size, cropping = (pixels.shape[1], pixels.shape[0]), crops.by_source[record.source]
    points = landmarks_in(record, size, size)
    filters = "bicubic, then Lanczos" if cropping.kind == "eg3d" else "bilinear, then Lanczos"
    how = f"cropped as {cropping.name} by its landmarks ({filters}{', fast' * crops.fast})"
    return crop(pixels, points, cropping, cropping.side, fast=crops.fast), how


def crop_record(record: Record, size: tuple[int, int], crops: Crops) -> Record:
    """Return the record of the crop of a picture.

    A camera of the picture itself becomes that of the crop; one of the photo's EG3D crop stays.

    Args:
        size: width and height of the picture in pixels.

    Raises:
        BadInput: the landmarks are of another picture, or the crop's camera breaks a rule.
    """
    cropping, sizes = crops.by_source[record.source], np.array([size])
    points, side = landmarks_in(record, size, size), cropping.side
    maps = crop_maps(points[None], sizes, cropping, side)
    numbers, camera_alignment = record.camera, record.camera_alignment
    if numbers is not None and camera_alignment == record.alignment:
        moved = recrop(numbers[None], maps)
        for reason in camera.faults(moved).values():
            raise BadInput(record.blob.where, record.id, f"the crop's {reason}")
        numbers, camera_alignment = moved[0], cropping.name
    return structs.replace(
        record,
        alignment=cropping.name,
        camera=numbers,
        camera_alignment=camera_alignment,
        landmarks=carry(points[None], sizes, maps, side)[0],
        landmarks_size=(side, side),
        landmarks_source="computed",
        extra={**record.extra, CROP_TRANSFORM.name: _transform(maps[0], size, side)},
    )


def _transform(crop_map: Maps, size: tuple[int, int], side: int) -> str:
    """Return a map, [2, 3], as JSON, in pixels of both pictures, with their centers at whole numbers."""
    linear = crop_map[:, :2] * side / np.array(size)
    offset = crop_map[:, 2] * side - 0.5 + linear.sum(axis=1) / 2
    return _as_json(linear, offset)


def rescale_transform(transform: str, ratio: float) -> str:
    """Return the field `crop_transform` of a crop that is resized by a ratio."""
    matrix = np.array(json.loads(transform))
    return _as_json(matrix[:, :2] * ratio, (matrix[:, 2] + 0.5) * ratio - 0.5)


def _as_json(linear: NDArray[np.float64], offset: NDArray[np.float64]) -> str:
    return json.dumps(np.round(np.column_stack([linear, offset]), _DIGITS).tolist())
