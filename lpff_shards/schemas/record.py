"""Record: one picture of one source, not decoded. Entry: that picture as one sample. And what was left out of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from lpff_shards.schemas.license import UNKNOWN, License


class Blob(Protocol):
    """The bytes of a picture in a file or archive. Picklable; reading it keeps no file open."""

    @property
    def where(self) -> str:
        """Name for errors: the file, or `archive.zip:member`."""

    @property
    def size(self) -> int:
        """Length in bytes; an estimate for a picture that is still to be rendered."""

    @property
    def stamp(self) -> int:
        """A number that changes when the bytes do: a file's time, a zip member's CRC-32."""

    def head(self, most: int) -> bytes:
        """Return the first bytes of the picture's file: `most` of them or a few more, or all of a shorter file.

        Raises:
            BlobError: the file is missing or unreadable.
        """

    def read(self) -> bytes:
        """Return the whole file of the picture.

        Raises:
            BlobError: the file is missing, unreadable, or its length changed.
        """


class Credit(Struct, frozen=True, gc=False):
    """Author, license and origin of a photo; unknown is an empty string.

    Attributes:
        photo_id: of the photo at its host; faces of one photo share it.
        author, author_id: the photographer's name, and id at the host.
        source_url: the photo's page or file at its host; the other URLs are files of the photo there.
        category: FFHQ's `training` or `validation`.
    """

    FEW: ClassVar[tuple[str, ...]] = ("category",)

    photo_id: str = ""
    author: str = ""
    author_id: str = ""
    title: str = ""
    source_url: str = ""
    low_resolution_download_url: str = ""
    high_resolution_download_url: str = ""
    # Digests of plans include these names, so the name in older exports stays.
    license: License = field(name="licence", default=UNKNOWN)
    category: str = ""


class Record(Struct, frozen=True, eq=False):
    """One picture of one source.

    Attributes:
        source: name of the source: lpff, unsplash_pexels, ffhq, demo.
        id: the source's own id of the picture, unchanged; a picture and its mirror share it.
        face: number of the face in its photo, from 1; 0 if unknown.
        alignment: how the picture was cropped.
        is_mirror: the source's picture is itself a mirrored one.
        camera: float64 [25], of this picture or, by `camera_alignment`, of another crop of the photo; None if unknown.
        camera_alignment: the crop of the camera's intrinsics and roll.
        landmarks: of this picture; None if unknown.
        landmarks_size: width and height in pixels of the picture of the landmarks; 0 for this file's own.
        landmarks_source: `published` with the data set, or `computed` from those of another crop.
        extra: fields that only this data set has, see `schemas.fields.Layout`.
        channels: by the channel's name, the file of the picture without its source's mirroring, and that of its mirror.
    """

    source: str
    id: str
    face: int
    alignment: str
    is_mirror: bool
    blob: Blob
    camera: NDArray[np.float64] | None
    landmarks: NDArray[np.floating] | None
    credit: Credit
    camera_alignment: str = ""
    landmarks_size: tuple[int, int] = (0, 0)
    landmarks_source: str = ""
    extra: Mapping[str, str | int | bool | float] = {}
    channels: Mapping[str, tuple[Blob | None, Blob | None]] = {}

    def files(self) -> Iterator[Blob]:
        """Yield the file of the picture, then those of its channels."""
        yield self.blob
        yield from (blob for pair in self.channels.values() for blob in pair if blob is not None)


class Entry(Struct, frozen=True, eq=False):
    """One sample to write.

    Attributes:
        key: unique in the data set.
        flip: mirror picture, camera and landmarks on writing.
        replica: 0 for the first copy, then 1, 2, ...
        density: of its pose, per square radian; 0 if not computed.
        weight: for loaders that resample.
        must_decode: another entry of the plan is the same file mirrored; a bad picture is left out in both.
    """

    key: str
    record: Record
    flip: bool = False
    replica: int = 0
    split: str = "train"
    density: float = 0.0
    weight: float = 1.0
    must_decode: bool = False

    @property
    def mirrored(self) -> bool:
        """Whether the sample's picture is mirrored, by the source or by the export."""
        return self.record.is_mirror != self.flip


OF_MIRROR = " (its mirror)"
"""Suffix of the id of a picture that was left out, for the mirror of that id."""


class LeftOut(Struct, frozen=True):
    """A picture or sample that could not be used.

    Attributes:
        file: with the fault.
        id: of the picture in its source.
        reason: which rule it breaks.
        key: of the sample; empty if the picture was left out before planning.
    """

    file: str
    id: str
    reason: str
    key: str = ""


class Tombstone(Struct, frozen=True):
    """A sample that was removed after its shard had been written.

    Attributes:
        key: of the sample.
        file: the shard that held it; empty if its picture had been left out before.
        names: digests of all names of its picture, see `schemas.keys.mark`.
    """

    key: str
    file: str
    names: tuple[str, ...]
