"""torch's pipelines give every sample as `equal` says, to any number of ranks and workers, and go on anywhere."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT
from launchers import LAUNCHED, use
from loading import check_documented, fail_the_third_batch, lpff, truths, write
from planting import NAMES, installed, plant

torch = pytest.importorskip("torch", reason="torch is not installed here")

from lpff_shards import MixOptions, ShardsError, read_manifest  # noqa: E402
from lpff_shards.loaders import ShardSource  # noqa: E402
from lpff_shards.loaders import torch as pipelines  # noqa: E402
from lpff_shards.loaders.bench import Run, read_epochs  # noqa: E402
from lpff_shards.loaders.torch import StreamOptions, TorchOptions, loader, stream  # noqa: E402
from lpff_shards.options.bench import BenchOptions  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")

SAMPLES, BATCH = 37, 4
PIPELINES = {"loader": loader, "stream": stream}
EQUALS = (None, "pad", "drop")
TESTS = str(Path(__file__).resolve().parent.parent)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Thirty-seven raw pictures in one, three and sixteen shards."""
    root = tmp_path_factory.mktemp("exports")
    sources = lpff(root, SAMPLES)
    formats = {1: "tfrecord", 3: "wds", 16: "tfrecord"}
    return {n: write(root / f"{n}", format, sources, n, image="raw") for n, format in formats.items()}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with mirrors, weights and cameras, as files."""
    root = tmp_path_factory.mktemp("mixed")
    return write(
        root / "out", "wds", lpff(root, 20, mirror=True), 2, mix=MixOptions(rebalance="uniform", as_="weights")
    )


@pytest.fixture(params=PIPELINES)
def pipeline(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Each of the two."""
    return PIPELINES[request.param]


def _indices(batches: Any) -> list[list[int]]:
    return [batch["index"].tolist() for batch in batches]


def _check(ranks: list[list[list[int]]], equal: str | None, workers: int) -> None:
    """Every sample once, or as `equal` says."""
    counts = Counter(i for batches in ranks for batch in batches for i in batch)
    step = BATCH * len(ranks)
    if equal is None:
        assert counts == dict.fromkeys(range(SAMPLES), 1)
        assert all(sum(len(batch) < BATCH for batch in batches) <= 1 for batches in ranks)
        return
    total = SAMPLES // step * step if equal == "drop" else -(-SAMPLES // step) * step
    assert {len(batch) for batches in ranks for batch in batches} == {BATCH}
    assert {len(batches) for batches in ranks} == {total // step}
    assert sum(counts.values()) == total
    assert {total // SAMPLES, -(-total // SAMPLES)} >= set(counts.values())
    assert len(counts) == min(total, SAMPLES)


@pytest.mark.parametrize("equal", EQUALS)
@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("shards", [1, 3, 16])
def test_ranks_share_an_epoch(
    exports: dict[int, Path], pipeline: Callable[..., Any], shards: int, world: int, equal: str | None
) -> None:
    loaders = [
        pipeline(exports[shards], BATCH, rank=rank, world_size=world, equal=equal, workers=0) for rank in range(world)
    ]
    for _ in range(2):
        ranks = [_indices(batches) for batches in loaders]
        assert [len(batches) for batches in ranks] == [len(batches) for batches in loaders]
        _check(ranks, equal, 0)


@pytest.mark.parametrize(
    ("world", "workers", "shards", "equal"),
    [(1, 1, 1, None), (1, 2, 3, None), (1, 5, 1, "pad"), (2, 2, 16, "drop"), (3, 2, 1, None), (3, 5, 3, "pad")],
)
def test_worker_processes_share_an_epoch(
    exports: dict[int, Path], pipeline: Callable[..., Any], world: int, workers: int, shards: int, equal: str | None
) -> None:
    ranks = []
    for rank in range(world):
        batches = pipeline(exports[shards], BATCH, rank=rank, world_size=world, equal=equal, workers=workers)
        ranks.append(_indices(batches))
        assert len(ranks[-1]) == len(batches)
    _check(ranks, equal, workers)


def test_batches_hold_what_the_shards_hold(exports: dict[int, Path], pipeline: Callable[..., Any]) -> None:
    expected = truths(exports[3])
    for batch in pipeline(exports[3], BATCH, workers=0, fields=["key", "yaw", "face", "has_camera"], pin_memory=False):
        numbers = batch["index"].tolist()
        assert set(batch) == {"index", "image", "camera", "landmarks", "key", "yaw", "face", "has_camera"}
        assert batch["image"].dtype == torch.uint8
        assert batch["image"].is_contiguous(memory_format=torch.channels_last)
        for row, number in enumerate(numbers):
            truth = expected[number]
            assert np.array_equal(batch["image"][row].permute(1, 2, 0).numpy(), truth.pixels)
            assert np.array_equal(batch["camera"][row].numpy(), truth.camera)
            assert np.array_equal(batch["landmarks"][row].numpy(), truth.landmarks)
        assert batch["key"] == [expected[number].fields["key"] for number in numbers]
        assert batch["yaw"].tolist() == pytest.approx([expected[number].fields["yaw"] for number in numbers])
        assert (batch["yaw"].dtype, batch["face"].dtype, batch["has_camera"].dtype) == (
            torch.float32,
            torch.int64,
            torch.bool,
        )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else bool(a == b)


def test_batches_do_not_depend_on_workers(mixed: Path, pipeline: Callable[..., Any]) -> None:
    given = {"seed": 4, "mirror": True, "weights": True, "fields": ["key", "mirrored"], "world_size": 2, "rank": 1}
    expected = [list(batches) for batches in [pipeline(mixed, 3, workers=0, **given)] * 2]
    assert not _same(expected[0], expected[1])
    assert _same(list(pipeline(mixed, 3, workers=0, epoch=1, **given)), expected[1])
    for workers, prefetch in ((0, 0), (0, 5), (1, 2), (2, 1)):
        batches = pipeline(mixed, 3, workers=workers, prefetch=prefetch, **given)
        assert [_same(list(batches), epoch) for epoch in expected] == [True, True]


def test_a_stream_is_a_loader_with_a_number(mixed: Path) -> None:
    for number, other in ((6, stream), (True, loader)):
        expected = list(other(mixed, 3, workers=0, **({"shuffle": 6} if number == 6 else {})))
        assert _same(list((loader if other is stream else stream)(mixed, 3, workers=0, shuffle=number)), expected)


def test_orders_differ_by_seed_and_are_the_shards_without_shuffling(
    exports: dict[int, Path], pipeline: Callable[..., Any]
) -> None:
    orders = {str(_indices(pipeline(exports[3], BATCH, workers=0, seed=seed))) for seed in range(5)}
    assert len(orders) == 5
    batches = pipeline(exports[1], BATCH, workers=0)
    assert len({str(_indices(batches)) for _ in range(5)}) == 5
    plain = pipeline(exports[3], BATCH, workers=0, shuffle=0 if pipeline is stream else False)
    for _ in range(2):
        assert [i for batch in plain for i in batch["index"].tolist()] == list(range(SAMPLES))


def test_labels_are_pairs_of_images_and_cameras(mixed: Path, pipeline: Callable[..., Any]) -> None:
    pairs = list(pipeline(mixed, 7, labels=True, workers=0, mirror=True))
    dicts = list(pipeline(mixed, 7, workers=0, mirror=True))
    assert len(pairs) == len(dicts)
    for (image, label), batch in zip(pairs, dicts, strict=True):
        assert torch.equal(image, batch["image"])
        assert torch.equal(label, batch["camera"])
        assert (label.dtype, label.shape) == (torch.float32, (len(image), 25))


def test_labels_and_fields_are_triples(mixed: Path, pipeline: Callable[..., Any]) -> None:
    given: dict[str, Any] = {"workers": 0, "mirror": True, "fields": ["key", "yaw", "mirrored"]}
    triples, dicts = list(pipeline(mixed, 7, labels=True, **given)), list(pipeline(mixed, 7, **given))
    assert len(triples) == len(dicts)
    for (image, label, fields), batch in zip(triples, dicts, strict=True):
        assert torch.equal(image, batch["image"])
        assert torch.equal(label, batch["camera"])
        assert list(fields) == given["fields"]
        assert fields["key"] == batch["key"]
        assert torch.equal(fields["yaw"], batch["yaw"])
        assert torch.equal(fields["mirrored"], batch["mirrored"])


def test_mirrored_samples_are_mirrored_whole(mixed: Path, pipeline: Callable[..., Any]) -> None:
    source, flipped = ShardSource(mixed, order="first"), 0
    stored = source.column("mirrored")
    for batch in pipeline(mixed, 7, workers=0, mirror=True, fields=["mirrored", "yaw"]):
        for row, number in enumerate(batch["index"].tolist()):
            sample = source[number]
            flip = bool(batch["mirrored"][row]) != bool(stored[number])
            flipped += flip
            image = sample["image"][:, :, ::-1] if flip else sample["image"]
            assert np.array_equal(batch["image"][row].numpy(), image)
            assert batch["camera"][row, 3] == (-1) ** flip * sample["camera"][3]
            assert float(batch["yaw"][row]) == pytest.approx((-1) ** flip * sample["metadata"]["yaw"])
    assert 0.2 * len(source) < flipped < 0.8 * len(source)


def test_flips_are_drawn_anew_in_each_epoch(mixed: Path, pipeline: Callable[..., Any]) -> None:
    batches = pipeline(mixed, 7, workers=0, mirror=True, fields=["mirrored"])
    epochs = [
        sorted((int(i), bool(m)) for b in batches for i, m in zip(b["index"], b["mirrored"], strict=True))
        for _ in range(12)
    ]
    changing = [len(set(flags)) == 2 for flags in zip(*epochs, strict=True)]
    assert all(changing)


@pytest.mark.parametrize("pipeline", [loader, stream])
def test_weighted_samples_come_as_often_as_their_weights_say(mixed: Path, pipeline: Any) -> None:
    weights = ShardSource(mixed).column("weight").astype(float)
    assert weights.min() < weights.max()
    batches = pipeline(mixed, 7, weights=True, workers=0)
    counts = np.zeros(len(weights))
    for _ in range(20):
        drawn = np.concatenate([batch["index"].numpy() for batch in batches])
        assert len(drawn) == len(weights)
        counts += np.bincount(drawn, minlength=len(weights))
    due = weights / weights.sum() * len(weights) * 20
    assert np.abs(counts - due).max() < 20
    assert np.corrcoef(counts, due)[0, 1] > 0.95


RESUME = """
import pickle, sys, warnings
warnings.simplefilter("ignore")
from lpff_shards.loaders.torch import loader, stream
def main():
    for name, path, options, state, expected in pickle.load(open(sys.argv[1], "rb")):
        batches = {"loader": loader, "stream": stream}[name](path, 4, **options)
        batches.load_state_dict(pickle.loads(state))
        found = [[(b["index"].tolist(), b["mirrored"].tolist(), int(b["image"].sum())) for b in batches] for _ in "12"]
        assert found == expected, (name, options, found, expected)
        print(name, options["workers"])
main()
"""


OTHERS: list[dict[str, Any]] = [{"seed": 1}, {"mirror": True}, {"equal": "pad"}, {"weights": True}]


@pytest.mark.parametrize("name", ["loader", "stream"])
@pytest.mark.parametrize("changed", OTHERS, ids=str)
def test_a_state_of_other_options_is_refused(mixed: Path, name: str, changed: dict[str, Any]) -> None:
    given: dict[str, Any] = {"workers": 0}
    state = PIPELINES[name](mixed, BATCH, **given).state_dict()
    text = ", ".join(f"{name}={value!r}" for name, value in changed.items())
    with pytest.raises(ShardsError, match=rf"This loader state does not match: saved with .*, now {text}\. Recreate"):
        PIPELINES[name](mixed, BATCH, **{**given, **changed}).load_state_dict(state)


def test_a_state_s_error_lists_all_that_differs(mixed: Path, exports: dict[int, Path]) -> None:
    state = stream(mixed, BATCH, workers=2, seed=3).state_dict()
    with pytest.raises(ShardsError) as caught:
        stream(mixed, BATCH, workers=1, mirror=True).load_state_dict(state)
    assert str(caught.value) == (
        "This loader state does not match: saved with seed=3, mirror=False, now seed=0, mirror=True. "
        "Recreate the loader with the saved options"
    )
    with pytest.raises(ShardsError, match=r"the data set is another one or has changed; saved with .*seed=3"):
        stream(exports[3], BATCH, workers=1).load_state_dict(state)


def test_signatures_and_help_are_those_of_the_options() -> None:
    check_documented(loader, TorchOptions)
    check_documented(stream, StreamOptions)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("loader", {"workers": 0, "prefetch": 0}),
        ("loader", {"workers": 0, "prefetch": 2, "threads": 1}),
        ("stream", {"workers": 0}),
        ("stream", {"workers": 1}),
    ],
)
def test_a_batch_that_failed_is_tried_again(
    exports: dict[int, Path], monkeypatch: pytest.MonkeyPatch, name: str, given: dict[str, Any]
) -> None:
    expected = _indices(PIPELINES[name](exports[3], BATCH, seed=3, **given))
    fail_the_third_batch(monkeypatch)
    running = iter(PIPELINES[name](exports[3], BATCH, seed=3, **given))
    found = [next(running)["index"].tolist() for _ in range(2)]
    with pytest.raises(ShardsError, match="the store is away"):
        next(running)
    assert [*found, *_indices(running)] == expected


def test_short_reads_are_continued(exports: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [batch["image"] for batch in loader(exports[3], BATCH, workers=0)]
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, min(size, 100), at))
    monkeypatch.setattr(os, "preadv", lambda fd, parts, at: preadv(fd, [memoryview(parts[0])[:100]], at))
    found = [batch["image"] for batch in loader(exports[3], BATCH, workers=0)]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_a_state_of_another_data_set_or_pipeline_is_refused(exports: dict[int, Path]) -> None:
    state = loader(exports[3], BATCH, workers=0).state_dict()
    others = [loader(exports[1], BATCH, workers=0), stream(exports[3], BATCH, workers=0)]
    for other, words in zip(others, ("the data set is another one", "saved with loader='Sampling'"), strict=True):
        with pytest.raises(ShardsError, match=words):
            other.load_state_dict(state)
    older = {"_snapshot": {}, "of": state["of"]}
    for odd in ({}, older, [], {**state, "number": -1}, {**state, "before": [[1, 2]]}, {**state, "of": None}):
        with pytest.raises(ShardsError, match="This is not a loader state, or one of an older version"):
            loader(exports[3], BATCH, workers=0).load_state_dict(odd)


def test_odd_ranks_of_the_environment_are_refused(exports: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "x")
    with pytest.raises(ShardsError, match="RANK is 'x' in the environment"):
        loader(exports[3], BATCH, workers=0)


def _seen(batches: Any) -> list[Any]:
    return [(b["index"].tolist(), b["mirrored"].tolist(), int(b["image"].sum())) for b in batches]


def _stopped(name: str, path: Path, workers: int, stop: str) -> tuple[Any, ...]:
    """A pipeline's state at some place, and what came after it: the rest of the epoch and the next one."""
    options = {"workers": workers, "seed": 3, "mirror": True, "fields": ["mirrored"]}
    if name == "stream":
        options["shuffle"] = 7
    batches = PIPELINES[name](path, BATCH, **options)
    if stop in ("after the end", "in the second epoch"):
        _seen(batches)
    if stop in ("before the start", "after the end"):
        state, rest = batches.state_dict(), _seen(batches)
    else:
        count = {"at the start": 0, "at the last": 9, "at the end": 10}.get(stop, 4)
        running = iter(batches)
        first = _seen(islice(running, count))
        state = batches.state_dict()
        rest = _seen(running)
        assert sorted(i for batch, _, _ in first + rest for i in batch) == list(range(SAMPLES))
        assert len(rest) == 10 - count
    return name, str(path), options, pickle.dumps(state), [rest, _seen(batches)]


def _run(script: str, *args: object, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [TESTS, str(Path(ShardSource.__init__.__globals__["__file__"]).parents[2])]))
    paths = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment, "PYTHONPATH": paths},
    )


PLACES = ("before the start", "at the start", "in the middle", "at the last", "at the end", "after the end")


def test_a_pipeline_goes_on_in_another_process(exports: dict[int, Path], tmp_path: Path) -> None:
    places = [(workers, place) for workers in (0, 2) for place in (*PLACES, "in the second epoch")]
    places += [(1, "in the middle"), (5, "in the middle"), (1, "after the end"), (5, "in the second epoch")]
    cases = [_stopped(name, exports[3], workers, place) for name in PIPELINES for workers, place in places]
    (tmp_path / "cases").write_bytes(pickle.dumps(cases))
    done = _run(RESUME, tmp_path / "cases")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(cases)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pipeline_that_went_on_is_stopped_again(
    exports: dict[int, Path], pipeline: Callable[..., Any], workers: int
) -> None:
    whole = pipeline(exports[3], BATCH, workers=workers)
    first, second = _indices(whole), _indices(whole)
    found: list[list[int]] = []
    state = None
    for count in (3, 0, 1, 5):
        batches = pipeline(exports[3], BATCH, workers=workers)
        if state is not None:
            batches.load_state_dict(state)
            assert _same(pickle.loads(pickle.dumps(batches.state_dict())), batches.state_dict())
        found += _indices(islice(iter(batches), count))
        state = pickle.loads(pickle.dumps(batches.state_dict()))
    batches = pipeline(exports[3], BATCH, workers=workers)
    batches.load_state_dict(state)
    assert found + _indices(batches) == first
    assert _indices(batches) == second
    # And back, with a pipeline that has been running.
    batches.load_state_dict(state)
    assert _same(pickle.loads(pickle.dumps(batches.state_dict())), state)
    assert found + _indices(batches) == first
    assert _indices(batches) == second


@pytest.mark.parametrize("workers", [0, 2])
def test_the_next_pass_after_a_break_is_the_next_epoch(
    exports: dict[int, Path], pipeline: Callable[..., Any], workers: int
) -> None:
    whole = pipeline(exports[3], BATCH, workers=workers)
    epochs = [_indices(whole) for _ in range(3)]
    batches = pipeline(exports[3], BATCH, workers=workers)
    assert _indices(islice(batches, 2)) == epochs[0][:2]
    assert _indices(islice(batches, 3)) == epochs[1][:3]
    assert _indices(batches) == epochs[2]


DISTRIBUTED = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
from lpff_shards.loaders.torch import loader, stream
path, rank, store, out = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=int(rank), world_size=2)
found = [[b["index"].tolist() for b in make(path, 4, equal="pad", workers=0)] for make in (loader, stream)]
everything = [None, None]
torch.distributed.all_gather_object(everything, found)
if rank == "0":
    print(everything)
torch.distributed.destroy_process_group()
"""


def test_ranks_are_torch_distributed_s(exports: dict[int, Path], tmp_path: Path) -> None:
    outs: dict[int, subprocess.CompletedProcess[str]] = {}

    def start(rank: int) -> None:
        outs[rank] = _run(DISTRIBUTED, exports[3], rank, tmp_path / "store", tmp_path, RANK="7", WORLD_SIZE="9")

    threads = [threading.Thread(target=start, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outs[rank].returncode for rank in range(2)] == [0, 0], outs[0].stderr + outs[1].stderr
    ranks = eval(outs[0].stdout)
    for number in range(2):
        _check([found[number] for found in ranks], "pad", 0)


LATE = """
import sys
import torch
from lpff_shards import ShardsError
from lpff_shards.loaders.torch import loader, stream
path, store = sys.argv[1:]
early = [make(path, 4, workers=0) for make in (loader, stream)]
given = [make(path, 4, workers=0, rank=0, world_size=1) for make in (loader, stream)]
for batches in early:
    next(iter(batches))
torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
for batches in early + given:
    next(iter(batches))
torch.distributed.get_world_size = lambda: 2
for batches in early:
    try:
        iter(batches)
    except ShardsError as error:
        assert "made as rank 0 of 1, and the process is now rank 0 of 2" in str(error), error
    else:
        raise AssertionError("not refused")
for batches in given:
    next(iter(batches))
torch.distributed.destroy_process_group()
"""


def test_a_loader_made_before_its_process_joined_is_refused(exports: dict[int, Path], tmp_path: Path) -> None:
    done = _run(LATE, exports[3], tmp_path / "store")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_ranks_of_a_launcher_share_an_epoch(
    exports: dict[int, Path], pipeline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    ranks = []
    for rank in range(4):
        use(monkeypatch, LAUNCHED[launcher](rank))
        ranks.append(_indices(pipeline(exports[3], BATCH, workers=0)))
    _check(ranks, None, 0)


def test_half_an_environment_is_refused(
    exports: dict[int, Path], pipeline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, {"WORLD_SIZE": 4, "LOCAL_RANK": 1})
    for given in ({}, {"world_size": 4}, {"rank": 1}):
        with pytest.raises(ShardsError, match="WORLD_SIZE is 4 in the environment, and RANK is missing"):
            pipeline(exports[3], BATCH, workers=0, **given)


def test_ranks_are_torchrun_s(
    exports: dict[int, Path], pipeline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    ranks = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        ranks.append(_indices(pipeline(exports[3], BATCH, workers=0)))
        assert ranks[-1] == _indices(pipeline(exports[3], BATCH, workers=0, rank=rank, world_size=3))
    _check(ranks, None, 0)
    assert len(_indices(pipeline(exports[3], BATCH, workers=0, rank=0, world_size=1))) == 10


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (2, "spawn")])
def test_torch_s_own_data_loader_takes_a_source(mixed: Path, workers: int, start: str | None) -> None:
    batches = torch.utils.data.DataLoader(
        ShardSource(mixed), batch_size=6, num_workers=workers, multiprocessing_context=start
    )
    expected, number = truths(mixed), 0
    for batch in batches:
        for row in range(len(batch["image"])):
            truth = expected[number]
            assert np.array_equal(batch["image"][row].numpy(), truth.pixels)
            assert np.array_equal(batch["camera"][row].numpy(), truth.camera)
            assert batch["metadata"]["key"][row] == truth.fields["key"]
            assert bool(batch["metadata"]["mirrored"][row]) == truth.fields["mirrored"]
            number += 1
    assert number == len(expected)


@pytest.mark.parametrize("image", ["jpeg", "webp", "keep"])
def test_decoded_pictures_are_taken_without_a_warning(tmp_path: Path, image: str) -> None:
    out = write(tmp_path / "out", "tfrecord", lpff(tmp_path, 5, 24), 1, image=image)
    expected = truths(out)
    for batch in (
        *torch.utils.data.DataLoader(ShardSource(out), batch_size=5),
        *loader(out, 5, workers=0, shuffle=False),
    ):
        image_ = batch["image"] if "metadata" in batch else batch["image"].permute(0, 2, 3, 1)
        assert np.array_equal(image_.numpy(), np.stack([truth.pixels for truth in expected]))


SCRIPT = """
import multiprocessing, sys
import beside
from lpff_shards.loaders.torch import loader, stream

multiprocessing.set_start_method(sys.argv[2])
for pipeline in (loader, stream):
    print(sum(len(images) for images, _ in pipeline(sys.argv[1], batch_size=4, labels=True, workers=1)))
"""


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_a_script_without_a_main_part_loads_by_processes_that_import_nothing_of_the_current_folder(
    exports: dict[int, Path], tmp_path: Path, start: str
) -> None:
    told = plant(tmp_path / "set", (*NAMES, "torch", "selectors", "socket", "runpy"))
    command = installed(tmp_path / "bin", SCRIPT, str(exports[16]), start)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        command, cwd=tmp_path / "set", env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert not told.exists(), told.read_text()
    assert (done.returncode, done.stdout.split()) == (0, [f"{SAMPLES}"] * 2), done.stderr


def test_a_process_that_starts_is_told_that_it_would_run_the_whole_script(
    exports: dict[int, Path], pipeline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = pipeline(exports[16], BATCH, workers=1)
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(ShardsError, match="would run the whole script"):
        iter(batches)


def test_tensors_that_are_held_stay_as_they_are(exports: dict[int, Path], pipeline: Callable[..., Any]) -> None:
    expected = [truth.pixels for truth in truths(exports[16])]
    held = []
    for _ in range(3):
        for batch in pipeline(exports[16], BATCH, workers=0):
            held.append((batch["index"].tolist()[-1], batch["image"][-1, 1:, ::2].permute(1, 2, 0)))
    for number, view in held:
        assert np.array_equal(view.numpy(), expected[number][::2, :, 1:])


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_memory_does_not_grow(tmp_path: Path, pipeline: Callable[..., Any]) -> None:
    batches = pipeline(write(tmp_path / "out", "wds", lpff(tmp_path, 16, 128), 2, image="raw"), BATCH, workers=0)

    def pass_over(epochs: int) -> tuple[int, int, int]:
        for _ in range(epochs):
            for batch in batches:
                del batch
        gc.collect()
        # Threads of the last epoch may be at their end.
        deadline = time.monotonic() + 20
        while threading.active_count() > own and time.monotonic() < deadline:
            time.sleep(0.01)
        return _resident(), threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    own = threading.active_count()
    memory, *others = pass_over(10)
    more, *others_then = pass_over(50)
    assert all(now <= before for now, before in zip(others_then, others, strict=True))
    # An epoch is 0.8 MB.
    assert more - memory < 10e6


LEFT = """
import gc, sys, threading, time, warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", message="'set_vital' is deprecated")
from lpff_shards.loaders.torch import loader, stream
for make in (loader, stream):
    for workers in (0, 2):
        batches = make(sys.argv[1], 4, workers=workers)
        for batch in batches:
            break
        del batches, batch
        gc.collect()
deadline = time.monotonic() + 20
while threading.active_count() > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
print([t.name for t in threading.enumerate()])
kept = iter(loader(sys.argv[1], 4, workers=0))
next(kept)
"""


def test_a_pipeline_left_half_way_leaves_nothing(exports: dict[int, Path]) -> None:
    done = _run(LEFT, exports[3])
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "['MainThread']", "")


@pytest.mark.parametrize(("name", "workers"), [("loader", 0), ("stream", 0), ("loader", 1)])
def test_damage_is_told_of(tmp_path: Path, name: str, workers: int) -> None:
    out = write(tmp_path / "out", "wds", lpff(tmp_path, 9), 1, image="raw")
    shard = out / read_manifest(out).shards[0].file
    with shard.open("r+b") as file:
        file.seek(257)
        file.write(b"USTAR")
    batches = PIPELINES[name](out, 3, workers=workers)
    with pytest.raises(ShardsError, match=r"sample 0 is damaged: a member's header is missing"):
        list(batches)


@pytest.mark.parametrize(("name", "workers"), [("loader", 0), ("stream", 0), ("loader", 1)])
def test_a_shard_that_changes_meanwhile_is_refused(tmp_path: Path, name: str, workers: int) -> None:
    out = write(tmp_path / "out", "wds", lpff(tmp_path, 9), 3, image="raw")
    batches = PIPELINES[name](out, 3, workers=workers)
    shard = out / read_manifest(out).shards[2].file
    shutil.copy(shard, out / "new")
    (out / "new").replace(shard)
    with pytest.raises(ShardsError, match=r"tar has changed since it was opened"):
        list(batches)


INTERRUPTED = """
import sys, warnings
warnings.simplefilter("ignore")
from lpff_shards.loaders.torch import loader
batches = loader(sys.argv[1], 4, workers=2)
while True:
    for batch in batches:
        print("running", flush=True)
"""


def test_ctrl_c_ends_it(exports: dict[int, Path]) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(exports[3])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "running\n"
    os.killpg(child.pid, signal.SIGINT)
    started = time.monotonic()
    _, err = child.communicate(timeout=30)
    assert time.monotonic() - started < 20
    assert child.returncode in (1, -signal.SIGINT)
    assert "KeyboardInterrupt" in err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch_size": 0}, "batch_size 0 is out of range"),
        ({"epoch": -1}, "epoch -1 is out of range"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"workers": -1}, "workers -1 is out of range"),
        ({"prefetch": -1, "workers": 0}, "prefetch -1 is out of range. It is a whole number from 0"),
        ({"prefetch": 0, "workers": 1}, "prefetch 0 is out of range. It is a whole number from 1"),
        ({"rank": 2, "world_size": 2}, "rank 2 is out of range"),
        ({"rank": 1}, "rank 1 was given alone, and no launcher has set the other. Give rank and world_size, both"),
        ({"world_size": 2}, "world_size 2 was given alone"),
        ({"rank": True, "world_size": 2}, "rank True is out of range"),
        ({"equal": "even"}, "equal 'even' is not known"),
        ({"equal": "drop", "batch_size": 38}, "equal='drop' leaves no full batch: 37 samples, 1 x 38 per batch"),
        ({"split": "val"}, "has no split 'val'"),
        ({"fields": ["color"]}, "field 'color' is not known"),
    ],
)
def test_options_out_of_range_are_refused_at_once(
    exports: dict[int, Path], pipeline: Callable[..., Any], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ShardsError, match=words):
        pipeline(exports[3], **{"batch_size": 4, **given})
    with pytest.raises(ShardsError, match="shuffle -1 is out of range"):
        stream(exports[3], 4, shuffle=-1)


def test_pinned_batches_are_copied_by_a_thread(exports: dict[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set()

    def pinned(array: np.ndarray) -> torch.Tensor:
        threads.add(threading.get_ident())
        return torch.from_numpy(array).clone()

    expected = list(loader(exports[3], BATCH, workers=0, labels=True))
    monkeypatch.setattr(pipelines, "_accelerated", lambda: True)
    monkeypatch.setattr(pipelines, "_pinned", pinned)
    for workers in (0, 1):
        assert _same(list(loader(exports[3], BATCH, workers=workers, labels=True, pin_memory=True)), expected)
    assert threads and threading.get_ident() not in threads


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
def test_pinning_without_an_accelerator_is_told(exports: dict[int, Path]) -> None:
    with pytest.warns(UserWarning, match="pin_memory has no effect: torch finds no accelerator"):
        assert len(list(loader(exports[3], BATCH, workers=0, pin_memory=True))) == 10


@pytest.mark.filterwarnings("ignore:pin_memory has no effect")
@pytest.mark.parametrize("pinned", [False, True])
def test_bench_copies_to_a_device_of_torch(exports: dict[int, Path], pinned: bool) -> None:
    options = BenchOptions(path=str(exports[3]), batch_size=BATCH)
    sizes = read_epochs(
        Run("torch.loader", 0, device="cuda" if torch.cuda.is_available() else "cpu", pinned=pinned), options
    )
    assert list(islice(sizes, SAMPLES // BATCH + 1)) == [BATCH] * (SAMPLES // BATCH) + [SAMPLES % BATCH]
