"""Inventory: the usable pictures of one source, in columns, so that a million take little memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.columns import Repeated, Structs, Texts
from lpff_shards.schemas.license import License
from lpff_shards.schemas.record import Blob, Credit, LeftOut, Record

Extra = Texts | NDArray[np.int64] | NDArray[np.bool_] | NDArray[np.float64]
EG3D = "eg3d"
"""The alignment of the crops with published cameras."""


def no_cameras() -> NDArray[np.float64]:
    return np.zeros((0, CAMERA_NUMBERS))


@dataclass(frozen=True, eq=False)
class ChannelFiles:
    """The files of a channel: the rows in `blobs` of those of pictures and of their mirrors, int64 [n], or -1."""

    blobs: Structs[Blob]
    own: NDArray[np.int64]
    mirror: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> ChannelFiles:
        return ChannelFiles(self.blobs, self.own[rows], self.mirror[rows])

    def pairs(self) -> Iterator[tuple[Blob | None, Blob | None]]:
        """Yield the file of each picture, and that of its mirror."""
        for rows in zip(self.own.tolist(), self.mirror.tolist(), strict=True):
            own, mirror = (self.blobs[row] if row >= 0 else None for row in rows)
            yield own, mirror


@dataclass(frozen=True, eq=False)
class Inventory:
    """The usable pictures of one source, in the published order.

    Attributes:
        source, alignment: the same for all.
        ids, blobs, credits: columns of length n.
        faces: int32 [n]; is_mirror: bool [n].
        cameras: float64 [n, 25], zeros where `has_camera` (bool [n]) is false.
        own_camera: bool [n], whether the camera is of this crop itself, not of the photo's EG3D crop.
        landmarks: float32 [m, 68, 2], or float64 of pictures to crop; `landmark_rows` (int64 [n]) is the row of each
            picture, -1 for none; `landmark_sizes` (int32 [m, 2]) are the sizes of their own pictures, see `Record`.
        landmarks_source: `published` or `computed`, the same for all.
        places: int64 [n], index of the picture in EG3D's FFHQ and its replica file; -1 where unknown.
        places_of: size of the set in which `places` was counted, 0 where the names contain the index.
        used: options that the user omitted, with the files found for them.
        lost_mirrors: ids of pictures whose mirror was left out.
        problems: the pictures left out, with their reasons; `problem_credits`: their credits.
        notes: for the user: missing files, records without a picture.
        anonymous_cameras: float64 [k, 25], cameras of the set, with mirrors, that match no picture;
            the density of poses includes them.
        extra: columns of length n of fields that only this data set has, by name: texts, or int64, bool or float64.
        channels: files that belong to the pictures, by the channel's name.
        typical_size: width and height of the first picture, (0, 0) if it is missing or unreadable.
        crop: alignment of the crops that the export makes of the pictures; empty if it makes none.
    """

    source: str
    alignment: str
    ids: Texts
    blobs: Structs[Blob]
    credits: Structs[Credit]
    faces: NDArray[np.int32]
    is_mirror: NDArray[np.bool_]
    cameras: NDArray[np.float64]
    has_camera: NDArray[np.bool_]
    own_camera: NDArray[np.bool_]
    landmarks: NDArray[np.floating]
    landmark_rows: NDArray[np.int64]
    landmark_sizes: NDArray[np.int32]
    places: NDArray[np.int64]
    places_of: int = 0
    landmarks_source: str = "published"
    used: Mapping[str, str] = field(default_factory=dict)
    lost_mirrors: frozenset[str] = frozenset()
    problems: tuple[LeftOut, ...] = ()
    problem_credits: tuple[Credit, ...] = ()
    notes: tuple[str, ...] = ()
    anonymous_cameras: NDArray[np.float64] = field(default_factory=no_cameras)
    extra: Mapping[str, Extra] = field(default_factory=dict)
    typical_size: tuple[int, int] = (0, 0)
    channels: Mapping[str, ChannelFiles] = field(default_factory=dict)
    crop: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.int64]) -> Inventory:
        """Return the inventory of some pictures, in the order of `rows` (int64)."""
        points = self.landmark_rows[rows]
        with_points = points >= 0
        return replace(
            self,
            ids=self.ids.take(rows),
            blobs=self.blobs.take(rows),
            credits=self.credits.take(rows),
            faces=self.faces[rows],
            is_mirror=self.is_mirror[rows],
            cameras=self.cameras[rows],
            has_camera=self.has_camera[rows],
            own_camera=self.own_camera[rows],
            landmarks=self.landmarks[points[with_points]],
            landmark_sizes=self.landmark_sizes[points[with_points]],
            landmark_rows=np.where(with_points, np.cumsum(with_points) - 1, -1).astype(np.int64),
            places=self.places[rows],
            extra={name: column.take(rows) for name, column in self.extra.items()},
            channels={name: files.take(rows) for name, files in self.channels.items()},
        )

    def licenses(self) -> Repeated[License]:
        """Return the license of each picture."""
        found = self.credits.column("license")
        assert isinstance(found, Repeated)
        return found

    def record(self, row: int) -> Record:
        """Return the record of a row, self-contained."""
        return next(self.records(np.array([row])))

    def records(self, rows: NDArray[np.int64]) -> Iterator[Record]:
        """Yield the records of some rows (int64), in their order, each self-contained."""
        some = self.take(rows)
        pictures = zip(some.ids, some.blobs, some.credits, some.faces.tolist(), some.is_mirror.tolist(), strict=True)
        flags = zip(some.has_camera.tolist(), some.own_camera.tolist(), some.landmark_rows.tolist(), strict=True)
        rows_of_extra = (
            zip(*(column.tolist() for column in some.extra.values()), strict=True) if some.extra else repeat(())
        )
        files = zip(*(one.pairs() for one in some.channels.values()), strict=True) if some.channels else repeat(())
        joined = zip(pictures, some.cameras, flags, rows_of_extra, files, strict=False)
        for (id, blob, credit, face, is_mirror), camera, (known, own, points), extra, belonging in joined:
            width, height = some.landmark_sizes[points].tolist() if points >= 0 else (0, 0)
            yield Record(
                source=self.source,
                id=id,
                face=face,
                alignment=self.alignment,
                is_mirror=is_mirror,
                blob=blob,
                camera=camera.copy() if known else None,
                landmarks=some.landmarks[points].copy() if points >= 0 else None,
                credit=credit,
                camera_alignment=(self.alignment if own else EG3D) if known else "",
                landmarks_size=(width, height),
                landmarks_source=self.landmarks_source if points >= 0 else "",
                extra=dict(zip(some.extra, extra, strict=True)),
                channels=dict(zip(some.channels, belonging, strict=True)),
            )


class Source(Protocol):
    """A data set in a published layout. `inventory` reads listings and metadata, no pictures."""

    def inventory(self) -> Inventory:
        """Return the pictures; raise a ShardsError for another layout or an unreadable metadata file."""
