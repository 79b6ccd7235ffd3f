"""`loaders.tensorflow.dataset` gives what ShardSource gives, exactly, and goes on in the middle in another process."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from dataset_factories import FOLDERS, write, write_ffhq_stylegan, write_lpff
from launchers import LAUNCHED, use
from loading import check_documented
from PIL import Image

from lpff_shards import ExportOptions, PictureOptions, ShardOptions, SourceOptions, export
from lpff_shards.errors import ShardsError
from lpff_shards.loaders import ShardSource
from lpff_shards.loaders.batches import mirror_batch
from lpff_shards.loaders.feed import Feed, Loading
from lpff_shards.loaders.options import LoaderOptions
from lpff_shards.loaders.recycler import Recycler
from lpff_shards.loaders.sampler import StreamSampler
from lpff_shards.loaders.state import Position, loader_settings, restore_state, save_state
from lpff_shards.loaders.worker_defaults import Workers
from lpff_shards.schemas.fields import FIELDS

pytest.importorskip("tensorflow", reason="TensorFlow is not installed here")

from lpff_shards.loaders.tensorflow import TensorflowOptions, dataset

IDS = [f"1000{n:02}@N06_217951650{n:02}_01" for n in range(23)]
SIZE = (20, 12)  # width, height
Folders = Callable[..., Path]
_ORDER = ("image", "camera", "key", "yaw", "mirrored")

RESUMED = """
import hashlib, json, sys
import tensorflow as tf
from lpff_shards.loaders.tensorflow import dataset
path, saved, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
def told(batches):
    return [[b["index"].numpy().tolist(), hashlib.sha256(b["image"].numpy().tobytes()).hexdigest()] for b in batches]
batches = iter(dataset(path, 4, **options))
tf.train.Checkpoint(batches=batches).read(saved).assert_consumed()
print(json.dumps([told(dataset(path, 4, start=2, **options)), told(batches)]))
"""

DISTRIBUTED = """
import json, sys
import tensorflow as tf
from lpff_shards.loaders.tensorflow import dataset
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
def made(context):
    place = {"rank": context.input_pipeline_id, "world_size": context.num_input_pipelines}
    return dataset(sys.argv[1], context.get_per_replica_batch_size(6), shuffle=9, **place)
@tf.function
def step(batch):
    return batch["index"] + 0 * tf.cast(tf.reduce_sum(batch["image"]), tf.int64)
told = []
for batch in strategy.distribute_datasets_from_function(made):
    told += [part.numpy().tolist() for part in strategy.experimental_local_results(strategy.run(step, (batch,)))]
print(json.dumps([part for part in told if part]))
"""


def _noise(name: str, kind: str, size: tuple[int, int] = SIZE) -> bytes:
    small = np.random.default_rng(len(name) + ord(name[5])).integers(0, 256, (4, 5, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(out, kind)
    return out.getvalue()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Exports of photos that are not square, with cameras and landmarks, each made once."""
    root = write_lpff(tmp_path_factory.mktemp("lpff"), IDS, alignments=())
    for id in IDS:
        write(root / FOLDERS["raw"] / f"{id[:-3]}.jpg", _noise(id, "JPEG"))
    made: dict[Any, Path] = {}

    def make(image: str = "raw", shards: int = 3, **options: Any) -> Path:
        key = (image, shards, *options.items())
        if key not in made:
            out = tmp_path_factory.mktemp("out")
            export(
                ExportOptions(
                    **{"format": "tfrecord", "out": str(out), **options},
                    sources=SourceOptions(lpff=str(root), alignment="raw"),
                    picture=PictureOptions(image=image),
                    shards=ShardOptions(shards=shards),
                )
            )
            made[key] = out
        return made[key]

    return make


def _numpy(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value.numpy() for name, value in batch.items()}


def _assert_same(got: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(got) == list(expected)
    for name, value in expected.items():
        if isinstance(value, list):
            assert [text.decode() for text in got[name]] == value
        else:
            assert got[name].dtype == value.dtype
            assert np.array_equal(got[name], value), name


@pytest.mark.parametrize("format", ["tfrecord", "wds"])
@pytest.mark.parametrize("image", ["keep", "png", "jpeg", "webp", "raw"])
def test_batches_are_the_source_s(folders: Folders, tf: ModuleType, image: str, format: str) -> None:
    fields = [f.name for f in FIELDS if image == "raw" or f.name in ("key", "yaw", "mirrored")]
    path = folders(image, format=format)
    found = dataset(path, 4, fields=fields)
    source = ShardSource(path)
    batches = [_numpy(batch) for batch in found]
    for batch in batches:
        _assert_same(batch, source.batch(batch["index"], fields))
    assert [len(batch["index"]) for batch in batches] == [4] * 5 + [3]
    assert sorted(n for batch in batches for n in batch["index"].tolist()) == list(range(23))
    assert len(found) == 6


@pytest.mark.parametrize(("shards", "world_size"), [(1, 2), (3, 1), (16, 3)])
def test_ranks_share_an_epoch(folders: Folders, tf: ModuleType, shards: int, world_size: int) -> None:
    path, counts = folders(shards=shards), [shard.samples for shard in ShardSource(folders(shards=shards)).shards]
    for equal in (None, "pad"):
        for rank in range(world_size):
            options: dict[str, Any] = {"shuffle": 5, "seed": 3, "rank": rank, "world_size": world_size, "equal": equal}
            order = StreamSampler(counts=counts, batch_size=4, **options)
            found = [_numpy(batch)["index"].tolist() for batch in dataset(path, 4, epoch=1, **options)]
            assert found == [order.draw(1, number).indices.tolist() for number in range(len(order))]


def test_shapes_are_static(folders: Folders, tf: ModuleType) -> None:
    for equal, batch in (("pad", 4), ("drop", 4), (None, None)):
        spec = dataset(folders(), 4, equal=equal, mirror=True, fields=("yaw", "key")).element_spec
        assert {name: tuple(of.shape) for name, of in spec.items()} == {
            **{"index": (batch,), "image": (batch, 12, 20, 3), "camera": (batch, 25), "landmarks": (batch, 68, 2)},
            **{"yaw": (batch,), "key": (batch,)},
        }


def test_mirrored_samples_are_numpy_s(folders: Folders, tf: ModuleType) -> None:
    path, fields = folders(), ("yaw", "mirrored", "pitch")
    source = ShardSource(path)
    order = StreamSampler(counts=[shard.samples for shard in source.shards], batch_size=4, seed=7, mirror=True)
    drawn = [order.draw(2, number) for number in range(len(order))]
    assert 0 < sum(batch.flips.sum() for batch in drawn) < len(source)
    found = dataset(path, 4, shuffle=0, seed=7, epoch=2, mirror=True, fields=fields)
    for batch, (indices, flips) in zip(found, drawn, strict=True):
        expected = source.batch(indices, fields)
        mirror_batch(expected, flips, True)
        _assert_same(_numpy(batch), expected)


def test_labels_are_pairs(folders: Folders, tf: ModuleType, tmp_path: Path) -> None:
    image, camera = next(iter(dataset(folders(), 4, labels=True)))
    assert image.shape == (4, 12, 20, 3)
    assert camera.shape == (4, 25)
    source = SourceOptions(ffhq=str(write_ffhq_stylegan(tmp_path / "ffhq")), alignment="stylegan")
    export(ExportOptions(format="tfrecord", out=str(tmp_path / "out"), sources=source))
    found = dataset(tmp_path / "out", 2, labels=True, equal="drop", mirror=True)
    assert [tuple(spec.shape) for spec in found.element_spec] == [(2, 8, 8, 3), (2, 0)]
    assert [part.shape for part in next(iter(found))] == [(2, 8, 8, 3), (2, 0)]


def test_labels_and_fields_are_triples(folders: Folders, tf: ModuleType) -> None:
    given: dict[str, Any] = {"mirror": True, "seed": 7, "fields": ("key", "yaw", "mirrored")}
    dicts, triples = dataset(folders(), 4, **given), dataset(folders(), 4, labels=True, **given)
    assert len(dicts) == len(triples) == 6
    for batch, (image, label, fields) in zip(dicts, triples, strict=True):
        assert list(fields) == ["key", "yaw", "mirrored"]
        _assert_same(_numpy({"image": image, "camera": label, **fields}), {n: batch[n].numpy() for n in _ORDER})
    spec = dataset(folders(), 4, labels=True, equal="drop", fields=("yaw",)).element_spec
    assert [tuple(part.shape) for part in (spec[0], spec[1], spec[2]["yaw"])] == [(4, 12, 20, 3), (4, 25), (4,)]


def test_weights_draw_samples(folders: Folders, tf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.ones(23, np.float32)
    weights[3:7] = [0, 5, 0.5, 2.5]
    monkeypatch.setattr(ShardSource, "column", lambda self, name: weights)
    found = np.concatenate([_numpy(batch)["index"] for batch in dataset(folders(), 4, weights=True)])
    times, due = np.bincount(found, minlength=23), weights * 23 / weights.sum()
    assert len(found) == 23
    assert (np.abs(times - due) < 1).all()


def test_it_goes_on_in_another_process(folders: Folders, tf: ModuleType, tmp_path: Path) -> None:
    options = {"shuffle": 9, "seed": 1, "epoch": 4, "mirror": True, "rank": 1, "world_size": 2}
    batches = iter(dataset(folders("jpeg"), 4, **options))
    for _ in range(2):
        next(batches)
    saved = tf.train.Checkpoint(batches=batches).write(str(tmp_path / "saved"))
    # Where it is, and none of the pictures that are on their way.
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 5000
    rest = [_numpy(batch) for batch in batches]
    told = [[b["index"].tolist(), hashlib.sha256(b["image"].tobytes()).hexdigest()] for b in rest]
    assert told
    script = [sys.executable, "-c", RESUMED, folders("jpeg"), saved, json.dumps(options)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [told, told]


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_ranks_of_a_launcher_share_an_epoch(
    folders: Folders, tf: ModuleType, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    found: list[int] = []
    for rank in range(4):
        use(monkeypatch, LAUNCHED[launcher](rank))
        found += [number for batch in dataset(folders(), 4) for number in batch["index"].numpy().tolist()]
    assert sorted(found) == list(range(23))


def test_half_an_environment_is_refused(folders: Folders, tf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"WORLD_SIZE": 4})
    for given, words in (({}, "RANK is missing"), ({"world_size": 4}, "RANK is missing"), ({"rank": 1}, "RANK is")):
        with pytest.raises(ShardsError, match=words):
            dataset(folders(), 4, **given)
    use(monkeypatch, {})
    for given in ({"world_size": 4}, {"rank": 0}):
        with pytest.raises(ShardsError, match="was given alone"):
            dataset(folders(), 4, **given)


def test_the_environment_tells_the_rank(folders: Folders, tf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, {"RANK": 2, "WORLD_SIZE": 3})
    assert dataset(folders(), 4, shuffle=0).cardinality() == 2
    assert next(iter(dataset(folders(), 4, shuffle=0)))["index"][0] == 23 * 2 // 3
    assert dataset(folders(), 4, rank=0, world_size=1).cardinality() == 6


def test_start_may_be_the_end(folders: Folders, tf: ModuleType) -> None:
    assert [batch["index"].shape[0] for batch in dataset(folders(), 4, start=5)] == [3]
    assert list(dataset(folders(), 4, start=6)) == []
    for wrong in ({"start": 7}, {"start": -1}, {"parallel": 0}, {"prefetch": -1}):
        ((name, value),) = wrong.items()
        with pytest.raises(ShardsError, match=f"{name} {value} is out of range"):
            dataset(folders(), 4, **wrong)


def test_states_go_on_in_other_numbers_and_from_other_loaders(folders: Folders, tf: ModuleType) -> None:
    path, rng = folders("raw", 3), random.Random(0)
    source = ShardSource(path)
    for _ in range(25):
        given = {"shuffle": rng.choice([True, False, 0, 9]), "seed": rng.randint(0, 9), "mirror": rng.random() < 0.5}
        found, state = [], None
        for count in (rng.randint(0, 3), rng.randint(0, 2), len(source)):
            world_size, batch_size = rng.randint(1, 3), rng.randint(1, 6)
            steps: list[list[Any]] = [[] for _ in range(world_size)]
            states: list[Any] = [state]
            for rank in range(world_size):
                options = {"rank": rank, "world_size": world_size, **given}
                if rng.random() < 0.5 or count == len(source):
                    batches = dataset(path, batch_size, state=state, **options)
                    steps[rank] = [batch["index"].numpy().tolist() for batch in batches.take(count)]
                    states.append(batches.state_dict(count))
                else:
                    # torch and JAX load by these.
                    order = LoaderOptions(path, batch_size, **options).sampler(source, (rank, world_size))
                    settings = loader_settings(source, order)
                    at = Position(0) if state is None else restore_state(state, settings)
                    feed = Feed(load=Loading(source=source, order=order), by=Workers(0, 1, 1))
                    steps[rank] = [batch["index"].tolist() for _, batch in islice(feed.after(at, 1), count)]
                    states.append(save_state(at._replace(number=at.number + count), settings))
            if count == len(source) or all(len(one) == count for one in steps):
                found += [index for rank_steps in steps for batch in rank_steps for index in batch]
                assert all(one == states[1] for one in states[1:])
                state = json.loads(json.dumps(states[1]))
        assert sorted(found) == list(range(len(source)))


def test_a_state_of_another_data_set_is_refused(folders: Folders, tf: ModuleType) -> None:
    state = dataset(folders("raw", 3), 4).state_dict(2)
    with pytest.raises(ShardsError, match=r"saved with seed=0, now seed=1"):
        dataset(folders("raw", 3), 4, seed=1, state=state)
    with pytest.raises(ShardsError, match="state was given with epoch or start"):
        dataset(folders("raw", 3), 4, start=1, state=state)


def test_unknown_fields_are_refused(folders: Folders, tf: ModuleType) -> None:
    with pytest.raises(ShardsError, match="field 'color' is not known"):
        dataset(folders(), 4, fields=("color",))


@pytest.mark.parametrize("image", ["keep", "raw"])
def test_pictures_of_several_sizes_are_told(tmp_path: Path, tf: ModuleType, image: str) -> None:
    root = write_lpff(tmp_path / "lpff", IDS[:4], alignments=())
    for id, size in zip(IDS, [SIZE, SIZE[::-1], SIZE, SIZE], strict=False):
        write(root / FOLDERS["raw"] / f"{id[:-3]}.jpg", _noise(id, "JPEG", size))
    sources = SourceOptions(lpff=str(root), alignment="raw")
    export(
        ExportOptions(
            format="tfrecord", out=str(tmp_path / "out"), sources=sources, picture=PictureOptions(image=image)
        )
    )
    for batch_size in (1, 4):
        with pytest.raises(tf.errors.UnknownError, match=r"[Pp]ictures of one size: export with --resolution"):
            list(dataset(tmp_path / "out", batch_size))


def test_damage_is_told(folders: Folders, tf: ModuleType, tmp_path: Path) -> None:
    shutil.copytree(folders("png"), tmp_path, dirs_exist_ok=True)
    (shard, *_) = tmp_path.glob("*.tfrecord-00001-*")
    data = bytearray(shard.read_bytes())
    data[data.rindex(b"IDAT") + 40] ^= 1
    shard.write_bytes(data)
    last = ShardSource(tmp_path).shards[1].samples - 1
    with pytest.raises(tf.errors.UnknownError, match=rf"{shard.name}: sample {last} is damaged"):
        list(dataset(tmp_path, 4))


@pytest.mark.parametrize("in_place", [False, True])
def test_a_shard_that_changes_meanwhile_is_refused(
    folders: Folders, tf: ModuleType, tmp_path: Path, in_place: bool
) -> None:
    shutil.copytree(folders(), tmp_path, dirs_exist_ok=True)
    batches = dataset(tmp_path, 4, shuffle=0)
    (*_, shard) = sorted(tmp_path.glob("*.tfrecord-*[0-9]"))
    if in_place:
        assert len(list(batches)) == 6
        shard.write_bytes(shard.read_bytes())
    else:
        shutil.copyfile(shard, tmp_path / "new")
        (tmp_path / "new").replace(shard)
    with pytest.raises(tf.errors.UnknownError, match="has changed since it was opened"):
        list(batches)


def test_the_source_s_memory_is_not_copied(folders: Folders, tf: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[int] = set()

    def take(self: Recycler, shape: tuple[int, ...]) -> np.ndarray:
        array = original(self, shape)
        taken.add(array.ctypes.data)
        return array

    original = Recycler.take
    monkeypatch.setattr(Recycler, "take", take)
    batches = [np.asarray(memoryview(batch["image"])) for batch in dataset(folders(), 4)]
    assert len({batch.ctypes.data for batch in batches} & taken) == len(batches) == 6


def test_replicas_of_a_strategy_share_an_epoch(folders: Folders, tf: ModuleType) -> None:
    script = [sys.executable, "-c", DISTRIBUTED, folders()]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    order = StreamSampler(counts=[s.samples for s in ShardSource(folders()).shards], batch_size=3, shuffle=9)
    assert found == [order.draw(0, number).indices.tolist() for number in range(len(order))]


def test_signature_and_help_are_those_of_the_options() -> None:
    check_documented(dataset, TensorflowOptions)
