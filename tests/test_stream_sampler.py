"""What a rank reads in an epoch, as numbers: every sample as often as it should, for any number of ranks and shards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.sampler import Leg, SampleOrder, StreamSampler, coin_flips, scattered, weighted

SAMPLES = 53
WEIGHTS = np.random.default_rng(0).choice([0.0, 0.25, 1.0, 3.5], SAMPLES)


def _counts(shards: int) -> list[int]:
    return [SAMPLES * (i + 1) // shards - SAMPLES * i // shards for i in range(shards)]


def _row(order: StreamSampler, epoch: int = 0) -> SampleOrder:
    """All batches of a rank together."""
    drawn = [order.draw(epoch, number) for number in range(len(order))]
    return SampleOrder(*map(np.concatenate, zip(*drawn, strict=True)))


def _rows(world_size: int, epoch: int = 0, **options: Any) -> list[np.ndarray]:
    options = {"counts": _counts(3), "batch_size": 4, "shuffle": 10, **options}
    orders = [StreamSampler(rank=rank, world_size=world_size, **options) for rank in range(world_size)]
    return [_row(order, epoch).indices for order in orders]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["even", "weighted"])
@pytest.mark.parametrize("shards", [1, 3, 16])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_every_sample_comes_as_often_as_it_should(world_size: int, shards: int, weights: np.ndarray | None) -> None:
    options = {"counts": _counts(shards), "weights": weights}
    due = np.bincount(np.arange(SAMPLES) if weights is None else weighted(weights, 0, 0), minlength=SAMPLES)
    exact = _rows(world_size, **options)
    assert np.array_equal(np.bincount(np.concatenate(exact), minlength=SAMPLES), due)
    assert max(map(len, exact)) - min(map(len, exact)) <= 1
    for equal, batches in (("pad", -(-SAMPLES // (4 * world_size))), ("drop", SAMPLES // (4 * world_size))):
        rows = _rows(world_size, equal=equal, **options)
        assert {len(row) for row in rows} == {4 * batches}
        more = np.bincount(np.concatenate(rows), minlength=SAMPLES) - due
        assert (more >= 0).all() if equal == "pad" else (more <= 0).all()


def test_weights_are_kept_to_and_copies_are_mirrored_one_by_one() -> None:
    due = WEIGHTS * SAMPLES / WEIGHTS.sum()
    for epoch in range(5):
        (row,) = _rows(1, epoch, weights=WEIGHTS)
        times = np.bincount(row, minlength=SAMPLES)
        assert len(row) == SAMPLES
        assert (np.abs(times - due) < 1).all()
    row = _row(StreamSampler(counts=_counts(3), batch_size=4, mirror=True, weights=WEIGHTS))
    flips = [set(row.flips[row.indices == index].tolist()) for index in range(SAMPLES)]
    assert {False, True} in flips
    assert len({len(row.flips[row.indices == index]) for index in range(SAMPLES)}) > 1


def test_epochs_differ_and_an_epoch_is_the_same_each_time() -> None:
    assert all(map(np.array_equal, _rows(2), _rows(2)))
    assert not np.array_equal(_rows(1)[0], _rows(1, 1)[0])
    assert not np.array_equal(_rows(1)[0], _rows(1, seed=1)[0])
    assert np.array_equal(_rows(1, shuffle=0)[0], np.arange(SAMPLES))


def test_flips_belong_to_samples_not_to_ranks() -> None:
    order = StreamSampler(counts=_counts(3), batch_size=4, shuffle=10, rank=1, world_size=3, mirror=True, seed=5)
    row = _row(order, 2)
    assert np.array_equal(row.flips, coin_flips(row.indices, 5, 2))
    assert 0 < row.flips.sum() < len(row.flips)


@given(st.integers(0, 200), st.integers(0, 300), st.integers(0, 2**63 - 1))
def test_scattered_things_stay_near(count: int, window: int, seed: int) -> None:
    order = scattered(count, window, seed, 0)
    assert sorted(order.tolist()) == list(range(count))
    assert (np.abs(order - np.arange(count)) < max(window, 1)).all()


@given(st.integers(1, 6), st.integers(1, 9), st.sampled_from([None, "pad", "drop"]), st.integers(0, 20))
def test_batches_are_parts_of_the_row(world_size: int, batch_size: int, equal: Any, number: int) -> None:
    if equal == "drop" and world_size * batch_size > SAMPLES:
        return
    order = StreamSampler(
        counts=_counts(16), batch_size=batch_size, shuffle=8, world_size=world_size, equal=equal, mirror=True
    )
    if number >= len(order):
        with pytest.raises(IndexError, match=f"batch {number} of {len(order)}"):
            order.draw(3, number)
        return
    ids = order.sequence(3)[order.places(SAMPLES, 3, 0, Leg(world_size, batch_size, 0))][
        number * batch_size : (number + 1) * batch_size
    ]
    indices, flips = order.draw(3, number)
    assert np.array_equal(indices, ids % SAMPLES)
    assert np.array_equal(flips, coin_flips(ids, 0, 3))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shuffle": -1}, "shuffle -1"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"equal": "same"}, "equal 'same'"),
        ({"weights": np.ones(3)}, "weights of shape"),
    ],
)
def test_odd_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ShardsError, match=said):
        _rows(1, **options)


def test_nothing_left_is_refused() -> None:
    with pytest.raises(ShardsError, match="leaves no full batch"):
        _rows(8, batch_size=8, equal="drop")
