"""From an entry to its sample: picture, camera and landmarks are changed together; scalars follow the field table."""

from __future__ import annotations

import numpy as np

from lpff_shards.errors import BadInput
from lpff_shards.exporters.image_cache import ImageCache
from lpff_shards.exporters.pictures import FILTER, ProcessedImage
from lpff_shards.planning.plan import Settings
from lpff_shards.schemas import landmarks
from lpff_shards.schemas.camera import CAMERA_NUMBERS, Camera
from lpff_shards.schemas.fields import Scalar
from lpff_shards.schemas.landmarks import LANDMARKS, Points
from lpff_shards.schemas.record import Entry
from lpff_shards.schemas.sample import Sample
from lpff_shards.schemas.sources import known_specs

_ALIGNED = {
    "eg3d": "aligned and cropped as for EG3D",
    "stylegan": "aligned and cropped as for StyleGAN",
    "realign2400": "aligned and cropped as for realign2400",
    "raw": "",
}


def make_sample(entry: Entry, settings: Settings, image_cache: ImageCache) -> Sample:
    """Make an entry's sample.

    Args:
        image_cache: the cache of the shard's entries; samples are made in their order.

    Raises:
        BadInput: the picture cannot be read or stored; names the file and the id.
    """
    record = entry.record
    stored = image_cache.stored(entry)
    if stored.original[0] != stored.original[1] and (
        square := [s for s in known_specs([record.source]) if s.is_square]
    ):
        size = f"{stored.original[0]}x{stored.original[1]}"
        reason = f"the picture is {size}, and {square[0].title}'s aligned ones are square"
        raise BadInput(record.blob.where, record.id, reason)
    camera = record.camera.mirrored() if record.camera and entry.flip else record.camera
    points = _points(entry, stored)
    layout = settings.layout
    return Sample(
        key=entry.key,
        picture=stored.picture,
        camera=_or_zeros(camera.float32() if camera else None, CAMERA_NUMBERS) if layout.camera else None,
        landmarks=_or_zeros(points, LANDMARKS, 2) if layout.landmarks else None,
        scalars=_scalars(entry, stored, camera),
    )


def _points(entry: Entry, stored: ProcessedImage) -> Points | None:
    points = entry.record.landmarks
    if points is None:
        return None
    record, size = entry.record, (stored.picture.width, stored.picture.height)
    of = record.landmarks_size if record.landmarks_size[0] else stored.original
    if of[0] * size[1] != of[1] * size[0]:
        reason = f"its landmarks are of a picture of {of[0]}x{of[1]}, it has {stored.original[0]}x{stored.original[1]}"
        raise BadInput(record.blob.where, record.id, reason)
    if of != size:
        points = landmarks.rescale(points, of, size)
    if landmarks.leaves(points[None], np.array([size]))[0]:
        raise BadInput(record.blob.where, record.id, landmarks.elsewhere(points, size))
    return landmarks.mirror(points, size[0]) if entry.flip else points


def _or_zeros(array: Points | None, *shape: int) -> Points:
    return np.zeros(shape, np.float32) if array is None else array


def _scalars(entry: Entry, stored: ProcessedImage, camera: Camera | None) -> dict[str, Scalar]:
    record, credit, picture = entry.record, entry.record.credit, stored.picture
    changes = [_ALIGNED[record.alignment], "mirrored" if record.is_mirror else "", *stored.changes]
    return {
        "key": entry.key,
        "dataset": record.source,
        "source_id": record.id,
        "photo_id": credit.photo_id,
        "face": record.face,
        "mirrored": entry.mirrored,
        "replica": entry.replica,
        "split": entry.split,
        "category": credit.category,
        "alignment": record.alignment,
        "camera_alignment": record.camera_alignment,
        "has_camera": camera is not None,
        "yaw": _single(camera.yaw) if camera else 0.0,
        "pitch": _single(camera.pitch) if camera else 0.0,
        "has_landmarks": record.landmarks is not None,
        "landmarks_source": record.landmarks_source,
        "density": _single(entry.density),
        "weight": _single(entry.weight),
        "license": credit.license.short,
        "license_url": credit.license.url,
        "author": credit.author,
        "author_id": credit.author_id,
        "title": credit.title,
        "source_url": credit.source_url,
        "low_resolution_download_url": credit.low_resolution_download_url,
        "high_resolution_download_url": credit.high_resolution_download_url,
        "changes": "; ".join(change for change in changes if change),
        "width": picture.width,
        "height": picture.height,
        "mode": picture.mode,
        "exif_orientation": stored.orientation,
        "resize_filter": FILTER if stored.resized else "",
    }


def _single(number: float) -> float:
    """Round to float32, so that JSON, msgpack and TFRecord contain the same number."""
    return float(np.float32(number))
