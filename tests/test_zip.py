"""The trainers' zip: what official readers see in it, the same samples as in shards, and the same life cycle."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trainers
from dataset_factories import dump, mirrored, picture, write, write_ffhq_eg3d, write_ffhq_stylegan, write_lpff
from picture_files import stored_size
from PIL import Image
from reading import read_wds
from running import changed, contents, run, run_after
from sealing import edit_sealed
from test_containers_zip import zipped

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
    plan_export,
    read_manifest,
    verify_export,
)
from lpff_shards.errors import BadInput
from lpff_shards.exporters.callbacks import ProgressCallback
from lpff_shards.formats.base import SampleError
from lpff_shards.formats.join_zip import snapshot
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.planning import build
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.sample import Sample
from lpff_shards.storage.file_io import file_checksum

STATE = ".lpff-shards"
PHOTO = "503"


def _options(out: Path, sources: SourceOptions, format: Any = "zip", **more: Any) -> ExportOptions:
    run_ = RunOptions(**{"workers": 1} | more.pop("run", {}))
    picture_ = PictureOptions(**more.pop("picture", {}))
    return ExportOptions(format=format, out=str(out), sources=sources, run=run_, picture=picture_, **more)


class Seen(ProgressCallback):
    """How many parts an export found finished."""

    def on_plan(self, plan: Plan, finished: int, others: int = 0) -> None:
        self.finished = finished


def _export(out: Path, sources: SourceOptions | None = None, *, observer: Seen | None = None, **more: Any) -> Manifest:
    return export(_options(out, sources or SourceOptions(demo=8), **{"picture": {"resolution": 16}} | more), observer)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of about four of the demo's small pictures, so that there are several."""
    monkeypatch.setattr(build, "DEFAULT_SHARD_SIZE", 20_000)


SMALL_PARTS = "import lpff_shards.planning.build as s; s.DEFAULT_SHARD_SIZE = 20_000\n"
DEMO = ("export", "--format", "zip", "--demo", 8, "--resolution", 16)


@pytest.fixture(scope="module")
def lpff(tmp_path_factory: pytest.TempPathFactory) -> SourceOptions:
    """Photos of as many authors, so that splits can part them."""
    ids = [f"{n}@N01_{500 + n}_01" for n in range(12)]
    return SourceOptions(lpff=str(write_lpff(tmp_path_factory.mktemp("source") / "lpff", ids, ["eg3d"])))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of several parts that was never interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = run_after(SMALL_PARTS, *DEMO, "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "16 samples, 4 parts" in done.stderr
    return out


# The five published sets, small.


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """FFHQ and LPFF in both alignments, and a replica file."""
    root = tmp_path_factory.mktemp("published")
    counts = {str(index): 1 + index % 3 for index in range(6)}
    return {
        "eg3d": str(write_ffhq_eg3d(root / "FFHQ_512", naming="index")),
        "stylegan": str(write_ffhq_stylegan(root / "FFHQ_1024")),
        "cameras": str(write_ffhq_eg3d(root / "cameras") / "dataset.json"),
        "lpff": str(write_lpff(root / "LPFF", alignments=["eg3d", "stylegan"])),
        "num_replicas": str(dump(root / "num_replicas.json", counts)),
    }


SETS: dict[str, tuple[tuple[str, ...], dict[str, str], set[str]]] = {
    "FFHQ": (("ffhq",), {}, {"FFHQ"}),
    "LPFF": (("lpff",), {}, {"LPFF"}),
    "FFHQ_LPFF": (("ffhq", "lpff"), {}, {"FFHQ", "LPFF", "FFHQ_LPFF"}),
    "FFHQ_rebalanced": (("ffhq",), {"rebalance": "eg3d"}, {"FFHQ", "FFHQ_rebalanced"}),
    "FFHQ_LPFF_rebalanced": (
        ("ffhq", "lpff"),
        {"rebalance": "lpff"},
        {"FFHQ", "LPFF", "FFHQ_LPFF", "FFHQ_LPFF_rebalanced"},
    ),
}
CASES = [(a, s) for a in ("eg3d", "stylegan") for s in SETS if (a, s) != ("stylegan", "FFHQ_rebalanced")]


def _sources(published: dict[str, str], alignment: str, set: str) -> tuple[SourceOptions, dict[str, str]]:
    given, mix, _ = SETS[set]
    sources: dict[str, str] = {"alignment": alignment}
    if "ffhq" in given:
        sources["ffhq"] = published[alignment]
    if "ffhq" in given and alignment == "stylegan" and mix:
        sources["ffhq_cameras"] = published["cameras"]
    if "lpff" in given:
        sources["lpff"] = published["lpff"]
    replicas = {"num_replicas": published["num_replicas"]} if mix.get("rebalance") == "eg3d" else {}
    return SourceOptions(**sources), mix | replicas


@pytest.mark.parametrize(("alignment", "set"), CASES)
def test_trainers_read_the_published_sets(published: dict[str, str], tmp_path: Path, alignment: str, set: str) -> None:
    sources, mix = _sources(published, alignment, set)
    manifest = export(_options(tmp_path / "zip", sources, mix=MixOptions(**mix)))
    shuffle = ShardOptions(shuffle=False)
    plan = plan_export(_options(tmp_path, sources, "wds", mix=MixOptions(**mix), shards=shuffle))
    export(_options(tmp_path / "wds", sources, "wds", mix=MixOptions(**mix), shards=shuffle))
    shards = read_wds(tmp_path / "wds")

    seen = trainers.read(tmp_path / "zip" / f"{set.lower()}-train.zip")
    assert manifest.samples == plan.samples == len(seen.names)
    assert seen.names == list(_names(plan.keys))
    # The published order, and every copy a file of its own.
    assert [line["key"] for line in seen.lines] == list(plan.keys)
    lists = SETS[set][2] | ({"FFHQ_LPFF_rebalanced"} if _has_density(set, alignment) else {*()})
    assert {*seen.lists} == {f"{name}.json" for name in lists}
    assert {*seen.snapshots} == lists
    assert seen.lists[f"{set}.json"] == seen.names
    for name in SETS[set][2] - {set}:
        given = SETS[name][0]
        once = [line["name"] for line in seen.lines if line["dataset"] in given and line["replica"] == 0]
        assert seen.lists[f"{name}.json"] == once
    for line in seen.lines:
        shard = shards[str(line["key"])]
        name = str(line["name"])
        assert np.array_equal(seen.pixels[name], np.asarray(Image.open(io.BytesIO(shard.picture))))
        assert (seen.labels is None) == (shard.camera is None)
        assert seen.labels is None or np.array_equal(seen.labels[name], shard.camera)
        told = {field: value for field, value in line.items() if field not in ("name", "changes", "landmarks")}
        assert told == {field: value for field, value in shard.fields.items() if field != "changes"}
    assert verify_export(tmp_path / "zip", deep=True).ok


def _names(keys: Iterable[str]) -> Iterator[str]:
    """Pictures numbered from 0, their copies beside them."""
    number = -1
    for key in keys:
        copy = key.partition("_r")[2]
        number += not copy
        yield f"00000/img{number:08d}{f'_{copy}' if copy else ''}.png"


def _has_density(set: str, alignment: str) -> bool:
    """Whether FFHQ_LPFF_rebalanced is served besides, by the cameras of both sets."""
    return set == "FFHQ_LPFF" and alignment == "eg3d"


@pytest.mark.parametrize(("alignment", "set"), CASES)
def test_copies_as_names_in_lists(published: dict[str, str], tmp_path: Path, alignment: str, set: str) -> None:
    sources, mix = _sources(published, alignment, set)
    manifest = export(_options(tmp_path / "zip", sources, mix=MixOptions(**mix), zip_copies="list"))
    plan = plan_export(_options(tmp_path, sources, "wds", mix=MixOptions(**mix), shards=ShardOptions(shuffle=False)))
    seen = trainers.read(tmp_path / "zip" / f"{set.lower()}-train.zip")
    assert manifest.samples == len(seen.names) == len({key.partition("_r")[0] for key in plan.keys})
    assert seen.names == [f"00000/img{n:08d}.png" for n in range(len(seen.names))]
    assert seen.counts(set) == [seen.by_key[key.partition("_r")[0]] for key in plan.keys]
    assert manifest.lists[set] == plan.samples
    assert verify_export(tmp_path / "zip", deep=True).ok


RULES = {
    "none": {},
    "lpff": {"rebalance": "lpff"},
    "eg3d": {"rebalance": "eg3d"},
    "uniform": {"rebalance": "uniform", "target_size": 40},
    "weights": {"rebalance": "uniform", "as_": "weights"},
}

# LPFF's rule counts StyleGAN-aligned FFHQ once, and these few pictures of LPFF too.
COPYING = {("lpff", "eg3d"), ("eg3d", "eg3d"), ("eg3d", "stylegan"), ("uniform", "eg3d"), ("uniform", "stylegan")}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("alignment", ["eg3d", "stylegan"])
@pytest.mark.parametrize("copies", [None, "list"])
def test_every_printed_command_trains_on_the_planned_samples(
    published: dict[str, str], tmp_path: Path, rule: str, alignment: str, copies: Any
) -> None:
    sources, _ = _sources(published, alignment, "FFHQ_LPFF_rebalanced")
    mix = MixOptions(**RULES[rule])
    manifest = export(_options(tmp_path, sources, mix=mix, zip_copies=copies, picture={"resolution": 128}))
    planned = plan_export(_options(tmp_path, sources, "wds", mix=mix)).samples
    assert (manifest.samples < planned) == (copies == "list" and (rule, alignment) in COPYING)
    commands = re.findall(r"^python train.py .*", (tmp_path / "README.md").read_text(), re.MULTILINE)
    for command in commands:
        given = dict(word[2:].split("=") for word in command.split()[2:])
        seen = trainers.read(tmp_path / given["data"])
        assert len(seen.counts(given.get("camera_sample_mode"))) == planned
        assert given["cfg"] != "ffhq" or seen.pixels[seen.names[0]].shape[0] in (128, 256, 512)
    forks = [command for command in commands if "--camera_sample_mode=" in command]
    assert len(commands) - len(forks) == (0 if manifest.samples < planned else 3 if alignment == "eg3d" else 2)
    assert len(forks) == (2 if alignment == "eg3d" else 1)


def test_one_archive_serves_all_five_sets(published: dict[str, str], tmp_path: Path) -> None:
    sources, _ = _sources(published, "eg3d", "FFHQ_LPFF")
    mix = MixOptions(num_replicas=published["num_replicas"])
    manifest = export(_options(tmp_path / "zip", sources, mix=mix))
    seen = trainers.read(tmp_path / "zip/ffhq_lpff-train.zip")
    assert {*seen.lists} == {f"{name}.json" for name in trainers.FORK_MODES}
    for set in SETS:
        own, rule = _sources(published, "eg3d", set)
        shuffle = ShardOptions(shuffle=False)
        plan = plan_export(_options(tmp_path, own, "wds", mix=MixOptions(**rule), shards=shuffle))
        assert seen.counts(set) == [seen.by_key[key.partition("_r")[0]] for key in plan.keys], set
        assert manifest.lists[set] == plan.samples
    # Densities are those of the five sets' own cameras, so that a third source takes its list away.
    more = SourceOptions(ffhq=sources.ffhq, lpff=sources.lpff, demo=3)
    export(_options(tmp_path / "more", more, mix=mix, picture={"resolution": 8}))
    others = trainers.read(tmp_path / "more/ffhq_lpff_demo-train.zip")
    assert {*others.lists} == {"FFHQ.json", "LPFF.json", "FFHQ_LPFF.json", "FFHQ_rebalanced.json",
                               "FFHQ_LPFF_rebalanced.json", "ffhq_lpff_demo.json"}  # fmt: skip
    assert others.counts("FFHQ_LPFF_rebalanced") == others.names


@pytest.mark.parametrize(
    "mix",
    [{"splits": "train=0.5,val=0.5"}, {"license": ("CC-BY-2.0",)}, {"rebalance": "uniform"}, {"rebalance": "lpff"}],
)
def test_a_replica_file_without_a_list_or_copies_is_refused(published: dict[str, str], mix: dict[str, Any]) -> None:
    given = MixOptions(num_replicas=published["num_replicas"], **mix)
    sources = SourceOptions(ffhq=published["eg3d"])
    if mix == {"rebalance": "lpff"}:
        assert _options(Path("out"), sources, mix=given).serves_ffhq_rebalanced
        sources = SourceOptions(ffhq=published["stylegan"], ffhq_cameras=published["cameras"], alignment="stylegan")
    for format in ("zip", "wds"):
        with pytest.raises(ShardsError, match="--num-replicas is for --rebalance eg3d"):
            _options(Path("out"), sources, format, mix=given)


def test_a_snapshot_shows_all_yaws() -> None:
    yaw = np.linspace(1, -1, 160)
    assert snapshot(yaw).tolist() == list(range(154, 0, -10))
    assert snapshot(np.array([0.5, -0.5])).tolist() == [1] * 8 + [0] * 8


def test_a_zip_is_a_source_again(published: dict[str, str], tmp_path: Path) -> None:
    export(_options(tmp_path / "out", SourceOptions(ffhq=published["eg3d"])))
    again = SourceOptions(ffhq=str(tmp_path / "out/ffhq-train.zip"))
    export(_options(tmp_path / "again", again))
    first, second = (trainers.read(tmp_path / name / "ffhq-train.zip") for name in ("out", "again"))
    assert first.lists == second.lists
    assert all(np.array_equal(first.pixels[name], second.pixels[name]) for name in first.names)
    assert first.labels is not None and second.labels is not None
    assert all(np.array_equal(first.labels[name], second.labels[name]) for name in first.names)


# What is in it, for other mixes.


def test_landmarks_and_mirrors_are_told(tmp_path: Path) -> None:
    _export(tmp_path / "out")
    seen = trainers.read(tmp_path / "out/demo-train.zip")
    assert [line["mirrored"] for line in seen.lines[:4]] == [False, True, False, True]
    for line in seen.lines:
        assert np.array(line["landmarks"]).shape == (68, 2)
    assert seen.labels is not None
    original, mirror = (seen.labels[name].tolist() for name in seen.names[:2])
    assert mirrored(original) == mirror
    assert np.array_equal(seen.pixels[seen.names[0]][:, ::-1], seen.pixels[seen.names[1]])
    assert seen.lists == {"demo.json": seen.names, "FFHQ_LPFF_rebalanced.json": seen.names}


def test_pictures_are_stored_without_compression_unless_asked_for(tmp_path: Path) -> None:
    sizes = {}
    for image in (None, "png", "fast-png", "jpeg", "webp"):
        out = tmp_path / str(image)
        manifest = _export(out, SourceOptions(demo=2), picture={"image": image, "resolution": 64})
        assert manifest.options["image"] == image or (image, manifest.options["image"]) == (None, "stored-png")
        receipt = json.loads((out / STATE / "receipts/demo-train.zip.json").read_text())
        sizes[image] = {member[1] for member in receipt["members"]}
        trainers.read(out / "demo-train.zip")
        assert verify_export(out, deep=True).ok
    assert sizes[None] == {stored_size(64, 64)}
    assert max(sizes["jpeg"]) < max(sizes["png"]) < stored_size(64, 64)


def test_stored_pngs_are_for_every_format(tmp_path: Path) -> None:
    for format in ("wds", "tfrecord"):
        picture_ = {"image": "stored-png", "resolution": 16}
        manifest = _export(tmp_path / format, SourceOptions(demo=2), format=format, picture=picture_)
        assert manifest.options["image"] == "stored-png"
        assert verify_export(tmp_path / format, deep=True).ok
    for sample in read_wds(tmp_path / "wds").values():
        assert len(sample.picture) == stored_size(16, 16)
        assert str(sample.fields["changes"]).endswith("re-encoded as PNG without compression")


def test_our_reader_yields_the_samples_of_the_shards(published: dict[str, str], tmp_path: Path) -> None:
    found: dict[str, list[Sample]] = {}
    for format in ("wds", "zip"):
        sources = SourceOptions(lpff=published["lpff"], demo=2)
        options = {"picture": {"image": "stored-png", "resolution": 8}, "shards": ShardOptions(shuffle=False)}
        manifest = export(_options(tmp_path / format, sources, format, **options))
        (shard,) = manifest.shards
        data = memoryview((tmp_path / format / shard.file).read_bytes())
        found[format] = list(get_format(format).samples(data, manifest.layout))
    assert len(found["zip"]) == len(found["wds"]) == 10
    for ours, theirs in zip(found["zip"], found["wds"], strict=True):
        assert (ours.key, ours.scalars, ours.picture.data) == (theirs.key, theirs.scalars, theirs.picture.data)
        assert np.array_equal(ours.camera, theirs.camera)
        assert np.array_equal(ours.landmarks, theirs.landmarks)


def test_files_are_kept_where_that_is_asked_for(published: dict[str, str], tmp_path: Path) -> None:
    sources = SourceOptions(lpff=published["lpff"], mirror=False)
    export(_options(tmp_path / "out", sources, picture={"image": "keep"}))
    files = sorted((Path(published["lpff"]) / "crop/eg3d").iterdir())
    data = (tmp_path / "out/lpff-train.zip").read_bytes()
    assert all(file.read_bytes() in data for file in files)


def test_weights_are_in_the_samples_and_lists_hold_none(published: dict[str, str], tmp_path: Path) -> None:
    mix = MixOptions(rebalance="lpff", as_="weights")
    sources = SourceOptions(lpff=published["lpff"], ffhq=published["eg3d"])
    manifest = export(_options(tmp_path / "out", sources, mix=mix))
    seen = trainers.read(tmp_path / "out/ffhq_lpff_weighted-train.zip")
    assert {*seen.lists} == {"FFHQ.json", "LPFF.json", "FFHQ_LPFF.json", "FFHQ_LPFF_rebalanced.json"}
    assert next(iter(manifest.lists)) == "FFHQ_LPFF"
    assert {line["weight"] for line in seen.lines} != {1.0}
    assert any("the weights are in samples.jsonl" in note for note in manifest.notes)


def test_an_unpublished_mix_keeps_its_copies_and_every_split_is_a_zip(lpff: SourceOptions, tmp_path: Path) -> None:
    mix = MixOptions(rebalance="uniform", target_size=40, splits="train=0.7,val=0.3")
    manifest = _export(tmp_path / "out", lpff, mix=mix, shards=ShardOptions(seed=3), name="faces")
    assert [shard.file for shard in manifest.shards] == ["faces-train.zip", "faces-val.zip"]
    train, val = (trainers.read(tmp_path / "out" / shard.file) for shard in manifest.shards)
    assert len(train.names) == 40
    assert train.names[0] == val.names[0] == "00000/img00000000.png"
    for seen in (train, val):
        assert seen.lists == {"faces.json": seen.names, "FFHQ_LPFF_rebalanced.json": seen.names}
    assert verify_export(tmp_path / "out", workers=2).ok
    listed = _export(tmp_path / "list", lpff, mix=mix, shards=ShardOptions(seed=3), name="faces", zip_copies="list")
    assert listed.samples < manifest.samples == sum(listed.lists.values()) / 2
    told = f"count {listed.samples} pictures; FFHQ_LPFF_rebalanced.json, which LPFF's forks alone read, names"
    assert any(told in note for note in listed.notes)


# Pictures that trainers refuse.


ODD = {
    "wide": (("RGB", 16, 8), "is 16x8, and --format zip takes square ones"),
    "ten": (("RGB", 10, 10), "is 10x10, and --format zip takes powers of two: --resolution 8 makes it so"),
    "large": (("RGB", 16, 16), "is 16x16, and --format zip takes one size, 8x8 like others here: --resolution 8 makes"),
    "gray": (("L", 8, 8), "has color mode L, and --format zip takes RGB: --image png makes it so"),
}


def _odd(root: Path, mode: str, *size: int) -> Path:
    """LPFF with one picture that differs."""
    ids = [f"{n}@N01_{500 + n}_01" for n in range(6)]
    write_lpff(root, ids, ["eg3d"])
    out = io.BytesIO()
    Image.new(mode, size).save(out, "PNG")
    write(root / f"crop/eg3d/{ids[2]}.png", out.getvalue())
    return root


@pytest.mark.parametrize("kind", ODD)
def test_what_trainers_refuse_is_named(tmp_path: Path, kind: str) -> None:
    shape, reason = ODD[kind]
    lpff = SourceOptions(lpff=str(_odd(tmp_path / "lpff", *shape)))
    options = {"picture": {"image": "keep"}}
    with pytest.raises(BadInput) as caught:
        export(_options(tmp_path / "out", lpff, **options))
    assert "2@N01_502_01: the picture " + reason in str(caught.value)
    manifest = export(_options(tmp_path / "out", lpff, run={"on_error": "skip"}, **options))
    # A mirror is made anew, in RGB.
    lost = 1 if kind == "gray" else 2
    assert (manifest.counts.planned, manifest.counts.written, manifest.counts.skipped) == (12, 12 - lost, lost)
    assert {skip.id for skip in manifest.skipped} == {"2@N01_502_01"}
    seen = trainers.read(tmp_path / "out/lpff-train.zip")
    assert seen.names == [f"00000/img{n:08d}.png" for n in range(12 - lost)]
    assert seen.lists["LPFF.json"] == seen.names
    assert verify_export(tmp_path / "out", deep=True).ok


def test_what_is_mended_by_the_advice_that_is_given(tmp_path: Path) -> None:
    large = SourceOptions(lpff=str(_odd(tmp_path / "large", "RGB", 16, 16)))
    assert export(_options(tmp_path / "a", large, picture={"resolution": 8})).samples == 12
    gray = SourceOptions(lpff=str(_odd(tmp_path / "gray", "L", 8, 8)))
    assert export(_options(tmp_path / "b", gray, picture={"image": "png"})).samples == 12


def test_pictures_none_of_which_fit_are_one_error(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "lpff", alignments=["eg3d"], size=10)
    for on_error, told in (
        ("fail", "takes powers of two: --resolution 8"),
        ("skip", "there is nothing to write: all 6"),
    ):
        with pytest.raises(ShardsError, match=told):
            export(_options(tmp_path / "out", SourceOptions(lpff=str(root)), run={"on_error": on_error}))
    assert not (tmp_path / "out/manifest.json").exists()
    assert not list((tmp_path / "out").glob("*.zip"))


# The life cycle.


def test_same_bytes_for_any_workers(whole: Path, tmp_path: Path, small_parts: None) -> None:
    for workers in (2, 3):
        _export(tmp_path / str(workers), run={"workers": workers})
        assert contents(tmp_path / str(workers)) == contents(whole)
    assert not (whole / STATE / "parts").exists()


def test_the_parts_show_in_nothing(whole: Path, tmp_path: Path) -> None:
    assert _export(tmp_path / "out").samples == 16
    assert (tmp_path / "out/demo-train.zip").read_bytes() == (whole / "demo-train.zip").read_bytes()


KILLS = {
    "second part": ("lpff_shards.sidecars.folder", "OutputFolder.publish", 2, 1),
    "first pictures": ("lpff_shards.formats.join_zip", "ZipWriter.add", 3, 4),
    "lists": ("lpff_shards.formats.join_zip", "ZipWriter.add", 18, 4),
    "whole, without its name": ("lpff_shards.sidecars.folder", "OutputFolder.publish", 5, 4),
    "whole, with its parts": ("lpff_shards.sidecars.folder", "OutputFolder.drop_parts", 1, 4),
    "manifest": ("lpff_shards.sidecars.folder", "OutputFolder.write", 2, None),
}


@pytest.mark.parametrize("moment", KILLS)
def test_killed_and_run_again(whole: Path, tmp_path: Path, small_parts: None, moment: str) -> None:
    module, name, call, parts = KILLS[moment]
    killer = (
        f"import importlib, os; owner = importlib.import_module({module!r}); *path, name = {name!r}.split('.')\n"
        "for part in path: owner = getattr(owner, part)\n"
        "def wrapped(*args, real=getattr(owner, name), calls=[]):\n"
        f"    calls.append(1); len(calls) == {call} and os.kill(os.getpid(), 9)\n"
        "    return real(*args)\n"
        "setattr(owner, name, wrapped)\n"
    )
    out = tmp_path / "out"
    done = run_after(SMALL_PARTS + killer, *DEMO, "--out", out, "--workers", 1)
    assert done.returncode == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    if parts is not None:
        assert len(list((out / STATE / "parts").glob("*.part"))) == parts
    assert (out / "demo-train.zip").exists() == (moment in ("whole, with its parts", "manifest"))
    inodes = {path: path.stat().st_ino for path in out.glob("*.zip")}
    seen = Seen()
    _export(out, observer=seen)
    assert seen.finished == (4 if parts is None else parts)
    assert {path: path.stat().st_ino for path in inodes} == inodes
    assert contents(out) == contents(whole)


def _copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "out")


def test_a_finished_export_is_left_as_it_is(whole: Path, tmp_path: Path, small_parts: None) -> None:
    out = _copy(whole, tmp_path)
    inode = (out / "demo-train.zip").stat().st_ino
    _export(out)
    assert (out / "demo-train.zip").stat().st_ino == inode
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("damage", ["no zip", "cut", "no receipt", "spoilt"])
def test_a_damaged_zip_is_written_again(whole: Path, tmp_path: Path, small_parts: None, damage: str) -> None:
    out = _copy(whole, tmp_path)
    path, receipt = out / "demo-train.zip", out / STATE / "receipts/demo-train.zip.json"
    if damage == "cut":
        os.truncate(path, 5000)
    elif damage == "spoilt":
        path.write_bytes(path.read_bytes()[:-300] + bytes(300))
    else:
        (path if damage == "no zip" else receipt).unlink()
    _export(out)
    assert contents(out) == contents(whole)


def test_overwriting_leaves_nothing_of_the_other_plan(lpff: SourceOptions, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _export(out, lpff, mix=MixOptions(splits="train=0.5,val=0.5"))
    assert len(list(out.glob("*.zip"))) == 2
    with pytest.raises(ShardsError, match=r"--splits train=0\.5,val=0\.5 -> train"):
        _export(out, lpff)
    (out / STATE / "parts").mkdir()
    (out / STATE / "parts/lpff-val.zip-000000.part").write_bytes(b"left behind")
    _export(out, lpff, run={"overwrite": True})
    assert sorted(path.name for path in out.glob("*.zip")) == ["lpff-train.zip"]
    assert not (out / STATE / "parts").exists()
    _export(out, lpff, format="wds", run={"overwrite": True})
    assert not list(out.glob("*.zip"))


def test_a_stranger_s_zip_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "demo-train.zip", b"mine")
    with pytest.raises(ShardsError, match=r"already holds demo-train\.zip"):
        _export(tmp_path)
    assert (tmp_path / "demo-train.zip").read_bytes() == b"mine"


def test_an_update_takes_pictures_out_of_their_split(
    lpff: SourceOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "DEFAULT_SHARD_SIZE", 5_000)
    mix = {"splits": "train=0.5,val=0.5"}
    out = tmp_path / "out"
    _export(out, lpff, mix=MixOptions(**mix))
    before = {path.name: path.stat().st_ino for path in out.glob("*.zip")}
    gone = tmp_path / "gone.txt"
    gone.write_text(PHOTO)
    manifest = _export(out, lpff, mix=MixOptions(**mix, exclude=str(gone)), run={"update": True})
    assert len(manifest.tombstones) == 2
    assert all(f"_{PHOTO}_" in tombstone.key for tombstone in manifest.tombstones)
    (touched,) = {tombstone.file for tombstone in manifest.tombstones}
    changed = {path.name for path in out.glob("*.zip") if path.stat().st_ino != before[path.name]}
    assert changed == {touched} < before.keys()
    seen = trainers.read(out / touched)
    assert f"_{PHOTO}_".encode() not in (out / touched).read_bytes()
    assert seen.names == [f"00000/img{n:08d}.png" for n in range(len(seen.names))]
    assert verify_export(out, deep=True).ok
    again = _export(out, lpff, mix=MixOptions(**mix, exclude=str(gone)), run={"update": True})
    assert again == manifest


def test_a_picture_that_comes_back_is_written(published: dict[str, str], tmp_path: Path) -> None:
    root = shutil.copytree(published["lpff"], tmp_path / "lpff")
    lost, *_ = sorted((root / "crop/eg3d").iterdir())
    data = lost.read_bytes()
    lost.write_bytes(data[:-20])
    sources, skip = SourceOptions(lpff=str(root)), {"on_error": "skip"}
    assert export(_options(tmp_path / "out", sources, run=skip)).samples == 4
    with pytest.raises(BadInput, match="cut short"):
        export(_options(tmp_path / "out", sources))
    lost.write_bytes(data)
    out = tmp_path / "fresh"
    export(_options(out, sources, run=skip))
    assert len(trainers.read(out / "lpff-train.zip").names) == 6


def test_a_full_disk_is_one_clear_error(whole: Path, tmp_path: Path, small_parts: None) -> None:
    # Parts have room, the zip has not.
    limit = (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    )
    out = tmp_path / "out"
    done = run_after(SMALL_PARTS + limit, *DEMO, "--out", out, "--workers", 1)
    assert done.returncode == 1
    assert "demo-train.zip cannot be written: File too large" in done.stderr
    assert "finished parts are kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((out / STATE / "partial").iterdir())
    _export(out)
    assert contents(out) == contents(whole)


# Reading it.


def test_the_dry_run_shows_zips(tmp_path: Path) -> None:
    many = changed(DEMO, "--demo", 30, "--splits", "train=0.5,val=0.5")
    shown = run(*many, "--dry-run", "--out", tmp_path / "out")
    assert "60 samples in 2 zips" in shown.stdout
    assert "  demo-train.zip\n  demo-val.zip\n" in shown.stdout
    as_json = json.loads(run(*DEMO, "--dry-run", "--json", "--out", tmp_path / "out").stdout)
    assert [(shard["file"], shard["samples"]) for shard in as_json["shards"]] == [("demo-train.zip", 16)]
    assert not (tmp_path / "out").exists()


def test_sha256sums_pass_sha256sum(tmp_path: Path) -> None:
    _export(tmp_path / "out", run={"checksum": "sha256"})
    subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "out", check=True, capture_output=True)


def test_zips_need_no_index_files(whole: Path, tmp_path: Path) -> None:
    out = _copy(whole, tmp_path)
    assert index_export(out) == ()
    assert contents(out) == contents(whole)


@pytest.mark.parametrize("receipts", [True, False])
def test_verify_names_what_is_damaged(whole: Path, tmp_path: Path, receipts: bool) -> None:
    out = _copy(whole, tmp_path)
    receipt = json.loads((out / STATE / "receipts/demo-train.zip.json").read_text())
    if not receipts:
        shutil.rmtree(out / STATE)
    clean = (out / "demo-train.zip").read_bytes()
    draw = np.random.default_rng(1)
    for at in (*draw.integers(0, receipt["offsets"][-1], 20), *draw.integers(receipt["offsets"][-1], len(clean), 20)):
        spoilt = bytearray(clean)
        spoilt[at] ^= 1 << int(draw.integers(0, 8))
        (out / "demo-train.zip").write_bytes(spoilt)
        (fault,) = verify_export(out).faults
        number = sum(end <= at for end in receipt["offsets"][1:])
        if receipts:
            assert fault.sample == (receipt["keys"][number] if number < 16 else "")
        elif number < 16:
            assert fault.sample in (receipt["keys"][number], f"sample {number}")


_THIRD = b'"00000/img00000003.png"'
_NONE = b'"00000/img00000099.png"'
EDITS = {
    "label": ("dataset.json", _THIRD, _NONE, "has no label of 25 numbers for 00000/img00000003.png"),
    "camera": ("dataset.json", b"[0.96", b"[0.56", "rotation"),
    "line": ("samples.jsonl", _THIRD, _NONE, "samples.jsonl has no line for 00000/img00000003.png"),
    "field": ("samples.jsonl", b'"width":16', b'"width":61', "its picture is png of 16x16, not png of 61x16"),
    "list": ("demo.json", _THIRD, _NONE, "demo.json names 00000/img00000099.png, which the zip does not hold"),
}


@pytest.mark.parametrize("what", EDITS)
def test_verify_finds_what_does_not_agree(whole: Path, tmp_path: Path, what: str) -> None:
    """Changed with all checksums made right again, as another writer's mistake would be."""
    out = _copy(whole, tmp_path)
    member, old, new, reason = EDITS[what]
    path = out / "demo-train.zip"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert old in members[member]
    members[member] = members[member].replace(old, new, 1)
    path.write_bytes(zipped(list(members.items())))
    checksum = file_checksum(path, "blake3")
    edit_sealed(out / "manifest.json", lambda manifest: manifest["shards"][0].update(checksum=checksum))
    shutil.rmtree(out / STATE)
    fault = verify_export(out, deep=True).faults[0]
    assert reason in str(fault)
    if what in ("label", "line"):
        assert fault.sample == "sample 3"


@pytest.mark.parametrize(("count", "reason"), [(15, "has no line for 00000/img00000015.png"), (17, "more lines than")])
def test_a_zip_of_other_lines_than_pictures_is_refused(whole: Path, count: int, reason: str) -> None:
    with zipfile.ZipFile(whole / "demo-train.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    lines = members["samples.jsonl"].splitlines(keepends=True)
    members["samples.jsonl"] = b"".join([*lines, lines[-1]][:count])
    data = memoryview(zipped(list(members.items())))
    with pytest.raises(SampleError, match=reason):
        list(get_format("zip").samples(data, read_manifest(whole).layout))


def test_every_picture_of_a_whole_archive_is_read(whole: Path) -> None:
    verdict = verify_export(whole, deep=True)
    assert (verdict.ok, verdict.samples, verdict.shards) == (True, 16, 1)
    done = run("verify", whole)
    assert (done.returncode, "16 samples in 1 zip," in done.stdout) == (0, True)


def test_the_card_tells_how_to_train(whole: Path) -> None:
    card = (whole / "README.md").read_text()
    assert "--data=demo-train.zip" in card
    assert "configs:" not in card


def test_pictures_cut_short_are_named_in_a_zip(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    broken = next((root / "crop/eg3d").iterdir())
    broken.write_bytes(picture("x")[:-20])
    with pytest.raises(BadInput, match="cut short"):
        export(_options(tmp_path / "out", SourceOptions(lpff=str(root))))


def test_bytes_never_change(tmp_path: Path) -> None:
    golden = Path(__file__).parent / "golden/lpff.zip"
    sources = SourceOptions(lpff=str(write_lpff(tmp_path / "lpff", alignments=["eg3d"])))
    export(_options(tmp_path / "out", sources, mix=MixOptions(rebalance="uniform")))
    data = (tmp_path / "out/lpff_rebalanced_uniform-train.zip").read_bytes()
    if os.environ.get("LPFF_SHARDS_REGENERATE_GOLDEN"):
        golden.write_bytes(data)
    assert golden.read_bytes() == data


def test_the_manifest_lists_zips(whole: Path) -> None:
    manifest = read_manifest(whole)
    (shard,) = manifest.shards
    assert (shard.file, shard.split, shard.samples) == ("demo-train.zip", "train", 16)
    assert shard.bytes == (whole / "demo-train.zip").stat().st_size
    assert (manifest.format, manifest.counts.planned, manifest.counts.written) == ("zip", 16, 16)
