"""Cameras and landmarks of LPFF's and Unsplash-Pexels' crops, by the landmarks of the pictures they are cut from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas import camera, crops, landmarks
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.cameras import PictureCameras
from lpff_shards.sources.heads import sizes_of
from lpff_shards.sources.joined import PicturePoints

MEASURED = ("raw", "realign2400")
"""Alignments whose pictures have landmarks of their own, in pixels of a size that only the picture tells."""

ALIKE = 2.0
"""How far, as a factor, the side that landmarks tell may be from that of their picture: they are detected anew."""


@dataclass(frozen=True, eq=False)
class Described:
    """What is known of a source's pictures by their landmarks.

    Attributes:
        cameras: of the pictures; own: bool [n], whether of this very crop, and not of the photo's EG3D crop.
        points: landmarks; point_sizes: int32 [m, 2], the size in pixels of the picture that they are of, 0 for the
            picture itself.
    """

    cameras: PictureCameras
    own: NDArray[np.bool_]
    points: PicturePoints
    point_sizes: NDArray[np.int32]


def describe(
    alignment: str, blobs: Sequence[Blob], cameras: PictureCameras, points: PicturePoints, realigned: PicturePoints
) -> Described:
    """Cameras and landmarks of pictures of one alignment.

    Args:
        blobs: of the pictures, which tell the sizes of photos and realigned pictures.
        cameras: of the EG3D crops of the same faces.
        points: landmarks of the pictures themselves; none for crops.
        realigned: landmarks of the same faces in their realigned pictures.
    """
    frames = np.full(len(blobs), crops.REALIGNED)
    if alignment not in MEASURED:
        return _of_crops(alignment, cameras, realigned, frames)
    sizes = sizes_of(blobs)
    of = np.zeros((len(points.numbers), 2), np.int32)
    if alignment == "realign2400":
        frames = _frames(realigned, sizes)
        scaled = frames != sizes[:, 0]
        of[points.rows[(points.rows >= 0) & scaled]] = crops.REALIGNED
        sizes = np.where(scaled[:, None], frames[:, None], sizes)
    points = replace(points, faults={**_elsewhere(points, sizes), **points.faults})
    numbers, own = _moved(alignment, cameras, points, realigned, frames, sizes)
    return Described(replace(cameras, numbers=numbers), own, points, of)


def _of_crops(
    alignment: str, cameras: PictureCameras, realigned: PicturePoints, frames: NDArray[np.int64]
) -> Described:
    """The same of crops, whose landmarks are carried over from the realigned pictures."""
    rows = _fitting(realigned, frames)
    points, size = realigned.numbers[realigned.rows[rows]], np.full((len(rows), 2), crops.REALIGNED)
    maps = crops.eg3d_crop(points, size) if alignment == "eg3d" else crops.ffhq_crop(points, size, alignment)
    side = crops.SIDES[alignment]
    carried = crops.carry(points, size, maps, side)
    sound = np.isfinite(carried).all(axis=(1, 2))
    found = np.full(len(realigned.rows), -1)
    found[rows[sound]] = np.arange(int(sound.sum()))
    given = PicturePoints(carried[sound], found, realigned.faults)
    of = np.full((int(sound.sum()), 2), side, np.int32)
    if alignment == "eg3d":
        return Described(cameras, cameras.known, given, of)
    numbers, own = _moved(alignment, cameras, realigned, realigned, frames, np.stack([frames, frames], axis=1))
    return Described(replace(cameras, numbers=numbers), own, given, of)


def _moved(
    alignment: str,
    cameras: PictureCameras,
    points: PicturePoints,
    realigned: PicturePoints,
    frames: NDArray[np.integer],
    sizes: NDArray[np.integer],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The cameras of the pictures, float64 [n, 25], and whether they are, bool [n]; the EG3D crops' where they are not.

    Args:
        frames: sides of the realigned pictures that their landmarks are of, [n].
        sizes: of the pictures, [n, 2], 0 where unknown.
    """
    usable = np.zeros(len(frames), bool)
    usable[_fitting(realigned, frames)] = True
    rows = np.flatnonzero(usable & cameras.known & (points.rows >= 0) & sizes.all(axis=1))
    of_face, size = realigned.numbers[realigned.rows[rows]], np.repeat(frames[rows, None], 2, axis=1)
    maps = crops.inverse(crops.eg3d_crop(of_face, size))
    if alignment == "stylegan":
        maps = crops.then(maps, crops.ffhq_crop(of_face, size, alignment))
    elif alignment == "raw":
        own = points.numbers[points.rows[rows]]
        maps = crops.then(maps, crops.inverse(crops.ffhq_crop(own, sizes[rows], "realign2400")))
    with np.errstate(all="ignore"):
        moved = crops.recrop(cameras.numbers[rows], maps)
    faulty = np.fromiter(camera.faults(moved), np.int64)
    sound, found = np.delete(np.arange(len(rows)), faulty), cameras.numbers.copy()
    found[rows[sound]] = moved[sound]
    is_own = np.zeros(len(found), bool)
    is_own[rows[sound]] = True
    return found, is_own


def _fitting(realigned: PicturePoints, frames: NDArray[np.integer]) -> NDArray[np.int64]:
    """The rows whose landmarks are of a realigned picture of that side, int64."""
    rows = np.flatnonzero(realigned.rows >= 0)
    ratio = crops.realigned_side(realigned.numbers[realigned.rows[rows]]) / np.maximum(frames[rows], 1)
    found: NDArray[np.int64] = rows[(ratio > 1 / ALIKE) & (ratio < ALIKE)]
    return found


def _frames(realigned: PicturePoints, sizes: NDArray[np.integer]) -> NDArray[np.integer]:
    """The sides of the pictures that landmarks are of: of the pictures, or as published where that alone fits."""
    frames = sizes[:, 0].copy()
    published = _fitting(realigned, np.full(len(frames), crops.REALIGNED))
    frames[np.setdiff1d(published, _fitting(realigned, frames))] = crops.REALIGNED
    return frames


def _elsewhere(points: PicturePoints, sizes: NDArray[np.integer]) -> dict[int, tuple[str, str]]:
    """The pictures that their landmarks leave, and by which file."""
    known = np.flatnonzero((points.rows >= 0) & sizes.all(axis=1))
    left = landmarks.leaves(points.numbers[points.rows[known]], sizes[known])
    return {
        row: (points.where, landmarks.elsewhere(points.numbers[points.rows[row]], sizes[row]))
        for row in known[left].tolist()
    }
