"""Building an inventory of pictures and what was joined to them; those that cannot be used are set aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.schemas import camera
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.columns.structs import Structs, StructsBuilder, column, take
from lpff_shards.schemas.columns.texts import Rows
from lpff_shards.schemas.landmarks import LANDMARKS, Points
from lpff_shards.schemas.left_out import OF_MIRROR, LeftOut
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources.inventory import EG3D, Inventory
from lpff_shards.sources.io.blobs import MAX_BYTES, BlobError, BrokenBlob, oversize
from lpff_shards.sources.join_metadata import Fault, PictureCameras, PictureCredits, PicturePoints

_NO_CAMERA = np.zeros(CAMERA_NUMBERS)


class ScannedImage(Struct, frozen=True, eq=False):
    """A picture found by a source.

    Attributes:
        id: unique in the source but for mirrors; it is recorded unchanged.
        camera: 25 numbers, see `schemas.camera`, or None.
        face: number of the face in its photo, from 1; 0 where unknown.
        is_mirror: whether it is the mirrored picture of that id.
        points: its landmarks in pixels, float32 [68, 2], or None.
        fault: a file and the rule that it breaks for this picture, or None.
    """

    id: str
    blob: Blob
    camera: Sequence[float] | NDArray[np.float64] | None = None
    face: int = 0
    is_mirror: bool = False
    points: Points | None = None
    credit: Credit = Credit()
    fault: Fault | None = None


@dataclass(frozen=True, eq=False)
class ScannedImages:
    """The pictures of a source in the published order, with all that was joined to them.

    Attributes:
        ids, blobs: of length n.
        names: how errors about cameras call them.
        own_cameras: bool [n], see `Inventory.own_camera`.
        faces: int32 [n]; is_mirror: bool [n]; places: int64 [n], see `Inventory`.
    """

    ids: Sequence[str]
    names: Sequence[str]
    blobs: Sequence[Blob]
    faces: NDArray[np.int32]
    is_mirror: NDArray[np.bool_]
    places: NDArray[np.int64]
    cameras: PictureCameras
    own_cameras: NDArray[np.bool_]
    credits: PictureCredits
    points: PicturePoints

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def faults(self) -> dict[int, Fault]:
        """Row to the file that holds a fault of its records, and the fault."""
        return {**self.credits.faults, **self.points.faults}


def build(
    source: str, alignment: str, found: Iterable[ScannedImage], cameras: str = "", notes: Sequence[str] = ()
) -> Inventory:
    """The inventory of pictures that were found one by one; see `make_inventory`.

    Args:
        source: its name; alignment: of its pictures.
        cameras: the file that cameras are from, for errors.
        notes: what the user should know.
    """
    ids: list[str] = []
    blobs, credits = StructsBuilder[Blob](), StructsBuilder[Credit]()
    numbers: list[tuple[int, bool, bool, bool]] = []
    poses: list[Sequence[float] | NDArray[np.float64]] = []
    points: list[Points] = []
    faults: dict[int, Fault] = {}
    for row, picture in enumerate(found):
        ids.append(picture.id)
        blobs.add(picture.blob)
        credits.add(picture.credit)
        numbers.append((picture.face, picture.is_mirror, picture.camera is not None, picture.points is not None))
        pose = _NO_CAMERA if picture.camera is None else picture.camera
        poses.append(pose if len(pose) == CAMERA_NUMBERS else _NO_CAMERA)
        points += [] if picture.points is None else [picture.points]
        if len(pose) != CAMERA_NUMBERS:
            faults[row] = cameras, f"camera has {len(pose)} numbers, not {CAMERA_NUMBERS}"
        if picture.fault is not None:
            faults[row] = picture.fault
    faces, *flags = np.array(numbers, np.int64).reshape(-1, 4).T
    is_mirror, known, with_points = (flag.astype(bool) for flag in flags)
    matrix = np.array(poses, np.float64).reshape(-1, CAMERA_NUMBERS)
    wrong = {row: reason for row, reason in camera.faults(matrix).items() if known[row]}
    landmarks = np.array(points, np.float32).reshape(-1, LANDMARKS, 2)
    rows = np.where(with_points, np.cumsum(with_points) - 1, -1).astype(np.int64)
    pictures = ScannedImages(
        ids=ids,
        names=ids,
        blobs=blobs.done(),
        faces=faces.astype(np.int32),
        is_mirror=is_mirror,
        places=np.full(len(ids), -1),
        cameras=PictureCameras(cameras, "", int(known.sum()), matrix, known, wrong, 0),
        own_cameras=known,
        credits=PictureCredits(credits.done(), np.ones(len(ids), bool), faults),
        points=PicturePoints(landmarks, rows, np.zeros((len(points), 2), np.int32), {}),
    )
    return make_inventory(source, alignment, pictures, notes)


def make_inventory(
    source: str,
    alignment: str,
    found: ScannedImages,
    notes: Sequence[str] = (),
    places_of: int = 0,
    landmarks_source: str = "published",
) -> Inventory:
    """The inventory of pictures, those that cannot be used set aside.

    EG3D-aligned pictures need a camera; others go without where they have none.

    Raises:
        ShardsError: cameras were given and none is any picture's.
    """
    cameras, points = found.cameras, found.points
    needed = alignment == EG3D
    if needed and len(found) and not cameras.known.any():
        named = f"such as {cameras.such_as}" if cameras.count else "which is empty"
        raise ShardsError(
            f"{cameras.where}: none of its cameras, {named}, is a picture's here, such as {found.names[0]}",
            "Check that cameras and pictures are of one data set and named alike",
        )
    reasons = dict(_reasons(found, needed))
    lost = np.fromiter(reasons, np.int64, len(reasons))
    used = np.delete(np.arange(len(found)), lost)
    every = Inventory(
        source=source,
        alignment=alignment,
        ids=found.ids,
        blobs=found.blobs,
        credits=found.credits.credits,
        faces=found.faces,
        is_mirror=found.is_mirror,
        cameras=cameras.numbers,
        has_camera=cameras.known,
        own_camera=found.own_cameras,
        landmarks=points.numbers,
        landmark_rows=points.rows,
        landmark_sizes=points.sizes,
        landmarks_source=landmarks_source,
        places=found.places,
        places_of=places_of,
        lost_mirrors=frozenset(found.ids[row] for row in reasons if found.is_mirror[row]),
        problems=tuple(reasons.values()),
        problem_credits=tuple(take(found.credits.credits, lost)),
        notes=tuple(map(readable, (*notes, *_unused_cameras(cameras)))),
        typical_size=_first_size(found.blobs, used),
    )
    return every if len(used) == len(every) else every.take(used)


def _reasons(found: ScannedImages, needed: bool) -> Iterator[tuple[int, LeftOut]]:
    """The rows of the pictures that cannot be used, ascending, each with its reason."""
    twins = _twins(found)
    large = np.flatnonzero(np.fromiter(column(found.blobs, "size"), np.int64, len(found)) > MAX_BYTES).tolist()
    suspects = {*_unreadable(found.ids), *_broken(found.blobs), *large, *found.faults, *twins, *found.cameras.faults}
    if needed:
        suspects.update(np.flatnonzero(~found.cameras.known).tolist())
    for row in sorted(suspects):
        yield row, _reason(found, row, twins.get(row))


def _reason(found: ScannedImages, row: int, twins: tuple[int, int] | None) -> LeftOut:
    """Why a picture cannot be used.

    Args:
        twins: how many have its id, and the row of another one.
    """
    blob, id = found.blobs[row], found.ids[row]
    if found.is_mirror[row]:
        id += OF_MIRROR
    where = readable(blob.where)
    if readable(id) != id:
        return LeftOut(where, readable(id), "the file's name is not UTF-8")
    if isinstance(blob, BrokenBlob):
        return LeftOut(where, id, blob.reason)
    if reason := oversize(blob.size):
        return LeftOut(where, id, reason)
    if row in found.faults:
        file, fault = found.faults[row]
        return LeftOut(readable(file), id, fault)
    if twins:
        return LeftOut(where, id, f"{twins[0]} pictures have this id, such as {_spelled(found.blobs[twins[1]].where)}")
    cameras = found.cameras
    return LeftOut(readable(cameras.where), id, cameras.faults.get(row, "the picture has no camera there"))


def _unreadable(ids: Sequence[str]) -> Iterator[int]:
    return (row for row, id in enumerate(ids) if not id.isascii() and readable(id) != id)


def _broken(blobs: Sequence[Blob]) -> list[int]:
    if isinstance(blobs, Structs):
        return list(map(int, blobs.of_kind(BrokenBlob)))
    return [row for row, blob in enumerate(blobs) if isinstance(blob, BrokenBlob)]


def _twins(found: ScannedImages) -> dict[int, tuple[int, int]]:
    """The rows of pictures whose id others have too, how many have it, and the row of another one."""
    marks = np.fromiter(map(hash, found.ids), np.int64, len(found)) ^ found.is_mirror
    ordered = np.sort(marks)
    met = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    rows: Rows = np.flatnonzero(np.isin(marks, met)) if len(met) else np.zeros(0, np.int64)
    # Two ids may have one mark by chance.
    names = [(found.ids[row], bool(found.is_mirror[row])) for row in rows.tolist()]
    alike: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for row, name in zip(rows.tolist(), names, strict=True):
        alike[name].append(row)
    return {
        row: (len(twins), twins[at - 1]) for twins in alike.values() if len(twins) > 1 for at, row in enumerate(twins)
    }


def readable(name: str) -> str:
    """A file name as text that can be written: bytes that are not UTF-8, which come as surrogates, as \\xff."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _spelled(where: str) -> str:
    """A file's own name by its characters: two that look alike may differ in their Unicode form."""
    return ascii(where.rpartition("/")[2])[1:-1]


def _unused_cameras(cameras: PictureCameras) -> Iterator[str]:
    if cameras.unused:
        yield f"{cameras.where}: {cameras.unused} of its {cameras.count} cameras have no picture here"


def _first_size(blobs: Sequence[Blob], used: Rows) -> tuple[int, int]:
    # A hint for the sizes of shards, so a picture that cannot be read is for the export to complain about.
    try:
        header = inspect(blobs[int(used[0])].read()) if len(used) else None
    except (BlobError, FormatError):
        return 0, 0
    return (header.width, header.height) if header else (0, 0)
