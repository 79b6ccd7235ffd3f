"""The crops of LPFF and Unsplash-Pexels: the part of the photo that each shows, and its cameras and landmarks.

The published camera is that of the EG3D crop. Another crop of the same photo has another camera: `recrop`. A map is
affine, float64 [n, 2, 3]; it maps coordinates of one picture to those of another. Both are 0 to 1 across the picture's
width and height, so a pixel's center x is at (x + 0.5) / width. Landmarks are float [n, 68, 2], in pixels of their
picture, pixel centers at whole numbers.

Sources: the processing scripts of LPFF, EG3D (after Deep3DFaceRecon) and FFHQ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

REALIGNED = 2400
"""Side in pixels of a published `realign2400` picture."""


@dataclass(frozen=True, slots=True)
class Cropping:
    """How a face is cropped from a picture by its landmarks.

    Attributes:
        kind: EG3D's alignment, an upright window; or FFHQ's, a square turned with the eyes.
        side: default side of the crop in pixels.
        scale: eg3d: size of the face relative to EG3D's own; ffhq: size of the square relative to FFHQ's own.
        border: ffhq only: width of the border around the square that the picture should have, as a share of the
            square's side and in pixels at least. Without it the picture is padded.
        low_resolution_blur: ffhq only: whether padding is blurred at a tenth of the resolution.
    """

    name: str
    kind: Literal["eg3d", "ffhq"]
    side: int
    scale: float = 1.0
    border: tuple[float, int] = (0.1, 3)
    low_resolution_blur: bool = False


@dataclass(frozen=True, slots=True)
class Crops:
    """How the pictures of an export are cropped: by the name of their data set, all to crops of one side.

    `fast` is whether nearly the same pixels, in less time, are enough.
    """

    by_source: Mapping[str, Cropping]
    fast: bool = False

    @property
    def side(self) -> int:
        """Side of the crops in pixels."""
        return next(iter(self.by_source.values())).side


_PUBLISHED = (
    Cropping("eg3d", "eg3d", 512),
    Cropping("stylegan", "ffhq", 1024, border=(0.2, 100)),
    Cropping("realign2400", "ffhq", REALIGNED, scale=1.8, low_resolution_blur=True),
    Cropping("ffhq", "ffhq", 1024),
)
CROPPINGS: Mapping[str, Cropping] = MappingProxyType({cropping.name: cropping for cropping in _PUBLISHED})
"""How each published crop was made; `ffhq` is that from FFHQ in the wild to `images1024x1024`."""
SIDES = {name: CROPPINGS[name].side for name in ("eg3d", "stylegan", "realign2400")}
"""Side in pixels of each published crop of LPFF and Unsplash-Pexels."""

Maps = NDArray[np.float64]
Sizes = NDArray[np.float64]
_Points = NDArray[np.floating]

# Deep3DFaceRecon's five points in 3D: the eyes, the nose tip, the corners of the mouth.
_FACE = (
    (-0.31148657, 0.29036078, 0.13377953),
    (0.30979887, 0.28972036, 0.13179526),
    (0.0032535, -0.04617932, 0.55244243),
    (-0.25216928, -0.38133916, 0.22405732),
    (0.2484662, -0.38128236, 0.22235769),
)
# Rounded: the last digits of a linear-algebra library differ between machines.
_FIT = np.round(np.linalg.pinv(np.column_stack([_FACE, np.ones(5)])), 12)
_FACE_SCALE, _WINDOW, _MARGIN = 300.0, 1024, 162
KEPT = 700
"""Side of the square that EG3D's crop keeps of the resized picture, before it is resized to the crop's side."""
_NO_SKEW = 1e-12
_LEAST = 1.0
"""Fewest pixels per unit of the face's points (the eyes are 0.6 units apart); with fewer there is no face."""


def crop_maps(points: _Points, sizes: NDArray[np.integer], cropping: Cropping, side: int) -> Maps:
    """Return the maps from pictures to their crops.

    Args:
        points: landmarks, float [n, 68, 2].
        sizes: width and height of each picture in pixels, [n, 2].
        side: of the crops in pixels.

    Returns:
        Maps; not finite for points that are not a face.
    """
    if cropping.kind == "eg3d":
        return eg3d_crop(points, sizes, cropping.scale)
    return _ffhq_crop(points, sizes, cropping.scale, side)


def eg3d_crop(points: _Points, sizes: NDArray[np.integer], scale: float = 1.0) -> Maps:
    """Return the maps from pictures to their EG3D crops: a window, scaled by a weak-perspective fit of five points.

    Args:
        points: landmarks, float [n, 68, 2].
        sizes: width and height of each picture in pixels, [n, 2].
        scale: of the face in the window.

    Returns:
        Maps; not finite for points that are not a face.
    """
    resized, start = eg3d_window(points, sizes, scale)
    (width, height), (x, y) = (resized / KEPT).T, (-start / KEPT).T
    none = np.zeros(len(resized))
    return np.stack([width, none, x, none, height, y], axis=1).reshape(-1, 2, 3)


def eg3d_window(points: _Points, sizes: NDArray[np.integer], scale: float = 1.0) -> tuple[Sizes, Sizes]:
    """Return the sizes to which pictures are resized, and where in them the square of `KEPT` pixels starts, [n, 2].

    The arguments are those of `eg3d_crop`. The numbers are whole, and not finite for points that are not a face.
    """
    size, at = np.asarray(sizes, np.float64), np.asarray(points, np.float64)
    eyes = ((at[:, 36] + at[:, 39]) / 2, (at[:, 42] + at[:, 45]) / 2)
    # The centers of the eyes, the nose tip and the corners of the mouth, with y upwards.
    five = np.stack([*eyes, at[:, 30], at[:, 48], at[:, 54]], axis=1)
    five[..., 1] = size[:, None, 1] - 1 - five[..., 1]
    # Row k of the fit times the points: the axes of the face in the picture, then its shift. Summed term by term for
    # the same bits on every machine.
    fitted = np.zeros((len(five), 4, 2))
    for k in range(5):
        fitted += _FIT[None, :, k, None] * five[:, None, k]
    lengths = np.sqrt(np.square(fitted[:, :3]).sum(axis=1))
    shift = fitted[:, 3]
    with np.errstate(all="ignore"):
        length = lengths.mean(axis=1, keepdims=True)
        ratio = np.where(length < _LEAST, np.nan, _FACE_SCALE * scale / length)
        resized = np.trunc(size * ratio)
        away = (shift - size / 2) * (1.0, -1.0) * ratio
        return resized, np.trunc(resized / 2 - _WINDOW / 2 + away) + _MARGIN


def ffhq_crop(points: _Points, sizes: NDArray[np.integer], alignment: str) -> Maps:
    """Return the maps from pictures to crops by FFHQ's alignment: a square, turned with the eyes.

    Args:
        points: landmarks, float [n, 68, 2].
        sizes: width and height of each picture in pixels, [n, 2].
        alignment: `stylegan` or `realign2400`; gives the size of the crop.
    """
    return _ffhq_crop(points, sizes, CROPPINGS[alignment].scale, CROPPINGS[alignment].side)


def _ffhq_crop(points: _Points, sizes: NDArray[np.integer], scale: float, crop_side: int) -> Maps:
    size, at = np.asarray(sizes, np.float64), np.asarray(points, np.float64)
    left, right = at[:, 36:42].mean(axis=1), at[:, 42:48].mean(axis=1)
    eyes = (left + right) / 2
    across, down = right - left, (at[:, 48] + at[:, 54]) / 2 - eyes
    with np.errstate(all="ignore"):
        x = across - down[:, ::-1] * (-1.0, 1.0)
        x *= np.maximum(_length(across) * 2.0, _length(down) * 1.8) / _length(x) * scale
        y = x[:, ::-1] * (-1.0, 1.0)
        corner = eyes + 0.1 * down - x - y
        # A picture much larger than the crop is shrunk first, by whole pixels.
        shrink = np.maximum(np.floor(_length(x) / crop_side), 1.0)
        shrunk = np.rint(size / shrink)
        # From the shrunk picture's pixels back to the square's sides, which are orthogonal.
        sides = np.stack([x, y], axis=1) / np.square(_length(x))[..., None] * (shrink[..., None] / 2)
        linear = sides * shrunk[:, None]
        offset = -(sides * (corner / shrink + 0.5)[:, None]).sum(axis=2)
        return np.concatenate([linear, offset[..., None]], axis=2)


def realigned_side(points: _Points) -> NDArray[np.float64]:
    """Estimate the side of realigned pictures in pixels from their landmarks, float [n, 68, 2] to [n].

    A realigned picture is cropped by the landmarks of its photo. Its own were detected again, so they differ a little.
    """
    at = np.asarray(points[:, 36:55], np.float64)
    left, right = at[:, :6].mean(axis=1), at[:, 6:12].mean(axis=1)
    down = (at[:, 12] + at[:, 18]) / 2 - (left + right) / 2
    side: NDArray[np.float64] = np.maximum(_length(right - left) * 2.0, _length(down) * 1.8)[:, 0]
    return side * 2 * CROPPINGS["realign2400"].scale


def inverse(maps: Maps) -> Maps:
    """Return the inverse maps, [n, 2, 3]; not finite for singular maps."""
    (a, b, c), (d, e, f) = maps[:, 0].T, maps[:, 1].T
    with np.errstate(all="ignore"):
        det = a * e - b * d
        rows = ((e, -b, b * f - c * e), (-d, a, c * d - a * f))
        inverted: Maps = np.stack([np.stack(row, axis=1) for row in rows], axis=1) / det[:, None, None]
    return inverted


def then(first: Maps, second: Maps) -> Maps:
    """Return the maps that apply the first, then the second, [n, 2, 3]."""
    composed: Maps = (second[:, :, :2, None] * first[:, None, :, :]).sum(axis=2)
    composed[:, :, 2] += second[:, :, 2]
    return composed


def recrop(cameras: NDArray[np.float64], maps: Maps) -> NDArray[np.float64]:
    """Return the cameras of crops of the same photos, float64 [n, 25] to [n, 25].

    The intrinsics are those of the picture composed with the map. The map's rotation goes to the camera-to-world
    matrix, so the intrinsics stay upper triangular, as trainers expect; both are exact.

    Args:
        cameras: of the pictures; their intrinsics are upper triangular.
        maps: from these pictures to the crops.
    """
    pose, intrinsics = cameras[:, :16].reshape(-1, 4, 4), cameras[:, 16:].reshape(-1, 3, 3)
    composed = then(intrinsics[:, :2].copy(), maps)
    (a, b), (c, d) = composed[:, 0, :2].T, composed[:, 1, :2].T
    vertical = np.sqrt(c * c + d * d)
    sine, cosine = c / vertical, d / vertical
    skew = a * sine + b * cosine
    turned, lens = pose.copy(), intrinsics.copy()
    turned[:, :3, 0] = pose[:, :3, 0] * cosine[:, None] - pose[:, :3, 1] * sine[:, None]
    turned[:, :3, 1] = pose[:, :3, 0] * sine[:, None] + pose[:, :3, 1] * cosine[:, None]
    lens[:, 0, 0], lens[:, 1, 1], lens[:, 1, 0] = a * cosine - b * sine, vertical, 0.0
    lens[:, 0, 1] = np.where(np.abs(skew) < _NO_SKEW * vertical, 0.0, skew)
    lens[:, :2, 2] = composed[:, :, 2]
    return np.concatenate([turned.reshape(-1, 16), lens.reshape(-1, 9)], axis=1)


def carry(points: _Points, sizes: NDArray[np.integer], maps: Maps, side: int) -> NDArray[np.float32]:
    """Return the landmarks of crops, float [n, 68, 2] to float32 [n, 68, 2].

    Args:
        points: in pixels of the pictures; sizes: of these, [n, 2].
        maps: from the pictures to the crops.
        side: of the crops in pixels.
    """
    spread = (np.asarray(points, np.float64) + 0.5) / np.asarray(sizes, np.float64)[:, None]
    # Written out: a sum over two numbers costs numpy five times as much.
    (a, b, c), (d, e, f) = maps[:, 0].T[..., None], maps[:, 1].T[..., None]
    x, y = spread[..., 0], spread[..., 1]
    mapped = np.stack([a * x + b * y + c, d * x + e * y + f], axis=2)
    pixels: NDArray[np.float32] = (mapped * side - 0.5).astype(np.float32)
    return pixels


def _length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lengths of vectors, [n, 2] to [n, 1]."""
    return np.asarray(np.sqrt(np.square(vectors).sum(axis=1, keepdims=True)))
