"""Slices of shards: ranks read every sample once, or as `equal` says, in whole batches."""

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
EQUALS = (None, "pad", "drop")

Sample = tuple[int, int]


def _rank(counts: Sequence[int], batch: int, equal: Any = None, rank: int = 0, world: int = 1) -> StreamSampler:
    return StreamSampler(counts=counts, batch_size=batch, equal=equal, rank=rank, world_size=world)


def _samples(sampler: StreamSampler, epoch: int = 0) -> list[Sample]:
    """The samples that a rank reads, as shards and numbers in them."""
    ends = np.cumsum(sampler.counts)
    found = [int(n) for number in range(len(sampler)) for n in sampler.draw(epoch, number).indices]
    shards = [int(np.searchsorted(ends, n, side="right")) for n in found]
    return [(shard, n - int(ends[shard] - sampler.counts[shard])) for shard, n in zip(shards, found, strict=True)]


@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=20).filter(any),
    batch=st.integers(1, 20),
    equal=st.sampled_from(EQUALS),
    world=st.sampled_from(WORLDS),
    shuffle=st.sampled_from([0, 1]),
)
@settings(max_examples=examples(200), deadline=None, derandomize=True)
def test_every_sample_comes_as_equal_says(counts: list[int], batch: int, equal: Any, world: int, shuffle: int) -> None:
    if equal == "drop" and sum(counts) < batch * world:
        with pytest.raises(ShardsError, match="equal='drop' leaves no full batch"):
            _rank(counts, batch, equal, 0, world)
        return
    order = shuffled(len(counts), 0, 3).tolist() if shuffle else range(len(counts))
    row = [(shard, at) for shard in order for at in range(counts[shard])]
    samplers = [
        StreamSampler(counts=counts, batch_size=batch, equal=equal, rank=rank, world_size=world, shuffle=shuffle)
        for rank in range(world)
    ]
    ranks = [_samples(sampler, 3) for sampler in samplers]
    # Laid end to end they are the row, cut off or begun again.
    step = batch * world
    total = {None: len(row), "pad": math.ceil(len(row) / step) * step, "drop": len(row) // step * step}[equal]
    assert [sample for rank in ranks for sample in rank] == [row[n % len(row)] for n in range(total)]
    for sampler, rank in zip(samplers, ranks, strict=True):
        assert len(rank) in (total // world, -(-total // world))
        assert len(sampler) == math.ceil(len(rank) / batch)
        assert equal is None or len(rank) == total // world


def test_no_reader_opens_more_shards_than_its_part_touches() -> None:
    for number in range(8):
        rank = _rank([10] * 8, 5, None, number, 8)
        assert _samples(rank) == [(number, at) for at in range(10)]


def test_a_padded_row_goes_round() -> None:
    assert _samples(_rank([1, 2], 4, "pad", 0, 2)) == [(0, 0), (1, 0), (1, 1), (0, 0)]
    assert _samples(_rank([1, 2], 4, "pad", 1, 2)) == [(1, 0), (1, 1), (0, 0), (1, 0)]
    found = Counter(sample for rank in (0, 1) for sample in _samples(_rank([3], 8, "pad", rank, 2)))
    assert sorted(found.values()) == [5, 5, 6]


def test_a_rank_may_have_nothing_to_do() -> None:
    assert (_samples(_rank([1], 4, None, 0, 2)), len(_rank([1], 4, None, 0, 2))) == ([], 0)
