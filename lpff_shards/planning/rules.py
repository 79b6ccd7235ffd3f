"""Poses and the rules of rebalancing, pure: from densities or yaws to how often each picture counts, and how evenly."""

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
"""Densities at which `lpff_replicas` changes its answer."""
ARCS = 9
PRECISION = 17
UNIT = 2**20


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


def lpff_replicas(density: Numbers) -> Numbers:
    """LPFF's rule: 6 below a density of 0.02, else 5 below 0.03, else 0.24 / density, rounded half to even, 1 to 4.

    Args:
        density: float64 [n], per square radian of (theta, phi).
    """
    few = np.clip(np.round(COMMON / density), 1, 4)
    return np.where(density < RAREST, 6.0, np.where(density < RARE, 5.0, few))


def arc_replicas(yaw: Numbers, low: float, high: float) -> Numbers:
    """EG3D's rule: nine equal arcs from the smallest yaw to the largest; k arcs from the middle count 2^k, 1 to 16.

    Args:
        yaw: float64 [n], radians.
        low, high: the smallest and largest yaw of the whole set.

    Raises:
        ShardsError: they are the same.
    """
    if not high > low:
        raise ShardsError("all cameras have one yaw, which makes no arcs", "Use --rebalance none, or add other poses")
    arc = np.clip(np.floor((yaw - low) / (high - low) * ARCS), 0, ARCS - 1)
    counts: Numbers = 2.0 ** np.abs(arc - ARCS // 2)
    return counts


def uniform_weights(density: Numbers, alpha: float, cap: int, target: int | None) -> Numbers:
    """Weights proportional to density^-alpha, none above the cap.

    Args:
        density: float64 [n]; zero where it is unknown, which counts as the largest.
        alpha: 0 leaves the poses as they are, 1 makes them flat but for the cap.
        cap: the largest weight.
        target: what the weights add up to; None gives the picture of the largest density a weight of one.

    Returns:
        float64 [n], multiples of `1 / UNIT`, which add up to the target exactly where one is given.

    Raises:
        ShardsError: even at the cap all pictures together are fewer than the target.
    """
    largest = density.max(initial=0.0)
    # Where no density is known at all, largest is zero too, and all count one.
    raw = rounded(np.divide(largest, density, out=np.ones(len(density)), where=density > 0) ** alpha)
    if target is None:
        return np.minimum(raw, float(cap))
    if target > cap * len(raw):
        raise ShardsError(
            f"--target-size {target} is more than {len(raw)} pictures of {cap} replicas each make",
            "Ask for fewer, or raise --max-replicas",
        )
    scaled = np.minimum(np.round(raw * _scale(raw, cap, target) * UNIT), cap * UNIT).astype(np.int64)
    return _made_exact(scaled, target * UNIT, cap * UNIT) / UNIT


def _scale(raw: Numbers, cap: int, target: int) -> float:
    """s such that min(s * raw, cap) adds up to the target: capped from the largest weight down."""
    ascending = np.sort(raw)
    below = np.cumsum(ascending)
    capped = np.arange(len(raw) - 1, -1, -1)
    scales = (target - cap * capped) / below
    # The most weights that stay below the cap. The smallest, which is 1, always does: no target is above the cap's sum.
    return float(scales[np.flatnonzero(scales * ascending <= cap)[-1]])


def _made_exact(units: NDArray[np.int64], total: int, cap: int) -> NDArray[np.int64]:
    """The same whole numbers, as many of them changed by one as it takes to add up to the total; none above the cap."""
    while lack := total - int(units.sum()):
        step = 1 if lack > 0 else -1
        able = np.flatnonzero(units < cap if lack > 0 else units > 0)[: abs(lack)]
        units[able] += step
    return units


def whole(weights: Numbers, seed: int) -> NDArray[np.int64]:
    """Weights as whole numbers of copies, by systematic sampling: int64 [n].

    Each weight is rounded down or up, a whole one stays, any run of neighbors adds up to its weights' sum to within
    one, and over seeds a picture's mean number of copies is its weight.

    Args:
        weights: float64 [n], multiples of `1 / UNIT`; neighbors should be alike in pose.
        seed: moves the start.
    """
    start = int.from_bytes(hashlib.blake2b(b"copies", digest_size=4, key=seed.to_bytes(8, "little")).digest(), "little")
    ends = (np.cumsum((weights * UNIT).astype(np.int64)) + start % UNIT) // UNIT
    return np.diff(ends, prepend=0)


def rounded(values: Numbers) -> Numbers:
    """Values to 17 binary digits, about five decimal ones.

    So that they are the same on every machine, whose last digits differ, and the same in float32.
    """
    mantissa, exponent = np.frexp(values)
    short: Numbers = np.ldexp(np.round(np.ldexp(mantissa, PRECISION)), exponent - PRECISION)
    return short
