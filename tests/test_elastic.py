"""What is left of an epoch is divided among other ranks and batch sizes: no sample is lost, and none comes twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import examples

from lpff_shards import ShardsError
from lpff_shards.loaders.sampler import EpochSampler, Leg, Sampler, StreamSampler, weighted
from lpff_shards.loaders.state import Position, restore_state, save_state

COUNTS = (9, 1, 17, 10)
SAMPLES = sum(COUNTS)
WEIGHTS = np.random.default_rng(1).choice([0.0, 0.5, 1.0, 4.0], SAMPLES)
SETTINGS: dict[str, Any] = {"plan": "p", "shards": "s", "split": "train", "seed": 0, "batch_size": 4, "world_size": 2}

KINDS = [(EpochSampler, True), (EpochSampler, False), (StreamSampler, 0), (StreamSampler, 7)]
LEGS = st.lists(st.builds(Leg, st.integers(1, 5), st.integers(1, 6), st.integers(0, 4)), max_size=4)


def _ranks(kind: type[Sampler], world_size: int, batch_size: int, **options: Any) -> list[Sampler]:
    given = {"counts": COUNTS, "batch_size": batch_size, "world_size": world_size, **options}
    return [kind(rank=rank, **given) for rank in range(world_size)]


def _read(ranks: Sequence[Sampler], before: tuple[Leg, ...], most: int | None) -> list[tuple[int, bool]]:
    """What all ranks read by at most so many batches each: samples, and whether they are mirrored."""
    found = []
    for sampler in ranks:
        count = sampler.batches(2, before)
        for number in range(count if most is None else min(most, count)):
            order = sampler.draw(2, number, before)
            found += zip(order.indices.tolist(), order.flips.tolist(), strict=True)
    return found


def _epoch(kind: type[Sampler], legs: Sequence[Leg], **options: Any) -> tuple[list[Any], list[Any]]:
    """What was read by each leg, and then by two ranks to the end of the epoch."""
    before: tuple[Leg, ...] = ()
    found: list[Any] = []
    for leg in legs:
        ranks = _ranks(kind, leg.world_size, leg.batch_size, **options)
        found += _read(ranks, before, leg.batches)
        # No state has more than its loader read.
        before = (*before, leg._replace(batches=min(leg.batches, max(rank.batches(2, before) for rank in ranks))))
    return found, _read(_ranks(kind, 2, 3, **options), before, None)


@given(st.sampled_from(KINDS), LEGS, st.booleans())
@settings(max_examples=examples(400))
def test_an_epoch_is_read_exactly_by_changing_ranks(kind: Any, legs: list[Leg], weights: bool) -> None:
    sampler, shuffle = kind
    options = {"shuffle": shuffle, "mirror": True, "weights": WEIGHTS if weights else None}
    due = weighted(WEIGHTS, 0, 2).tolist() if weights else range(SAMPLES)
    found = [sample for part in _epoch(sampler, legs, **options) for sample in part]
    assert Counter(index for index, _ in found) == Counter(due)
    # Mirrors too are those of an epoch that is read at once.
    assert Counter(found) == Counter(_read(_ranks(sampler, 1, 5, **options), (), None))


@given(st.sampled_from(KINDS), LEGS)
@settings(max_examples=examples(400))
def test_padding_repeats_and_dropping_leaves_out_less_than_a_step(kind: Any, legs: list[Leg]) -> None:
    sampler, shuffle = kind
    legs = [leg for leg in legs if leg.world_size * leg.batch_size <= SAMPLES]
    read, rest = _epoch(sampler, legs, shuffle=shuffle, equal="drop")
    counts = Counter(index for index, _ in (*read, *rest))
    assert set(counts.values()) <= {1}
    assert SAMPLES - len(counts) < 6
    read, rest = _epoch(sampler, legs, shuffle=shuffle, equal="pad")
    assert {index for index, _ in (*read, *rest)} == set(range(SAMPLES))
    assert len(rest) % 6 == 0 and len(read) + len(rest) < SAMPLES + 6 + max((w * b for w, b, _ in legs), default=0)


@pytest.mark.parametrize("equal", [None, "pad", "drop"])
@pytest.mark.parametrize(("kind", "shuffle"), KINDS)
def test_going_on_with_the_same_numbers_is_as_if_never_stopped(kind: Any, shuffle: Any, equal: Any) -> None:
    options = {"shuffle": shuffle, "equal": equal, "mirror": True}
    (sampler, _) = _ranks(kind, 2, 4, **options)
    first = Position(1, 3)
    state = save_state(first, SETTINGS)
    assert restore_state(state, SETTINGS) == first
    # Another batch size in between, and back.
    between = restore_state(state, {**SETTINGS, "batch_size": 1})
    assert between == Position(1, 0, (Leg(2, 4, 3),))
    assert restore_state(save_state(between, {**SETTINGS, "batch_size": 1}), SETTINGS) == Position(
        1, 0, (Leg(2, 4, 3),)
    )
    if kind is EpochSampler:
        rest = [sampler.draw(1, number) for number in range(3, sampler.batches(1))]
        again = [sampler.draw(1, number, (Leg(2, 4, 3),)) for number in range(sampler.batches(1, (Leg(2, 4, 3),)))]
        assert [one.indices.tolist() for one in rest] == [one.indices.tolist() for one in again]


def test_these_rests_hold_for_ever() -> None:
    """The arithmetic as a table: of ten samples in two shards, what each rank reads after others have."""
    table = {
        (EpochSampler, False, (Leg(2, 2, 1),)): [[4, 5, 6], [7, 8, 9]],
        (EpochSampler, False, (Leg(2, 2, 1), Leg(1, 3, 1))): [[7], [8, 9]],
        (StreamSampler, 0, (Leg(2, 2, 1),)): [[2, 3, 4], [7, 8, 9]],
        (StreamSampler, 0, (Leg(2, 2, 1), Leg(3, 1, 1))): [[3], [7, 9]],
        (StreamSampler, 0, (Leg(1, 10, 1),)): [[], []],
    }
    for (kind, shuffle, before), expected in table.items():
        found = []
        for rank in range(2):
            sampler = kind(counts=(4, 6), batch_size=3, shuffle=shuffle, rank=rank, world_size=2)
            drawn = [sampler.draw(0, number, before).indices for number in range(sampler.batches(0, before))]
            found.append([int(index) for batch in drawn for index in batch])
        assert found == expected, (kind, before)


def test_a_state_is_the_same_on_every_rank_and_plain_json() -> None:
    state = save_state(Position(3, 2, (Leg(4, 8, 5),)), SETTINGS)
    assert json.loads(json.dumps(state)) == state
    assert restore_state(json.loads(json.dumps(state)), SETTINGS) == Position(3, 2, (Leg(4, 8, 5),))
    assert "rank" not in state["of"]


def test_a_state_of_an_older_version_of_the_jax_loader_is_restored() -> None:
    older = {"epoch": 1, "number": 2, "of": {**SETTINGS, "rank": 1}}
    assert restore_state(older, SETTINGS) == Position(1, 2)
    assert restore_state(older, {**SETTINGS, "world_size": 3}) == Position(1, 0, (Leg(2, 4, 2),))


@pytest.mark.parametrize(("name", "text"), [("seed", "saved with seed=0, now seed=9"), ("plan", "the data set is")])
def test_what_differs_is_named(name: str, text: str) -> None:
    state = save_state(Position(1, 2), SETTINGS)
    with pytest.raises(ShardsError, match=text):
        restore_state(state, {**SETTINGS, name: 9, "world_size": 7})
