"""Readers that others wrote find the files of channels, inside samples and in shards of their own beside them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import channel_files
import numpy as np
import pytest
from channel_files import GIVEN, SIDE, Shown, check, export_options
from numpy.typing import NDArray
from PIL import Image

from lpff_shards import export, read_manifest
from lpff_shards.exporters.attach import attach_channels as attach
from lpff_shards.formats.examples import decode_feature, features
from lpff_shards.manifest import Manifest
from lpff_shards.options.export import ShardOptions
from lpff_shards.options.mix import MixOptions

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",
    "ignore:'pin_memory' argument is set as true but:UserWarning",
)

SPLITS = ("train", "val")
Exports = Callable[[str], tuple[Path, Path]]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Two exports of a format with mirrors, in splits of several shards: with channels inside, and with attached ones.

    Other libraries leave files in them, so the tests change nothing else.
    """
    root = tmp_path_factory.mktemp("channels")
    channel_files.write(root)
    made: dict[str, tuple[Path, Path]] = {}

    def make(format: str) -> tuple[Path, Path]:
        if format not in made:
            inside, beside = root / f"{format}-inside", root / f"{format}-attached"
            given = {"mix": MixOptions(splits="train=0.5,val=0.5"), "shards": ShardOptions(samples_per_shard=3)}
            export(export_options(root, format, inside, channel_files.options(root), **given))
            export(export_options(root, format, beside, (), **given))
            attach(beside, channel_files.options(root))
            made[format] = (inside, beside)
        return made[format]

    return make


def _files(folder: Path, split: str) -> list[str]:
    """The shards of a split of an export or of an attached channel, in order."""
    return [str(folder / shard.file) for shard in read_manifest(folder).shards if shard.split == split]


def _check(found: Iterator[tuple[Mapping[str, Any], dict[str, Any]]], folder: Path, names: tuple[str, ...]) -> None:
    """Compare the fields and files of samples with what must be there; each sample comes once."""
    keys = []
    for fields, files in found:
        keys.append(str(fields["key"]))
        check(files, Shown(str(fields["source_id"]), bool(fields["mirrored"]), SIDE), names)
    assert len(set(keys)) == len(keys) == read_manifest(folder).samples


def _pixels(data: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


ALL = (*GIVEN, "has_years")
MEMBERS = {
    **{"mask": "mask.png", "part": "part.png", "caption": "caption.txt", "latent": "latent.npy"},
    **{"flame": "flame.npz", "own": "own.npy", "years": "years.json"},
}


def _of_tar(sample: Mapping[str, Any], has_years: Any) -> dict[str, Any]:
    """The channels of a sample that webdataset or Energon decoded, with `_pixels` for PNGs."""
    return {**{name: sample[member] for name, member in MEMBERS.items()}, "has_years": has_years}


@pytest.fixture
def wds() -> ModuleType:
    return pytest.importorskip("webdataset", reason="webdataset is not installed here")


def test_webdataset_reads_them_inside_samples(wds: ModuleType, exports: Exports) -> None:
    inside, _ = exports("wds")
    indices = [wds.handle_extension(name, _pixels) for name in ("mask.png", "part.png")]

    def found() -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
        for split in SPLITS:
            for sample in wds.WebDataset(_files(inside, split), shardshuffle=False).decode(*indices, "rgb8"):
                assert sample["png"].shape == (SIDE, SIDE, 3)
                yield sample["json"], _of_tar(sample, sample["json"]["has_years"])

    _check(found(), inside, ALL)


def test_webdataset_decodes_masks_as_pictures(wds: ModuleType, exports: Exports) -> None:
    inside, _ = exports("wds")
    colors = np.array(channel_files.PALETTE, np.uint8).reshape(-1, 3)
    for sample in wds.WebDataset(_files(inside, "train"), shardshuffle=False).decode("pil"):
        fields = sample["json"]
        wanted = channel_files.expected(Shown(fields["source_id"], fields["mirrored"], SIDE))
        assert np.array_equal(sample["mask.png"].convert("L"), wanted["mask"])
        assert np.array_equal(np.asarray(sample["part.png"]), colors[wanted["part"]])


@pytest.mark.parametrize("workers", [0, 2])
def test_webdataset_reads_attached_ones_zipped_in_one_pipeline(wds: ModuleType, exports: Exports, workers: int) -> None:
    data = pytest.importorskip("torch.utils.data", reason="torch is not installed here")
    _, beside = exports("wds")
    indices = [wds.handle_extension(name, _pixels) for name in ("mask.png", "part.png")]

    def joined(split: str) -> Iterator[dict[str, Any]]:
        folders = (beside, *(beside / name for name in GIVEN))
        parts = [wds.WebDataset(_files(one, split), shardshuffle=False, empty_check=False) for one in folders]
        for together in zip(*parts, strict=True):
            assert len({sample["__key__"] for sample in together}) == 1
            yield {name: value for sample in together for name, value in sample.items()}

    def found() -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
        for split in SPLITS:
            pipeline = wds.DataPipeline(lambda split=split: joined(split), wds.shuffle(5), wds.decode(*indices, "rgb8"))
            loader = data.DataLoader(pipeline, batch_size=None, num_workers=workers, collate_fn=lambda one: one)
            for sample in loader:
                yield sample["json"], _of_tar(sample, sample["has_years.json"])

    _check(found(), beside, ALL)


@pytest.fixture
def energon() -> ModuleType:
    return pytest.importorskip("megatron.energon", reason="Megatron Energon is not installed here")


def _energon_samples(energon: ModuleType, path: Path, split: str, **more: Any) -> Iterator[dict[str, Any]]:
    """The samples of a split as Energon decodes them, pictures by Pillow."""

    class Whole(energon.DefaultTaskEncoder):  # type: ignore[misc,name-defined]
        cookers = (energon.Cooker(energon.stateless(lambda sample: sample)),)
        decoder = energon.SampleDecoder(image_decode="pil")

        @energon.stateless
        def batch(self, samples: list[Any]) -> list[Any]:
            return samples

    config = energon.WorkerConfig(rank=0, world_size=1, num_workers=2)
    data_set = energon.get_val_dataset(
        path, split_part=split, worker_config=config, batch_size=2, task_encoder=Whole(), **more
    )
    for batch in energon.get_loader(data_set):
        yield from batch


def _of_energon(sample: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The channels of a sample; Energon has turned pictures into RGB, and arrays into tensors."""
    found = {name: sample[MEMBERS[name]] for name in names}
    if "mask" in found:
        found["mask"] = np.asarray(found["mask"].convert("L"))
    if "flame" in found:
        found["flame"] = dict(found["flame"])
    return {name: value.numpy() if hasattr(value, "numpy") else value for name, value in found.items()}


SIMPLE = ("mask", "caption", "latent", "flame", "years")


def test_energon_reads_them_inside_samples(energon: ModuleType, exports: Exports) -> None:
    inside, _ = exports("wds")

    def found() -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
        for split in SPLITS:
            for sample in _energon_samples(energon, inside, split, dataset_config="crude.yaml"):
                yield sample["json"], _of_energon(sample, SIMPLE)

    _check(found(), inside, SIMPLE)


def joined(**parts: Mapping[str, Any]) -> dict[str, Any]:
    """The joiner of the test below."""
    return {name: value for sample in reversed(parts.values()) for name, value in sample.items()}


def test_energon_joins_attached_ones(energon: ModuleType, exports: Exports, tmp_path: Path) -> None:
    _, beside = exports("wds")
    command = [str(Path(sys.executable).with_name("energon")), "prepare", "--non-interactive"]
    folders = [beside, *(beside / name for name in SIMPLE)]
    indexing = [subprocess.Popen([*command, "--tar-index-only", one], stdout=subprocess.DEVNULL) for one in folders]
    assert [process.wait() for process in indexing] == [0] * len(folders)
    sets = {"picture": {"path": str(beside), "dataset_config": "crude.yaml"}}
    join = {**sets, **{name: {"path": str(beside / name)} for name in SIMPLE}}
    joiner = {"__module__": __name__, "__function__": "joined"}
    content = {"join": join, "joiner": joiner}
    whole = {"__module__": "megatron.energon", "__class__": "MetadatasetV2", "splits": dict.fromkeys(SPLITS, content)}
    path = tmp_path / "join.yaml"
    path.write_text(json.dumps(whole))
    assert subprocess.run([*command, path], stdout=subprocess.DEVNULL, check=False).returncode == 0

    def found() -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
        for split in SPLITS:
            for sample in _energon_samples(energon, path, split):
                yield sample["json"], _of_energon(sample, SIMPLE)

    _check(found(), beside, SIMPLE)


@pytest.mark.parametrize("streaming", [True, False])
def test_hugging_face_datasets_read_columns(exports: Exports, streaming: bool, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets are not installed here")
    inside, beside = exports("parquet")

    def load(folder: Path) -> Any:
        files = {split: _files(folder, split) for split in SPLITS}
        return datasets.load_dataset("parquet", data_files=files, streaming=streaming, cache_dir=str(tmp_path))

    def contents(row: Mapping[str, Any], manifest: Manifest) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for channel in manifest.layout.channels or ():
            value = row[channel.name]
            if channel.kind == "png":
                value = np.asarray(value)
            elif channel.kind == "npz":
                value = dict(np.load(io.BytesIO(value)))
            elif channel.kind == "npy":
                value = np.asarray(value, channel.arrays[0].dtype)
            elif channel.kind == "json":
                value = json.loads(value)
            found[channel.name] = value
        return found

    loaded = datasets.load_dataset(str(inside), streaming=streaming, cache_dir=str(tmp_path))
    assert loaded["train"].features["mask"] == loaded["train"].features["part"] == datasets.Image()
    manifest = read_manifest(inside)
    rows = (row for split in SPLITS for row in loaded[split])
    _check(((row, {**contents(row, manifest), "has_years": row["has_years"]}) for row in rows), inside, ALL)
    pictures = load(beside)
    for name in GIVEN:
        channel, manifest = load(beside / name), read_manifest(beside / name)
        pairs = (pair for split in SPLITS for pair in zip(pictures[split], channel[split], strict=True))
        found = ((picture, contents(row, manifest)) for picture, row in pairs if picture["key"] == row["key"])
        _check(found, beside, (name,))


def _of_record(found: Mapping[str, bytes]) -> dict[str, Any]:
    """The channels of a record whose features are their bytes, and NPYs their numbers."""
    return {
        **{name: _pixels(found[name]) for name in ("mask", "part")},
        "caption": found["caption"].decode(),
        "latent": np.frombuffer(found["latent"], "<f2").reshape(3, 5),
        "own": np.frombuffer(found["own"], "<f8"),
        "flame": dict(np.load(io.BytesIO(found["flame"]))),
        "years": json.loads(found["years"]),
    }


def test_tfds_read_every_channel(tf: ModuleType, exports: Exports) -> None:
    tfds = pytest.importorskip("tensorflow_datasets", reason="TensorFlow Datasets are not installed here")
    inside, beside = exports("tfrecord")

    def contents(sample: Mapping[str, Any]) -> dict[str, Any]:
        arrays = {name: sample[name] for name in ("latent", "own")}
        plain = {name: b"" if isinstance(value, np.ndarray) else value for name, value in sample.items()}
        return {**_of_record({**plain, "latent": bytes(30), "own": bytes(8)}), **arrays}

    def samples(folder: Path) -> Iterator[Mapping[str, Any]]:
        builder = tfds.builder_from_directory(str(folder))
        for split in SPLITS:
            yield from tfds.as_numpy(builder.as_dataset(split=split))

    def fields(sample: Mapping[str, Any]) -> dict[str, Any]:
        return {**sample, **{name: sample[name].decode() for name in ("key", "source_id")}}

    found = ((fields(one), {**contents(one), "has_years": bool(one["has_years"])}) for one in samples(inside))
    _check(found, inside, ALL)
    parts: dict[bytes, dict[str, Any]] = {one["key"]: dict(one) for one in samples(beside)}
    for name in GIVEN:
        for one in samples(beside / name):
            parts[one["key"]] |= one
    _check(((fields(one), contents(one)) for one in parts.values()), beside, tuple(GIVEN))


def test_tf_data_parses_them(tf: ModuleType, exports: Exports) -> None:
    inside, beside = exports("tfrecord")
    fields = {name: tf.io.FixedLenFeature([], tf.string) for name in ("key", "source_id")}
    fields["mirrored"] = tf.io.FixedLenFeature([], tf.int64)
    channels = {name: tf.io.FixedLenFeature([], tf.string) for name in GIVEN}

    def contents(sample: Mapping[str, Any]) -> dict[str, Any]:
        found = _of_record({name: sample[name].numpy() for name in GIVEN})
        found["latent"] = tf.reshape(tf.io.decode_raw(sample["latent"], tf.float16), [3, 5]).numpy()
        found["own"] = tf.io.decode_raw(sample["own"], tf.float64).numpy()
        found["mask"] = tf.io.decode_png(sample["mask"])[..., 0].numpy()
        return found

    def parsed(folder: Path, features: Mapping[str, Any], split: str) -> Any:
        records = tf.data.TFRecordDataset(_files(folder, split))
        return records.map(lambda record: tf.io.parse_single_example(record, features))

    def together(split: str) -> Iterator[dict[str, Any]]:
        parts = [parsed(beside / name, {"key": fields["key"], name: channels[name]}, split) for name in GIVEN]
        for sample, *files in tf.data.Dataset.zip((parsed(beside, fields, split), *parts)):
            assert {file["key"].numpy() for file in files} == {sample["key"].numpy()}
            yield {**sample, **{name: file[name] for name, file in zip(GIVEN, files, strict=True)}}

    def plain(sample: Mapping[str, Any]) -> dict[str, Any]:
        texts = {name: sample[name].numpy().decode() for name in ("key", "source_id")}
        return {**texts, "mirrored": sample["mirrored"].numpy()}

    whole = (one for split in SPLITS for one in parsed(inside, {**fields, **channels}, split))
    _check(((plain(one), contents(one)) for one in whole), inside, tuple(GIVEN))
    zipped = (one for split in SPLITS for one in together(split))
    _check(((plain(one), contents(one)) for one in zipped), beside, tuple(GIVEN))


def _features(record: bytes) -> dict[str, Any]:
    """The first value of each feature of a record."""
    view = memoryview(record)
    found = {name.decode(): decode_feature(view[start:end]) for name, start, end in features(record)}
    return {name: values[0] for name, values in found.items() if len(values)}


def test_grain_finds_them_by_number(exports: Exports) -> None:
    grain = pytest.importorskip("grain", reason="Grain is not installed here")
    pytest.importorskip("array_record", reason="array-record is not installed here")
    inside, beside = exports("arrayrecord")

    def sources(folder: Path, split: str) -> Any:
        return grain.sources.ArrayRecordDataSource(_files(folder, split))

    def fields(sample: Mapping[str, Any]) -> dict[str, Any]:
        texts = {name: bytes(sample[name]).decode() for name in ("key", "source_id")}
        return {**texts, "mirrored": sample["mirrored"]}

    def files(sample: Mapping[str, Any]) -> dict[str, Any]:
        return _of_record({name: bytes(sample.get(name, b"")) for name in GIVEN})

    def both(split: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        pictures, parts = sources(beside, split), [sources(beside / name, split) for name in GIVEN]
        for number in np.random.default_rng(1).permutation(len(pictures)).tolist():
            sample, found = _features(pictures[number]), [_features(part[number]) for part in parts]
            assert {bytes(one["key"]) for one in found} == {bytes(sample["key"])}
            yield fields(sample), files({name: one[name] for name, one in zip(GIVEN, found, strict=True)})

    whole = (_features(record) for split in SPLITS for record in sources(inside, split))
    _check(((fields(one), files(one)) for one in whole), inside, tuple(GIVEN))
    _check((pair for split in SPLITS for pair in both(split)), beside, tuple(GIVEN))
