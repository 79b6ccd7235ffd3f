"""Build an inventory from pictures and their metadata; unusable pictures are set aside."""

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
from lpff_shards.formats.pictures.decoding import inspect
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
    """A picture in a source.

    Attributes:
        id: recorded unchanged; unique in the source, except that a mirror shares its original's.
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
    """The pictures of a source in the published order, with their metadata.

    Attributes:
        ids, blobs: of length n.
        names: their names in errors about cameras.
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
        """Row to the file with a faulty record, and the fault."""
        return {**self.credits.faults, **self.points.faults}


def build(
    source: str, alignment: str, found: Iterable[ScannedImage], cameras: str = "", notes: Sequence[str] = ()
) -> Inventory:
    """Build the inventory of pictures given one by one; see `make_inventory`.

    Args:
        source: its name; alignment: of its pictures.
        cameras: the cameras' file, for errors.
        notes: for the user.
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
    """Build the inventory of the usable pictures; list the others as problems.

    EG3D-aligned pictures require a camera; for others it is optional.

    Raises:
        ShardsError: no picture has a camera, and the alignment requires one.
    """
    cameras, points = found.cameras, found.points
    needed = alignment == EG3D
    if needed and len(found) and not cameras.known.any():
        without = f"none of its cameras ({cameras.such_as}, ...) is for" if cameras.count else "it has no cameras for"
        raise ShardsError(
            f"{cameras.where}: {without} these pictures ({found.names[0]}, ...)",
            "Check that cameras and pictures are of one data set and have the same names",
        )
    if cameras.unused:
        notes = (*notes, f"{cameras.where}: {cameras.unused} of its {cameras.count} cameras match no picture")
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
        notes=tuple(map(readable, notes)),
        typical_size=_first_size(found.blobs, used),
    )
    return every if len(used) == len(every) else every.take(used)


def _reasons(found: ScannedImages, needed: bool) -> Iterator[tuple[int, LeftOut]]:
    """Yield the rows of the unusable pictures, ascending, each with its reason."""
    duplicates = _duplicates(found)
    large = np.flatnonzero(np.fromiter(column(found.blobs, "size"), np.int64, len(found)) > MAX_BYTES).tolist()
    rows = {*_unreadable(found.ids), *_broken(found.blobs), *large, *found.faults, *duplicates, *found.cameras.faults}
    if needed:
        rows.update(np.flatnonzero(~found.cameras.known).tolist())
    for row in sorted(rows):
        yield row, _reason(found, row, duplicates.get(row))


def _reason(found: ScannedImages, row: int, duplicates: tuple[int, int] | None) -> LeftOut:
    """Return why a picture cannot be used.

    Args:
        duplicates: the number of pictures with its id, and the row of another one.
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
    if duplicates:
        count, other = duplicates
        return LeftOut(where, id, f"{count} pictures have this id, such as {_escaped(found.blobs[other].where)}")
    cameras = found.cameras
    return LeftOut(readable(cameras.where), id, cameras.faults.get(row, "it has no camera for this picture"))


def _unreadable(ids: Sequence[str]) -> Iterator[int]:
    return (row for row, id in enumerate(ids) if not id.isascii() and readable(id) != id)


def _broken(blobs: Sequence[Blob]) -> list[int]:
    if isinstance(blobs, Structs):
        return list(map(int, blobs.of_kind(BrokenBlob)))
    return [row for row, blob in enumerate(blobs) if isinstance(blob, BrokenBlob)]


def _duplicates(found: ScannedImages) -> dict[int, tuple[int, int]]:
    """Return, by row, how many pictures have the row's id, if several, and the row of another one."""
    hashes = np.fromiter(map(hash, found.ids), np.int64, len(found)) ^ found.is_mirror
    ordered = np.sort(hashes)
    repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    rows: Rows = np.flatnonzero(np.isin(hashes, repeated)) if len(repeated) else np.zeros(0, np.int64)
    # Different ids may have the same hash.
    names = [(found.ids[row], bool(found.is_mirror[row])) for row in rows.tolist()]
    groups: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for row, name in zip(rows.tolist(), names, strict=True):
        groups[name].append(row)
    repeats = (group for group in groups.values() if len(group) > 1)
    return {row: (len(group), group[at - 1]) for group in repeats for at, row in enumerate(group)}


def readable(name: str) -> str:
    """Return a file name as printable text: bytes that are not UTF-8, held as surrogates, become \\xff."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _escaped(where: str) -> str:
    """Return a file's base name with ASCII escapes: names that look alike may differ in Unicode form."""
    return ascii(where.rpartition("/")[2])[1:-1]


def _first_size(blobs: Sequence[Blob], used: Rows) -> tuple[int, int]:
    # It only estimates shard sizes: the export itself reports an unreadable picture.
    try:
        header = inspect(blobs[int(used[0])].read()) if len(used) else None
    except (BlobError, FormatError):
        return 0, 0
    return (header.width, header.height) if header else (0, 0)
