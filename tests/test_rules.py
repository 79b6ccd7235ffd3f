"""The rules of rebalancing: from densities and yaws to counts, weights and copies; poses and how even they are."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpff_shards import ShardsError
from lpff_shards.planning import rebalance as rules
from lpff_shards.planning.rebalance import (
    LPFF_THRESHOLDS,
    UNIT,
    angle_bins,
    angles,
    arc_replicas,
    effective_size,
    entropy,
    lpff_replicas,
    rounded,
    uniform_weights,
    whole,
)
from lpff_shards.schemas.camera import yaw_pitch

Numbers = NDArray[np.float64]

LESS, MORE = 1 - 1e-12, 1 + 1e-12
RADIUS = 2.7


def pose_bins(centers: Numbers) -> NDArray[np.int64]:
    return angle_bins(np.degrees(yaw_pitch(centers)))


# LPFF's rule.


@pytest.mark.parametrize(
    ("density", "count"),
    [
        (1e-300, 6),
        (0.001, 6),
        (0.0199, 6),
        (math.nextafter(0.02, 0), 6),
        (0.02, 5),
        (math.nextafter(0.02, 1), 5),
        (0.025, 5),
        (math.nextafter(0.03, 0), 5),
        (0.03, 4),
        (0.06, 4),
        (0.24 / 3.5 * LESS, 4),
        (0.24 / 3.5 * MORE, 3),
        (0.08, 3),
        (0.24 / 2.5 * LESS, 3),
        # To even, here and at 1.5: 2.5 and 1.5 are both rounded to 2.
        (0.24 / 2.5, 2),
        (0.24 / 2.5 * MORE, 2),
        (0.12, 2),
        (0.24 / 1.5 * LESS, 2),
        (0.24 / 1.5, 2),
        (0.24 / 1.5 * MORE, 1),
        (0.24, 1),
        (0.48, 1),
        (7.0, 1),
        (1e300, 1),
    ],
)
def test_lpffs_rule(density: float, count: int) -> None:
    assert lpff_replicas(np.array([density])).tolist() == [count]


def _published(density: float) -> int:
    """The published script, line by line."""
    if density < 0.02:
        return 6
    if density < 0.03:
        return 5
    return min(max(round(0.24 / density), 1), 4)


@settings(deadline=None)
@given(st.lists(st.floats(1e-9, 0.3) | st.floats(1e-9, 1e9) | st.sampled_from([0.24 / (n / 2) for n in range(1, 30)])))
def test_lpffs_rule_is_the_published_one(density: list[float]) -> None:
    assert lpff_replicas(np.array(density, np.float64)).tolist() == [_published(f) for f in density]


def test_lpffs_rule_changes_at_its_thresholds_and_nowhere_else() -> None:
    edges = np.array([1e-6, *LPFF_THRESHOLDS, 1e6])
    assert (np.diff(edges) > 0).all()
    between = np.linspace(edges[:-1] * MORE, edges[1:] * LESS, 1000)
    assert [np.unique(counts).tolist() for counts in lpff_replicas(between).T] == [[6], [5], [4], [3], [2], [1]]


# EG3D's rule.

ARCS = [16, 8, 4, 2, 1, 2, 4, 8, 16]


@pytest.mark.parametrize(("low", "width"), [(0.0, 1.0), (-4.5, 1.0), (-0.9, 0.2), (-1.3, 0.25), (2.0, 1e-3)])
def test_nine_arcs(low: float, width: float) -> None:
    high = low + 9 * width
    middles = low + width * (np.arange(9) + 0.5)
    first, last = low + width * (np.arange(9) + 1e-6), low + width * (np.arange(1, 10) - 1e-6)
    assert arc_replicas(middles, low, high).tolist() == ARCS
    assert arc_replicas(first, low, high).tolist() == ARCS
    assert arc_replicas(last, low, high).tolist() == ARCS
    assert arc_replicas(np.array([low, high]), low, high).tolist() == [16, 16]


def test_an_arc_has_its_lower_edge() -> None:
    assert arc_replicas(np.arange(10.0), 0, 9).tolist() == [*ARCS, 16]


def test_arcs_are_of_the_whole_set_not_of_these_yaws() -> None:
    assert arc_replicas(np.array([4.0, 4.5, 5.5]), 0, 9).tolist() == [1, 1, 2]


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.3), (0.0, 0.0), (np.inf, -np.inf)])
def test_one_yaw_makes_no_arcs(low: float, high: float) -> None:
    with pytest.raises(ShardsError, match="all cameras have one yaw, which makes no arcs"):
        arc_replicas(np.full(3, low), low, high)


def _centers(theta: Numbers, phi: Numbers) -> Numbers:
    """Camera centers on the sphere, [n, 3]."""
    center = [np.cos(theta), np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi)]
    return RADIUS * np.stack(center, axis=1)


@pytest.mark.parametrize("side", [1, -1])
def test_eg3ds_file_differs_from_its_rule_in_2898_pictures(shared_data: Path, side: int) -> None:
    centers = _centers(*np.load(shared_data / "ffhq_eg3d_theta_phi.npy")) * [side, 1, 1]
    published = json.loads((shared_data / "FFHQ_num_replicas.json").read_text())
    yaw = yaw_pitch(centers)[:, 0]
    counts = arc_replicas(yaw, yaw.min(), yaw.max())
    assert len(counts) == len(published) == 139_914
    assert (counts != [published[str(index)] for index in range(len(counts))]).sum() == 2898


# Weights towards flat poses.

CAPS = st.integers(1, 64)
ALPHAS = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)
DENSITIES = st.lists(st.just(0.0) | st.floats(-12, 5).map(lambda power: 10**power), min_size=1, max_size=60)


def _exact(density: Numbers, alpha: float) -> Numbers:
    """density^-alpha, 1 at the largest; 0 counts as the largest."""
    known = np.where(density > 0, density, density.max())
    return np.ones(len(density)) if density.max() == 0 else (density.max() / known) ** alpha


@settings(deadline=None)
@given(DENSITIES, ALPHAS, CAPS)
def test_weights_are_proportional_up_to_the_cap(density: list[float], alpha: float, cap: int) -> None:
    given_densities = np.array(density)
    weights = uniform_weights(given_densities, alpha, cap, None)
    exact = np.minimum(_exact(given_densities, alpha), cap)
    assert weights.max() <= cap
    np.testing.assert_allclose(weights, exact, rtol=2**-17 + 1e-12, atol=0)
    assert (weights * UNIT % 1 == 0).all()
    np.testing.assert_array_equal(weights, rounded(weights))
    assert weights[given_densities == given_densities.max()].tolist() == [1] * density.count(max(density))
    assert (weights[given_densities == 0] == 1).all()


def _flat_to(raw: Numbers, cap: int, target: int) -> Numbers:
    """min(s * raw, cap), for the s that makes it add up to the target, by halving."""
    low, high = 0.0, cap / raw.min()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if np.minimum(middle * raw, cap).sum() > target else (middle, high)
    return np.minimum(high * raw, cap)


@settings(deadline=None)
@given(DENSITIES, ALPHAS, CAPS, st.floats(0, 1))
def test_weights_add_up_to_the_target(density: list[float], alpha: float, cap: int, share: float) -> None:
    given_densities = np.array(density)
    target = max(1, round(share * cap * len(density)))
    weights = uniform_weights(given_densities, alpha, cap, target)
    units = weights * UNIT
    assert (units % 1 == 0).all()
    assert int(units.astype(np.int64).sum()) == target * UNIT
    assert 0 <= weights.min() <= weights.max() <= cap
    expected = _flat_to(_exact(given_densities, alpha), cap, target)
    # Powers are rounded to 17 digits, which moves s by as much; then weights are made whole and exact in units.
    assert (np.abs(weights - expected) <= 2**-16 * expected + 2 / UNIT).all()


@pytest.mark.parametrize(
    ("density", "alpha", "cap", "target", "expected"),
    [
        ([4, 1], 0.5, 8, None, [1, 2]),
        ([4, 1], 1, 8, None, [1, 4]),
        ([4, 1], 1, 3, None, [1, 3]),
        ([4, 1, 4, 0], 1, 8, None, [1, 4, 1, 1]),
        ([0, 0], 1, 8, None, [1, 1]),
        ([4, 1], 0, 8, None, [1, 1]),
        ([], 0.5, 8, None, []),
        ([4, 1], 1, 8, 10, [2, 8]),
        ([4, 1], 1, 8, 5, [1, 4]),
        ([4, 1], 1, 8, 1, [0.2, 0.8]),
        ([4, 1], 1, 8, 12, [4, 8]),
        ([4, 1], 1, 8, 16, [8, 8]),
        ([4, 2, 1], 1, 8, 17, [3, 6, 8]),
        ([4, 2, 1], 1, 8, 22, [6, 8, 8]),
        ([4, 1, 4, 0], 1, 8, 14, [2, 8, 2, 2]),
        ([0, 0], 1, 8, 3, [1.5, 1.5]),
        ([9, 1], 0, 8, 5, [2.5, 2.5]),
        ([9, 1], 1, 1, 2, [1, 1]),
    ],
)
def test_weights(density: list[float], alpha: float, cap: int, target: int | None, expected: list[float]) -> None:
    weights = uniform_weights(np.array(density, np.float64), alpha, cap, target)
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1 / UNIT)
    assert target is None or weights.sum() == target


@pytest.mark.parametrize(("count", "cap", "target"), [(2, 8, 17), (1, 1, 2), (0, 8, 1)])
def test_a_target_beyond_the_cap(count: int, cap: int, target: int) -> None:
    with pytest.raises(ShardsError, match=f"--target-size {target} is more than {count} pictures of {cap} replicas"):
        uniform_weights(np.ones(count), 0.5, cap, target)


def test_many_small_weights_add_up_exactly() -> None:
    density = np.random.default_rng(0).lognormal(size=50_000)
    for target in (1, 999, 50_000, 399_999, 400_000):
        weights = uniform_weights(density, 0.5, 8, target)
        assert weights.sum() == target
        assert weights.max() <= 8


@pytest.mark.parametrize("target", [None, 5000])
def test_weights_do_not_depend_on_the_last_digits_of_densities(target: int | None) -> None:
    random = np.random.default_rng(0)
    density = random.lognormal(size=1000)
    shaken = density * (1 + random.uniform(-1e-14, 1e-14, size=1000))
    assert (shaken != density).any()
    weights = uniform_weights(density, 0.5, 8, target)
    np.testing.assert_array_equal(uniform_weights(shaken, 0.5, 8, target), weights)


# Weights as copies.

UNITS = st.integers(0, 8 * UNIT) | st.integers(0, 8).map(lambda n: n * UNIT) | st.integers(0, 3)
SEEDS = st.integers(0, 2**63 - 1)


@settings(deadline=None)
@given(st.lists(UNITS, max_size=60), SEEDS)
def test_copies_are_weights_rounded_down_or_up(units: list[int], seed: int) -> None:
    weights = np.array(units, np.float64) / UNIT
    copies = whole(weights, seed)
    assert copies.dtype == np.int64
    assert ((np.floor(weights) == copies) | (np.ceil(weights) == copies)).all()


@settings(deadline=None)
@given(st.lists(UNITS, max_size=60), SEEDS)
def test_any_neighbors_have_their_weights_within_one(units: list[int], seed: int) -> None:
    ahead = np.cumsum([0, *(whole(np.array(units, np.float64) / UNIT, seed) * UNIT - np.array(units, np.int64))])
    # The largest difference of two such sums is that of the worst run between them.
    assert ahead.max() - ahead.min() < UNIT


@settings(deadline=None)
@given(st.lists(UNITS, max_size=60), SEEDS)
def test_a_whole_total_is_kept(units: list[int], seed: int) -> None:
    units = [*units, -sum(units) % UNIT]
    assert whole(np.array(units, np.float64) / UNIT, seed).sum() == sum(units) // UNIT


def test_a_mean_number_of_copies_is_the_weight() -> None:
    weights = np.concatenate([[1, 2.25, 0, 0.5, 0.125, 7.875, 8], np.random.default_rng(0).uniform(0.1, 4, size=40)])
    weights = np.round(weights * UNIT) / UNIT
    seeds = range(2000)
    mean = np.mean([whole(weights, seed) for seed in seeds], axis=0)
    # Copies are the weight's whole part and one more with its fraction's probability.
    fraction = weights % 1
    standard_error = np.sqrt(fraction * (1 - fraction) / len(seeds))
    assert (np.abs(mean - weights) <= 5 * standard_error).all()


def test_starts_are_spread_over_the_unit() -> None:
    # A sixteenth each: the one copy tells which sixteenth of the unit the start is in.
    drawn = np.sum([whole(np.full(16, 1 / 16), seed) for seed in range(1600)], axis=0)
    assert drawn.sum() == 1600
    assert (np.abs(drawn - 100) <= 5 * np.sqrt(1600 * 1 / 16 * 15 / 16)).all()


def test_over_all_starts_a_mean_number_of_copies_is_exactly_the_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "UNIT", 64)
    units = np.array([32, 1, 63, 64, 0, 100, 7, 128, 511, 2])
    copies = np.zeros(len(units), np.int64)
    for start in range(64):
        digest = SimpleNamespace(digest=partial(start.to_bytes, 4, "little"))
        monkeypatch.setattr(rules, "hashlib", SimpleNamespace(blake2b=lambda *_, digest=digest, **__: digest))
        copies += whole(units / 64, 0)
    assert copies.tolist() == units.tolist()


def test_all_of_a_seed_counts() -> None:
    # One copy among 1024 pictures, whose place tells the start to one in 1024.
    places = [int(whole(np.full(1024, 1 / 1024), 1 << bit).argmax()) for bit in range(63)]
    assert len(set(places)) > 55


def test_copies_follow_their_seed() -> None:
    weights = np.full(100, 0.375)
    drawn = [whole(weights, seed).tolist() for seed in (0, 0, 1, 2, 3, 2**63 - 1)]
    assert drawn[0] == drawn[1]
    assert len({tuple(copies) for copies in drawn}) > 2


def test_copies_never_change() -> None:
    weights = np.array([0.5, 0.25, 1.5, 3.0, 0.75, 0.125, 2.875])
    assert [whole(weights, seed).tolist() for seed in (0, 2)] == [[1, 0, 1, 3, 1, 0, 3], [1, 0, 2, 3, 0, 1, 2]]


# Seventeen binary digits.

DIGITS = st.floats(2.0**-120, 2.0**120) | st.floats(0.001, 1000)


@given(DIGITS, st.sampled_from([-1, 1]))
def test_rounding_is_to_the_nearest_of_17_digits(size: float, sign: int) -> None:
    (short,) = rounded(np.array([sign * size])).tolist()
    # mantissa * 2^exponent with a mantissa from a half to one, so that its 17th digit is worth 2^(exponent - 17).
    _, exponent = math.frexp(size)
    assert short * 2.0 ** (17 - exponent) == sign * round(size * 2.0 ** (17 - exponent))
    assert abs(short - sign * size) <= 2.0 ** (exponent - 18)
    assert abs(short - sign * size) < 2**-17 * size


@given(DIGITS)
def test_rounded_numbers_stay_and_are_the_same_in_float32(size: float) -> None:
    short = rounded(np.array([size]))
    np.testing.assert_array_equal(rounded(short), short)
    np.testing.assert_array_equal(short.astype(np.float32).astype(np.float64), short)


@given(DIGITS, DIGITS)
def test_rounding_keeps_order(first: float, second: float) -> None:
    one, two = rounded(np.array([first, second]))
    assert (one <= two) if first <= second else (one >= two)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, 0.0),
        (1.0, 1.0),
        (1 + 2**-16, 1 + 2**-16),
        # Halves go to even digits.
        (1 + 2**-17, 1.0),
        (1 + 3 * 2**-17, 1 + 2**-15),
        (1 + 2**-17 + 2**-40, 1 + 2**-16),
        (2 - 2**-18, 2.0),
        (2 - 2**-16, 2 - 2**-16),
        (131_071.0, 131_071.0),
        (131_073.0, 131_072.0),
        (-0.1, -104_858 / 2**20),
    ],
)
def test_rounding(value: float, expected: float) -> None:
    assert rounded(np.array([value])).tolist() == [expected]


def test_rounding_hides_the_last_digits() -> None:
    values = np.random.default_rng(0).lognormal(size=10_000)
    np.testing.assert_array_equal(rounded(values * (1 + 1e-14)), rounded(values * (1 - 1e-14)))


# Evenness.


@pytest.mark.parametrize("count", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("weight", [1.0, 0.1, 1000.0])
def test_flat_poses_have_the_entropy_of_their_bins(count: int, weight: float) -> None:
    bins = np.repeat(np.arange(count) * 7 - 50, 3)
    assert entropy(bins, np.full(len(bins), weight)) == pytest.approx(math.log2(count), abs=1e-12)


@pytest.mark.parametrize(
    ("bins", "weights", "expected"),
    [
        ([0, 1], [1.0, 3.0], 2 - 0.75 * math.log2(3)),
        ([0, 1, 2], [2.0, 1.0, 1.0], 1.5),
        ([5, -5, 5, -5], [1.0, 0.0, 0.0, 1.0], 1),
        ([0, 1, 2], [1.0, 0.0, 1.0], 1),
        ([3, 3, 9], [0.5, 0.5, 1.0], 1),
        ([4, 4], [1.0, 5.0], 0),
    ],
)
def test_entropy(bins: list[int], weights: list[float], expected: float) -> None:
    assert entropy(np.array(bins), np.array(weights)) == pytest.approx(expected, abs=1e-12)


def test_one_bin_has_no_entropy_and_no_sign() -> None:
    assert str(entropy(np.full(5, 3), np.ones(5))) == "0.0"


WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=50)


@given(WEIGHTS, st.integers(0, 2**32), st.floats(0.001, 1000))
def test_entropy_is_of_shares(weights: list[float], seed: int, scale: float) -> None:
    bins = np.random.default_rng(seed).integers(-3, 4, size=len(weights))
    found = entropy(bins, np.array(weights))
    assert entropy(bins, scale * np.array(weights)) == pytest.approx(found, abs=1e-9)
    assert 0 <= found <= math.log2(len(np.unique(bins))) + 1e-9


@pytest.mark.parametrize(
    ("weights", "expected"), [([1, 1, 1], 3), ([5, 5], 2), ([0, 7, 0], 1), ([4], 1), ([1, 3], 1.6), ([], 0)]
)
def test_effective_size(weights: list[float], expected: float) -> None:
    assert effective_size(np.array(weights, np.float64)) == pytest.approx(expected, rel=1e-12)


@given(WEIGHTS, st.floats(0.001, 1000))
def test_effective_size_is_between_one_and_all(weights: list[float], scale: float) -> None:
    found = effective_size(np.array(weights))
    assert 1 - 1e-9 <= found <= len(weights) + 1e-9
    assert effective_size(scale * np.array(weights)) == pytest.approx(found, rel=1e-9)


# Poses.


def _published_angles(centers: Numbers) -> Numbers:
    """The published script's formulas."""
    x, y, z = centers.T
    phi = np.arctan2(z, y)
    return np.stack([np.arctan2(y / np.cos(phi), x), phi], axis=1)


SPHERE = np.random.default_rng(0).normal(size=(2000, 3))
SPHERE *= RADIUS / np.linalg.norm(SPHERE, axis=1, keepdims=True)


def test_angles_are_the_published_ones_but_at_the_horizon() -> None:
    centers = SPHERE[np.abs(SPHERE[:, 1]) > 1e-3]
    assert len(centers) > 1900
    np.testing.assert_allclose(angles(centers), _published_angles(centers), rtol=0, atol=1e-12)


def test_angles_lead_back_to_the_center() -> None:
    theta, phi = angles(SPHERE).T
    assert theta.min() >= 0
    assert theta.max() <= np.pi
    np.testing.assert_allclose(_centers(theta, phi), SPHERE, rtol=0, atol=1e-14)


HALF = math.pi / 2


@pytest.mark.parametrize(
    ("center", "expected"),
    [
        ((0, 0, 2.7), (HALF, HALF)),
        ((0, 0, -2.7), (HALF, -HALF)),
        ((1, 0, 1), (HALF / 2, HALF)),
        ((-1, 0, 1), (3 * HALF / 2, HALF)),
        ((1, 0, -1), (HALF / 2, -HALF)),
        ((2.7, 0, 0), (0, 0)),
        ((-2.7, 0, 0), (2 * HALF, 0)),
        ((0, 2.7, 0), (HALF, 0)),
        ((1, -1, 0), (HALF / 2, 2 * HALF)),
    ],
)
def test_angles_at_and_off_the_horizon(center: tuple[float, float, float], expected: tuple[float, float]) -> None:
    np.testing.assert_allclose(angles(np.array([center], np.float64)), [expected], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("center", "yaw", "pitch"),
    [
        ((0, 0, 2.7), 0, 0),
        ((1, 0, 1), 45, 0),
        ((-1, 0, 1), -45, 0),
        ((2, 0, 0), 90, 0),
        ((1, 0, -1), 135, 0),
        ((0, 1, 1), 0, 45),
        ((0, -1, 1), 0, -45),
        ((3, 5, 4), 36.8698976458, 45),
        ((0, 1, -1), 180, 45),
        ((0, 2, 0), 0, 90),
    ],
)
def test_yaw_and_pitch(center: tuple[float, float, float], yaw: float, pitch: float) -> None:
    np.testing.assert_allclose(np.degrees(yaw_pitch(np.array([center], np.float64))), [[yaw, pitch]], atol=1e-9)


def test_a_mirror_turns_yaw_and_theta_about_and_keeps_pitch_and_phi() -> None:
    mirrored = SPHERE * [-1, 1, 1]
    np.testing.assert_allclose(yaw_pitch(mirrored), yaw_pitch(SPHERE) * [-1, 1], rtol=0, atol=1e-14)
    np.testing.assert_allclose(angles(mirrored), np.array([np.pi, 0]) + angles(SPHERE) * [-1, 1], rtol=0, atol=1e-14)


def _looking(yaw: Numbers, pitch: Numbers) -> Numbers:
    """Centers of cameras at yaws and pitches in degrees."""
    yaw, pitch = np.radians(yaw), np.radians(pitch)
    center = [np.cos(pitch) * np.sin(yaw), np.sin(pitch), np.cos(pitch) * np.cos(yaw)]
    return RADIUS * np.stack(center, axis=-1).reshape(-1, 3)


YAWS, PITCHES = np.meshgrid(np.arange(-180.0, 180, 10), np.arange(-90.0, 90, 10), indexing="ij")


def test_bins_are_ten_degrees_wide_and_high() -> None:
    corners = [pose_bins(_looking(YAWS + i, PITCHES + j)) for i in (0.01, 9.99) for j in (0.01, 9.99)]
    assert all((bins == corners[0]).all() for bins in corners)
    assert len(np.unique(corners[0])) == 36 * 18


def test_bins_are_in_rows_of_equal_yaw() -> None:
    bins = pose_bins(_looking(YAWS + 5, PITCHES + 5))
    assert (np.diff(bins) > 0).all()


def test_no_two_poles_or_backs_share_a_bin_with_others() -> None:
    """At 180 degrees of yaw and 90 of pitch, the upper ends, bins are of their own and still no other's."""
    inside = set(pose_bins(_looking(YAWS + 5, PITCHES + 5)).tolist())
    back = pose_bins(np.array([[0.0, y, -1.0] for y in (-0.1, 0.1)]))
    top = pose_bins(np.array([[0.0, 1.0, 0.0]]))
    assert len({*inside, *back.tolist(), *top.tolist()}) == len(inside) + 3
