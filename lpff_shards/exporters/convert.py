"""Conversion: the stored samples of an export become those of another, with new pictures and, if resized, points."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
from msgspec import structs

from lpff_shards.errors import BadInput, Damaged, ExportFailed
from lpff_shards.exporters.cropped import rescale_transform
from lpff_shards.exporters.pictures import FILTER, ProcessedImage, process_image
from lpff_shards.formats import channels
from lpff_shards.formats.base import SampleError
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures import png
from lpff_shards.formats.pictures.decoding import PictureError
from lpff_shards.formats.registry import get_format
from lpff_shards.planning.convert import ShardBlob
from lpff_shards.planning.plan import Settings, StoredExport
from lpff_shards.schemas import landmarks
from lpff_shards.schemas.archive import misfit
from lpff_shards.schemas.channels import Channel
from lpff_shards.schemas.fields import CROP_TRANSFORM, Scalar
from lpff_shards.schemas.record import Entry
from lpff_shards.schemas.sample import Sample
from lpff_shards.storage.file_io import checksum_of, file_checksum
from lpff_shards.storage.path import StoragePath, is_remote, place, read_whole


def stored_samples(entries: Sequence[Entry], source: StoredExport) -> Generator[Sample, None, None]:
    """Yield the stored sample of each entry, in their order, which is that of the shards; each shard is read once.

    Raises:
        Damaged: a shard is not what the export's manifest lists, or has no such sample.
        ExportFailed: a shard cannot be read.
    """
    format = get_format(source.format)
    for blob, own in groupby(entries, lambda entry: structs.replace(_blob(entry), number=0, size=0)):
        path, numbers = place(blob.shard), [_blob(entry).number for entry in own]
        try:
            shard = _whole(path, blob.checksum, source.checksum)
            found = format.some(shard, source.layout, dict.fromkeys(numbers))
            # The copies of a picture in a zip have one entry each, and one sample.
            for number, same in groupby(numbers):
                if (sample := next(found, None)) is None:
                    raise SampleError(f"it has no sample {number}, as samples.sqlite says", number)
                yield from (sample for _ in same)
        except SampleError as error:
            hint = f"Run lpff-shards verify {path.parent}, then its export again"
            raise Damaged(f"{path} is damaged: {error.reason}", hint) from None
        except OSError as error:
            raise ExportFailed(f"{path} cannot be read: {error.strerror}", "Fix that and run it again") from None


def _blob(entry: Entry) -> ShardBlob:
    blob = entry.record.blob
    assert isinstance(blob, ShardBlob), "conversions have entries of shards"
    return blob


def _whole(path: StoragePath, checksum: str, algorithm: str) -> memoryview:
    """Return a shard with this checksum; raise SampleError for another one."""
    shard = read_whole(path)
    local = None if is_remote(path) else Path(str(path))
    found = _checksum(local, algorithm, local.stat().st_mtime_ns) if local else checksum_of(shard, algorithm)
    if found != checksum:
        raise SampleError("it is not the file that the manifest lists", 0)
    return shard


@lru_cache(maxsize=1)
def _checksum(path: Path, algorithm: str, stamp: int) -> str:  # noqa: ARG001  # of the cache
    # Consecutive tasks often share a shard. Files are read instead of mapped, so that read errors are raised.
    return file_checksum(path, algorithm)


def convert_sample(entry: Entry, stored: Sample, settings: Settings) -> Sample:
    """Return the sample of an entry: the stored one with its picture as requested, and all else in the new size.

    Raises:
        BadInput: the picture cannot be made or stored; names the shard and the id.
    """
    before = stored.picture
    try:
        made = _picture(stored, settings)
        picture = made.picture
        old, new = (before.width, before.height), (picture.width, picture.height)
        if settings.side is not None and (reason := misfit(*new, picture.mode, settings.side)):
            raise PictureError(reason)
        files = {
            one.name: _channel(one, stored.channels[one.name], entry.mirrored, old, new)
            for one in settings.layout.channels or ()
        }
    except (PictureError, FormatError) as error:
        raise BadInput(entry.record.blob.where, entry.record.id, str(error)) from None
    points, fields = stored.landmarks, dict(stored.scalars)
    if points is not None and fields["has_landmarks"] and old != new:
        points = landmarks.rescale(points, old, new)
    if fields.get(CROP_TRANSFORM.name) and old != new:
        fields[CROP_TRANSFORM.name] = rescale_transform(str(fields[CROP_TRANSFORM.name]), new[0] / old[0])
    changed: dict[str, Scalar] = {
        "key": entry.key,
        "replica": entry.replica,
        "changes": "; ".join(dict.fromkeys(filter(None, [*str(fields["changes"]).split("; "), *made.changes]))),
        "width": picture.width,
        "height": picture.height,
        "mode": picture.mode,
        "exif_orientation": made.orientation,
        "resize_filter": FILTER if made.resized else fields["resize_filter"],
    }
    return Sample(entry.key, picture, stored.camera, points, fields | changed, files)


def _picture(stored: Sample, settings: Settings) -> ProcessedImage:
    """Return the new picture of a stored sample; one that would be encoded alike in the same size stays as it is."""
    assert settings.source is not None, "samples are converted"
    picture, options, before = stored.picture, settings.picture, settings.source.picture
    size, side = (picture.width, picture.height), options.resolution
    if size == (side or size[0], side or size[1]) and (options.kind, options.quality) == (before.kind, before.quality):
        orientation = int(stored.scalars["exif_orientation"])
        return ProcessedImage(picture, size, resized=False, changes=(), orientation=orientation)
    data = picture.data
    if picture.kind == "raw":
        data = png.encode_stored(np.frombuffer(data, np.uint8).reshape(picture.height, picture.width, 3))
    # Without compression, or with little, it would stay large.
    again = before.kind not in ("keep", "png")
    return process_image(data, [False], options, encode_again=again)[0]


def _channel(channel: Channel, data: bytes, mirrored: bool, old: channels.Size, new: channels.Size) -> bytes:
    """Return a channel's stored file in the size of its new picture; that of a mirror stays the flip of the other."""
    if old == new or channel.kind != "png":
        return data
    if mirrored:
        data = channels.stored(channel, data, flip=True, size=old)
    return channels.stored(channel, data, flip=mirrored, size=new)
