"""Poses and rebalancing rules, pure: how often each picture counts, by its density or yaw, and how evenly."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.camera import yaw_pitch

Numbers = NDArray[np.float64]

BIN_DEGREES = 10.0
RAREST, RARE = 0.02, 0.03
COMMON = 0.24
LPFF_THRESHOLDS = (RAREST, RARE, COMMON / 3.5, COMMON / 2.5, COMMON / 1.5)
"""Densities at which the result of `lpff_replicas` changes."""
ARCS = 9
PRECISION = 17
UNIT = 2**20


def angles(centers: Numbers) -> Numbers:
    """Return theta = atan2(hypot(y, z), x) and phi = atan2(z, y) in radians, [n, 3] to [n, 2].

    These are the angles of LPFF's rebalancing script, which uses y / cos(phi) for hypot(y, z): equal except at y = 0.
    """
    x, y, z = centers.T
    return np.stack([np.arctan2(np.hypot(y, z), x), np.arctan2(z, y)], axis=1)


def pose_bins(centers: Numbers) -> NDArray[np.int64]:
    """Return the pose bin of each camera center, see `angle_bins`."""
    return angle_bins(np.degrees(yaw_pitch(centers)))


def angle_bins(degrees: Numbers) -> NDArray[np.int64]:
    """Return the bin of each yaw and pitch in degrees, [n, 2], 10 degrees by 10: int64 [n], in rows of equal yaw."""
    bins = np.floor(degrees / BIN_DEGREES).astype(np.int64)
    rows: NDArray[np.int64] = bins @ np.array([int(360 / BIN_DEGREES), 1])
    return rows


def entropy(bins: NDArray[np.int64], weights: Numbers) -> float:
    """Return the entropy in bits of the weights' distribution over bins; log2 of the number of bins if it is flat."""
    _, place = np.unique(bins, return_inverse=True)
    share = np.bincount(place.reshape(-1), weights)
    share = share[share > 0] / share.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0


def effective_size(weights: Numbers) -> float:
    """Return Kish's effective sample size, (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / np.square(weights).sum()) if len(weights) else 0.0


def lpff_replicas(density: Numbers) -> Numbers:
    """Apply LPFF's rule: 6 below a density of 0.02, else 5 below 0.03, else 0.24 / density, half to even, 1 to 4.

    Args:
        density: float64 [n], per square radian of (theta, phi).
    """
    few = np.clip(np.round(COMMON / density), 1, 4)
    return np.where(density < RAREST, 6.0, np.where(density < RARE, 5.0, few))


def arc_replicas(yaw: Numbers, low: float, high: float) -> Numbers:
    """Apply EG3D's rule: nine equal arcs from smallest to largest yaw; k arcs from the middle count 2^k, 1 to 16.

    Args:
        yaw: float64 [n], radians.
        low, high: the smallest and largest yaw of the whole set.

    Raises:
        ShardsError: `low` and `high` are equal.
    """
    if not high > low:
        raise ShardsError("all cameras have one yaw, which makes no arcs", "Use --rebalance none, or add other poses")
    arc = np.clip(np.floor((yaw - low) / (high - low) * ARCS), 0, ARCS - 1)
    counts: Numbers = 2.0 ** np.abs(arc - ARCS // 2)
    return counts


def uniform_weights(density: Numbers, alpha: float, cap: int, target: int | None) -> Numbers:
    """Return weights proportional to density^-alpha, none above the cap.

    Args:
        density: float64 [n]; zero if unknown, which counts as the largest.
        alpha: 0 keeps the distribution of poses, 1 flattens it except for the cap.
        cap: the largest weight.
        target: sum of the weights; None gives the picture of the largest density a weight of one.

    Returns:
        float64 [n], multiples of `1 / UNIT`, which sum exactly to the target if there is one.

    Raises:
        ShardsError: the target is larger than the cap times the number of pictures.
    """
    largest = density.max(initial=0.0)
    # If no density is known, largest is zero, and all weights are one.
    raw = rounded(np.divide(largest, density, out=np.ones(len(density)), where=density > 0) ** alpha)
    if target is None:
        return np.minimum(raw, float(cap))
    if target > cap * len(raw):
        raise ShardsError(
            f"--target-size {target} is more than {len(raw)} pictures of {cap} replicas each make",
            "Give a smaller target, or raise --max-replicas",
        )
    # The scale with which min(scale * raw, cap) sums to the target, by the number of weights that reach the cap: the
    # fewest. The smallest weight, 1, never has to: the target is at most cap * len(raw).
    ascending = np.sort(raw)
    scales = (target - cap * np.arange(len(raw) - 1, -1, -1)) / np.cumsum(ascending)
    scale = float(scales[np.flatnonzero(scales * ascending <= cap)[-1]])
    units = np.minimum(np.round(raw * scale * UNIT), cap * UNIT).astype(np.int64)
    while lack := target * UNIT - int(units.sum()):
        able = np.flatnonzero(units < cap * UNIT if lack > 0 else units > 0)[: abs(lack)]
        units[able] += 1 if lack > 0 else -1
    return units / UNIT


def whole(weights: Numbers, seed: int) -> NDArray[np.int64]:
    """Round weights to whole numbers of copies by systematic sampling: int64 [n].

    Each weight is rounded down or up, a whole one is kept, any run of neighbors sums to its weights' sum within one,
    and over seeds a picture's mean number of copies is its weight.

    Args:
        weights: float64 [n], multiples of `1 / UNIT`; neighbors should have similar poses.
        seed: sets the start.
    """
    start = int.from_bytes(hashlib.blake2b(b"copies", digest_size=4, key=seed.to_bytes(8, "little")).digest(), "little")
    ends = (np.cumsum((weights * UNIT).astype(np.int64)) + start % UNIT) // UNIT
    return np.diff(ends, prepend=0)


def rounded(values: Numbers) -> Numbers:
    """Round values to 17 binary digits, about five decimal digits.

    They are then equal on all machines, whose last digits differ, and in float32.
    """
    mantissa, exponent = np.frexp(values)
    short: Numbers = np.ldexp(np.round(np.ldexp(mantissa, PRECISION)), exponent - PRECISION)
    return short
