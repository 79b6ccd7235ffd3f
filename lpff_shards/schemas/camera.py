"""Cameras: 25 numbers, a 4x4 camera-to-world matrix (row-major) and 3x3 intrinsics normalized by picture size.

Axes are OpenCV's (x right, y down, z forward); the world has y up and the head at the origin, looking along +z. A
frontal camera of the published sets sits at (0, 0, 2.7). Source: the cameras that EG3D and LPFF publish.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

CAMERA_NUMBERS = 25
TOLERANCE = 1e-3
AWAY = math.radians(5)
"""Largest angle between a camera's axis and the origin, radians."""

_POSE_SIGNS = np.ones(16)
_POSE_SIGNS[[1, 2, 3, 4, 8]] = -1.0
_POSE_SIGNS.flags.writeable = False


def mirror(cameras: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cameras of the horizontally flipped pictures, float64 [n, 25] to [n, 25].

    Elements [0,1], [0,2], [1,0], [2,0] and [0,3] of the pose change sign (the rule of the published scripts: the world
    is reflected in x and so is the camera's x axis). The principal point moves to 1 - cx and the skew changes sign,
    so the published intrinsics (cx = 0.5, no skew) do not change.
    """
    flipped = cameras.copy()
    flipped[:, :16] *= _POSE_SIGNS
    flipped[:, 17] = 0.0 - cameras[:, 17]
    flipped[:, 18] = 1.0 - cameras[:, 18]
    return flipped


def centers(cameras: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the positions of cameras in the world, [n, 25] to [n, 3]."""
    return cameras[:, 3:12:4]


def yaw_pitch(centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return yaw and pitch in radians of camera centers as seen from the head, [n, 3] to [n, 2].

    yaw = atan2(x, z) in [-pi, pi]: 0 seen from the front, positive with the camera towards world +x.
    pitch = atan2(y, hypot(x, z)) in [-pi/2, pi/2]: 0 level with the head, positive with the camera above it.
    """
    x, y, z = centers.T
    return np.stack([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))], axis=1)


def yaw_pitch_of(camera: NDArray[np.float64]) -> tuple[float, float]:
    """Return yaw and pitch of one camera, float64 [25]; ten times as fast as `yaw_pitch` of an array of one."""
    x, y, z = camera[3:12:4].tolist()
    return math.atan2(x, z), math.atan2(y, math.hypot(x, z))


def looks_away(cameras: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which cameras point away from the head at the origin, float64 [n, 25] to bool [n].

    Published cameras point at it to within 4 degrees: their axes meet in the head, 0.18 in front of the origin.
    """
    pose = cameras[:, :16].reshape(-1, 4, 4)
    return _off_axis(pose[:, :3, 3], pose[:, :3, 2])


def likely_convention(cameras: NDArray[np.float64]) -> str:
    """Return the convention by which most of these cameras would point at the head.

    Args:
        cameras: float64 [n, 25], n at least 1.
    """
    pose = cameras[:, :16].reshape(-1, 4, 4)
    # The inverse of a rigid motion: its axes are the rows, its center is -R^T t.
    stand = -(pose[:, :3, :3] * pose[:, :3, 3:]).sum(axis=1)
    tries = (
        ("OpenGL axes", pose[:, :3, 3], -pose[:, :3, 2]),
        ("world-to-camera", stand, pose[:, 2, :3]),
        ("world-to-camera with OpenGL axes", stand, -pose[:, 2, :3]),
    )
    for name, center, axis in tries:
        if _off_axis(center, axis).mean() < 0.5:
            return name
    return "OpenGL axes, world-to-camera, or a head elsewhere"


def _off_axis(center: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether the origin is off each camera's axis; centers and axes are [n, 3]."""
    towards = -(center * axis).sum(axis=1)
    off: NDArray[np.bool_] = towards < np.sqrt(np.square(center).sum(axis=1)) * math.cos(AWAY)
    return off


def faults(cameras: NDArray[np.float64]) -> dict[int, str]:
    """Return the first rule that each bad camera breaks, by row; good cameras are not in the result.

    Args:
        cameras: float64 [n, 25].
    """
    found: dict[int, str] = {}
    with np.errstate(all="ignore"):
        for bad, describe in _rules(cameras):
            for row in np.flatnonzero(bad):
                found.setdefault(int(row), describe(int(row)))
    return found


def _rules(cameras: NDArray[np.float64]) -> Iterator[tuple[Any, Callable[[int], str]]]:
    """Yield for each rule which rows break it (bool [n]), and a function that describes the fault of a row."""
    pose, intrinsics = cameras[:, :16].reshape(-1, 4, 4), cameras[:, 16:].reshape(-1, 3, 3)
    # Shards hold float32, so numbers must be finite as float32.
    finite = np.isfinite(cameras.astype(np.float32))
    yield ~finite.all(axis=1), lambda i: f"camera number {int(np.argmin(finite[i])) + 1} of 25 is not finite"
    last = np.abs(pose[:, 3] - (0.0, 0.0, 0.0, 1.0)).max(axis=1)
    yield last > TOLERANCE, lambda i: f"camera's last row is {_row(pose[i, 3])}, not 0 0 0 1"
    rotation = pose[:, :3, :3]
    off = np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
    yield ~(off <= TOLERANCE), lambda i: f"camera's rotation is not orthonormal: off by {off[i]:.3g}"
    det = np.linalg.det(np.where(np.isfinite(rotation), rotation, 0.0))
    yield ~(np.abs(det - 1) <= TOLERANCE), lambda i: f"camera's rotation has determinant {det[i]:.4g}, not +1"
    focal = np.minimum(intrinsics[:, 0, 0], intrinsics[:, 1, 1])
    yield ~(focal > 0), lambda i: f"camera's focal length is {focal[i]:.4g}, not positive"
    center = intrinsics[:, :2, 2]
    inside = ((center > 0) & (center < 1)).all(axis=1)
    yield ~inside, lambda i: f"camera's principal point is {_row(center[i])}, outside the picture (0 to 1)"
    yield (
        np.abs(intrinsics[:, 1, 0]) > TOLERANCE,
        lambda i: f"camera's intrinsics have {intrinsics[i, 1, 0]:.4g} below fx",
    )
    bottom = np.abs(intrinsics[:, 2] - (0.0, 0.0, 1.0)).max(axis=1)
    yield ~(bottom <= TOLERANCE), lambda i: f"camera's intrinsics end in {_row(intrinsics[i, 2])}, not 0 0 1"


def _row(numbers: NDArray[np.float64]) -> str:
    return " ".join(f"{n:.4g}" for n in numbers)
