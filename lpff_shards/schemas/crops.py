"""What part of a photo each crop shows, and the cameras and landmarks that follow from it: LPFF and Unsplash-Pexels.

The published camera is that of the EG3D crop. A crop by an affine map of the same photo has another camera: `recrop`.
A map is float64 [n, 2, 3]; it takes coordinates of one picture to those of another, both 0 to 1 across the width and
the height of the picture, so that a pixel's center x is at (x + 0.5) / width. Landmarks are float [n, 68, 2], in pixels
of their picture, pixel centers at whole numbers.

Sources: the processing scripts of LPFF, EG3D (after Deep3DFaceRecon) and FFHQ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REALIGNED = 2400
"""Side in pixels of a published `realign2400` picture."""
SIDES = {"eg3d": 512, "stylegan": 1024, "realign2400": REALIGNED}
"""Side in pixels of each published crop."""
QUAD_SCALES = {"stylegan": 1.0, "realign2400": 1.8}
"""How much larger a crop is than FFHQ's own."""

Maps = NDArray[np.float64]
_Points = NDArray[np.floating]

# Deep3DFaceRecon's five points in 3D: the eyes, the nose tip, the corners of the mouth.
_FACE = (
    (-0.31148657, 0.29036078, 0.13377953),
    (0.30979887, 0.28972036, 0.13179526),
    (0.0032535, -0.04617932, 0.55244243),
    (-0.25216928, -0.38133916, 0.22405732),
    (0.2484662, -0.38128236, 0.22235769),
)
# Rounded, since the last digits of a linear-algebra library differ from machine to machine.
_FIT = np.round(np.linalg.pinv(np.column_stack([_FACE, np.ones(5)])), 12)
_FACE_SCALE, _WINDOW, _MARGIN, _KEPT = 300.0, 1024, 162, 700
_NO_SKEW = 1e-12
_LEAST = 1.0
"""Pixels in a unit of the face's points, of which its eyes are 0.6 apart: below, there is no face."""


def eg3d_crop(points: _Points, sizes: NDArray[np.integer]) -> Maps:
    """The maps from pictures to their EG3D crops: a window, scaled by a weak-perspective fit of five points.

    Args:
        points: landmarks, float [n, 68, 2].
        sizes: width and height of each picture in pixels, [n, 2].

    Returns:
        Maps; not finite where the points are no face.
    """
    size = np.asarray(sizes, np.float64)
    five = _five(points)
    five[..., 1] = size[:, None, 1] - 1 - five[..., 1]
    # Row k of the fit times the points: the axes of the face in the picture, then its shift. Summed term by term, so
    # that every machine gets the same bits.
    fitted = np.zeros((len(five), 4, 2))
    for k in range(5):
        fitted += _FIT[None, :, k, None] * five[:, None, k]
    lengths = np.sqrt(np.square(fitted[:, :3]).sum(axis=1))
    shift = fitted[:, 3]
    with np.errstate(all="ignore"):
        length = lengths.mean(axis=1, keepdims=True)
        scale = np.where(length < _LEAST, np.nan, _FACE_SCALE / length)
        resized = np.trunc(size * scale)
        away = (shift - size / 2) * (1.0, -1.0) * scale
        start = np.trunc(resized / 2 - _WINDOW / 2 + away) + _MARGIN
        return _scaling(resized / _KEPT, -start / _KEPT)


def ffhq_crop(points: _Points, sizes: NDArray[np.integer], alignment: str) -> Maps:
    """The maps from pictures to crops by FFHQ's alignment: a square, turned with the eyes.

    Args:
        points: landmarks, float [n, 68, 2].
        sizes: width and height of each picture in pixels, [n, 2].
        alignment: `stylegan` or `realign2400`, which decides the size of the crop.
    """
    size, at = np.asarray(sizes, np.float64), np.asarray(points, np.float64)
    left, right = at[:, 36:42].mean(axis=1), at[:, 42:48].mean(axis=1)
    eyes = (left + right) / 2
    across, down = right - left, (at[:, 48] + at[:, 54]) / 2 - eyes
    with np.errstate(all="ignore"):
        x = across - down[:, ::-1] * (-1.0, 1.0)
        x *= np.maximum(_length(across) * 2.0, _length(down) * 1.8) / _length(x) * QUAD_SCALES[alignment]
        y = x[:, ::-1] * (-1.0, 1.0)
        corner = eyes + 0.1 * down - x - y
        # A picture much larger than the crop is shrunk first, by whole pixels.
        shrink = np.maximum(np.floor(_length(x) / SIDES[alignment]), 1.0)
        shrunk = np.rint(size / shrink)
        # From the shrunk picture's pixels back to the square's sides, which stand at right angles.
        sides = np.stack([x, y], axis=1) / np.square(_length(x))[..., None] * (shrink[..., None] / 2)
        linear = sides * shrunk[:, None]
        offset = -(sides * (corner / shrink + 0.5)[:, None]).sum(axis=2)
        return np.concatenate([linear, offset[..., None]], axis=2)


def realigned_side(points: _Points) -> NDArray[np.float64]:
    """The side of the realigned pictures that landmarks are of, as they tell it themselves: float [n, 68, 2] to [n].

    A realigned picture is cropped by the landmarks of its photo, so that its own lie alike. They are detected anew, so
    the side is an estimate.
    """
    at = np.asarray(points[:, 36:55], np.float64)
    left, right = at[:, :6].mean(axis=1), at[:, 6:12].mean(axis=1)
    down = (at[:, 12] + at[:, 18]) / 2 - (left + right) / 2
    found: NDArray[np.float64] = np.maximum(_length(right - left) * 2.0, _length(down) * 1.8)[:, 0]
    return found * 2 * QUAD_SCALES["realign2400"]


def inverse(maps: Maps) -> Maps:
    """The maps back, [n, 2, 3]; not finite where there is none."""
    (a, b, c), (d, e, f) = maps[:, 0].T, maps[:, 1].T
    with np.errstate(all="ignore"):
        det = a * e - b * d
        rows = ((e, -b, b * f - c * e), (-d, a, c * d - a * f))
        found: Maps = np.stack([np.stack(row, axis=1) for row in rows], axis=1) / det[:, None, None]
    return found


def then(first: Maps, second: Maps) -> Maps:
    """The maps that do the first, then the second, [n, 2, 3]."""
    found: Maps = (second[:, :, :2, None] * first[:, None, :, :]).sum(axis=2)
    found[:, :, 2] += second[:, :, 2]
    return found


def recrop(cameras: NDArray[np.float64], maps: Maps) -> NDArray[np.float64]:
    """The cameras of crops of the same photos, float64 [n, 25] to [n, 25].

    The intrinsics are those of the picture composed with the map. Where the map turns the picture, the roll goes to the
    camera-to-world matrix, so that the intrinsics stay upper triangular, as trainers expect them; both are exact.

    Args:
        cameras: of the pictures; their intrinsics are upper triangular.
        maps: from these pictures to the crops.
    """
    pose, intrinsics = cameras[:, :16].reshape(-1, 4, 4), cameras[:, 16:].reshape(-1, 3, 3)
    found = then(intrinsics[:, :2].copy(), maps)
    (a, b), (c, d) = found[:, 0, :2].T, found[:, 1, :2].T
    vertical = np.sqrt(c * c + d * d)
    sine, cosine = c / vertical, d / vertical
    skew = a * sine + b * cosine
    turned, lens = pose.copy(), intrinsics.copy()
    turned[:, :3, 0] = pose[:, :3, 0] * cosine[:, None] - pose[:, :3, 1] * sine[:, None]
    turned[:, :3, 1] = pose[:, :3, 0] * sine[:, None] + pose[:, :3, 1] * cosine[:, None]
    lens[:, 0, 0], lens[:, 1, 1], lens[:, 1, 0] = a * cosine - b * sine, vertical, 0.0
    lens[:, 0, 1] = np.where(np.abs(skew) < _NO_SKEW * vertical, 0.0, skew)
    lens[:, :2, 2] = found[:, :, 2]
    return np.concatenate([turned.reshape(-1, 16), lens.reshape(-1, 9)], axis=1)


def carry(points: _Points, sizes: NDArray[np.integer], maps: Maps, side: int) -> NDArray[np.float32]:
    """Landmarks of crops, float [n, 68, 2] to float32 [n, 68, 2].

    Args:
        points: in pixels of the pictures; sizes: of these, [n, 2].
        maps: from the pictures to the crops.
        side: of the crops in pixels.
    """
    spread = (np.asarray(points, np.float64) + 0.5) / np.asarray(sizes, np.float64)[:, None]
    # Written out: a sum over two numbers costs numpy five times as much.
    (a, b, c), (d, e, f) = maps[:, 0].T[..., None], maps[:, 1].T[..., None]
    x, y = spread[..., 0], spread[..., 1]
    carried = np.stack([a * x + b * y + c, d * x + e * y + f], axis=2)
    found: NDArray[np.float32] = (carried * side - 0.5).astype(np.float32)
    return found


def _five(points: _Points) -> NDArray[np.float64]:
    """The middles of the eyes, the nose tip and the corners of the mouth, float64 [n, 5, 2]."""
    at = np.asarray(points, np.float64)
    eyes = ((at[:, 36] + at[:, 39]) / 2, (at[:, 42] + at[:, 45]) / 2)
    return np.stack([*eyes, at[:, 30], at[:, 48], at[:, 54]], axis=1)


def _scaling(scale: NDArray[np.float64], shift: NDArray[np.float64]) -> Maps:
    maps = np.zeros((len(scale), 2, 3))
    maps[:, 0, 0], maps[:, 1, 1], maps[:, :, 2] = scale[:, 0], scale[:, 1], shift
    return maps


def _length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths of vectors, [n, 2] to [n, 1]."""
    found: NDArray[np.float64] = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    return found
