"""Poses of camera centers, bins of them, and how evenly a set fills the bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas.camera import yaw_pitch

BIN_DEGREES = 10.0

Numbers = NDArray[np.float64]


def angles(centers: Numbers) -> Numbers:
    """theta = atan2(hypot(y, z), x) and phi = atan2(z, y) in radians, [n, 3] to [n, 2].

    The angles of LPFF's rebalancing script, which writes hypot(y, z) as y / cos(phi): the same but at y = 0.
    """
    x, y, z = centers.T
    return np.stack([np.arctan2(np.hypot(y, z), x), np.arctan2(z, y)], axis=1)


def pose_bins(centers: Numbers) -> NDArray[np.int64]:
    """The bin of the pose of each camera center, see `angle_bins`."""
    return angle_bins(np.degrees(yaw_pitch(centers)))


def angle_bins(degrees: Numbers) -> NDArray[np.int64]:
    """The bin of each yaw and pitch in degrees, [n, 2], 10 degrees by 10: int64 [n], in rows of equal yaw."""
    bins = np.floor(degrees / BIN_DEGREES).astype(np.int64)
    rows: NDArray[np.int64] = bins @ np.array([int(360 / BIN_DEGREES), 1])
    return rows


def entropy(bins: NDArray[np.int64], weights: Numbers) -> float:
    """Shannon entropy in bits of the weights' distribution over bins; log2 of the number of bins if it is flat."""
    _, place = np.unique(bins, return_inverse=True)
    share = np.bincount(place.reshape(-1), weights)
    share = share[share > 0] / share.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def effective_size(weights: Numbers) -> float:
    """Kish's effective sample size, (sum w)^2 / sum w^2: how many equally weighted pictures tell as much."""
    return float(weights.sum() ** 2 / np.square(weights).sum()) if len(weights) else 0.0
