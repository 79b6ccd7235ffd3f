"""The pose density: `scipy.stats.gaussian_kde`'s, with every replica count, in linear time and memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import gaussian_kde

from lpff_shards import ShardsError
from lpff_shards.planning import density as module
from lpff_shards.planning.density import density, kernel_sums
from lpff_shards.planning.rebalance import LPFF_THRESHOLDS, lpff_replicas

Points = NDArray[np.float64]
Numbers = NDArray[np.float64]


def _scipy(points: Points) -> Numbers:
    found: Numbers = gaussian_kde(points.T)(points.T)
    return found


def _direct(white: Points, at: Points) -> Numbers:
    return np.array([np.exp(-np.square(white - point).sum(axis=1) / 2).sum() for point in at])


def _normal(count: int, seed: int = 0) -> Points:
    return np.random.default_rng(seed).normal(size=(count, 2))


def _line(count: int, jitter: float, slope: float = 1.0) -> Points:
    along = np.linspace(0, 1, count)
    return np.stack([along, slope * along], axis=1) + jitter * _normal(count)


def _at(count: int, *centers: tuple[float, float]) -> Points:
    """A crowd of `count` points at the origin and one at each of the centers."""
    return np.concatenate([np.zeros((count, 2)), np.array(centers)])


def _poses(count: int = 300) -> Points:
    """Like the angles of faces and their mirrors, in radians."""
    drawn = _normal(count) * [0.35, 0.15] + [1.2, 1.5]
    return np.concatenate([drawn, [np.pi, 0] + drawn * [-1, 1]])


def _scaled(points: Points, has: float, wanted: float) -> Points:
    """The points with densities of `wanted` where they have `has`: they go with the inverse square of the scale."""
    return points * np.sqrt(has / wanted)


CLOUDS: dict[str, Callable[[], Points]] = {
    "three points": lambda: _normal(3),
    "four points": lambda: _normal(4),
    "ten points": lambda: _normal(10),
    "hundred points": lambda: _normal(100),
    "thousands": lambda: _normal(3000),
    "poses": _poses,
    "a triangle at whole numbers": lambda: np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
    "uniform": lambda: np.random.default_rng(0).uniform(-3, 3, size=(800, 2)),
    "a lattice": lambda: np.stack(np.mgrid[-20:21, -9:10], axis=-1).reshape(-1, 2).astype(float),
    "correlated": lambda: _normal(800) @ np.array([[1.0, 0.99], [0.0, 0.1]]),
    "correlated the other way": lambda: _normal(800) @ np.array([[1.0, -0.8], [0.0, 0.3]]),
    "thin": lambda: _normal(800) * [1000.0, 0.001],
    "heavy tails": lambda: np.random.default_rng(0).standard_t(2, size=(800, 2)),
    "no variance": lambda: np.random.default_rng(0).standard_cauchy(size=(800, 2)),
    "clusters far apart": lambda: np.concatenate([_normal(300) * 0.01 + c for c in ([0, 0], [1000, 0], [-30, 5000])]),
    "copies": lambda: np.repeat(_normal(50), 20, axis=0),
    "copies of three points": lambda: np.repeat(_normal(3), [1, 100, 1000], axis=0),
    "far from zero": lambda: np.array([500.0, -2000.0]) + _normal(800),
    "tiny": lambda: _normal(800) * 1e-6,
    "one far away": lambda: np.concatenate([_normal(800), [[50.0, -50.0]]]),
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_densities_and_replicas_are_scipys(cloud: str) -> None:
    points = CLOUDS[cloud]()
    expected = _scipy(points)
    # Differences are 2e-12 at most, and 2e-13 but for two clouds; what is promised is 1e-9.
    np.testing.assert_allclose(density(points), expected, rtol=1e-11, atol=0)
    for typical in np.quantile(expected, [0.05, 0.3, 0.5, 0.9]):
        found = density(_scaled(points, float(typical), 0.05), LPFF_THRESHOLDS)
        assert lpff_replicas(found).tolist() == lpff_replicas(expected * (0.05 / typical)).tolist()


def _spread(points: Points) -> bool:
    """Whether rounding of coordinates and of their covariance hardly matters, to scipy's densities as to ours."""
    covariance = np.cov(points.T)
    variances = covariance[0, 0] * covariance[1, 1]
    return bool(np.diag(covariance).min() > 1e-6 and np.linalg.det(covariance) > 1e-4 * variances)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4)), min_size=3, max_size=40))
def test_any_points_have_scipys_density(given_points: list[tuple[float, float]]) -> None:
    points = np.array(given_points)
    assume(_spread(points))
    np.testing.assert_allclose(density(points), _scipy(points), rtol=1e-10, atol=0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(20, 400),
    shear=st.floats(-3, 3),
    width=st.floats(0.1, 10),
    degrees_of_freedom=st.sampled_from([1, 2, 5, 1000]),
    copies=st.integers(1, 3),
)
def test_any_cloud_has_scipys_density(
    seed: int, count: int, shear: float, width: float, degrees_of_freedom: int, copies: int
) -> None:
    drawn = np.random.default_rng(seed).standard_t(degrees_of_freedom, size=(count, 2))
    points = np.tile(drawn @ np.array([[1.0, shear], [0.0, width]]), (copies, 1))
    assume(_spread(points))
    np.testing.assert_allclose(density(points), _scipy(points), rtol=1e-10, atol=0)


# Near a threshold.


# A picture among others, the rarest one, and one of many at the same pose.
CROWDED = np.concatenate([_poses(100), np.repeat(_poses(100)[[5, 105]], 40, axis=0)])
CROWDED_DENSITY = _scipy(CROWDED)
ROWS = [0, int(CROWDED_DENSITY.argmin()), 5]


def _beside(threshold: float, offset: float, row: int) -> Points:
    """The crowd, scaled so that the row's density is beside the threshold by a relative offset."""
    return _scaled(CROWDED, float(CROWDED_DENSITY[row]), threshold * (1 + offset))


@pytest.mark.parametrize("threshold", LPFF_THRESHOLDS)
@pytest.mark.parametrize("row", ROWS)
def test_replicas_are_scipys_beside_a_threshold(threshold: float, row: int) -> None:
    for offset in (-1e-10, -1e-11, -1e-12, 1e-12, 1e-11, 1e-10):
        points = _beside(threshold, offset, row)
        expected = lpff_replicas(_scipy(points))
        assert lpff_replicas(density(points, LPFF_THRESHOLDS)).tolist() == expected.tolist()


def _off_by(monkeypatch: pytest.MonkeyPatch, error: float) -> None:
    """Sums that are wrong by a relative error."""
    monkeypatch.setattr(module, "kernel_sums", lambda white: kernel_sums(white) * (1 + error))


@pytest.mark.parametrize("threshold", LPFF_THRESHOLDS)
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("size", [1e-10, 0.99e-9])
def test_no_error_up_to_the_tolerance_changes_a_count(
    monkeypatch: pytest.MonkeyPatch, threshold: float, row: int, size: float
) -> None:
    for share, sign in product((0.01, 0.9), (-1, 1)):
        # On one side of the threshold, and by its error on the other.
        points = _beside(threshold, sign * share * size, row)
        expected = lpff_replicas(_scipy(points))
        _off_by(monkeypatch, -sign * size)
        assert lpff_replicas(density(points)).tolist() != expected.tolist()
        assert lpff_replicas(density(points, LPFF_THRESHOLDS)).tolist() == expected.tolist()


def test_densities_near_a_threshold_are_exact_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    points = _beside(0.03, 1e-11, 5)
    exact = _scipy(points)
    _off_by(monkeypatch, 5e-10)
    unlike, again = density(points), density(points, LPFF_THRESHOLDS)
    near = np.abs(exact / 0.03 - 1) < 1e-10
    assert near.sum() == 82 < len(points) / 2
    np.testing.assert_allclose(again[near], exact[near], rtol=5e-14, atol=0)
    np.testing.assert_array_equal(again[~near], unlike[~near])


def test_any_densities_may_be_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [5, 0, ROWS[1], 17, 60, 130]
    _off_by(monkeypatch, -5e-10)
    found = density(CROWDED, CROWDED_DENSITY[rows].tolist())
    np.testing.assert_allclose(found[rows], CROWDED_DENSITY[rows], rtol=5e-14, atol=0)


def test_few_kernels_are_evaluated_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    one_by_one = module._one_by_one

    def counted(white: Points, at: Points) -> Numbers:
        asked.append(len(at))
        return one_by_one(white, at)

    monkeypatch.setattr(module, "_one_by_one", counted)
    density(CROWDED, LPFF_THRESHOLDS)
    assert asked == []
    density(_beside(0.02, 0, ROWS[1]), LPFF_THRESHOLDS)
    assert asked == [2]


# Symmetries.


@pytest.mark.parametrize(
    ("matrix", "shift"),
    [
        ([[1, 0], [0, 1]], [3.0, -5.0]),
        ([[1, 0], [0, 1]], [-1000.0, 1000.0]),
        ([[-1, 0], [0, 1]], [np.pi, 0]),
        ([[1, 0], [0, -1]], [0, np.pi]),
        ([[0, 1], [1, 0]], [0, 0]),
        ([[0.6, -0.8], [0.8, 0.6]], [0, 0]),
        ([[0, -1], [1, 0]], [1.0, 2.0]),
        ([[1, 2], [0, 1]], [0, 0]),
        ([[1, 0], [-3, 1]], [0.1, 0.2]),
    ],
)
@pytest.mark.parametrize("cloud", ["poses", "heavy tails", "copies", "three points"])
def test_moving_turning_mirroring_and_shearing_keep_densities(
    cloud: str, matrix: list[list[float]], shift: list[float]
) -> None:
    points = CLOUDS[cloud]()
    np.testing.assert_allclose(density(points @ np.array(matrix) + shift), density(points), rtol=1e-11, atol=0)


@pytest.mark.parametrize("scale", [(2.0, 2.0), (1e-3, 1e-3), (180 / np.pi, 180 / np.pi), (10.0, 0.1), (-5.0, 3.0)])
def test_densities_are_per_unit_of_area(scale: tuple[float, float]) -> None:
    points = _poses()
    area = abs(scale[0] * scale[1])
    np.testing.assert_allclose(density(points * scale) * area, density(points), rtol=1e-11, atol=0)


def test_a_picture_and_its_mirror_have_one_density() -> None:
    originals, mirrors = np.split(density(_poses()), 2)
    np.testing.assert_allclose(originals, mirrors, rtol=1e-12, atol=0)


def test_the_order_of_points_and_of_memory_does_not_matter() -> None:
    points = _poses()
    found = density(points)
    order = np.random.default_rng(1).permutation(len(points))
    np.testing.assert_allclose(density(points[order]), found[order], rtol=1e-13, atol=0)
    np.testing.assert_allclose(density(np.asfortranarray(points)), found, rtol=1e-13, atol=0)


def test_points_are_left_as_they_are() -> None:
    points = _poses()
    density(points, LPFF_THRESHOLDS)
    np.testing.assert_array_equal(points, _poses())


# The sums.

TILE_WIDTH = module.TILE * module.STEP
ANYWHERE = np.random.default_rng(0)

SUMS: dict[str, Points] = {
    "one point": np.zeros((1, 2)),
    "two points": np.array([[0.0, 0.0], [6.0, 0.0]]),
    "a narrow cloud": _normal(2000) * 0.01,
    "a cloud": _normal(2000),
    "a wide cloud": _normal(2000) * 5,
    "a plane": ANYWHERE.uniform(-30, 30, size=(2000, 2)),
    "far points": ANYWHERE.uniform(-3000, 3000, size=(1000, 2)),
    "corners of tiles": ANYWHERE.integers(-4, 5, size=(1000, 2)) * TILE_WIDTH,
    "beside corners of tiles": ANYWHERE.integers(-4, 5, size=(1000, 2)) * TILE_WIDTH
    + ANYWHERE.choice([-1e-9, -1e-15, 1e-15, 1e-9], size=(1000, 2)),
    "nodes": ANYWHERE.integers(-50, 50, size=(1000, 2)) * module.STEP,
    "between nodes": (ANYWHERE.integers(-50, 50, size=(1000, 2)) + 0.5) * module.STEP,
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_are_those_of_all_kernels(name: str) -> None:
    white = SUMS[name]
    np.testing.assert_allclose(kernel_sums(white), _direct(white, white), rtol=1e-12, atol=0)


@pytest.mark.parametrize("start", [0.0, 1.7, 3.6, 5.5, TILE_WIDTH - 1e-9])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("way", [-1, 1])
def test_a_lone_point_beside_a_crowd_is_as_exact(start: float, axis: int, way: int) -> None:
    lone = np.zeros((60, 2))
    lone[:, axis] = way * np.arange(1, 61) * 0.25
    white = np.concatenate([np.zeros((10_000, 2)), lone]) + start
    found = kernel_sums(white)[10_000:]
    expected = 10_000 * np.exp(-np.square(lone).sum(axis=1) / 2) + _direct(lone, lone)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("distance", [16.0, 1e4, 1e8, 1e12])
def test_a_point_far_from_all_others_has_its_own_kernel_alone(distance: float) -> None:
    sums = kernel_sums(_at(100, (distance, -distance), (-distance, 0.0)))
    np.testing.assert_allclose(sums[-2:], 1, rtol=1e-12, atol=0)
    np.testing.assert_allclose(sums[:-2], 100, rtol=1e-12, atol=0)


# Memory.


def _peak(work: Callable[[], object]) -> float:
    """The most memory that was held at once, in megabytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_far_points_take_little_memory() -> None:
    crowd = _normal(3000)
    assert _peak(lambda: kernel_sums(np.concatenate([crowd, [[1e4, 0.0], [-1e4, 1e4], [1e9, -1e9]]]))) < 10
    assert _peak(lambda: density(np.concatenate([crowd, [[1e6, -1e6]]]), LPFF_THRESHOLDS)) < 10


def test_heavy_tails_take_little_memory() -> None:
    points = np.random.default_rng(0).standard_cauchy(size=(20_000, 2))
    assert _peak(lambda: density(points, LPFF_THRESHOLDS)) < 200


def test_points_all_far_apart_take_memory_by_their_number() -> None:
    white = ANYWHERE.uniform(-1e5, 1e5, size=(1000, 2))
    assert _peak(lambda: kernel_sums(white)) < 40


# Clouds without a density.

HALF_PI = np.pi / 2
ROUNDING = np.random.default_rng(0).integers(-2, 3, size=(50, 2)) * 2.0**-52


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        (np.empty((0, 2)), "needs three cameras or more, not 0"),
        (np.array([[1.0, 2.0]]), "needs three cameras or more, not 1"),
        (np.array([[1.0, 2.0], [2.0, 3.5]]), "needs three cameras or more, not 2"),
        (np.full((3, 2), HALF_PI), "the 3 cameras lie at one pose or on one line of poses"),
        (np.full((1000, 2), 0.1), "the 1000 cameras lie at one pose"),
        (HALF_PI + ROUNDING, "the 50 cameras lie at one pose"),
        (_line(100, 0, slope=0.0), "the 100 cameras lie at one pose or on one line of poses"),
        (_line(100, 0)[:, ::-1] * [0.0, 1.0] + 1.5, "the 100 cameras lie at one pose or on one line of poses"),
        (_line(50, 0, slope=0.0) + [0.0, HALF_PI] + ROUNDING * [0, 1], "on one line"),
        (_line(50, 0, slope=0.0)[:, ::-1] + [HALF_PI, 0.0] + ROUNDING * [1, 0], "on one line"),
        (_line(100, 0), "on one line"),
        (np.array([0.1, HALF_PI]) + _line(100, 0, slope=-0.3), "on one line"),
        (_line(100, 0, slope=1e-3) * 1e-3 + 1.0, "on one line"),
        (_line(100, 1e-8), "on one line"),
        (np.array([[0.1, 0.2], [0.3, 0.6], [0.7, 1.4]]), "the 3 cameras lie at one pose or on one line"),
        (np.repeat([[1.0, 2.0], [1.5, 1.0]], 20, axis=0), "the 40 cameras lie at one pose or on one line"),
    ],
)
def test_points_that_do_not_spread_have_no_density(points: Points, fault: str) -> None:
    with pytest.raises(ShardsError, match=fault) as raised:
        density(points, LPFF_THRESHOLDS)
    assert "--rebalance none" in raised.value.hint


@pytest.mark.parametrize("slope", [0.0, 1.0, -0.3])
@pytest.mark.parametrize("jitter", [1e-3, 1e-4, 1e-5])
def test_points_near_a_line_have_scipys_counts(jitter: float, slope: float) -> None:
    points = _line(1000, jitter, slope)
    points = _scaled(points, float(np.median(_scipy(points))), 0.07)
    expected = lpff_replicas(_scipy(points))
    assert len(np.unique(expected)) >= 4
    assert lpff_replicas(density(points, LPFF_THRESHOLDS)).tolist() == expected.tolist()


# FFHQ itself.


@pytest.fixture(scope="module")
def ffhq(shared_data: Path) -> Points:
    """The angles of the published cameras."""
    return np.ascontiguousarray(np.load(shared_data / "ffhq_eg3d_theta_phi.npy").T)


@pytest.fixture(scope="module")
def ffhq_density(ffhq: Points) -> Numbers:
    return density(ffhq, LPFF_THRESHOLDS)


def _scipy_at(points: Points, rows: NDArray[np.int64]) -> Numbers:
    """What scipy finds, which would take minutes for all rows; its covariance is that of all points."""
    found: Numbers = gaussian_kde(points.T)(points[rows].T)
    return found


def test_ffhqs_densities_are_scipys(ffhq: Points, ffhq_density: Numbers) -> None:
    rows = np.random.default_rng(0).choice(len(ffhq), 200, replace=False)
    factor = np.linalg.cholesky(np.cov(ffhq.T) * len(ffhq) ** (-1 / 3))
    white = np.linalg.solve(factor, ffhq.T).T
    direct = _direct(white, white[rows]) / (2 * np.pi * np.linalg.det(factor) * len(ffhq))
    np.testing.assert_allclose(ffhq_density[rows], direct, rtol=1e-11, atol=0)
    np.testing.assert_allclose(ffhq_density[rows[:50]], _scipy_at(ffhq, rows[:50]), rtol=1e-11, atol=0)


def test_ffhqs_counts_are_scipys_where_they_are_closest_to_changing(ffhq: Points, ffhq_density: Numbers) -> None:
    distance = np.min([np.abs(ffhq_density / threshold - 1) for threshold in LPFF_THRESHOLDS], axis=0)
    rows = np.argsort(distance)[:60]
    expected = lpff_replicas(_scipy_at(ffhq, rows))
    assert lpff_replicas(ffhq_density[rows]).tolist() == expected.tolist()
    assert set(expected.tolist()) == {1, 2, 3, 4, 5, 6}


def test_ffhq_takes_little_memory(ffhq: Points) -> None:
    assert _peak(lambda: density(ffhq, LPFF_THRESHOLDS)) < 200
