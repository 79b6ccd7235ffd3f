"""Building an inventory: pictures joined with their cameras, those that cannot be used set aside with their reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from lpff_shards.errors import ShardsError
from lpff_shards.schemas import landmarks
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.landmarks import Points
from lpff_shards.schemas.left_out import LeftOut
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources.blobs import BlobError, BrokenBlob
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.jsonfiles import NO_CAMERAS, Cameras
from lpff_shards.wire import pictures
from lpff_shards.wire.errors import WireError

OF_MIRROR = " (its mirror)"
"""What the id of a picture that was left out ends in, where it is the mirror of that id."""


class Found(Struct, frozen=True, eq=False):
    """A picture found by a source, before cameras are joined to it.

    Attributes:
        id: of the record; camera_id: the name under which its camera stands.
        points: its landmarks or None.
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


def build(
    source: str,
    alignment: str,
    found: Sequence[Found],
    cameras: Cameras = NO_CAMERAS,
    notes: Sequence[str] = (),
    places_of: int = 0,
) -> Inventory:
    """Joins pictures with their cameras and sets aside those that cannot be used.

    EG3D-aligned pictures need a camera; others go without where they have none.

    Raises:
        ShardsError: cameras were given and none is any picture's.
    """
    if alignment == "eg3d" and found and not any(picture.camera_id in cameras.rows for picture in found):
        named = f"such as {next(iter(cameras.rows))}" if cameras.rows else "which is empty"
        raise ShardsError(
            f"{cameras.where}: none of its cameras, {named}, is a picture's here, such as {found[0].camera_id}",
            "Check that cameras and pictures are of one data set and named alike",
        )
    reasons = [_reason(picture, alignment, cameras) for picture in _noting_twins(found)]
    used = [picture for picture, reason in zip(found, reasons, strict=True) if reason is None]
    rows = [cameras.rows.get(picture.camera_id, -1) for picture in used]
    has_camera = np.array(rows, np.int64) >= 0
    numbers = np.zeros((len(used), CAMERA_NUMBERS))
    numbers[has_camera] = cameras.numbers[[row for row in rows if row >= 0]]
    points = [p.points for p in used if p.points is not None]
    with_points = np.array([p.points is not None for p in used], bool)
    return Inventory(
        source=source,
        alignment=alignment,
        ids=[p.id for p in used],
        blobs=[p.blob for p in used],
        credits=[p.credit for p in used],
        faces=np.array([p.face for p in used], np.int32),
        is_mirror=np.array([p.is_mirror for p in used], bool),
        cameras=numbers,
        has_camera=has_camera,
        landmarks=np.array(points, np.float32).reshape(-1, landmarks.LANDMARKS, 2),
        landmark_rows=np.where(with_points, np.cumsum(with_points) - 1, -1).astype(np.int64),
        places=np.array([p.place for p in used], np.int64),
        places_of=places_of,
        lost_mirrors=frozenset(p.id for p, reason in zip(found, reasons, strict=True) if reason and p.is_mirror),
        problems=tuple(reason for reason in reasons if reason is not None),
        problem_credits=tuple(p.credit for p, reason in zip(found, reasons, strict=True) if reason is not None),
        notes=tuple(map(readable, (*notes, *_unused_cameras(found, cameras)))),
        typical_size=_first_size(used),
    )


def _noting_twins(found: Sequence[Found]) -> Iterator[Found]:
    """The pictures, those marked faulty whose id another picture has too."""
    counts = Counter((p.id, p.is_mirror) for p in found)
    for p in found:
        if counts[p.id, p.is_mirror] > 1 and p.fault is None:
            reason = (p.blob.where, f"{counts[p.id, p.is_mirror]} pictures have this id")
            yield replace(p, fault=reason)
        else:
            yield p


def _reason(picture: Found, alignment: str, cameras: Cameras) -> LeftOut | None:
    id = f"{picture.id}{OF_MIRROR}" if picture.is_mirror else picture.id
    if readable(id) != id:
        return LeftOut(readable(picture.blob.where), readable(id), "the file's name is not UTF-8")
    if isinstance(picture.blob, BrokenBlob):
        return LeftOut(readable(picture.blob.where), id, picture.blob.reason)
    if picture.fault:
        return LeftOut(readable(picture.fault[0]), id, picture.fault[1])
    if picture.camera_id in cameras.faults:
        return LeftOut(readable(cameras.where), id, cameras.faults[picture.camera_id])
    if alignment == "eg3d" and picture.camera_id not in cameras.rows:
        return LeftOut(readable(cameras.where), id, "the picture has no camera there")
    return None


def readable(name: str) -> str:
    """A file name as text that can be written: bytes that are not UTF-8, which come as surrogates, as \\xff."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _unused_cameras(found: Sequence[Found], cameras: Cameras) -> Iterator[str]:
    unused = len(cameras.rows.keys() - {picture.camera_id for picture in found})
    if unused:
        yield f"{cameras.where}: {unused} of its {len(cameras.rows)} cameras have no picture here"


def _first_size(used: Sequence[Found]) -> tuple[int, int]:
    # A hint for the sizes of shards, so a picture that cannot be read is for the export to complain about.
    try:
        header = pictures.inspect(used[0].blob.read()) if used else None
    except (BlobError, WireError):
        return 0, 0
    return (header.width, header.height) if header else (0, 0)
