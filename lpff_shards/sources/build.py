"""Building an inventory: pictures joined with their cameras, those that cannot be used set aside with their reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.schemas.columns.structs import Structs, column, take
from lpff_shards.schemas.columns.texts import Rows
from lpff_shards.schemas.left_out import OF_MIRROR, LeftOut
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.cameras import NO_CAMERAS, Cameras, PictureCameras, of_pictures
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import MAX_BYTES, BlobError, BrokenBlob, oversize
from lpff_shards.sources.scanned_image import Found, Pictures, gathered


def build(
    source: str,
    alignment: str,
    found: Iterable[Found],
    cameras: Cameras = NO_CAMERAS,
    notes: Sequence[str] = (),
    places_of: int = 0,
    own_cameras: bool = True,
) -> Inventory:
    """As `join`, of pictures that were found one by one, whose cameras are all of their own crops or none is."""
    pictures = gathered(found)
    joined = of_pictures(cameras, pictures.camera_ids)
    own = joined.known & own_cameras
    return join(source, alignment, pictures, joined, own, notes, places_of)


def join(
    source: str,
    alignment: str,
    found: Pictures,
    cameras: PictureCameras,
    own: NDArray[np.bool_],
    notes: Sequence[str] = (),
    places_of: int = 0,
    landmarks_source: str = "published",
) -> Inventory:
    """Joins pictures with their cameras and sets aside those that cannot be used.

    EG3D-aligned pictures need a camera; others go without where they have none.

    Args:
        own: see `Inventory.own_camera`.

    Raises:
        ShardsError: cameras were given and none is any picture's.
    """
    needed = alignment == "eg3d"
    if needed and len(found) and not cameras.known.any():
        named = f"such as {cameras.such_as}" if cameras.count else "which is empty"
        raise ShardsError(
            f"{cameras.where}: none of its cameras, {named}, is a picture's here, such as {found.camera_ids[0]}",
            "Check that cameras and pictures are of one data set and named alike",
        )
    reasons = dict(_reasons(found, cameras, needed))
    lost = np.fromiter(reasons, np.int64, len(reasons))
    used = np.delete(np.arange(len(found)), lost)
    every = Inventory(
        source=source,
        alignment=alignment,
        ids=found.ids,
        blobs=found.blobs,
        credits=found.credits,
        faces=found.faces,
        is_mirror=found.is_mirror,
        cameras=cameras.numbers,
        has_camera=cameras.known,
        own_camera=own,
        landmarks=found.landmarks,
        landmark_rows=found.landmark_rows,
        landmark_sizes=found.landmark_sizes,
        landmarks_source=landmarks_source,
        places=found.places,
        places_of=places_of,
        lost_mirrors=frozenset(found.ids[row] for row in reasons if found.is_mirror[row]),
        problems=tuple(reasons.values()),
        problem_credits=tuple(take(found.credits, lost)),
        notes=tuple(map(readable, (*notes, *_unused_cameras(cameras)))),
        typical_size=_first_size(found.blobs, used),
    )
    return every if len(used) == len(every) else every.take(used)


def _reasons(found: Pictures, cameras: PictureCameras, needed: bool) -> Iterator[tuple[int, LeftOut]]:
    """The rows of the pictures that cannot be used, ascending, each with its reason."""
    twins = _twins(found)
    large = np.flatnonzero(np.fromiter(column(found.blobs, "size"), np.int64, len(found)) > MAX_BYTES).tolist()
    suspects = {*_unreadable(found.ids), *_broken(found.blobs), *large, *found.faults, *twins, *cameras.faults}
    if needed:
        suspects.update(np.flatnonzero(~cameras.known).tolist())
    for row in sorted(suspects):
        yield row, _reason(found, row, twins.get(row), cameras)


def _reason(found: Pictures, row: int, twins: tuple[int, int] | None, cameras: PictureCameras) -> LeftOut:
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
    return LeftOut(readable(cameras.where), id, cameras.faults.get(row, "the picture has no camera there"))


def _unreadable(ids: Sequence[str]) -> Iterator[int]:
    return (row for row, id in enumerate(ids) if not id.isascii() and readable(id) != id)


def _broken(blobs: Sequence[Blob]) -> list[int]:
    if isinstance(blobs, Structs):
        return list(map(int, blobs.of_kind(BrokenBlob)))
    return [row for row, blob in enumerate(blobs) if isinstance(blob, BrokenBlob)]


def _twins(found: Pictures) -> dict[int, tuple[int, int]]:
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
