"""What epochs draw: every sample as often as is its due, whoever reads, in orders that are as good as random."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import examples

from lpff_shards import ShardsError
from lpff_shards.loaders import sampler
from lpff_shards.loaders.sampler import EpochSampler, SampleOrder, coin_flips, shuffled

WORLDS = (1, 2, 3, 8)
EQUALS = (None, "pad", "drop")


def _ranks(samples: int, batch_size: int, world_size: int, epoch: int = 0, **given: Any) -> list[list[SampleOrder]]:
    """Each rank's batches of an epoch."""
    ranks = [
        EpochSampler(counts=[samples], batch_size=batch_size, world_size=world_size, rank=rank, **given)
        for rank in range(world_size)
    ]
    return [[sampling.draw(epoch, number) for number in range(len(sampling))] for sampling in ranks]


def _drawn(ranks: Sequence[Sequence[SampleOrder]]) -> list[int]:
    return [int(i) for draws in ranks for draw in draws for i in draw.indices]


def _check_epoch(samples: int, batch_size: int, world_size: int, equal: Any, shuffle: bool) -> None:
    ranks = _ranks(samples, batch_size, world_size, 3, equal=equal, shuffle=shuffle, seed=samples)
    counts = Counter(_drawn(ranks))
    step = batch_size * world_size
    sizes = [[len(draw.indices) for draw in draws] for draws in ranks]
    assert min(counts) >= 0
    assert max(counts) < samples
    if equal is None:
        assert counts == dict.fromkeys(range(samples), 1)
        assert sum(len(row) for row in sizes) - len(ranks) * min(map(len, sizes)) <= world_size - 1
        assert max(map(sum, sizes)) - min(map(sum, sizes)) <= 1
        assert all(size == batch_size for row in sizes for size in row[:-1])
        assert all(0 < size <= batch_size for row in sizes for size in row)
        return
    assert {tuple(row) for row in sizes} == {tuple([batch_size] * len(sizes[0]))}
    total = sum(counts.values())
    if equal == "pad":
        assert total == math.ceil(samples / step) * step
        assert {total // samples, -(-total // samples)} >= set(counts.values())
        assert len(counts) == samples
    else:
        assert total == samples // step * step
        assert set(counts.values()) == {1}


@given(
    samples=st.integers(1, 300),
    batch_size=st.integers(1, 40),
    world_size=st.sampled_from(WORLDS),
    equal=st.sampled_from(EQUALS),
    shuffle=st.booleans(),
)
@settings(max_examples=examples(150), deadline=None, derandomize=True)
def test_every_sample_comes_as_equal_says(
    samples: int, batch_size: int, world_size: int, equal: Any, shuffle: bool
) -> None:
    if equal == "drop" and samples < batch_size * world_size:
        with pytest.raises(ShardsError, match="equal='drop' leaves no full batch"):
            EpochSampler(counts=[samples], batch_size=batch_size, world_size=world_size, equal="drop")
        return
    _check_epoch(samples, batch_size, world_size, equal, shuffle)


@pytest.mark.parametrize("equal", EQUALS)
@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_number_of_samples_about_the_batches_edges(batch_size: int, world_size: int, equal: Any) -> None:
    for samples in range(1 if equal != "drop" else batch_size * world_size, 4 * batch_size * world_size + 2):
        _check_epoch(samples, batch_size, world_size, equal, shuffle=True)


@pytest.mark.parametrize("equal", EQUALS)
@pytest.mark.parametrize("weights", [None, np.arange(101) % 7 / 3])
def test_ranks_share_the_same_global_batches(equal: Any, weights: Any) -> None:
    whole = _ranks(101, 24, 1, 2, equal=equal, mirror=True, weights=weights)[0]
    for world_size in (2, 3, 8):
        ranks = _ranks(101, 24 // world_size, world_size, 2, equal=equal, mirror=True, weights=weights)
        for number, expected in enumerate(whole):
            parts = [draws[number] for draws in ranks if number < len(draws)]
            assert np.concatenate([part.indices for part in parts]).tolist() == expected.indices.tolist()
            assert np.concatenate([part.flips for part in parts]).tolist() == expected.flips.tolist()
        assert max(map(len, ranks)) == len(whole)


def test_padding_repeats_the_epoch_s_start_and_dropping_leaves_out_its_end() -> None:
    order = _drawn(_ranks(10, 4, 1, 5))
    assert _drawn(_ranks(10, 4, 1, 5, equal="pad")) == order + order[:2]
    assert _drawn(_ranks(10, 4, 1, 5, equal="drop")) == order[:8]
    assert _drawn(_ranks(3, 8, 1, 5, equal="pad")) == (_drawn(_ranks(3, 8, 1, 5)) * 3)[:8]


def test_without_shuffling_the_order_is_the_shards_own() -> None:
    assert _drawn(_ranks(10, 3, 1, 7, shuffle=False)) == list(range(10))
    assert [draw.indices.tolist() for draw in _ranks(10, 2, 2, shuffle=False)[1]] == [[2, 3], [6, 7], [9]]


def test_orders_differ_by_epoch_and_seed_and_are_the_same_for_the_same() -> None:
    orders = {
        (seed, epoch): tuple(_drawn(_ranks(40, 7, 1, epoch, seed=seed))) for seed in range(20) for epoch in range(20)
    }
    assert len(set(orders.values())) == 400
    for (seed, epoch), order in orders.items():
        assert tuple(_drawn(_ranks(40, 40, 1, epoch, seed=seed))) == order
    flips = {(s, e): tuple(coin_flips(np.arange(60), s, e).tolist()) for s in range(20) for e in range(20)}
    assert len(set(flips.values())) == 400


def test_a_sampling_survives_pickling() -> None:
    sampling = EpochSampler(counts=[9], batch_size=2, seed=5, mirror=True, weights=np.arange(9.0))
    other = pickle.loads(pickle.dumps(sampling))
    for number in range(len(sampling)):
        a, b = sampling.draw(1, number), other.draw(1, number)
        assert (a.indices.tolist(), a.flips.tolist()) == (b.indices.tolist(), b.flips.tolist())


def test_these_orders_hold_for_ever() -> None:
    assert shuffled(8, 0, 0).tolist() == [5, 2, 3, 7, 0, 6, 1, 4]
    assert shuffled(8, 0, 1).tolist() == [7, 1, 5, 4, 2, 3, 0, 6]
    assert shuffled(8, 1, 0).tolist() == [1, 2, 7, 5, 3, 4, 0, 6]
    assert coin_flips(np.arange(16), 0, 0).astype(int).tolist() == [0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0]
    assert coin_flips(np.arange(16), 7, 3).astype(int).tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1]
    weighted = EpochSampler(counts=[8], batch_size=8, weights=np.array([0, 1, 2, 3, 0.5, 0, 0.25, 1.25]))
    assert weighted.draw(0, 0).indices.tolist() == [3, 2, 3, 7, 1, 7, 2, 3]
    assert (shuffled(0, 0, 0).tolist(), shuffled(1, 0, 0).tolist()) == ([], [0])


def _mixed(number: int) -> int:
    """SplitMix64's finaliser, in Python's own numbers."""
    number &= 2**64 - 1
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & 2**64 - 1
    number = (number ^ number >> 27) * 0x94D049BB133111EB & 2**64 - 1
    return number ^ number >> 31


def _hash(number: int, seed: int, epoch: int, purpose: int) -> int:
    golden = 0x9E3779B97F4A7C15
    return _mixed(number * golden + _mixed(_mixed(seed * golden + epoch) + purpose))


@given(count=st.integers(0, 60), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 2**40))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_orders_and_flips_are_sorted_hashes_and_their_first_bits(count: int, seed: int, epoch: int) -> None:
    assert shuffled(count, seed, epoch).tolist() == sorted(range(count), key=lambda n: _hash(n, seed, epoch, 1))
    assert coin_flips(np.arange(count), seed, epoch).tolist() == [_hash(n, seed, epoch, 2) >> 63 for n in range(count)]


def _too_uneven(counts: np.ndarray, expected: float) -> bool:
    """Whether counts are further from their expectation than all but a millionth of random ones (chi-square)."""
    freedom = counts.size - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    # Wilson and Hilferty's cube root is normal; 4.75 deviations either way.
    deviation = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))
    return bool(abs(deviation) > 4.75)


@pytest.mark.parametrize("by", ["epoch", "seed"])
def test_every_sample_comes_to_every_place_equally_often(by: str) -> None:
    counts = np.zeros((16, 16))
    for n in range(2000):
        order = shuffled(16, *((3, n) if by == "epoch" else (n, 3)))
        counts[np.arange(16), order] += 1
    assert not _too_uneven(counts, 2000 / 16)


@pytest.mark.parametrize("by", ["epoch", "seed"])
def test_every_order_of_four_comes_equally_often(by: str) -> None:
    found = Counter(tuple(shuffled(4, *((5, n) if by == "epoch" else (n, 5))).tolist()) for n in range(6000))
    assert len(found) == 24
    assert not _too_uneven(np.array(list(found.values())), 6000 / 24)


def test_neighbors_are_torn_apart() -> None:
    distances = np.abs(np.diff(np.concatenate([shuffled(1000, 0, epoch) for epoch in range(20)])))
    assert (distances == 1).mean() < 0.004
    assert abs(distances.mean() - 1000 / 3) < 10


@pytest.mark.parametrize("by", ["number", "epoch", "seed"])
def test_flips_are_fair_and_independent(by: str) -> None:
    if by == "number":
        flips = np.concatenate([coin_flips(np.arange(1000), 1, epoch) for epoch in range(8)])
    else:
        flips = np.array([coin_flips(np.array([9]), *((1, n) if by == "epoch" else (n, 1)))[0] for n in range(8000)])
    assert abs(flips.mean() - 0.5) < 5 * 0.5 / math.sqrt(8000)
    words = flips.reshape(-1, 4) @ [8, 4, 2, 1]
    assert not _too_uneven(np.bincount(words, minlength=16), len(words) / 16)


def test_flips_have_nothing_to_do_with_orders() -> None:
    places = np.array([np.argsort(shuffled(64, 2, epoch)) for epoch in range(500)])
    flips = np.array([coin_flips(np.arange(64), 2, epoch) for epoch in range(500)])
    assert abs(np.corrcoef(places.ravel(), flips.ravel())[0, 1]) < 5 / math.sqrt(places.size)


def test_only_those_that_are_asked_to_are_mirrored() -> None:
    assert not any(draw.flips.any() for draw in _ranks(100, 7, 1)[0])
    draws = [draw for epoch in range(5) for draw in _ranks(100, 7, 1, epoch, mirror=True)[0]]
    assert {draw.flips.dtype for draw in draws} == {np.dtype(bool)}
    assert all(draw.flips.shape == draw.indices.shape for draw in draws)
    assert 200 < sum(int(draw.flips.sum()) for draw in draws) < 300


def test_flips_are_those_of_the_places_in_the_epoch() -> None:
    for epoch in (0, 4):
        ranks = _ranks(10, 3, 2, epoch, mirror=True, equal="pad", seed=6)
        found = [draw.flips.tolist() for number in range(2) for draw in (ranks[0][number], ranks[1][number])]
        assert found == coin_flips(np.arange(12), 6, epoch).reshape(4, 3).tolist()


def test_every_sample_is_mirrored_in_half_of_the_epochs() -> None:
    counts = np.zeros(20)
    for epoch in range(1000):
        for draw in _ranks(20, 20, 1, epoch, mirror=True)[0]:
            counts[draw.indices[draw.flips]] += 1
    assert np.abs(counts - 500).max() < 5 * math.sqrt(1000) / 2


@given(
    weights=st.lists(st.one_of(st.just(0.0), st.floats(1e-30, 1e30), st.integers(0, 5).map(float)), min_size=1),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 10**9),
)
@settings(max_examples=examples(300), deadline=None, derandomize=True)
def test_weights_give_each_sample_its_due_rounded_up_or_down(weights: list[float], seed: int, epoch: int) -> None:
    if not any(weights):
        return
    given = np.array(weights)
    sampling = EpochSampler(counts=[len(given)], batch_size=3, seed=seed, weights=given)
    drawn = np.concatenate([sampling.draw(epoch, number).indices for number in range(len(sampling))])
    assert len(drawn) == len(given)
    counts = np.bincount(drawn, minlength=len(given))
    due = given / given.sum() * len(given)
    assert (counts >= np.floor(due - 1e-9)).all()
    assert (counts <= np.ceil(due + 1e-9)).all()
    assert not counts[given == 0].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_weights_come_to_their_due_over_many_epochs(dtype: Any) -> None:
    weights = np.array([0, 0.1, 0.2, 0.5, 1, 1.5, 2.5, 0, 3, 0.125], dtype)
    sampling = EpochSampler(counts=[10], batch_size=10, weights=weights)
    counts = sum(np.bincount(sampling.draw(epoch, 0).indices, minlength=10) for epoch in range(2000))
    due = weights.astype(float) / weights.astype(float).sum() * 20000
    assert np.abs(counts - due).max() < 5 * math.sqrt(2000) / 2


@pytest.mark.parametrize(
    "weights", [[1e-300, 1e300, 1e-300], [0, 0, 5e-324], [0, 1e-320, 0], [3.4e38] * 3, [0, 0, 1], [1, 0, 0]]
)
def test_extreme_weights(weights: list[float]) -> None:
    given = np.array(weights)
    for epoch in range(50):
        counts = np.bincount(EpochSampler(counts=[3], batch_size=3, weights=given).draw(epoch, 0).indices, minlength=3)
        assert counts.tolist() == np.rint(given / given.sum() * 3).tolist()


@pytest.mark.parametrize("zeros", [0, 1, 5])
def test_rounding_carries_no_point_past_the_last_weight(monkeypatch: pytest.MonkeyPatch, zeros: int) -> None:
    # With the greatest offset there is, the last of so many points is rounded up to the end of the last weight.
    monkeypatch.setattr(sampler, "_hashes", lambda numbers, *_: np.full(len(numbers), 2**64 - 1, np.uint64))
    weights = np.append(np.ones(1000), np.zeros(zeros))
    sampling = EpochSampler(counts=[len(weights)], batch_size=len(weights), shuffle=False, weights=weights)
    drawn = sampling.draw(0, 0).indices
    assert drawn.max() == 999
    assert drawn[-1] == 999


def test_weights_of_float32_are_added_up_exactly() -> None:
    weights = np.ones(400_001, np.float32)
    weights[0] = 2**24
    drawn = EpochSampler(counts=[400_001], batch_size=400_001, weights=weights).draw(0, 0).indices
    assert abs(np.count_nonzero(drawn) - 400_001 * 400_000 / (2**24 + 400_000)) <= 1


def test_equal_weights_are_no_weights() -> None:
    for value in (1.0, 0.1, 7.3):
        plain, weighted = _ranks(50, 7, 1, 4), _ranks(50, 7, 1, 4, weights=np.full(50, value))
        assert sorted(_drawn(weighted)) == sorted(_drawn(plain))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch_size": 0}, "batch_size 0 is out of range. It is a whole number from 1"),
        ({"batch_size": 2.0}, "batch_size 2.0 is out of range"),
        ({"batch_size": "2"}, "batch_size '2' is out of range"),
        ({"world_size": 0}, "world_size 0 is out of range"),
        ({"world_size": -1}, "world_size -1 is out of range"),
        ({"seed": -1}, "seed -1 is out of range. It is a whole number from 0"),
        ({"seed": 2**63}, "seed 9223372036854775808 is out of range"),
        ({"seed": None}, "seed None is out of range"),
        ({"rank": -1}, "rank -1 is out of range. It is from 0 to world_size - 1, which is 0"),
        ({"rank": 2, "world_size": 2}, "rank 2 is out of range"),
        ({"equal": "even"}, "equal 'even' is not known. It is one of: None, 'pad', 'drop'"),
        ({"equal": "drop", "batch_size": 11}, "equal='drop' leaves no full batch: 10 samples, 1 x 11 per batch"),
        ({"weights": np.ones(9)}, r"weights of shape \(9,\) are not valid. They are 10 finite numbers"),
        ({"weights": np.ones((10, 1))}, "weights of shape"),
        ({"weights": np.zeros(10)}, "not all zero"),
        ({"weights": np.array([-1.0] + [1] * 9)}, "none negative"),
        ({"weights": np.array([np.nan] + [1] * 9)}, "finite"),
        ({"weights": np.array([np.inf] + [1] * 9)}, "finite"),
        ({"weights": np.full(10, 1e308)}, "finite"),
        ({"counts": [0]}, "no full batch: 0 samples"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ShardsError, match=words):
        EpochSampler(**{"counts": [10], "batch_size": 2, **given})


def test_batches_that_are_not_there() -> None:
    sampling = EpochSampler(counts=[10], batch_size=4)
    assert len(sampling) == 3
    for number in (-1, 3):
        with pytest.raises(IndexError, match=f"batch {number} of 3"):
            sampling.draw(0, number)
    assert len(EpochSampler(counts=[1], batch_size=4, rank=0, world_size=2)) == 0
    assert len(EpochSampler(counts=[1], batch_size=4, rank=1, world_size=2)) == 1


@pytest.mark.parametrize("given", [{"shuffle": 7}, {"shuffle": "yes"}, {"mirror": "no"}])
def test_what_is_neither_true_nor_false_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ShardsError, match="It is True or False"):
        EpochSampler(counts=[4], batch_size=2, **given)
