"""The pictures that a source found, in columns, before cameras are joined to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.schemas import landmarks
from lpff_shards.schemas.columns.structs import StructsBuilder
from lpff_shards.schemas.landmarks import Points
from lpff_shards.schemas.record import Blob, Credit


class Found(Struct, frozen=True, eq=False):
    """A picture found by a source.

    Attributes:
        id: of the record; camera_id: the name under which its camera stands.
        points: its landmarks or None; points_size: see `Record.landmarks_size`.
        place: index in EG3D's FFHQ, -1 where unknown.
        fault: a rule that its metadata breaks, with the file that holds it, or None.
    """

    id: str
    camera_id: str
    blob: Blob
    face: int = 0
    is_mirror: bool = False
    points: Points | None = None
    credit: Credit = Credit()
    fault: tuple[str, str] | None = None
    place: int = -1
    points_size: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures in columns, see `Found`.

    Attributes:
        ids, camera_ids, blobs, credits: of length n.
        faces: int32 [n]; is_mirror: bool [n]; places: int64 [n].
        landmarks: float32 [m, 68, 2]; `landmark_rows` (int64 [n]) says which row is a picture's, -1 for none;
            `landmark_sizes` (int32 [m, 2]) are the sizes of the pictures that they are of, see `Record`.
        faults: row to the file that holds a fault, and the fault.
    """

    ids: Sequence[str]
    camera_ids: Sequence[str]
    blobs: Sequence[Blob]
    credits: Sequence[Credit]
    faces: NDArray[np.int32]
    is_mirror: NDArray[np.bool_]
    landmarks: NDArray[np.float32]
    landmark_rows: NDArray[np.int64]
    landmark_sizes: NDArray[np.int32]
    places: NDArray[np.int64]
    faults: Mapping[int, tuple[str, str]]

    def __len__(self) -> int:
        return len(self.ids)


def gathered(found: Iterable[Found]) -> Pictures:
    """Pictures found one by one, in columns."""
    ids: list[str] = []
    camera_ids: list[str] = []
    blobs: StructsBuilder[Blob] = StructsBuilder()
    credits: StructsBuilder[Credit] = StructsBuilder()
    numbers: list[tuple[int, bool, int, bool]] = []
    points: list[Points] = []
    sizes: list[tuple[int, int]] = []
    faults: dict[int, tuple[str, str]] = {}
    for row, picture in enumerate(found):
        ids.append(picture.id)
        camera_ids.append(picture.camera_id)
        blobs.add(picture.blob)
        credits.add(picture.credit)
        numbers.append((picture.face, picture.is_mirror, picture.place, picture.points is not None))
        if picture.points is not None:
            points.append(picture.points)
            sizes.append(picture.points_size)
        if picture.fault is not None:
            faults[row] = picture.fault
    faces, is_mirror, places, with_points = np.array(numbers, np.int64).reshape(-1, 4).T
    return Pictures(
        ids=ids,
        camera_ids=camera_ids,
        blobs=blobs.done(),
        credits=credits.done(),
        faces=faces.astype(np.int32),
        is_mirror=is_mirror.astype(bool),
        landmarks=np.array(points, np.float32).reshape(-1, landmarks.LANDMARKS, 2),
        landmark_rows=np.where(with_points, np.cumsum(with_points) - 1, -1).astype(np.int64),
        landmark_sizes=np.array(sizes, np.int32).reshape(-1, 2),
        places=places.copy(),
        faults=faults,
    )
