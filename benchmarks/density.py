"""Replica counts by LPFF's rule over 179,094 cameras: ours beside `scipy.stats.gaussian_kde`, picture by picture.

FFHQ's part is the published angles where they are given (`--ffhq-angles`, a NumPy file of theta and phi, [2, 139914]),
else a set that spreads like them; LPFF's part is a large-pose set. scipy takes minutes: it evaluates n squared kernels.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lpff_shards.planning.density import density
from lpff_shards.planning.rebalance import LPFF_THRESHOLDS, angles, lpff_replicas

Numbers = NDArray[np.float64]

FFHQ_PHOTOS = 69_957
LPFF_PICTURES = 19_590


def with_mirrors(centers: Numbers) -> Numbers:
    """Camera centers and their mirrors in turn."""
    return np.stack([centers, centers * (-1, 1, 1)], axis=1).reshape(-1, 3)


def centers(yaw: Numbers, pitch: Numbers) -> Numbers:
    """Camera centers on the published sphere."""
    return 2.7 * np.stack([np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)], axis=1)


def points(ffhq_angles: str | None, scale: float) -> Numbers:
    """theta and phi of both sets, [n, 2]."""
    draw = np.random.default_rng(0)
    photos, portraits = int(FFHQ_PHOTOS * scale), int(LPFF_PICTURES * scale)
    if ffhq_angles:
        ffhq = np.load(ffhq_angles).T[: 2 * photos]
    else:
        ffhq = angles(with_mirrors(centers(draw.normal(0, 0.27, photos), draw.normal(0, 0.13, photos))))
    lpff = angles(with_mirrors(centers(draw.uniform(-1.4, 1.4, portraits), draw.normal(0, 0.3, portraits))))
    return np.concatenate([ffhq, lpff])


def timed(compute: Callable[[], Numbers], runs: int) -> tuple[Numbers, float]:
    """The result, and the median of the seconds."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        found = compute()
        seconds.append(time.perf_counter() - start)
    return found, statistics.median(seconds)


def main() -> None:
    """Prints both times, their ratio, and how many replica counts differ."""
    from scipy.stats import gaussian_kde

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ffhq-angles")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the pictures, to try it quickly")
    parser.add_argument("--runs", type=int, default=5, help="of ours; scipy runs once")
    given = parser.parse_args()
    cameras = points(given.ffhq_angles, given.scale)
    ours, quick = timed(lambda: density(cameras, LPFF_THRESHOLDS), given.runs)
    theirs, slow = timed(lambda: np.asarray(gaussian_kde(cameras.T)(cameras.T)), 1)
    differ = int((lpff_replicas(ours) != lpff_replicas(theirs)).sum())
    print(f"{len(cameras):,} cameras, {int(lpff_replicas(ours).sum()):,} samples")
    print(f"scipy.stats.gaussian_kde  {slow:9.2f} s")
    print(f"lpff-shards               {quick:9.2f} s   {slow / quick:.0f} times as fast")
    print(f"replica counts that differ: {differ}; largest relative difference of a density: {_worst(ours, theirs):.1e}")


def _worst(ours: Numbers, theirs: Numbers) -> float:
    return float(np.abs(ours / theirs - 1).max())


if __name__ == "__main__":
    main()
