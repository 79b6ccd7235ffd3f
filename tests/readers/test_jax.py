"""loaders.jax in this process: which samples come, in which order, and how a run goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from launchers import LAUNCHED, use
from loading import check_documented

from lpff_shards import ExportOptions, PictureOptions, ShardOptions, ShardsError, SourceOptions, export
from lpff_shards.loaders import ShardSource
from lpff_shards.loaders.sampler import EpochSampler, Equal
from lpff_shards.schemas import camera, landmarks

pytest.importorskip("grain", reason="Grain is not installed")
pytest.importorskip("jax", reason="JAX is not installed")

from lpff_shards.loaders.jax import JaxOptions, loader

Export = Callable[[int, Literal["raw", "png"]], Path]
SAMPLES = 22

RESUME = """
import hashlib, json, sys
from lpff_shards.loaders.jax import loader

path, state, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
batches = iter(loader(path, 3, seed=5, mirror=True, equal="drop", fields=["key"], **options))
batches.set_state(state)
for _ in range(9):
    batch = next(batches)
    print(*batch["key"], hashlib.sha256(batch["image"].tobytes() + batch["camera"].tobytes()).hexdigest())
print(json.dumps(batches.get_state()))
batches.close()
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Makes an export of small portraits, once for each number of shards and kind of picture."""
    made: dict[tuple[int, str], Path] = {}

    def make(shards: int, image: Literal["raw", "png"]) -> Path:
        if (shards, image) not in made:
            out = tmp_path_factory.mktemp("jax") / f"{image}-{shards}"
            export(
                ExportOptions(
                    format="tfrecord" if shards == 1 else "wds",
                    out=str(out),
                    sources=SourceOptions(demo=SAMPLES // 2),
                    picture=PictureOptions(image=image, resolution=16),
                    shards=ShardOptions(shards=shards),
                )
            )
            made[shards, image] = out
        return made[shards, image]

    return make


@pytest.fixture
def raw(exported: Export) -> Path:
    return exported(3, "raw")


def _taken(batches: Iterator[Any], count: int) -> list[Any]:
    return [next(batches) for _ in range(count)]


def _same(ones: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize("equal", [None, "pad", "drop"])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_epochs_are_exact_and_the_batches_are_the_drawn_ones(
    exported: Export, world_size: int, shards: int, equal: Equal | None
) -> None:
    seen: list[Counter[int]] = [Counter(), Counter()]
    lengths = set()
    for rank in range(world_size):
        loaded = loader(exported(shards, "raw"), 2, rank=rank, world_size=world_size, equal=equal, seed=3, epochs=2)
        sampling = EpochSampler(counts=[SAMPLES], batch_size=2, rank=rank, world_size=world_size, equal=equal, seed=3)
        found = [batch["index"].tolist() for batch in loaded]
        lengths.add(loaded.batches_per_epoch)
        assert loaded.batches_per_epoch == len(sampling) == len(found) // 2
        drawn = [sampling.draw(epoch, number).indices.tolist() for epoch in range(2) for number in range(len(sampling))]
        assert found == drawn
        for epoch in range(2):
            seen[epoch].update(chain(*found[epoch * len(sampling) : (epoch + 1) * len(sampling)]))
    step = 2 * world_size
    for counts in seen:
        if equal == "drop":
            assert set(counts.values()) == {1} and len(counts) == SAMPLES // step * step
        elif equal == "pad":
            assert len(counts) == SAMPLES and counts.total() == -(-SAMPLES // step) * step
        else:
            assert counts == dict.fromkeys(range(SAMPLES), 1)
    assert equal is None or len(lengths) == 1


@pytest.mark.parametrize(
    "ahead",
    [{"workers": 1}, {"workers": 2}, {"workers": 0, "threads": 3, "prefetch": 5}, {"workers": 0, "prefetch": 0}],
)
def test_who_loads_makes_no_difference(exported: Export, ahead: dict[str, int]) -> None:
    options: dict[str, Any] = {"rank": 1, "world_size": 2, "mirror": True, "epochs": 2, "fields": ["key", "yaw"]}
    path = exported(3, "png")
    batches = iter(loader(path, 3, **options, **ahead))
    _same(list(batches), list(loader(path, 3, **options, workers=0)))
    with pytest.raises(StopIteration):
        next(batches)
    batches.close()


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize("weights", [False, True])
def test_torch_s_loader_gives_the_same_batches(raw: Path, weights: bool) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from lpff_shards.loaders import torch

    options: dict[str, Any] = {"seed": 9, "epoch": 1, "rank": 2, "world_size": 3, "mirror": True, "weights": weights}
    one = torch.loader(raw, 2, **options, fields=["key", "mirrored"], workers=0)
    other = loader(raw, 2, **options, fields=["key", "mirrored"], epochs=2)
    theirs = [
        {name: np.asarray(value) for name, value in batch.items()} | {"image": batch["image"].permute(0, 2, 3, 1)}
        for _ in range(2)
        for batch in one
    ]
    _same(theirs, list(other))


def test_batches_hold_what_was_asked_for(raw: Path) -> None:
    source = ShardSource(raw)
    batch = next(iter(loader(raw, 4, shuffle=False, fields=["key", "yaw", "width", "has_camera"])))
    assert batch["image"].shape == (4, 16, 16, 3) and batch["image"].dtype == np.uint8
    assert batch["camera"].shape == (4, 25) and batch["camera"].dtype == np.float32
    assert batch["index"].tolist() == [0, 1, 2, 3] and batch["index"].dtype == np.int64
    assert batch["key"] == [source[number]["metadata"]["key"] for number in range(4)]
    assert [batch[name].dtype for name in ("yaw", "width", "has_camera")] == [np.float32, np.int64, np.bool_]
    image, label = next(iter(loader(raw, 4, shuffle=False, labels=True)))
    np.testing.assert_array_equal(image, batch["image"])
    np.testing.assert_array_equal(label, batch["camera"])
    image, label, fields = next(iter(loader(raw, 4, shuffle=False, labels=True, fields=["key", "yaw"])))
    np.testing.assert_array_equal(image, batch["image"])
    np.testing.assert_array_equal(label, batch["camera"])
    assert list(fields) == ["key", "yaw"] and fields["key"] == batch["key"]
    np.testing.assert_array_equal(fields["yaw"], batch["yaw"])


def test_mirroring_turns_picture_and_camera_together(raw: Path) -> None:
    source, flipped = ShardSource(raw), Counter[bool]()
    for batch in loader(raw, 5, mirror=True, fields=["mirrored"], epochs=2):
        for row, index in enumerate(batch["index"].tolist()):
            sample = source[index]
            flip = batch["mirrored"][row] != sample["metadata"]["mirrored"]
            flipped[flip] += 1
            want = sample["image"][:, ::-1] if flip else sample["image"]
            np.testing.assert_array_equal(batch["image"][row], want)
            mirrored = camera.mirror(sample["camera"][None].astype(np.float64))[0].astype(np.float32)
            np.testing.assert_array_equal(batch["camera"][row], mirrored if flip else sample["camera"])
            if "landmarks" in sample:
                turned = landmarks.mirror(sample["landmarks"], 16)
                np.testing.assert_array_equal(batch["landmarks"][row], turned if flip else sample["landmarks"])
    assert min(flipped[True], flipped[False]) > 5


def test_it_goes_on_for_ever_in_an_order_of_its_own_each_epoch(raw: Path) -> None:
    loaded = loader(raw, 5)
    found = _taken(iter(loaded), 4 * loaded.batches_per_epoch)
    orders = [
        tuple(np.concatenate([batch["index"] for batch in found[at : at + loaded.batches_per_epoch]]).tolist())
        for at in range(0, len(found), loaded.batches_per_epoch)
    ]
    assert len(set(orders)) == 4 and all(sorted(order) == list(range(SAMPLES)) for order in orders)
    _same(_taken(iter(loader(raw, 5, epoch=2)), 5), found[2 * loaded.batches_per_epoch :][:5])


def _place(state: dict[str, Any]) -> tuple[int, int]:
    return state["epoch"], state["number"]


def test_a_new_process_goes_on_where_the_state_was_taken(exported: Export) -> None:
    path = exported(3, "png")
    options: dict[str, Any] = {"seed": 5, "mirror": True, "equal": "drop", "fields": ["key"], "workers": 0}
    batches = iter(loader(path, 3, **options))
    _taken(batches, 10)
    state = json.dumps(batches.get_state())
    assert _place(json.loads(state)) == (1, 3)
    *lines, last = _script(RESUME, path, state, json.dumps({"workers": 2})).splitlines()
    for _ in range(2):
        assert [[*batch["key"], _digest(batch)] for batch in _taken(batches, 9)] == [line.split() for line in lines]
        assert batches.get_state() == json.loads(last)
        batches.set_state(json.loads(state))


def test_a_held_batch_is_never_written_again(raw: Path) -> None:
    batches = iter(loader(raw, 4, prefetch=4, threads=3))
    held = _taken(batches, 8)
    kept = [batch["image"].copy() for batch in held]
    views = [batch["image"][1:3, ::2] for batch in held]
    _taken(batches, 30)
    for batch, view, copy in zip(held, views, kept, strict=True):
        np.testing.assert_array_equal(batch["image"], copy)
        np.testing.assert_array_equal(view, copy[1:3, ::2])


def test_grain_s_own_transformations_follow_it(raw: Path) -> None:
    halves = iter(loader(raw, 4, shuffle=False).map(lambda batch: batch["image"] / 2))
    image = next(halves)
    np.testing.assert_array_equal(image, next(iter(loader(raw, 4, shuffle=False)))["image"] / 2)
    assert _place(halves.get_state()) == (0, 1)


def test_damage_is_told_by_threads_and_workers(exported: Export, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.mkdir()
    for file in exported(3, "png").iterdir():
        if file.is_file():
            data = file.read_bytes()
            (path / file.name).write_bytes(data.replace(b"IDAT", b"IDOT") if file.suffix == ".tar" else data)
    for workers in (0, 1):
        batches = iter(loader(path, 4, workers=workers))
        with pytest.raises(ShardsError, match="is damaged"):
            next(batches)
        batches.close()


def test_a_batch_that_failed_is_tried_again(exported: Export, tmp_path: Path) -> None:
    path = shutil.copytree(exported(1, "raw"), tmp_path / "moved")
    want = _taken(iter(loader(path, 4)), 4)
    batches = iter(loader(path, 4))
    (shard,) = path.glob("*.tfrecord-*")
    away = shard.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(ShardsError, match="cannot be read"):
            next(batches)
    away.rename(shard)
    assert _place(batches.get_state()) == (0, 0)
    _same(_taken(batches, 4), want)
    batches.close()
    with pytest.raises(ValueError, match="closed"):
        next(batches)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"workers": -1}, "workers -1 is out of range"),
        ({"threads": 0}, "threads 0 is out of range"),
        ({"prefetch": 1.5}, "prefetch 1.5 is out of range"),
        ({"epoch": -1}, "epoch -1 is out of range"),
        ({"epochs": 0}, "epochs 0 is out of range"),
        ({"rank": 2, "world_size": 2}, "rank 2 is out of range"),
        ({"split": "none"}, "has no split 'none'"),
        ({"rank": 0, "world_size": 12, "equal": "drop"}, "leaves no full batch"),
        ({"world_size": 12}, "world_size 12 was given alone"),
        ({"rank": 0}, "rank 0 was given alone"),
    ],
)
def test_odd_options_are_refused(raw: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ShardsError, match=says):
        loader(raw, 2, **options)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"equal": "pad"}, {"mirror": True}])
def test_another_loader_s_state_is_refused(raw: Path, changed: dict[str, Any]) -> None:
    batches = iter(loader(raw, 11))
    saved = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    with pytest.raises(ShardsError, match=f"This loader state does not match: saved with {saved}, now "):
        batches.set_state(iter(loader(raw, 11, **changed)).get_state())
    for state in ({"epoch": 0, "number": 0}, {}):
        with pytest.raises(ShardsError, match="This is not a loader state"):
            batches.set_state(state)
    assert len(next(batches)["index"]) == 11


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_ranks_of_a_launcher_share_an_epoch(raw: Path, monkeypatch: pytest.MonkeyPatch, launcher: str) -> None:
    found: list[int] = []
    for rank in range(4):
        use(monkeypatch, LAUNCHED[launcher](rank))
        found += [number for batch in loader(raw, 2, epochs=1, workers=0) for number in batch["index"].tolist()]
    assert sorted(found) == list(range(SAMPLES))


def test_a_loader_made_before_its_process_joined_is_refused(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lpff_shards.loaders import jax as pipeline

    early, given = loader(raw, 4, epochs=1), loader(raw, 4, epochs=1, rank=0, world_size=1)
    monkeypatch.setattr(pipeline, "joined", lambda: (1, 2))
    with pytest.raises(ShardsError, match="made as rank 0 of 1, and the process is now rank 1 of 2"):
        iter(early)
    assert next(iter(given))["index"].shape == (4,)


def test_torchrun_s_environment_tells_the_rank(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    _same(list(loader(raw, 4, epochs=1)), list(loader(raw, 4, epochs=1, rank=1, world_size=2)))


def _digest(batch: dict[str, Any]) -> str:
    return hashlib.sha256(batch["image"].tobytes() + batch["camera"].tobytes()).hexdigest()


def _script(code: str, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_signature_and_help_are_those_of_the_options() -> None:
    check_documented(loader, JaxOptions)
