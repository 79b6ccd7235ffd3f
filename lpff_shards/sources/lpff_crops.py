"""Compute cameras and landmarks of LPFF's and Unsplash-Pexels' crops from landmarks of the realigned pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas import camera, crops, landmarks
from lpff_shards.schemas.columns import Structs
from lpff_shards.schemas.landmarks import Points
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.files import sizes_of
from lpff_shards.sources.io.json_files import Fault, PicturePoints

MEASURED = ("raw", "realign2400")
"""Alignments whose pictures have their own landmarks, in pixels of the picture's size."""

ALIKE, TYPICAL = 2.0, 1.25
"""Largest factor between the side computed from landmarks and their picture's side, and between the medians of both:
landmarks were detected again, so a picture's own may be off."""


CameraMatrix = NDArray[np.float64]
Described = tuple[CameraMatrix, NDArray[np.bool_], PicturePoints, list[str]]
"""Cameras of pictures, [n, 25]; whether each is of the crop itself, bool [n], not of the photo's EG3D crop; landmarks;
and notes of what is missing, and why."""


@dataclass(frozen=True, eq=False)
class _Fit:
    """How well landmarks fit realigned pictures of given sides.

    Attributes:
        points: the landmarks; frames: sides of their pictures, [n].
        deviation: absolute logarithm of the median of sides computed from landmarks, as parts of the pictures' sides.
        fitting: int64, the rows whose landmarks fit; empty if the median does not.
        notes: a note if the landmarks are of realigned pictures of another size.
    """

    points: PicturePoints
    frames: NDArray[np.integer]
    deviation: float
    fitting: NDArray[np.int64]
    notes: list[str]

    @classmethod
    def of(cls, points: PicturePoints, frames: NDArray[np.integer]) -> _Fit:
        rows = np.flatnonzero(points.rows >= 0)
        ratios = crops.realigned_side(points.numbers[points.rows[rows]]) / np.maximum(frames[rows], 1)
        usable = ratios[np.isfinite(ratios) & (ratios > 0)]
        deviation = float(abs(np.log(np.median(usable)))) if len(usable) else 0.0
        if deviation <= math.log(TYPICAL):
            return cls(points, frames, deviation, rows[(ratios > 1 / ALIKE) & (ratios < ALIKE)], [])
        note = (
            f"{points.where}: the faces are {np.nanmedian(ratios):.2f} times as large as in pictures of "
            f"{int(np.median(frames))} pixels, so nothing is computed from these landmarks"
        )
        return cls(points, frames, deviation, rows[:0], [note])

    def of_rows(self, rows: NDArray[np.int64]) -> tuple[Points, NDArray[np.integer]]:
        """Return the landmarks of rows, float32 [n, 68, 2], and the sizes of their pictures, [n, 2]."""
        return self.points.numbers[self.points.rows[rows]], np.repeat(self.frames[rows, None], 2, axis=1)


def describe(
    alignment: str,
    blobs: Structs[Blob],
    cameras: CameraMatrix,
    known: NDArray[np.bool_],
    points: PicturePoints,
    realigned: PicturePoints,
) -> Described:
    """Return cameras and landmarks of pictures of one alignment.

    Args:
        blobs: of the pictures, from which the sizes of photos and realigned pictures are read.
        cameras: of the EG3D crops of the same faces; known: whether each is known, bool [n].
        points: landmarks of the pictures themselves; none for crops.
        realigned: landmarks of the same faces in their realigned pictures.
    """
    fit = _Fit.of(realigned, np.full(len(blobs), crops.REALIGNED))
    if alignment not in MEASURED:
        return _of_crops(alignment, cameras, known, fit)
    sizes = sizes_of(blobs)
    of = np.zeros((len(points.numbers), 2), np.int32)
    if alignment == "realign2400":
        own_fit = _Fit.of(realigned, sizes[:, 0])
        if own_fit.deviation <= fit.deviation:
            fit = own_fit
        else:
            of[:], sizes = crops.REALIGNED, np.repeat(fit.frames[:, None], 2, axis=1)
    points = replace(points, sizes=of, faults={**_outside(points, blobs, sizes), **points.faults})
    cameras, own = _moved(alignment, cameras, known, points, fit, sizes)
    return cameras, own, points, fit.notes


def _of_crops(alignment: str, cameras: CameraMatrix, known: NDArray[np.bool_], fit: _Fit) -> Described:
    """Return the same for crops; their landmarks are mapped from the realigned pictures."""
    realigned, rows, side = fit.points, fit.fitting, crops.SIDES[alignment]
    points, size = fit.of_rows(rows)
    maps = crops.eg3d_crop(points, size) if alignment == "eg3d" else crops.ffhq_crop(points, size, alignment)
    carried = crops.carry(points, size, maps, side)
    sound = np.isfinite(carried).all(axis=(1, 2))
    found, count = np.full(len(known), -1), int(sound.sum())
    found[rows[sound]] = np.arange(count)
    given = replace(realigned, numbers=carried[sound], rows=found, sizes=np.full((count, 2), side, np.int32))
    notes, lacking = fit.notes, len(known) - count - len(realigned.faults)
    if realigned.where and lacking and not notes:
        notes = [f"{realigned.where}: {lacking} of {len(known)} pictures have no fitting landmarks"]
    if alignment == "eg3d":
        return cameras, known, given, notes
    sizes = np.repeat(fit.frames[:, None], 2, axis=1)
    return *_moved(alignment, cameras, known, realigned, fit, sizes), given, notes


def _moved(
    alignment: str,
    cameras: CameraMatrix,
    known: NDArray[np.bool_],
    points: PicturePoints,
    fit: _Fit,
    sizes: NDArray[np.integer],
) -> tuple[CameraMatrix, NDArray[np.bool_]]:
    """Return the cameras, float64 [n, 25], and whether each is of the picture itself, bool [n], not of its EG3D crop.

    `sizes` of the pictures, [n, 2], are 0 where unknown.
    """
    usable = np.zeros(len(known), bool)
    usable[fit.fitting] = True
    rows = np.flatnonzero(usable & known & (points.rows >= 0) & sizes.all(axis=1))
    of_face, size = fit.of_rows(rows)
    maps = crops.inverse(crops.eg3d_crop(of_face, size))
    if alignment == "stylegan":
        maps = crops.then(maps, crops.ffhq_crop(of_face, size, alignment))
    elif alignment == "raw":
        own = points.numbers[points.rows[rows]]
        maps = crops.then(maps, crops.inverse(crops.ffhq_crop(own, sizes[rows], "realign2400")))
    with np.errstate(all="ignore"):
        moved = crops.recrop(cameras[rows], maps)
    sound = np.delete(np.arange(len(rows)), np.fromiter(camera.faults(moved), np.int64))
    found, is_own = cameras.copy(), np.zeros(len(known), bool)
    found[rows[sound]] = moved[sound]
    is_own[rows[sound]] = True
    return found, is_own


def _outside(points: PicturePoints, blobs: Structs[Blob], sizes: NDArray[np.integer]) -> dict[int, Fault]:
    """Return the rows with landmarks outside their picture, or in a photo with such a face; and each one's fault."""
    known = np.flatnonzero((points.rows >= 0) & sizes.all(axis=1))
    left = known[landmarks.leaves(points.numbers[points.rows[known]], sizes[known])].tolist()
    found = {row: (points.where, landmarks.elsewhere(points.numbers[points.rows[row]], sizes[row])) for row in left}
    photos = {blobs[row].where for row in left}
    for row in known.tolist() if left else ():
        if row not in found and blobs[row].where in photos:
            found[row] = (points.where, "the landmarks of another face of this photo are of a larger picture")
    return found
