"""loaders.jax with a sharding: global arrays on several devices and in several processes.

JAX runs in processes of its own: once started it forbids the forks of other tests.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lpff_shards import ExportOptions, PictureOptions, ShardOptions, SourceOptions, export

pytest.importorskip("grain", reason="Grain is not installed")
pytest.importorskip("jax", reason="JAX is not installed")

PREAMBLE = """
import sys, jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from lpff_shards import ShardsError
from lpff_shards.loaders import ShardSource
from lpff_shards.loaders.sampler import EpochSampler
from lpff_shards.loaders.jax import loader

path = sys.argv[1]
source = ShardSource(path)

def over(*shape):
    names = ("data", "model")[: len(shape)]
    return NamedSharding(Mesh(np.array(jax.devices()).reshape(shape), names), P("data"))

def refused(says, **options):
    try:
        loader(path, **options)
    except ShardsError as error:
        assert says in str(error), error
    else:
        raise AssertionError(f"not refused: {options}")
"""

DEVICES = (
    PREAMBLE
    + """
import etils.epath, grain

ones = over(8)
drawn = EpochSampler(counts=[len(source)], batch_size=8, equal="pad")
for workers in (0, 1):
    batches = iter(loader(path, 8, equal="pad", fields=["key", "width", "yaw"], sharding=ones, workers=workers))
    held = [next(batches) for _ in range(6)]
    for _ in range(12):
        next(batches)
    for step, batch in enumerate(held):
        indices = drawn.draw(*divmod(step, len(drawn))).indices
        want = source.batch(indices, ["key", "width", "yaw"])
        assert batch["key"] == want["key"]
        for name in ("index", "image", "camera", "width", "yaw"):
            assert batch[name].sharding == ones and batch[name].shape == want[name].shape, name
            np.testing.assert_array_equal(np.asarray(batch[name]), want[name])
            for shard in batch[name].addressable_shards:
                np.testing.assert_array_equal(np.asarray(shard.data), want[name][shard.index])
        assert batch["index"].dtype == batch["width"].dtype == np.int32
    state, after = batches.get_state(), next(batches)
    folder = etils.epath.Path(sys.argv[2]) / str(workers)
    folder.mkdir()
    batches.set_state(state)
    grain.checkpoint.CheckpointHandler().save(folder, batches)
    batches.close()

    again = iter(loader(path, 8, equal="pad", sharding=ones))
    grain.checkpoint.CheckpointHandler().restore(folder, again)
    assert again.get_state() == state
    np.testing.assert_array_equal(np.asarray(next(again)["image"]), np.asarray(after["image"]))

image, label = next(iter(loader(path, 8, labels=True, equal="drop", sharding=over(4, 2))))
assert image.shape == (8, 16, 16, 3) and label.shape == (8, 25) and image.sharding == over(4, 2)
assert image.addressable_shards[0].data.shape == (2, 16, 16, 3)
image, label, fields = next(iter(loader(path, 8, labels=True, equal="drop", fields=["key", "yaw"], sharding=ones)))
assert image.sharding == label.sharding == fields["yaw"].sharding == ones and list(fields) == ["key", "yaw"]
assert fields["yaw"].shape == (8,) and len(fields["key"]) == 8
everywhere = next(iter(loader(path, 5, equal="drop", sharding=NamedSharding(ones.mesh, P()))))
assert everywhere["image"].addressable_shards[7].data.shape == (5, 16, 16, 3)

held = [next(batches)["image"] for batches in [iter(loader(path, 8))] for _ in range(10)]
arrays, kept = [jax.numpy.asarray(image) for image in held], [image.copy() for image in held]
del held
for _ in range(20):
    next(again)
for array, copy in zip(arrays, kept):
    np.testing.assert_array_equal(np.asarray(array), copy)

refused("equal=None does not fill", batch_size=8, sharding=ones)
refused("1 x 6 samples cannot be divided", batch_size=6, equal="pad", sharding=ones)
refused("rank 1 does not fit", batch_size=8, equal="pad", sharding=ones, rank=1, world_size=2)
refused("world_size 2 does not fit", batch_size=8, equal="pad", sharding=ones, world_size=2)
refused("cannot split", batch_size=8, equal="pad", sharding=NamedSharding(over(4, 2).mesh, P("data", "model")))
jax.config.update("jax_enable_x64", True)
assert next(iter(loader(path, 8, equal="pad", sharding=ones)))["index"].dtype == np.int64
"""
)

PROCESSES = (
    PREAMBLE
    + """
me = int(sys.argv[3])
jax.distributed.initialize(f"127.0.0.1:{sys.argv[2]}", 2, me)
assert jax.device_count() == 8 and jax.local_device_count() == 4

def check(sharding, parts, mine):
    whole = EpochSampler(counts=[len(source)], batch_size=8 * parts, equal="pad")
    loaded = loader(path, 8, equal="pad", sharding=sharding, fields=["key"])
    assert loaded.batches_per_epoch == len(whole)
    rows = set()
    for number, batch in zip(range(len(whole) + 1), loaded):
        want = source.batch(whole.draw(*divmod(number, len(whole))).indices, ["key"])
        assert batch["image"].shape == (8 * parts, 16, 16, 3) and batch["key"] == want["key"][8 * mine :][:8]
        for name in ("index", "image", "camera"):
            for shard in batch[name].addressable_shards:
                np.testing.assert_array_equal(np.asarray(shard.data), want[name][shard.index])
                rows |= set(range(*shard.index[0].indices(8 * parts)))
        total = jax.jit(lambda x: x.sum(), out_shardings=NamedSharding(sharding.mesh, P()))(batch["index"])
        assert int(total) == want["index"].sum()
    assert sorted(rows) == list(range(8 * mine, 8 * mine + 8)), rows

check(over(8), 2, me)
check(over(4, 2), 2, me)
swapped = NamedSharding(Mesh(np.array(jax.devices())[::-1], ("data",)), P("data"))
check(swapped, 2, 1 - me)
spread = NamedSharding(Mesh(np.array(jax.devices()).reshape(2, 4).T, ("data", "model")), P("data"))
check(spread, 1, 0)
uneven = Mesh(np.array(jax.devices())[[0, 1, 2, 4]], ("data",))
refused("uneven", batch_size=8, equal="pad", sharding=NamedSharding(uneven, P("data")))
plain = loader(path, 8, equal="pad")
mine = EpochSampler(counts=[len(source)], batch_size=8, equal="pad", rank=me, world_size=2)
assert next(iter(plain))["index"].tolist() == mine.draw(0, 0).indices.tolist()
"""
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sharded") / "raw"
    export(
        ExportOptions(
            format="wds",
            out=str(out),
            sources=SourceOptions(demo=11),
            picture=PictureOptions(image="raw", resolution=16),
            shards=ShardOptions(shards=3),
        )
    )
    return out


def _start(code: str, devices: int, *words: object) -> subprocess.Popen[str]:
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        env=os.environ | flags,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(*started: subprocess.Popen[str]) -> None:
    try:
        said = [process.communicate(timeout=120)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0] * len(started), "\n".join(said)


def test_one_process_feeds_several_devices(raw: Path, tmp_path: Path) -> None:
    _finish(_start(DEVICES, 8, raw, tmp_path))


def test_two_processes_feed_their_halves(raw: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _finish(*(_start(PROCESSES, 4, raw, port, rank) for rank in range(2)))
