"""Stretches of shards: ranks and workers read every sample once, or as `equal` says, in whole batches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import examples

from lpff_shards import ShardsError
from lpff_shards.loaders.stream_sampler import Reader, ShardSlice, batches, shard_slices

WORLDS = (1, 2, 3, 8)
WORKERS = (1, 2, 5)
EQUALS = (None, "pad", "drop")

Sample = tuple[int, int]


def _samples(found: Sequence[ShardSlice]) -> list[Sample]:
    assert all(piece.start < piece.stop for piece in found)
    return [(piece.shard, at) for piece in found for at in range(piece.start, piece.stop)]


def _check_epoch(counts: Sequence[int], order: Sequence[int], batch: int, equal: Any, world: int, workers: int) -> None:
    row = [(shard, at) for shard in order for at in range(counts[shard])]
    ranks = [
        [_samples(shard_slices(counts, order, batch, equal, Reader(rank, world, w, workers))) for w in range(workers)]
        for rank in range(world)
    ]
    # Laid end to end they are the row, cut off or begun again.
    whole = [sample for rank in ranks for worker in rank for sample in worker]
    step = batch * world
    total = {None: len(row), "pad": math.ceil(len(row) / step) * step, "drop": len(row) // step * step}[equal]
    assert whole == [row[n % len(row)] for n in range(total)]
    for number, rank in enumerate(ranks):
        mine = sum(map(len, rank))
        assert mine in (total // world, -(-total // world))
        assert batches(len(row), batch, equal, Reader(number, world)) == math.ceil(mine / batch)
        shares = [batches(len(row), batch, equal, Reader(number, world, w, workers)) for w in range(workers)]
        assert shares == [math.ceil(len(worker) / batch) for worker in rank]
        assert max(shares) - min(shares) <= 1
        assert shares == sorted(shares, reverse=True)
        # All are full but the rank's last one.
        assert sum(shares) == math.ceil(mine / batch)
        if equal is not None:
            assert mine == total // world
            assert all(len(worker) % batch == 0 for worker in rank)


@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=20).filter(any),
    batch=st.integers(1, 20),
    equal=st.sampled_from(EQUALS),
    world=st.sampled_from(WORLDS),
    workers=st.sampled_from(WORKERS),
    draw=st.randoms(use_true_random=False),
)
@settings(max_examples=examples(200), deadline=None, derandomize=True)
def test_every_sample_comes_as_equal_says(
    counts: list[int], batch: int, equal: Any, world: int, workers: int, draw: Any
) -> None:
    order = list(range(len(counts)))
    draw.shuffle(order)
    if equal == "drop" and sum(counts) < batch * world:
        with pytest.raises(ShardsError, match="equal='drop' leaves no full batch"):
            shard_slices(counts, order, batch, equal, Reader(0, world, 0, workers))
        return
    _check_epoch(counts, order, batch, equal, world, workers)


@pytest.mark.parametrize("equal", EQUALS)
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("shards", [1, 3, 16])
def test_every_world(equal: Any, world: int, workers: int, shards: int) -> None:
    for each in (1, 7, 12):
        counts = [each + (number % 3 == 0) for number in range(shards)]
        for batch in (1, 4):
            if equal != "drop" or sum(counts) >= batch * world:
                _check_epoch(counts, list(reversed(range(shards))), batch, equal, world, workers)


def test_no_reader_opens_more_shards_than_its_part_touches() -> None:
    counts = [10] * 8
    for rank in range(8):
        assert shard_slices(counts, range(8), 5, None, Reader(rank, 8)) == [ShardSlice(rank, 0, 10)]
    assert shard_slices(counts, range(8), 5, None, Reader(1, 8, 0, 2)) == [ShardSlice(1, 0, 5)]
    assert shard_slices(counts, range(8), 5, None, Reader(1, 8, 1, 2)) == [ShardSlice(1, 5, 10)]


def test_a_padded_row_goes_round() -> None:
    assert shard_slices([2, 1], [1, 0], 4, "pad", Reader(0, 2)) == [
        ShardSlice(1, 0, 1),
        ShardSlice(0, 0, 2),
        ShardSlice(1, 0, 1),
    ]
    assert shard_slices([2, 1], [1, 0], 4, "pad", Reader(1, 2)) == [
        ShardSlice(0, 0, 2),
        ShardSlice(1, 0, 1),
        ShardSlice(0, 0, 1),
    ]
    found = Counter(sample for rank in (0, 1) for sample in _samples(shard_slices([3], [0], 8, "pad", Reader(rank, 2))))
    assert sorted(found.values()) == [5, 5, 6]


def test_a_worker_may_have_nothing_to_do() -> None:
    assert shard_slices([3], [0], 4, None, Reader(0, 1, 1, 2)) == []
    assert batches(3, 4, None, Reader(0, 1, 1, 2)) == 0
    assert shard_slices([1], [0], 4, None, Reader(0, 2)) == []
