"""Compute cameras and landmarks of LPFF's and Unsplash-Pexels' crops from landmarks of the realigned pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas import camera, crops, landmarks
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.objects import sizes_of
from lpff_shards.sources.join_metadata import PictureCameras, PicturePoints

MEASURED = ("raw", "realign2400")
"""Alignments whose pictures have their own landmarks, in pixels of the picture's size."""

ALIKE, TYPICAL = 2.0, 1.25
"""Largest factor between the side computed from landmarks and their picture's side, and between the medians of both:
landmarks were detected again, so a picture's own may be off."""


Described = tuple[PictureCameras, NDArray[np.bool_], PicturePoints, list[str]]
"""Cameras of pictures; whether each is of the crop itself, bool [n], not of the photo's EG3D crop; landmarks; and notes
of what is missing, and why."""


def describe(
    alignment: str, blobs: Sequence[Blob], cameras: PictureCameras, points: PicturePoints, realigned: PicturePoints
) -> Described:
    """Return cameras and landmarks of pictures of one alignment.

    Args:
        blobs: of the pictures, from which the sizes of photos and realigned pictures are read.
        cameras: of the EG3D crops of the same faces.
        points: landmarks of the pictures themselves; none for crops.
        realigned: landmarks of the same faces in their realigned pictures.
    """
    frames = np.full(len(blobs), crops.REALIGNED)
    fit = _fit(realigned, frames)
    if alignment not in MEASURED:
        return _of_crops(alignment, cameras, realigned, frames, fit)
    sizes = sizes_of(blobs)
    of = np.zeros((len(points.numbers), 2), np.int32)
    if alignment == "realign2400":
        own_fit = _fit(realigned, sizes[:, 0])
        if own_fit.deviation <= fit.deviation:
            frames, fit = sizes[:, 0], own_fit
        else:
            of[:], sizes = crops.REALIGNED, np.repeat(frames[:, None], 2, axis=1)
    points = replace(points, sizes=of, faults={**_outside(points, blobs, sizes), **points.faults})
    numbers, own = _moved(alignment, cameras, points, realigned, fit, frames, sizes)
    return replace(cameras, numbers=numbers), own, points, list(_misfits(realigned, frames, fit))


def _of_crops(
    alignment: str, cameras: PictureCameras, realigned: PicturePoints, frames: NDArray[np.int64], fit: _Fit
) -> Described:
    """Return the same for crops; their landmarks are mapped from the realigned pictures."""
    rows = fit.fitting
    points, size = realigned.numbers[realigned.rows[rows]], np.full((len(rows), 2), crops.REALIGNED)
    maps = crops.eg3d_crop(points, size) if alignment == "eg3d" else crops.ffhq_crop(points, size, alignment)
    side = crops.SIDES[alignment]
    carried = crops.carry(points, size, maps, side)
    sound = np.isfinite(carried).all(axis=(1, 2))
    found = np.full(len(realigned.rows), -1)
    found[rows[sound]] = np.arange(int(sound.sum()))
    of = np.full((int(sound.sum()), 2), side, np.int32)
    given = PicturePoints(carried[sound], found, of, realigned.faults)
    notes = list(_misfits(realigned, frames, fit))
    lacking = len(frames) - int(sound.sum()) - len(realigned.faults)
    if realigned.where and lacking and not notes:
        notes = [f"{realigned.where}: {lacking} of {len(frames)} pictures have no fitting landmarks"]
    if alignment == "eg3d":
        return cameras, cameras.known, given, notes
    numbers, own = _moved(alignment, cameras, realigned, realigned, fit, frames, np.stack([frames, frames], axis=1))
    return replace(cameras, numbers=numbers), own, given, notes


def _moved(
    alignment: str,
    cameras: PictureCameras,
    points: PicturePoints,
    realigned: PicturePoints,
    fit: _Fit,
    frames: NDArray[np.integer],
    sizes: NDArray[np.integer],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the cameras, float64 [n, 25], and whether each is of the picture itself, bool [n], not of its EG3D crop.

    Args:
        frames: sides of the realigned pictures of the landmarks, [n].
        sizes: of the pictures, [n, 2], 0 where unknown.
    """
    usable = np.zeros(len(frames), bool)
    usable[fit.fitting] = True
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


@dataclass(frozen=True, eq=False)
class _Fit:
    """How well landmarks fit realigned pictures of given sides.

    Attributes:
        ratios: float64 [m], the sides computed from landmarks, as parts of the pictures' sides.
        deviation: absolute logarithm of their median, 0 without any.
        fitting: int64, the rows whose landmarks fit; empty if the median does not.
    """

    ratios: NDArray[np.float64]
    deviation: float
    fitting: NDArray[np.int64]

    @property
    def is_typical(self) -> bool:
        return self.deviation <= math.log(TYPICAL)


def _fit(realigned: PicturePoints, frames: NDArray[np.integer]) -> _Fit:
    rows = np.flatnonzero(realigned.rows >= 0)
    ratios = crops.realigned_side(realigned.numbers[realigned.rows[rows]]) / np.maximum(frames[rows], 1)
    usable = ratios[np.isfinite(ratios) & (ratios > 0)]
    fit = _Fit(ratios, float(abs(np.log(np.median(usable)))) if len(usable) else 0.0, rows[:0])
    return replace(fit, fitting=rows[(ratios > 1 / ALIKE) & (ratios < ALIKE)]) if fit.is_typical else fit


def _misfits(realigned: PicturePoints, frames: NDArray[np.integer], fit: _Fit) -> Iterator[str]:
    """Yield a note if the landmarks are of realigned pictures of another size."""
    if not fit.is_typical:
        yield (
            f"{realigned.where}: the faces are {np.nanmedian(fit.ratios):.2f} times as large as in pictures of "
            f"{int(np.median(frames))} pixels, so nothing is computed from these landmarks"
        )


def _outside(points: PicturePoints, blobs: Sequence[Blob], sizes: NDArray[np.integer]) -> dict[int, tuple[str, str]]:
    """Return the rows with landmarks outside their picture, or in a photo with such a face; and each one's fault."""
    known = np.flatnonzero((points.rows >= 0) & sizes.all(axis=1))
    left = known[landmarks.leaves(points.numbers[points.rows[known]], sizes[known])].tolist()
    found = {row: (points.where, landmarks.elsewhere(points.numbers[points.rows[row]], sizes[row])) for row in left}
    photos = {blobs[row].where for row in left}
    for row in known.tolist() if left else ():
        if row not in found and blobs[row].where in photos:
            found[row] = (points.where, "the landmarks of another face of this photo are of a larger picture")
    return found
