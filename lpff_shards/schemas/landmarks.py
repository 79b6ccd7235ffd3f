"""Facial landmarks: 68 points (x, y) in pixels of their picture, in iBUG's order, pixel centers at whole numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LANDMARKS = 68

Points = NDArray[np.float32]


_SWAPPED = (
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    *((31, 35), (32, 34)),
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)),
)
_PARTNERS = dict((*_SWAPPED, *((right, left) for left, right in _SWAPPED)))
MIRROR_ORDER = tuple(_PARTNERS.get(point, point) for point in range(LANDMARKS))
"""The point of the original face for each point of the mirrored one: left and right are swapped."""


def mirror(points: Points, width: int) -> Points:
    """Return the landmarks of the horizontally flipped picture, float32 [..., 68, 2] to [..., 68, 2].

    Args:
        width: of the picture in pixels; x becomes width - 1 - x.
    """
    flipped = points[..., list(MIRROR_ORDER), :]
    flipped[..., 0] = np.float32(width - 1) - flipped[..., 0]
    return flipped


def rescale(points: Points, old: tuple[int, int], new: tuple[int, int]) -> Points:
    """Return the landmarks of a picture resized from `old` to `new` (width, height, in pixels), by pixel areas."""
    ratio = np.asarray(new, np.float64) / np.asarray(old, np.float64)
    return ((points.astype(np.float64) + 0.5) * ratio - 0.5).astype(np.float32)


def leaves(points: NDArray[np.floating], sizes: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which pictures (bool [n]) have landmarks of another size: one is further outside than the face is wide.

    Args:
        points: in pixels, [n, 68, 2]; sizes: width and height of the pictures, [n, 2].
    """
    low, high = points.min(axis=1), points.max(axis=1)
    face = high[:, :1] - low[:, :1]
    far: NDArray[np.bool_] = ((low < -face) | (high > sizes + face)).any(axis=1)
    return far


def elsewhere(points: NDArray[np.floating], size: Sequence[int]) -> str:
    """Return the reason why landmarks of another size are refused; `size` is width and height in pixels."""
    x, y = points.max(axis=0)
    return f"its landmarks reach {x:.0f}, {y:.0f} in a picture of {size[0]}x{size[1]}: they are of one of another size"


def fault(points: NDArray[np.floating]) -> str | None:
    """Return which rule these landmarks break, or None: 68 pairs of finite numbers."""
    if points.shape != (LANDMARKS, 2):
        return f"landmarks have shape {'x'.join(map(str, points.shape))}, not 68x2"
    if not np.isfinite(points).all():
        return f"landmark {int(np.argmin(np.isfinite(points).all(axis=1)))} is not finite"
    return None
