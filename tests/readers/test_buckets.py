"""torch's and JAX's pipelines over buckets: the folder's batches, by threads and by spawned processes, loaded ahead."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loading import fail_the_third_batch, held_while, lpff, sent, truths, write
from stores import Bucket

pytest.importorskip("obstore", reason="obstore is not installed here")
torch = pytest.importorskip("torch", reason="torch is not installed here")
pytest.importorskip("webdataset", reason="webdataset is not installed here")

from lpff_shards import ShardsError  # noqa: E402
from lpff_shards.loaders import ShardSource  # noqa: E402
from lpff_shards.loaders import torch as pipelines  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),
    # A pipeline of the loaders' threads is what the test forks on purpose.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"),
]

SAMPLES, BATCH = 30, 4
Pipeline = Callable[..., Any]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pictures that threads read, that they decode and that processes decode, with weights."""
    root = tmp_path_factory.mktemp("exports")
    sources = lpff(root, SAMPLES)
    return {image: write(root / image, "wds", sources, 3, image=image) for image in ("raw", "jpeg", "png")}


@pytest.fixture(params=["loader", "stream"])
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    """Each of the two."""
    found: Pipeline = getattr(pipelines, request.param)
    return found


def _told(batches: Any) -> list[tuple[list[int], bytes]]:
    return [(batch["index"].tolist(), batch["image"].numpy().tobytes()) for batch in batches]


@pytest.mark.parametrize("image", ["raw", "jpeg"])
def test_threads_load_the_folder_s_batches(
    folders: dict[str, Path], bucket: Bucket, pipeline: Pipeline, image: str
) -> None:
    given = {"seed": 3, "mirror": True, "weights": True, "equal": "pad", "rank": 1, "world_size": 2}
    expected, found = (
        pipeline(folders[image], BATCH, workers=0, **given),
        pipeline(sent(folders[image], bucket), BATCH, **given),
    )
    assert found.dataset.feed.by.workers == 0
    for _ in range(2):
        assert _told(found) == _told(expected)


def test_spawned_processes_load_them_and_go_on(
    folders: dict[str, Path], s3: Bucket, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, uri = pipeline(folders["png"], BATCH, workers=2, seed=3), sent(folders["png"], s3)
    monkeypatch.setattr("lpff_shards.loaders.worker_defaults.available_cores", lambda: 2)
    found = pipeline(uri, BATCH, seed=3)
    assert found.dataset.feed.by.workers == 2
    epochs = [_told(expected) for _ in range(2)]
    assert _told(found) == epochs[0]
    passing = iter(found)
    assert _told([next(passing), next(passing)]) == epochs[1][:2]
    state = found.state_dict()
    again = pipeline(uri, BATCH, seed=3)
    again.load_state_dict(state)
    assert _told(again) == epochs[1][2:]


def test_batches_are_asked_for_ahead(folders: dict[str, Path], s3: Bucket, pipeline: Pipeline) -> None:
    batches = pipeline(sent(folders["raw"], s3), BATCH, seed=1)
    found = held_while(s3, lambda: _told(batches), BATCH + 1)
    assert sorted(index for indices, _ in found for index in indices) == list(range(SAMPLES))


def test_a_batch_that_failed_is_tried_again(
    folders: dict[str, Path], s3: Bucket, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, uri = _told(pipeline(folders["raw"], BATCH, workers=0, seed=3)), sent(folders["raw"], s3)
    fail_the_third_batch(monkeypatch)
    running, found = iter(pipeline(uri, BATCH, seed=3)), []
    with pytest.raises(ShardsError, match="the store is away"):
        while True:
            found += _told([next(running)])
    assert [*found, *_told(running)] == expected


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_torch_s_own_data_loader_reads_by_fresh_processes(folders: dict[str, Path], s3: Bucket, start: str) -> None:
    source, expected = ShardSource(sent(folders["raw"], s3)), truths(folders["raw"])
    s3.break_with()
    batches = list(torch.utils.data.DataLoader(source, 10, num_workers=1, multiprocessing_context=start))
    pictures = [picture.numpy().tobytes() for batch in batches for picture in batch["image"]]
    assert pictures == [truth.pixels.tobytes() for truth in expected]
    # A batch of neighbors is a request, and one more where it goes on in the next shard.
    assert s3.counts().methods["GET"] <= 3 + 2


def test_torch_s_own_data_loader_tells_what_a_fork_cannot(folders: dict[str, Path], s3: Bucket) -> None:
    source = ShardSource(sent(folders["raw"], s3))
    source[0]
    with pytest.raises(Exception, match=r'forked from one that reads it.*multiprocessing_context="spawn"'):
        list(torch.utils.data.DataLoader(source, 10, num_workers=1, multiprocessing_context="fork"))


def test_a_script_needs_no_main_part(folders: dict[str, Path], s3: Bucket, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    uri = sent(folders["raw"], s3)
    script.write_text(
        textwrap.dedent(f"""
        from lpff_shards.loaders.torch import loader
        for workers in (0, 1):
            print(sum(len(batch["index"]) for batch in loader({uri!r}, 4, workers=workers)), flush=True)
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()) == (0, [f"{SAMPLES}"] * 2), done.stderr


@pytest.mark.skipif(importlib.util.find_spec("grain") is None, reason="grain is not installed here")
@pytest.mark.parametrize("workers", [0, 1])
def test_jax_s_pipeline_reads_buckets(folders: dict[str, Path], s3: Bucket, workers: int) -> None:
    pytest.importorskip("jax", reason="jax is not installed here")
    from lpff_shards.loaders.jax import loader

    expected = loader(folders["raw"], BATCH, seed=3, epochs=1, mirror=True, weights=True, workers=0)
    found = iter(loader(sent(folders["raw"], s3), BATCH, seed=3, epochs=1, mirror=True, weights=True, workers=workers))
    for one, other in zip(found, expected, strict=True):
        assert one["index"].tolist() == other["index"].tolist()
        assert (one["image"] == other["image"]).all()
    found.close()
