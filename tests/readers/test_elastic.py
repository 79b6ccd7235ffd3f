"""A state of one loader goes on in another: of other ranks, batch sizes, workers and frameworks."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import lpff, write

from lpff_shards import MixOptions
from lpff_shards.loaders import ShardSource

torch = pytest.importorskip("torch", reason="torch is not installed here")
pytest.importorskip("grain", reason="Grain is not installed here")
pytest.importorskip("jax", reason="JAX is not installed here")

from lpff_shards.loaders import jax as by_jax  # noqa: E402
from lpff_shards.loaders import torch as by_torch  # noqa: E402

SAMPLES = 60


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with mirrors and weights in three shards."""
    root = tmp_path_factory.mktemp("elastic")
    mix = MixOptions(rebalance="uniform", as_="weights")
    return write(root / "out", "wds", lpff(root, SAMPLES // 2, mirror=True), 3, image="raw", mix=mix)


class _Rank:
    """A rank's loader of either framework: some batches, and its state."""

    def __init__(self, framework: str, path: Path, batch_size: int, state: Any, **given: Any) -> None:
        module = {"torch": by_torch, "jax": by_jax}[framework]
        given = {**given, "fields": ["mirrored"]} | ({"epochs": 1} if framework == "jax" else {})
        self._loader = module.loader(path, batch_size, **given)
        if framework == "torch":
            if state is not None:
                self._loader.load_state_dict(state)
            self._batches = iter(self._loader)
            self.state = self._loader.state_dict
        else:
            self._batches = iter(self._loader)
            if state is not None:
                self._batches.set_state(state)
            self.state = self._batches.get_state

    def read(self, count: int | None) -> list[tuple[int, bool]]:
        found = []
        for batch in islice(self._batches, count):
            found += zip(np.asarray(batch["index"]).tolist(), np.asarray(batch["mirrored"]).tolist(), strict=True)
        return found

    def close(self) -> None:
        if hasattr(self._batches, "close"):
            self._batches.close()


def _go(path: Path, rng: random.Random, given: dict[str, Any], state: Any, count: int) -> tuple[list[Any], Any]:
    """What all ranks of a random number read by so many batches each, and the state of one; None at the epoch's end."""
    world_size, batch_size = rng.randint(1, 4), rng.randint(1, 7)
    framework = rng.choice(["torch", "jax"])
    workers = rng.choice([0, 0, 0, 0, 0, 0, 1, 2]) if framework == "torch" else 0
    by = {"workers": workers, "prefetch": rng.randint(1, 3)} | ({} if workers else {"threads": rng.randint(1, 3)})
    ranks = [
        _Rank(framework, path, batch_size, state, rank=rank, world_size=world_size, **by, **given)
        for rank in range(world_size)
    ]
    found, states = [], [rank.state() for rank in ranks]
    for _ in range(count):
        batches = [rank.read(1) for rank in ranks]
        found += [sample for batch in batches for sample in batch]
        states = [rank.state() for rank in ranks]
        if not all(batches):
            break
        assert all(one == states[0] for one in states) or {one["epoch"] for one in states} == {0, 1}
    ended = any(one["epoch"] for one in states)
    if ended:
        found += [sample for rank in ranks for sample in rank.read(None)]
    for rank in ranks:
        rank.close()
    return found, None if ended else json.loads(json.dumps(states[rng.randrange(world_size)]))


@pytest.mark.parametrize("group", range(4))
def test_two_hundred_random_pairs(mixed: Path, group: int) -> None:
    weights = ShardSource(mixed).column("weight")
    assert weights.min() < weights.max()
    rng = random.Random(group)
    for _ in range(50):
        shuffle = rng.choice([True, True, False, 0, 9, 1000])
        given = {
            "shuffle": shuffle,
            "seed": rng.randint(0, 9),
            "mirror": rng.random() < 0.5,
            "weights": rng.random() < 0.3,
        }
        whole = _Rank("torch", mixed, 5, None, rank=0, world_size=1, workers=0, **given)
        expected = Counter(whole.read(None))
        found, state = _go(mixed, rng, given, None, rng.randint(0, 3))
        for count in (*(rng.randint(0, 2) for _ in range(rng.randint(0, 2))), SAMPLES):
            if state is not None:
                more, state = _go(mixed, rng, given, state, count)
                found += more
        assert Counter(found) == expected, given


def test_the_next_epoch_after_the_rest_is_whole(mixed: Path) -> None:
    first = by_torch.loader(mixed, 8, rank=1, world_size=2, workers=0, equal="drop")
    assert len(list(islice(first, 2))) == 2
    for loader in (by_torch.loader, by_torch.stream):
        state = loader(mixed, 8, rank=1, world_size=2, workers=0).state_dict()
        assert state["epoch"] == 0
    again = by_torch.loader(mixed, 4, rank=0, world_size=1, workers=0, equal="drop")
    again.load_state_dict(first.state_dict())
    assert [sum(len(batch["index"]) for batch in again) for _ in range(2)] == [28, 60]
    jax = iter(by_jax.loader(mixed, 4, rank=0, world_size=1, workers=0, equal="drop"))
    jax.set_state(first.state_dict())
    assert sorted(i for batch in islice(jax, 7, 22) for i in batch["index"].tolist()) == list(range(60))
    assert (jax.get_state()["epoch"], jax.get_state()["number"], jax.get_state()["before"]) == (2, 0, [])
