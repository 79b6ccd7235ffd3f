"""Build an inventory from pictures and their metadata; unusable pictures are set aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import inspect
from lpff_shards.schemas import camera
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.columns import StructsBuilder, Texts, chunks, duplicates
from lpff_shards.schemas.landmarks import LANDMARKS, Points
from lpff_shards.schemas.record import OF_MIRROR, Blob, Credit, LeftOut
from lpff_shards.sources.inventory import EG3D, Extra, Inventory
from lpff_shards.sources.io.blobs import MAX_BYTES, BlobError, BrokenBlob, oversize
from lpff_shards.sources.io.json_files import CameraFile, Fault

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


def build(
    source: str,
    alignment: str,
    found: Iterable[ScannedImage],
    cameras: str = "",
    notes: Sequence[str] = (),
    optional_cameras: bool = False,
    extra: Mapping[str, Extra] | None = None,
) -> Inventory:
    """Build the inventory of pictures given one by one; see `usable`.

    Args:
        source: its name; alignment: of its pictures.
        cameras: the cameras' file, for errors; notes: for the user.
        optional_cameras: keep pictures without a camera in every alignment.
        extra: columns of fields that only this data set has, see `Inventory`.
    """
    ids: list[str] = []
    blobs, credits = StructsBuilder[Blob](), StructsBuilder[Credit]()
    numbers: list[tuple[int, bool, bool, int]] = []
    poses: list[Sequence[float] | NDArray[np.float64]] = []
    points: list[Points] = []
    faults: dict[int, Fault] = {}
    for chunk in chunks(found):
        blobs.add([picture.blob for picture in chunk])
        credits.add([picture.credit for picture in chunk])
        for row, picture in enumerate(chunk, len(ids)):
            ids.append(picture.id)
            known, with_points = picture.camera is not None, picture.points is not None
            numbers.append((picture.face, picture.is_mirror, known, len(points) if with_points else -1))
            pose = _NO_CAMERA if picture.camera is None else picture.camera
            poses.append(pose if len(pose) == CAMERA_NUMBERS else _NO_CAMERA)
            points += [] if picture.points is None else [picture.points]
            if len(pose) != CAMERA_NUMBERS:
                faults[row] = cameras, f"camera has {len(pose)} numbers, not {CAMERA_NUMBERS}"
            if picture.fault is not None:
                faults[row] = picture.fault
    faces, is_mirror, has_camera, rows = np.array(numbers, np.int64).reshape(-1, 4).T
    own = has_camera.astype(bool)
    every = Inventory(
        source=source,
        alignment=alignment,
        ids=Texts.of(ids),
        blobs=blobs.done(),
        credits=credits.done(),
        faces=faces.astype(np.int32),
        is_mirror=is_mirror.astype(bool),
        cameras=np.array(poses, np.float64).reshape(-1, CAMERA_NUMBERS),
        has_camera=own,
        own_camera=own,
        landmarks=np.array(points, np.float32).reshape(-1, LANDMARKS, 2),
        landmark_rows=rows,
        landmark_sizes=np.zeros((len(points), 2), np.int32),
        places=np.full(len(ids), -1),
        notes=tuple(notes),
        extra=extra or {},
    )
    wrong = {row: reason for row, reason in camera.faults(every.cameras).items() if own[row]}
    file = CameraFile(cameras, int(own.sum()), faults=wrong, picture=ids[0] if ids else "")
    return usable(every, file, faults, every.alignment == EG3D and not optional_cameras)


def usable(
    every: Inventory, cameras: CameraFile, faults: Mapping[int, Fault], needs_cameras: bool | None = None
) -> Inventory:
    """Return the inventory of the usable pictures; list the others as problems.

    Args:
        cameras: the file of their cameras.
        faults: row to the file with a faulty record, and the fault.
        needs_cameras: whether pictures require a camera; by default those aligned as EG3D's do.

    Raises:
        ShardsError: no picture has a camera, and the alignment requires one.
    """
    notes = every.notes
    needs_cameras = every.alignment == EG3D if needs_cameras is None else needs_cameras
    if needs_cameras and len(every) and not every.has_camera.any():
        without = f"none of its cameras ({cameras.such_as}, ...) is for" if cameras.count else "it has no cameras for"
        raise ShardsError(
            f"{cameras.where}: {without} these pictures ({cameras.picture}, ...)",
            "Check that cameras and pictures are of one data set and have the same names",
        )
    if cameras.unused:
        notes = (*notes, f"{cameras.where}: {cameras.unused} of its {cameras.count} cameras match no picture")
    reasons = dict(_reasons(every, cameras, faults, needs_cameras))
    lost = np.fromiter(reasons, np.int64, len(reasons))
    used = np.delete(np.arange(len(every)), lost)
    every = replace(
        every,
        lost_mirrors=frozenset(every.ids[row] for row in reasons if every.is_mirror[row]),
        problems=tuple(reasons.values()),
        problem_credits=tuple(every.credits.take(lost)),
        notes=tuple(map(readable, notes)),
        typical_size=_size(every.blobs[int(used[0])]) if len(used) else (0, 0),
    )
    return every.take(used) if reasons else every


def to_crop(every: Inventory, crop: str) -> Inventory:
    """Return the inventory of the pictures that have landmarks; list the others as problems.

    Args:
        crop: alignment of the crops that are made of them.

    Raises:
        ShardsError: no picture has landmarks.
    """
    if len(every) and not len(every.landmarks):
        hint = "They are in raw_lm.json, realign2400_lm.json or ffhq-dataset-v2.json: see docs/crops.md"
        raise ShardsError(f"--crop {crop}: no {every.alignment} picture of {every.source} has landmarks", hint)
    lost = list(every.records(np.flatnonzero(every.landmark_rows < 0)))
    reason = "it has no landmarks to crop by"
    problems = (LeftOut(readable(one.blob.where), one.id + OF_MIRROR * one.is_mirror, reason) for one in lost)
    return replace(
        every.take(np.flatnonzero(every.landmark_rows >= 0)),
        crop=crop,
        problems=(*every.problems, *problems),
        problem_credits=(*every.problem_credits, *(one.credit for one in lost)),
    )


def _reasons(
    every: Inventory, cameras: CameraFile, faults: Mapping[int, Fault], needs_cameras: bool
) -> Iterator[tuple[int, LeftOut]]:
    """Yield the rows of the unusable pictures, ascending, each with its reason."""
    sizes = every.blobs.numbers("size")
    # A broken picture has a negative size.
    wrong = (sizes > MAX_BYTES) | (sizes < 0)
    if needs_cameras:
        wrong |= ~every.has_camera
    unreadable = (row for row, id in enumerate(every.ids) if not id.isascii() and readable(id) != id)
    others = _duplicates(every)
    for row in sorted({*unreadable, *np.flatnonzero(wrong).tolist(), *faults, *others, *cameras.faults}):
        blob, id = every.blobs[row], every.ids[row]
        if every.is_mirror[row]:
            id += OF_MIRROR
        where = readable(blob.where)
        if readable(id) != id:
            id, reason = readable(id), "the file's name is not UTF-8"
        elif isinstance(blob, BrokenBlob):
            reason = blob.reason
        elif large := oversize(blob.size):
            reason = large
        elif row in faults:
            where, reason = readable(faults[row][0]), faults[row][1]
        elif row in others:
            count, other = others[row]
            # ASCII escapes: names that are shown alike may differ in Unicode form.
            name = ascii(every.blobs[other].where.rpartition("/")[2])[1:-1]
            reason = f"{count} pictures have this id, such as {name}"
        else:
            where, reason = readable(cameras.where), cameras.faults.get(row, "it has no camera for this picture")
        yield row, LeftOut(where, id, reason)


def _duplicates(every: Inventory) -> dict[int, tuple[int, int]]:
    """Return, by row, how many pictures have the row's id, if several, and the row of another one."""
    groups: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for side in (False, True):
        rows = np.flatnonzero(every.is_mirror == side)
        ids = every.ids.take(rows)
        twice = duplicates([ids])
        for row, id in zip(rows.tolist(), ids, strict=True) if twice else ():
            if id in twice:
                groups[id, side].append(row)
    return {row: (len(group), group[at - 1]) for group in groups.values() for at, row in enumerate(group)}


def readable(name: str) -> str:
    """Return a file name as printable text: bytes that are not UTF-8, held as surrogates, become \\xff."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _size(blob: Blob) -> tuple[int, int]:
    # It only estimates shard sizes: the export itself reports an unreadable picture.
    try:
        header = inspect(blob.read())
    except (BlobError, FormatError):
        return 0, 0
    return header.width, header.height
