"""`loaders.tensorflow.dataset` over buckets: the folder's batches, whose records are asked for together and once."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from loading import held_while, lpff, sent, write
from stores import Bucket

from lpff_shards.formats.registry import index_names
from lpff_shards.loaders import ShardSource

pytest.importorskip("tensorflow", reason="TensorFlow is not installed here")

from lpff_shards.loaders.tensorflow import dataset
from lpff_shards.loaders.worker_defaults import FEW

SAMPLES, BATCH = 24, 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw pictures with landmarks in three files of TFRecords."""
    root = tmp_path_factory.mktemp("exports")
    return write(root / "out", "tfrecord", lpff(root, SAMPLES), 3, image="raw")


@pytest.fixture
def uri(folder: Path, bucket: Bucket) -> str:
    """The same in either store."""
    return sent(folder, bucket)


def _batches(found: Any) -> list[dict[str, Any]]:
    return [{name: value.numpy() for name, value in batch.items()} for batch in found]


def _assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert [batch["index"].tolist() for batch in found] == [batch["index"].tolist() for batch in expected]
    for batch, other in zip(found, expected, strict=True):
        assert list(batch) == list(other)
        assert all(np.array_equal(batch[name], other[name]) for name in batch)


@pytest.mark.parametrize(
    "options",
    [
        {"fields": ("key", "yaw", "mirrored"), "mirror": True},
        {"shuffle": 0, "equal": "drop", "rank": 1, "world_size": 2},
        {"equal": "pad", "epoch": 3, "start": 2, "seed": 5, "parallel": 2, "prefetch": 1},
    ],
    ids=str,
)
def test_batches_are_those_of_the_folder(folder: Path, uri: str, tf: ModuleType, options: dict[str, Any]) -> None:
    found, expected = dataset(uri, BATCH, **options), dataset(str(folder), BATCH, **options)
    assert found.element_spec == expected.element_spec
    assert len(found) == len(expected)
    _assert_same(_batches(found), _batches(expected))


def test_a_request_a_sample_and_fewer_in_turn(uri: str, bucket: Bucket, tf: ModuleType) -> None:
    shuffled, in_turn = dataset(uri, BATCH, seed=1), dataset(uri, BATCH, shuffle=0)
    for found, most in ((shuffled, SAMPLES), (in_turn, SAMPLES // BATCH + 1 + 2)):
        bucket.break_with()
        batches = _batches(found)
        assert sum(len(batch["index"]) for batch in batches) == SAMPLES
        assert set(bucket.counts().methods) == {"GET"}
        assert SAMPLES // BATCH < bucket.counts().methods["GET"] <= most


def test_batches_are_asked_for_ahead(uri: str, bucket: Bucket, tf: ModuleType) -> None:
    # Every other sample, so that none is another's neighbor.
    found = dataset(uri, 4, shuffle=24, seed=2)
    numbers = [batch["index"].numpy() for batch in found]
    apart = sum(int((np.diff(np.sort(batch)) > 1).sum()) + 1 for batch in numbers[:FEW])
    done = held_while(bucket, lambda: _batches(found), apart)
    assert [batch["index"].tolist() for batch in done] == [batch.tolist() for batch in numbers]


def test_a_checkpoint_goes_on_and_asks_for_nothing_twice(
    folder: Path, uri: str, bucket: Bucket, tf: ModuleType, tmp_path: Path
) -> None:
    batches = iter(dataset(uri, BATCH, seed=1))
    next(batches)
    next(batches)
    saved = tf.train.Checkpoint(batches=batches).write(str(tmp_path / "saved"))
    del batches
    again = iter(dataset(uri, BATCH, seed=1))
    bucket.break_with()
    tf.train.Checkpoint(batches=again).read(saved).assert_consumed()
    _assert_same(_batches(again), _batches(dataset(str(folder), BATCH, seed=1, start=2)))
    assert bucket.counts().methods["GET"] <= SAMPLES - 2 * BATCH
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 5000


def test_a_damaged_record_is_told(folder: Path, uri: str, bucket: Bucket, tf: ModuleType) -> None:
    shard, index = ShardSource(folder).shards[0].file, 4
    offset, _ = ((folder / index_names(shard)[-1]).read_text().splitlines()[index]).split()
    data = bytearray((folder / shard).read_bytes())
    data[int(offset)] ^= 1
    bucket.put(f"sets/out/{shard}", bytes(data))
    with pytest.raises(tf.errors.UnknownError, match=rf"{shard}: sample {index} is damaged: "):
        _batches(dataset(uri, BATCH, shuffle=0))


def test_a_shard_that_is_gone_is_told(uri: str, bucket: Bucket, tf: ModuleType) -> None:
    found = dataset(uri, BATCH)
    name = ShardSource(uri).shards[1].file
    bucket.remove(f"sets/out/{name}")
    with pytest.raises(tf.errors.UnknownError, match=rf"{uri}/{name} was removed after it was opened"):
        _batches(found)
