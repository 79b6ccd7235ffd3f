"""Stretches of shards: ranks and workers read every sample once, or as `equal` says, in whole batches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import examples

from lpff_shards import ShardsError
from lpff_shards.loaders.sampler import StreamSampler, shuffled

WORLDS = (1, 2, 3, 8)
WORKERS = (1, 2, 5)
EQUALS = (None, "pad", "drop")

Sample = tuple[int, int]


def _rank(counts: Sequence[int], batch: int, equal: Any = None, rank: int = 0, world: int = 1) -> StreamSampler:
    return StreamSampler(counts=counts, batch_size=batch, equal=equal, rank=rank, world_size=world)


def _samples(sampler: StreamSampler, epoch: int = 0, worker: int = 0, workers: int = 1) -> list[Sample]:
    """The samples that a worker reads, as shards and numbers in them."""
    ends = np.cumsum(sampler.counts)
    shards = [int(np.searchsorted(ends, n, side="right")) for n in sampler.stretch(epoch, worker, workers)]
    starts = ends - sampler.counts
    return [(s, int(n - starts[s])) for s, n in zip(shards, sampler.stretch(epoch, worker, workers), strict=True)]


def _check_epoch(counts: Sequence[int], shuffle: int, batch: int, equal: Any, world: int, workers: int) -> None:
    order = shuffled(len(counts), 0, 3).tolist() if shuffle else range(len(counts))
    row = [(shard, at) for shard in order for at in range(counts[shard])]
    samplers = [
        StreamSampler(counts=counts, batch_size=batch, equal=equal, rank=rank, world_size=world, shuffle=shuffle)
        for rank in range(world)
    ]
    ranks = [[_samples(sampler, 3, w, workers) for w in range(workers)] for sampler in samplers]
    # Laid end to end they are the row, cut off or begun again.
    whole = [sample for rank in ranks for worker in rank for sample in worker]
    step = batch * world
    total = {None: len(row), "pad": math.ceil(len(row) / step) * step, "drop": len(row) // step * step}[equal]
    assert whole == [row[n % len(row)] for n in range(total)]
    for sampler, rank in zip(samplers, ranks, strict=True):
        mine = sum(map(len, rank))
        assert mine in (total // world, -(-total // world))
        assert len(sampler) == math.ceil(mine / batch)
        shares = [math.ceil(len(worker) / batch) for worker in rank]
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
    shuffle=st.sampled_from([0, 1]),
)
@settings(max_examples=examples(200), deadline=None, derandomize=True)
def test_every_sample_comes_as_equal_says(
    counts: list[int], batch: int, equal: Any, world: int, workers: int, shuffle: int
) -> None:
    if equal == "drop" and sum(counts) < batch * world:
        with pytest.raises(ShardsError, match="equal='drop' leaves no full batch"):
            _rank(counts, batch, equal, 0, world)
        return
    _check_epoch(counts, shuffle, batch, equal, world, workers)


@pytest.mark.parametrize("equal", EQUALS)
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("shards", [1, 3, 16])
def test_every_world(equal: Any, world: int, workers: int, shards: int) -> None:
    for each in (1, 7, 12):
        counts = [each + (number % 3 == 0) for number in range(shards)]
        for batch in (1, 4):
            if equal != "drop" or sum(counts) >= batch * world:
                _check_epoch(counts, 1, batch, equal, world, workers)


def test_no_reader_opens_more_shards_than_its_part_touches() -> None:
    for number in range(8):
        rank = _rank([10] * 8, 5, None, number, 8)
        assert _samples(rank) == [(number, at) for at in range(10)]
        assert _samples(rank, 0, 0, 2) == [(number, at) for at in range(5)]
        assert _samples(rank, 0, 1, 2) == [(number, at) for at in range(5, 10)]


def test_a_padded_row_goes_round() -> None:
    assert _samples(_rank([1, 2], 4, "pad", 0, 2)) == [(0, 0), (1, 0), (1, 1), (0, 0)]
    assert _samples(_rank([1, 2], 4, "pad", 1, 2)) == [(1, 0), (1, 1), (0, 0), (1, 0)]
    found = Counter(sample for rank in (0, 1) for sample in _samples(_rank([3], 8, "pad", rank, 2)))
    assert sorted(found.values()) == [5, 5, 6]


def test_a_worker_may_have_nothing_to_do() -> None:
    assert _samples(_rank([3], 4), 0, 1, 2) == []
    assert (_samples(_rank([1], 4, None, 0, 2)), len(_rank([1], 4, None, 0, 2))) == ([], 0)
