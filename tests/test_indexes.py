"""Index files agree with what other readers find in the shards, and follow the shards through their lives."""

from __future__ import annotations

import json
import shutil
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import contents, run

from lpff_shards import (
    ExportOptions,
    MixOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    ShardsError,
    SourceOptions,
    export,
    index_export,
    read_manifest,
    verify_export,
)
from lpff_shards.exporters import output_lock
from lpff_shards.options.export import ImageKind, Metadata
from lpff_shards.schemas.filenames import STATE_FOLDER
from lpff_shards.sidecars import folder
from lpff_shards.storage import local
from lpff_shards.storage.local import LocalFolder

FORMATS = ("wds", "tfrecord")
SPLITS = "train=0.5,val=0.25,test=0.25"


def _options(out: Path, format: str, **changes: object) -> ExportOptions:
    given: dict[str, object] = {
        "format": format,
        "out": str(out),
        "sources": SourceOptions(demo=40),
        "picture": PictureOptions(resolution=32),
        "shards": ShardOptions(shards=6),
        "mix": MixOptions(splits=SPLITS),
        "run": RunOptions(workers=1),
    }
    return ExportOptions(**{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=FORMATS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp(request.param) / "out"
    export(_options(out, request.param))
    return out


@pytest.fixture(scope="module")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tars") / "out"
    export(_options(out, "wds"))
    return out


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records") / "out"
    export(_options(out, "tfrecord"))
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "out")


def _samples(tar: Path) -> list[list[tarfile.TarInfo]]:
    """The members of each sample, as `tarfile` finds them."""
    samples: dict[str, list[tarfile.TarInfo]] = {}
    with tarfile.open(tar) as archive:
        for member in archive:
            samples.setdefault(member.name.partition(".")[0], []).append(member)
    return list(samples.values())


def _dali_line(members: list[tarfile.TarInfo]) -> str:
    return " ".join(f"{m.name.partition('.')[2]} {m.offset_data} {m.size} {m.name}" for m in members)


def test_dali_s_index_of_a_tar_is_what_tarfile_finds(tars: Path) -> None:
    for tar in tars.glob("*.tar"):
        samples = _samples(tar)
        lines = tar.with_suffix(".idx").read_text().splitlines()
        assert lines == [f"v1.2 {len(samples)}", *map(_dali_line, samples)]


def test_energon_s_offsets_are_what_tarfile_finds(tars: Path) -> None:
    for tar in tars.glob("*.tar"):
        samples = _samples(tar)
        offsets = [number for (number,) in struct.iter_unpack("<Q", Path(f"{tar}.idx").read_bytes())]
        assert offsets[:-1] == [members[0].offset for members in samples]
        assert offsets[-1] == tar.stat().st_size - 1024


def test_energon_s_metadata_tell_every_shard_and_its_split(tars: Path) -> None:
    counts = json.loads((tars / ".nv-meta/.info.json").read_text())["shard_counts"]
    assert counts == {tar.name: len(_samples(tar)) for tar in tars.glob("*.tar")}
    lines = (tars / ".nv-meta/split.yaml").read_text().splitlines()
    parts = {line.partition(":")[0].strip(): json.loads(line.partition(":")[2]) for line in lines[1:4]}
    assert set(parts) == {"train", "val", "test"}
    assert all(f"-{part}-" in name for part, names in parts.items() for name in names)
    assert sorted(name for names in parts.values() for name in names) == sorted(counts)


FIELD_MAPS = {
    ("keep", "json"): {"image": "png", "label": "camera.npy", "label_name": "json"},
    ("jpeg", "msgpack"): {"image": "jpg", "label": "mp[camera]", "label_name": "mp"},
    ("raw", "json"): {"image": "image.npy", "label": "camera.npy", "label_name": "json"},
}


@pytest.mark.parametrize(("image", "metadata"), FIELD_MAPS)
def test_energon_is_told_where_a_sample_s_fields_are(image: ImageKind, metadata: Metadata, tmp_path: Path) -> None:
    sources, picture = SourceOptions(demo=1), PictureOptions(image=image, resolution=32)
    export(ExportOptions(format="wds", out=str(tmp_path), sources=sources, picture=picture, metadata=metadata))
    text = (tmp_path / ".nv-meta/dataset.yaml").read_text()
    assert "__class__: ImageClassificationSample\n" in text
    lines = text.partition("field_map:\n")[2].splitlines()
    assert {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)} == FIELD_MAPS[image, metadata]


def test_wids_is_told_the_shards_of_each_split(tars: Path) -> None:
    manifest = read_manifest(tars)
    assert len(manifest.splits) > 1
    for split in manifest.splits:
        index = json.loads((tars / f"demo-{split}.wids.json").read_text())
        assert (index["__kind__"], index["wids_version"], index["name"]) == ("wids-shard-index-v1", 1, f"demo-{split}")
        assert index["shardlist"] == [
            {"url": name, "nsamples": len(_samples(tars / name)), "filesize": (tars / name).stat().st_size}
            for name in (shard.file for shard in manifest.shards if shard.split == split)
        ]


def _framed(file: Path) -> Iterator[tuple[int, int]]:
    data, at = file.read_bytes(), 0
    while at < len(data):
        length = struct.unpack_from("<Q", data, at)[0] + 16
        yield at, length
        at += length


def test_dali_s_index_of_records_tells_each_record(records: Path) -> None:
    files = sorted(records.glob("*.tfrecord-*"))
    assert len(files) == 6
    for file in files:
        lines = (records / "dali" / f"{file.name.replace('.tfrecord-', '-')}.idx").read_text().splitlines()
        assert lines == [f"{start} {length}" for start, length in _framed(file)]


def test_nothing_beside_the_shards_matches_their_patterns(whole: Path) -> None:
    shards = {shard.file for shard in read_manifest(whole).shards}
    pattern = "*.tar" if (whole / ".nv-meta").exists() else "*.tfrecord-*"
    found = (path.relative_to(whole) for path in whole.rglob(pattern))
    assert {path.name for path in found if path.parts[0] != STATE_FOLDER} == shards


def test_tfds_is_told_splits_and_features(records: Path) -> None:
    info = json.loads((records / "dataset_info.json").read_text())
    manifest = read_manifest(records)
    told = {split["name"]: list(map(int, split["shardLengths"])) for split in info["splits"]}
    assert {name: sum(lengths) for name, lengths in told.items()} == dict(manifest.splits)
    features = json.loads((records / "features.json").read_text())["featuresDict"]["features"]
    assert list(features) == sorted(features)
    assert features["image"]["image"]["encodingFormat"] == "png"
    assert features["camera"]["tensor"]["shape"] == {"dimensions": ["25"]}


@pytest.mark.parametrize("damage", ["missing", "other", "empty"])
def test_a_run_that_goes_on_mends_index_files(whole: Path, out: Path, damage: str) -> None:
    beside = [path for path in out.rglob("*") if path.suffix == ".idx"]
    for path in beside:
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(b"" if damage == "empty" else b"v1.2 0\n")
    (out / "manifest.json").unlink()
    export(_options(out, read_manifest(whole).format))
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("receipts", [True, False])
def test_index_writes_what_exports_write(whole: Path, out: Path, receipts: bool) -> None:
    for path in out.rglob("*"):
        if path.suffix == ".idx" or path.name in ("dataset_info.json", "features.json", "split.yaml", ".info.json"):
            path.unlink()
    if not receipts:
        shutil.rmtree(out / ".lpff-shards")
    written = index_export(out)
    assert written
    assert index_export(out) == ()
    expected = {name: data for name, data in contents(whole).items() if not name.startswith(".lpff-shards")}
    assert {name: data for name, data in contents(out).items() if not name.startswith(".lpff-shards")} == expected


def test_index_refuses_a_damaged_shard(out: Path) -> None:
    shard = out / read_manifest(out).shards[0].file
    shard.write_bytes(shard.read_bytes()[:-700])
    done = run("index", out)
    assert done.returncode == 2
    assert shard.name in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_tells_what_it_wrote(out: Path) -> None:
    next(path for path in out.rglob("*.idx")).unlink()
    assert run("index", out).stdout == f"{out}: 1 file written\n"
    assert json.loads(run("index", out, "--json").stdout) == {"written": []}


def test_verify_tells_of_an_index_that_is_another_shard_s(out: Path) -> None:
    path = next(path for path in out.rglob("*.idx"))
    path.write_bytes(path.read_bytes() + b"0 0\n")
    (fault,) = verify_export(out).faults
    assert fault.shard == str(path.relative_to(out))


def test_overwriting_leaves_no_index_behind(out: Path) -> None:
    format = read_manifest(out).format
    export(
        _options(
            out, format, sources=SourceOptions(demo=3), mix=MixOptions(), run=RunOptions(workers=1, overwrite=True)
        )
    )
    shards = {shard.file for shard in read_manifest(out).shards}
    stems = {name.removesuffix(".tar").replace(".tfrecord-", "-") for name in shards}
    left = {path.name.removesuffix(".idx").removesuffix(".tar") for path in out.rglob("*.idx")}
    assert left == stems
    assert {path.name for path in out.glob("*.wids.json")} == ({"demo-train.wids.json"} if format == "wds" else set())


def test_someone_s_own_dataset_info_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    done = run("export", "--format", "tfrecord", "--demo", 2, "--out", tmp_path)
    assert done.returncode == 2
    assert "already holds dataset_info.json" in done.stderr


def test_while_an_export_is_at_work_nothing_is_written(tars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOCK_SECONDS", 0.0)
    ours = folder.OutputFolder(tars)
    with output_lock.locked(ours):
        LocalFolder(tars).partial("shard").write_bytes(b"growing")
        with pytest.raises(ShardsError, match="is being written by another export"):
            index_export(tars)
        assert LocalFolder(tars).partial("shard").read_bytes() == b"growing"
    assert index_export(tars) == ()
    assert not LocalFolder(tars).partial("shard").exists()
