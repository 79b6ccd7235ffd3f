"""Gaussian kernel density of points in the plane, as `scipy.stats.gaussian_kde` defines it, in linear time.

In coordinates whitened by the bandwidth the density at x is a sum of K(x - y) = exp(-|x - y|^2 / 2) over all points y.
In each dimension K is an integral of a product of two narrower Gaussians, w(t) = exp(-t^2),

    exp(-(x - y)^2 / 2) = sqrt(2 / pi) * integral of w(x - t) w(t - y) dt,

which the trapezoid rule with nodes a step h apart gives to within a relative 2 exp(-pi^2 / (2 h^2)), by Poisson's
summation: 9e-14 with STEP = 0.4. All pairs share one grid of nodes: points are spread onto nearby nodes, and their sums
are read from nearby nodes, both by products of small matrices, one per tile of the plane; no work is done per pair.

A point uses the nodes of its own tile and of its eight neighbors, so a node is omitted only if its distance to one of
the two points is at least TILE * STEP = 7.2, where w < 1e-22; relative to a point's own kernel (1) that is below 1e-12
for ten million points. Rounding adds about as much. `TOLERANCE` is hundreds of times larger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError

Points = NDArray[np.float64]

STEP = 0.4
TILE = 18
CHUNK = 64
"""Points at a time: so few that OpenBLAS starts no threads, which would cost more time than they save."""
TOLERANCE = 1e-9
FLATTEST = 1e-12


def density(points: Points, thresholds: Sequence[float] = ()) -> NDArray[np.float64]:
    """Return the density at each point: a Gaussian kernel with the data's covariance (n - 1) and Scott's factor
    n^(-1/6).

    Densities within `TOLERANCE` of a threshold are evaluated again, kernel by kernel, so that comparisons with it
    agree with scipy: the two then differ only by rounding, about 1e-15.

    Args:
        points: float64 [n, 2].
        thresholds: densities that the caller compares results with.

    Returns:
        float64 [n], per square unit of the points.

    Raises:
        ShardsError: fewer than three points, or all on one line.
    """
    count = len(points)
    if count < 3:
        raise ShardsError(f"a pose density needs three cameras or more, not {count}", "Use --rebalance none")
    covariance = np.cov(points.T)
    spread = covariance[0, 0] * covariance[1, 1]
    # Rounding gives equal cameras variances of about 1e-32, the square of a double's precision near 1.
    if not min(covariance[0, 0], covariance[1, 1]) > 1e-24 or np.linalg.det(covariance) <= FLATTEST * spread:
        raise ShardsError(
            f"the {count} cameras lie at one pose or on one line of poses, where there is no density",
            "Use --rebalance none, or add pictures of other poses",
        )
    # The lower Cholesky factor of the kernel's covariance, float64 [2, 2].
    factor = np.linalg.cholesky(covariance) * count ** (-1 / 6)
    centered = points - points.mean(axis=0)
    first = centered[:, 0] / factor[0, 0]
    white = np.stack([first, (centered[:, 1] - factor[1, 0] * first) / factor[1, 1]], axis=1)
    scale = 1 / (2 * np.pi * factor[0, 0] * factor[1, 1] * count)
    found: NDArray[np.float64] = kernel_sums(white) * scale
    near = np.zeros(len(found), bool)
    for threshold in thresholds:
        near |= np.abs(found - threshold) < TOLERANCE * threshold
    if near.any():
        found[near] = _one_by_one(white, white[near]) * scale
    return found


def kernel_sums(white: Points) -> NDArray[np.float64]:
    """Return for each point x the sum of exp(-|x - y|^2 / 2) over all points y, with x: float64 [n, 2] to [n]."""
    tiles = np.floor(white / (TILE * STEP)).astype(np.int64)
    order = np.lexsort((tiles[:, 1], tiles[:, 0]))
    changes = np.flatnonzero((tiles[order[1:]] != tiles[order[:-1]]).any(axis=1)) + 1
    chunks_of_tiles = [
        [order[start : min(start + CHUNK, last)] for start in range(first, last, CHUNK)]
        for first, last in pairwise([0, *changes.tolist(), len(order)])
    ]
    grid: defaultdict[tuple[int, int], NDArray[np.float64]] = defaultdict(lambda: np.zeros((TILE, TILE)))
    for chunks in chunks_of_tiles:
        spread = np.zeros((3 * TILE, 3 * TILE))
        tile = tiles[chunks[0][0]]
        for rows in chunks:
            x, y = _windows(white[rows], tile)
            spread += x.T @ y
        for key, across, down in _around(tile):
            grid[key] += spread[across, down]
    sums = np.empty(len(white))
    near = np.empty((3 * TILE, 3 * TILE))
    for chunks in chunks_of_tiles:
        tile = tiles[chunks[0][0]]
        for key, across, down in _around(tile):
            near[across, down] = grid[key]
        for rows in chunks:
            x, y = _windows(white[rows], tile)
            sums[rows] = np.einsum("ij,ij->i", x @ near, y)
    return sums * (2 * STEP * STEP / np.pi)


def _windows(points: Points, tile: NDArray[np.int64]) -> tuple[Points, Points]:
    """Return w at the nodes of the tile and its neighbors, for both dimensions: float64 [points, 3 * TILE] each."""
    nodes = np.arange(-TILE, 2 * TILE) * STEP
    # Relative to the tile's corner, so that large coordinates lose no digits.
    offsets = points - tile * (TILE * STEP)
    x, y = (np.exp(-np.square(offsets[:, axis, None] - nodes)) for axis in (0, 1))
    return x, y


def _around(tile: NDArray[np.int64]) -> Iterator[tuple[tuple[int, int], slice, slice]]:
    """Yield the tile and its neighbors, each with its place in the matrix of nodes."""
    column, row = tile.tolist()
    for i in range(3):
        for j in range(3):
            key = (column + i - 1, row + j - 1)
            yield key, slice(i * TILE, (i + 1) * TILE), slice(j * TILE, (j + 1) * TILE)


def _one_by_one(white: Points, at: Points) -> NDArray[np.float64]:
    """Return the sums of `kernel_sums` at a few points, added kernel by kernel; equal points are evaluated once."""
    unique, inverse = np.unique(at, axis=0, return_inverse=True)
    sums = np.array([np.exp(-np.square(white - point).sum(axis=1) / 2).sum() for point in unique])
    return sums[inverse.reshape(-1)]
