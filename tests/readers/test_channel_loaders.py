"""The loaders of torch, TensorFlow and JAX give each sample the files of its own picture, mirrored as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import channel_files
import numpy as np
import pytest
from channel_files import GIVEN, IDS, Shown, check, export_options

from lpff_shards import ShardsError, export, read_manifest
from lpff_shards.exporters.attach import attach_channels as attach
from lpff_shards.loaders import ShardSource
from lpff_shards.options.export import PictureOptions, RunOptions, ShardOptions
from lpff_shards.options.mix import MixOptions

pytestmark = pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")

SIDE = 32
MIRRORED = tuple(name for name in GIVEN if name != "own")
"""Channels whose mirrors a loader can make."""
Exports = Callable[[str, str], Path]
Batches = Iterator[dict[str, Any]]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Exports with mirrors, copies and splits of several shards, out of which an update took a photo."""
    root = tmp_path_factory.mktemp("channels")
    channel_files.write_cameras(channel_files.write(root))
    made: dict[tuple[str, str], Path] = {}

    def make(format: str, place: str) -> Path:
        if (format, place) not in made:
            out, gone = root / f"{format}-{place}", root / "gone.txt"
            inside, beside = channel_files.options(root), ()
            for text, update in (("", False), (f"{IDS[5]}\n", True)):
                gone.write_text(text)
                mix = MixOptions(rebalance="uniform", splits="train=0.5,val=0.5", exclude=str(gone))
                run, side = RunOptions(update=update, workers=1), PictureOptions(resolution=SIDE)
                shards = ShardOptions(samples_per_shard=5)
                given = export_options(
                    root, format, out, inside if place == "inside" else beside,
                    picture=side, mix=mix, run=run, shards=shards,
                )  # fmt: skip
                export(given)
                if place == "attached" and not update:
                    attach(out, inside)
            made[format, place] = out
        return made[format, place]

    return make


def _arrays(batch: Any) -> Any:
    """Turn a batch's tensors into numpy's."""
    if isinstance(batch, dict):
        return {name: _arrays(value) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        return type(batch)(map(_arrays, batch))
    return batch.numpy() if hasattr(batch, "numpy") else batch


def _torch(name: str, workers: int, path: Path, **given: Any) -> Batches:
    pytest.importorskip("torch", reason="torch is not installed here")
    from lpff_shards.loaders import torch

    for batch in getattr(torch, name)(path, 4, workers=workers, **given):
        found = _arrays(batch)
        if isinstance(found, dict):
            found["image"] = np.moveaxis(found["image"], 1, -1)
        yield found


def _jax(workers: int, path: Path, **given: Any) -> Batches:
    pytest.importorskip("grain", reason="Grain is not installed here")
    pytest.importorskip("jax", reason="JAX is not installed here")
    from lpff_shards.loaders import jax

    yield from jax.loader(path, 4, workers=workers, epochs=1, **given)


def _tensorflow(path: Path, **given: Any) -> Batches:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed here")
    from lpff_shards.loaders import tensorflow

    for batch in tensorflow.dataset(path, 4, **given):
        yield _decoded(_arrays(batch))


def _decoded(batch: Any) -> Any:
    """Turn TensorFlow's strings into texts and objects."""
    if isinstance(batch, tuple):
        return tuple(map(_decoded, batch))
    found = dict(batch) if isinstance(batch, dict) else batch
    for name in ("caption", "source_id", "key", "years") if isinstance(found, dict) else ():
        if name in found:
            texts = [text.decode() for text in found[name]]
            found[name] = [json.loads(text) for text in texts] if name == "years" else texts
    return found


LOADERS: dict[str, Callable[..., Batches]] = {
    **{f"torch-{name}-{n}": partial(_torch, name, n) for name in ("loader", "stream") for n in (0, 2)},
    **{f"jax-{n}": partial(_jax, n) for n in (0, 2)},
    "tensorflow": _tensorflow,
}
WITH_WORKERS = [loader for name, loader in LOADERS.items() if name.endswith("-2")]


@pytest.fixture(params=LOADERS)
def loader(request: pytest.FixtureRequest) -> Callable[..., Batches]:
    """Each loader in turn."""
    if request.param == "tensorflow":
        request.getfixturevalue("tf")
    return LOADERS[request.param]


@pytest.fixture
def formats(loader: Callable[..., Batches]) -> tuple[str, ...]:
    """The formats that a loader reads; one for its worker processes, which take long to start."""
    return ("wds",) if loader in WITH_WORKERS else ("tfrecord", "wds")


FIELDS = ("key", "source_id", "mirrored", "width")


def _rows(batches: Batches, names: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """The number, all parts and the channels of each sample of batches."""
    for batch in batches:
        assert batch["image"].dtype == np.uint8
        for row, number in enumerate(batch["index"].tolist()):
            parts = {
                name: {part: array[row] for part, array in value.items()} if isinstance(value, dict) else value[row]
                for name, value in batch.items()
            }
            yield number, parts, {name: parts[name] for name in names}


@pytest.mark.parametrize("place", ["inside", "attached"])
@pytest.mark.parametrize("mirror", [False, True])
def test_samples_have_their_own_files(
    exports: Exports, loader: Callable[..., Batches], formats: tuple[str, ...], place: str, mirror: bool
) -> None:
    channels = MIRRORED if mirror else tuple(GIVEN)
    names, flips = (*channels, "has_years"), set()
    for path in (exports(format, place) for format in formats):
        assert read_manifest(path).samples > 2 * len(IDS) - 2, "there are copies"
        for split in ("train", "val"):
            source, seen = ShardSource(path, split), []
            given = {"split": split, "mirror": mirror, "channels": channels, "fields": FIELDS, "seed": 3}
            for number, parts, files in _rows(loader(path, **given), names):
                stored, mirrored = source[number], bool(parts["mirrored"])
                seen.append(number)
                assert parts["source_id"] == stored["metadata"]["source_id"] != IDS[5]
                flip = mirrored != stored["metadata"]["mirrored"]
                flips.add(flip)
                assert np.array_equal(parts["image"], stored["image"][:, ::-1] if flip else stored["image"])
                check(files, Shown(parts["source_id"], mirrored, SIDE), names)
            assert sorted(seen) == list(range(len(source)))
    assert flips == ({False, True} if mirror else {False})


def test_labels_come_with_channels(exports: Exports, loader: Callable[..., Batches], formats: tuple[str, ...]) -> None:
    path, given = exports(formats[-1], "attached"), {"channels": MIRRORED, "mirror": True, "seed": 5}
    triples = list(loader(path, labels=True, fields=FIELDS, **given))
    for (images, labels, more), batch in zip(triples, loader(path, fields=FIELDS, **given), strict=True):
        assert set(more) == {*FIELDS, *MIRRORED, "has_years"}
        assert np.array_equal(labels, batch["camera"]) and len(images) == len(batch["image"])
        for name in MIRRORED:
            _same(more[name], batch[name])


def _same(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        for name in one:
            _same(one[name], other[name])
    else:
        assert np.array_equal(one, other)


def test_arrays_with_mirrors_of_their_own_are_not_mirrored(
    exports: Exports, loader: Callable[..., Batches], formats: tuple[str, ...]
) -> None:
    for place in ("inside", "attached"):
        with pytest.raises(ShardsError, match=r"mirror=True cannot mirror the channel own.*export with mirrors"):
            next(iter(loader(exports(formats[-1], place), channels=("mask", "own"), mirror=True)))


def test_an_unknown_channel_is_refused(
    exports: Exports, loader: Callable[..., Batches], formats: tuple[str, ...]
) -> None:
    with pytest.raises(ShardsError, match=r"has no channel 'maks'\. Did you mean mask"):
        next(iter(loader(exports(formats[-1], "attached"), channels=("maks",))))


SHARDED = """
import sys, jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from lpff_shards.loaders.jax import loader

data = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))
batches = iter(loader(sys.argv[1], 4, equal="drop", sharding=data, workers=0, channels=("code",)))
print(next(batches)["code"].tolist())
batches.close()
"""


@pytest.mark.parametrize(("number", "fits"), [(2**31 + 5, True), (2**40 + 5, False)])
def test_jax_shards_no_integer_that_it_would_cut(tmp_path: Path, number: int, fits: bool) -> None:
    """In a process of its own: once started JAX forbids the forks of other tests."""
    pytest.importorskip("grain", reason="Grain is not installed here")
    pytest.importorskip("jax", reason="JAX is not installed here")
    channel_files.write(tmp_path)
    for id in IDS:
        (tmp_path / "codes" / id).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "codes" / f"{id}.npy", np.array([number], np.uint64))
    export(export_options(tmp_path, "wds", tmp_path / "out", (f"code={tmp_path / 'codes'},same",)))
    command = [sys.executable, "-c", SHARDED, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if fits:
        assert done.returncode == 0 and json.loads(done.stdout) == [[number]] * 4, done.stderr
    else:
        assert done.returncode and "an integer needs more than 32 bits" in done.stderr
