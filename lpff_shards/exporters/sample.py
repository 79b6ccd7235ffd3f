"""From the entries of a shard to its samples: picture, camera and landmarks are changed together.

Each picture file is read and decoded once, even if several samples show it; objects in buckets are prefetched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from operator import attrgetter

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from lpff_shards.errors import BadInput
from lpff_shards.exporters.channels import channel_file
from lpff_shards.exporters.cropped import crop_pixels, crop_record, landmarks_in
from lpff_shards.exporters.pictures import FILTER, ProcessedImage, process_image
from lpff_shards.formats.pictures.decoding import PictureError
from lpff_shards.options.export import PictureOptions
from lpff_shards.planning.plan import Settings
from lpff_shards.schemas import landmarks
from lpff_shards.schemas.archive import misfit
from lpff_shards.schemas.camera import CAMERA_NUMBERS, mirror, yaw_pitch_of
from lpff_shards.schemas.crops import Crops
from lpff_shards.schemas.fields import PYTHON_TYPES, Field, Scalar, has_field
from lpff_shards.schemas.landmarks import LANDMARKS, Points
from lpff_shards.schemas.record import Blob, Entry, Record
from lpff_shards.schemas.sample import Sample
from lpff_shards.schemas.sources import known_specs
from lpff_shards.sources.io.blobs import BlobError, is_remote
from lpff_shards.storage.prefetch import prefetch

_ALIGNED = {
    "eg3d": "aligned and cropped as for EG3D",
    "stylegan": "aligned and cropped as for StyleGAN",
    "realign2400": "aligned and cropped as for realign2400",
    "raw": "",
}


def make_sample(entry: Entry, settings: Settings, image_cache: ImageCache) -> Sample:
    """Make an entry's sample; the cache is of the shard's entries, and samples are made in their order.

    Raises:
        BadInput: the picture cannot be read or stored; names the file and the id.
    """
    record = entry.record
    stored = image_cache.stored(entry)
    if settings.crops:
        entry = structs.replace(entry, record=crop_record(record, stored.original, settings.crops))
    elif stored.original[0] != stored.original[1] and (
        square := [s for s in known_specs([record.source]) if s.is_square]
    ):
        size = f"{stored.original[0]}x{stored.original[1]}"
        reason = f"the picture is {size}, and {square[0].title}'s aligned ones are square"
        raise BadInput(record.blob.where, record.id, reason)
    camera = entry.record.camera
    if camera is not None and entry.flip:
        camera = mirror(camera[None])[0]
    numbers = np.zeros(CAMERA_NUMBERS, np.float32) if camera is None else camera.astype(np.float32)
    points = _points(entry, stored)
    scalars = _scalars(entry, stored, camera, _ALIGNED[record.alignment])
    if settings.layout.extra:
        scalars |= _extra(entry.record, settings.layout.extra)
    shown = (stored.picture.width, stored.picture.height)
    files: dict[str, bytes] = {}
    for channel in settings.layout.channels or ():
        pair = record.channels[channel.name]
        files[channel.name], there = channel_file(pair, channel, entry.mirrored, shown, record.id, image_cache.read)
        scalars |= {has_field(channel).name: there} if channel.optional else {}
    return Sample(
        key=entry.key,
        picture=stored.picture,
        camera=numbers if settings.layout.camera else None,
        landmarks=points if settings.layout.landmarks else None,
        scalars=scalars,
        channels=files,
    )


def _points(entry: Entry, stored: ProcessedImage) -> Points:
    if entry.record.landmarks is None:
        return np.zeros((LANDMARKS, 2), np.float32)
    size = stored.picture.width, stored.picture.height
    points = landmarks_in(entry.record, stored.original, size).astype(np.float32, copy=False)
    return landmarks.mirror(points, size[0]) if entry.flip else points


def _scalars(
    entry: Entry, stored: ProcessedImage, camera: NDArray[np.float64] | None, aligned: str
) -> dict[str, Scalar]:
    record, credit, picture = entry.record, entry.record.credit, stored.picture
    yaw, pitch = (0.0, 0.0) if camera is None else yaw_pitch_of(camera)
    changes = [aligned, "mirrored" if record.is_mirror else "", *stored.changes]
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
        "yaw": _single(yaw),
        "pitch": _single(pitch),
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


def _extra(record: Record, fields: Sequence[Field]) -> dict[str, Scalar]:
    """Return the fields that only some data sets have; those of the others are empty, 0 or false."""
    found: dict[str, Scalar] = {}
    for f in fields:
        kind = PYTHON_TYPES[f.kind]
        value: Scalar = kind(record.extra.get(f.name, kind()))
        found[f.name] = _single(value) if isinstance(value, float) else value
    return found


def _single(number: float) -> float:
    """Round to float32, so that JSON, msgpack and TFRecord contain the same number."""
    return float(np.float32(number))


KEPT_BYTES = 64 * 10**6
"""Most bytes kept for later samples; beyond it a picture is made again, so memory stays bounded."""

_Shown = tuple[str, str, bool]
"""A picture's file, the id of the face if faces are cropped, and whether it is mirrored."""


class ImageCache:
    """Makes the stored pictures of one shard's entries, requested in their order.

    An original, its mirror and their replicas need one read and one decode: the first request makes both variants, and
    each is kept until its last entry has used it.

    Args:
        side: side that every picture must have, if the format requires one, see `misfit`.
        crops: how pictures are cropped, if they are.
    """

    def __init__(
        self, entries: Sequence[Entry], options: PictureOptions, side: int | None = None, crops: Crops | None = None
    ) -> None:
        self._options = options
        self._side = side
        self._crops = crops
        self._fetching = Fetching([entry.record.blob for entry in entries])
        pairs = ((entry, pair) for entry in entries for pair in entry.record.channels.values())
        needed = (mirror if entry.mirrored and mirror is not None else own for entry, (own, mirror) in pairs)
        self._channels = Fetching([blob for blob in needed if blob is not None])
        self._due = Counter(map(self._shown, entries))
        self._kept: dict[_Shown, ProcessedImage] = {}
        self._kept_bytes = 0

    def stored(self, entry: Entry) -> ProcessedImage:
        """Return the picture of an entry; raise as `make_sample` does."""
        shown = self._shown(entry)
        self._due[shown] -= 1
        found = self._kept.get(shown) or self._made(entry, shown)
        if not self._due[shown] and shown in self._kept:
            del self._kept[shown]
            self._kept_bytes -= len(found.picture.data)
        picture = found.picture
        if self._side is not None and (reason := misfit(picture.width, picture.height, picture.mode, self._side)):
            raise BadInput(entry.record.blob.where, entry.record.id, reason)
        return found

    def close(self) -> None:
        """Cancel prefetches that are not needed."""
        self._fetching.close()
        self._channels.close()

    def read(self, blob: Blob) -> bytes:
        """Return the bytes of a channel's file; raise BlobError."""
        return self._channels.read(blob)

    def _made(self, entry: Entry, shown: _Shown) -> ProcessedImage:
        where, face, flip = shown
        other = (where, face, not flip)
        wanted = [shown, other] if self._due[other] and other not in self._kept else [shown]
        try:
            data = self._fetching.read(entry.record.blob)
            crop = partial(crop_pixels, record=entry.record, crops=self._crops) if self._crops else None
            flips = [flipped for _, _, flipped in wanted]
            made = process_image(data, flips, self._options, must_decode=entry.must_decode, crop=crop)
        except (BlobError, PictureError) as error:
            raise BadInput(where, entry.record.id, str(error)) from None
        for name, stored in zip(wanted, made, strict=True):
            size = len(stored.picture.data)
            if self._due[name] and self._kept_bytes + size <= KEPT_BYTES:
                self._kept[name] = stored
                self._kept_bytes += size
        return made[0]

    def _shown(self, entry: Entry) -> _Shown:
        return entry.record.blob.where, entry.record.id if self._crops else "", entry.flip


AHEAD_BYTES = 64 * 10**6
"""Most bytes prefetched, in each process that writes shards."""


class Fetching:
    """Reads blobs, requested roughly in their order; those in buckets are prefetched, a repeated one once."""

    def __init__(self, blobs: Sequence[Blob]) -> None:
        remote = {blob.where: blob for blob in blobs if is_remote(blob)}
        # Prefetching a single blob gains nothing.
        self._due = remote if len(remote) > 1 else {}
        self._answers = prefetch(_read, [*self._due.values()], size=attrgetter("size"), most_bytes=AHEAD_BYTES)

    def read(self, blob: Blob) -> bytes:
        """Return a blob's bytes, or raise BlobError as its own `read`."""
        answer = None
        while blob.where in self._due:
            self._due.pop(next(iter(self._due)))
            answer = next(self._answers)
        if isinstance(answer, BlobError):
            raise answer
        return blob.read() if answer is None else answer

    def close(self) -> None:
        """Cancel pending prefetches."""
        self._answers.close()


def _read(blob: Blob) -> bytes | BlobError:
    try:
        return blob.read()
    except BlobError as error:
        return error
