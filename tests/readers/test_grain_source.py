"""ShardSource as a data source of Grain, as it is."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpff_shards import ExportOptions, PictureOptions, ShardOptions, SourceOptions, export
from lpff_shards.loaders import ShardSource
from lpff_shards.options.export import ImageKind

grain = pytest.importorskip("grain", reason="Grain is not installed")


@pytest.fixture(scope="module", params=[("wds", "png"), ("tfrecord", "raw")], ids="-".join)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ShardSource:
    format_, image = request.param
    return _source(tmp_path_factory.mktemp("grain") / "out", format_, image)


def _source(out: Path, format: str, image: ImageKind) -> ShardSource:
    export(
        ExportOptions(
            format=format,
            out=str(out),
            sources=SourceOptions(demo=6),
            picture=PictureOptions(image=image, resolution=16),
            shards=ShardOptions(shards=3),
        )
    )
    return ShardSource(out)


@pytest.fixture
def _flags() -> None:
    """What absl's app.run does: Grain 0.2.18 starts no workers without it (google/grain issue 1355)."""
    from absl import flags

    flags.FLAGS.mark_as_parsed()


def _check(source: ShardSource, batches: list[dict[str, Any]], epochs: int = 1) -> None:
    """Every sample is there `epochs` times, with its own picture, camera and fields."""
    rows = {sample["metadata"]["key"]: sample for sample in source}
    seen = []
    for batch in batches:
        for row, key in enumerate(batch["metadata"]["key"].tolist()):
            seen.append(key)
            for name in ("image", "camera"):
                np.testing.assert_array_equal(batch[name][row], rows[key][name])
            assert batch["metadata"]["yaw"][row] == np.float64(rows[key]["metadata"]["yaw"])
    assert sorted(seen) == sorted(list(rows) * epochs)


def test_it_is_a_source(source: ShardSource) -> None:
    assert isinstance(source, grain.sources.RandomAccessDataSource)


def test_shuffled_and_batched(source: ShardSource) -> None:
    dataset = grain.MapDataset.source(source).shuffle(seed=7).repeat(2).batch(5)
    _check(source, list(dataset.to_iter_dataset(grain.ReadOptions(num_threads=3, prefetch_buffer_size=4))), 2)
    keys = [key for batch in dataset for key in batch["metadata"]["key"].tolist()]
    assert keys[:12] != keys[12:] and keys[:12] != [sample["metadata"]["key"] for sample in source]


def test_the_data_loader(source: ShardSource) -> None:
    loader = _loader(source, workers=0)
    batches = iter(loader)
    found = [next(batches)]
    state = batches.get_state()
    rest = list(batches)
    other = iter(loader)
    other.set_state(state)
    assert [b["metadata"]["key"].tolist() for b in other] == [b["metadata"]["key"].tolist() for b in rest]
    _check(source, found + rest, 2)


@pytest.mark.usefixtures("_flags")
@pytest.mark.parametrize("api", ["prefetch", "loader"])
def test_worker_processes(tmp_path: Path, api: str) -> None:
    source = _source(tmp_path / "out", "wds", "png")
    if api == "loader":
        _check(source, list(_loader(source, workers=2)), 2)
        return
    dataset = grain.MapDataset.source(source).shuffle(seed=7).batch(2).to_iter_dataset()
    batches = iter(dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=2)))
    found = [next(batches) for _ in range(2)]
    state = batches.get_state()
    rest = list(batches)
    batches.set_state(state)
    again = list(batches)
    batches.close()
    _check(source, found + rest)
    _check(source, found + again)


def _loader(source: ShardSource, workers: int) -> Any:
    return grain.DataLoader(
        data_source=source,
        sampler=grain.samplers.IndexSampler(len(source), num_epochs=2, shuffle=True, seed=3),
        operations=[grain.transforms.Batch(batch_size=4)],
        worker_count=workers,
    )


def test_a_copy_is_small_and_reads_the_same(source: ShardSource) -> None:
    data = pickle.dumps(source)
    copy = pickle.loads(data)
    assert len(data) < 10_000
    np.testing.assert_array_equal(copy[5]["image"], source[5]["image"])
