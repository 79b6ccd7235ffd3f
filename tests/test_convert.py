"""`convert`: an export made of an export is the one that the sources would give."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import channel_files
import numpy as np
import pytest
import running
from dataset_factories import picture, write, write_lpff
from PIL import Image
from running import call, children, contents, shards, wait_for
from stores import Bucket

from lpff_shards import (
    ShardsError,
    attach_channels,
    convert_export,
    export,
    export_share,
    index_export,
    read_manifest,
    trace_export,
    verify_export,
)
from lpff_shards.api import plan_export
from lpff_shards.exporters.conversion import conversion_options
from lpff_shards.formats.pictures.decoding import decode, inspect
from lpff_shards.formats.registry import NAMES, get_format
from lpff_shards.loaders.source import ShardSource
from lpff_shards.options.declaration import Share
from lpff_shards.options.export import ExportOptions, PictureOptions, RunOptions, ShardOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.options.sources import SourceOptions
from lpff_shards.schemas.sample import Sample
from lpff_shards.sidecars.sample_index import SampleIndex
from lpff_shards.storage.path import place, read_whole

SIDE = 32
IDS = [f"{n}@N01_{500 + n}_01" for n in range(12)]
MIX = MixOptions(splits="train=0.7,val=0.3", rebalance="uniform", max_replicas=3)
KEEP = PictureOptions(image="keep")
ONE = RunOptions(workers=1)
INSIDE = tuple(name for name in NAMES if get_format(name).channels == "inside")

convert = partial(convert_export, run=ONE)
Made = Callable[..., Path]


def stored(folder: Path | str) -> dict[str, Sample]:
    """Every sample of an export by key, in order, by the format's own reader."""
    root = place(str(folder))
    manifest = read_manifest(root)
    format = get_format(manifest.format)
    listed = [read_whole(root / shard.file) for shard in manifest.shards]
    return {one.key: one for shard in listed for one in format.samples(shard, manifest.layout)}


def pixels(sample: Sample) -> np.ndarray:
    picture = sample.picture
    if picture.kind == "raw":
        return np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3)
    return decode(picture.data, inspect(picture.data))


def check_alike(one: Sample, other: Sample, more: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Compare a converted sample with one made of the sources; `more`: changes that only the first one had."""
    fields, wanted = dict(one.scalars), dict(other.scalars)
    steps, due = (str(found.pop("changes")).split("; ") for found in (fields, wanted))
    assert len(set(steps)) == len(steps) and set(steps) - more == set(due) - more
    transform, exact = (json.loads(str(found.pop("crop_transform", "0"))) for found in (fields, wanted))
    np.testing.assert_allclose(transform, exact, atol=1e-9)
    assert fields == wanted and list(one.scalars) == list(other.scalars)
    assert np.array_equal(pixels(one), pixels(other))
    assert one.picture.kind == other.picture.kind
    assert (one.camera is None) == (other.camera is None) and np.array_equal(one.camera, other.camera)  # type: ignore[arg-type]
    assert (one.landmarks is None) == (other.landmarks is None)
    if one.landmarks is not None and other.landmarks is not None:
        assert one.landmarks.dtype == np.float32
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=1e-4)
    assert one.channels == other.channels


@pytest.fixture(scope="module")
def lpff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lpff(tmp_path_factory.mktemp("source") / "lpff", IDS, size=SIDE)


@pytest.fixture(scope="module")
def made(lpff: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Exports of LPFF with mirrors, splits and copies, each made once."""

    @cache
    def export_once(format: str, picture: PictureOptions = KEEP, **given: Any) -> Path:
        out = tmp_path_factory.mktemp(format) / "first"
        options = {"mix": MIX, "run": ONE, "picture": picture, **given}
        sources = SourceOptions(lpff=str(lpff))
        if get_format(format).joining is None:
            options.setdefault("shards", ShardOptions(samples_per_shard=7))
        export(ExportOptions(format=format, out=str(out), sources=sources, **options))
        return out

    return export_once


PICTURES = {
    "kept": KEEP,
    "raw": PictureOptions(image="raw"),
    "small": PictureOptions(image="stored-png", resolution=8),
    "large": PictureOptions(image="png", resolution=64),
}


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize(("first", "second"), [(a, b) for a in NAMES for b in NAMES if "wds" in (a, b) or a == b])
def test_a_conversion_has_the_samples_that_the_sources_give(
    made: Made, tmp_path: Path, first: str, second: str, picture: str
) -> None:
    if picture == "raw" and not get_format(second).raw:
        pytest.skip("holds no raw pixels")
    before, out = made(first), tmp_path / "out"
    manifest = convert(str(before), str(out), format=second, picture=PICTURES[picture])
    found, wanted = stored(out), stored(made(second, PICTURES[picture]))
    assert found.keys() == wanted.keys() == stored(before).keys()
    assert any(sample.scalars["replica"] for sample in found.values()) and len(manifest.splits) == 2
    if second != "zip":
        assert list(found) == list(stored(before))
    for key, sample in found.items():
        check_alike(sample, wanted[key])
    verdict = verify_export(out, deep=True)
    assert verdict.ok, verdict.faults
    direct = read_manifest(made(second, PICTURES[picture]))
    for name in ("layout", "samples", "sources", "licenses", "splits", "kinds", "sizes", "turned", "notes"):
        assert getattr(manifest, name) == getattr(direct, name), name


@pytest.mark.parametrize("format", NAMES)
def test_some_samples_of_a_shard_are_read_in_order(made: Made, format: str) -> None:
    root = made(format)
    manifest, reader = read_manifest(root), get_format(format)
    shard = read_whole(root / manifest.shards[0].file)
    every = [one.key for one in reader.samples(shard, manifest.layout)]
    for numbers in ((0,), (2, 3, 5), range(len(every))):
        found = reader.some(shard, manifest.layout, numbers)
        assert [one.key for one in found] == [every[number] for number in numbers]


def test_pictures_that_are_encoded_alike_keep_their_bytes(made: Made, tmp_path: Path) -> None:
    """A second JPEG of a JPEG would lose quality for nothing."""
    jpeg = PictureOptions(image="jpeg", quality=70)
    before = made("wds", jpeg)
    for number, kind in enumerate((KEEP, jpeg, PictureOptions(resolution=SIDE))):
        out = tmp_path / str(number)
        convert(str(before), str(out), format="tfrecord", picture=kind)
        for key, sample in stored(out).items():
            one = stored(before)[key]
            assert (sample.picture.data, sample.scalars) == (one.picture.data, one.scalars)
        assert read_manifest(out).options["quality"] == 70


def test_resized_pictures_are_encoded_as_the_others_were(made: Made, tmp_path: Path) -> None:
    for image, kind in (("jpeg", "jpeg"), ("raw", "raw"), ("stored-png", "png")):
        manifest = convert(
            str(made("wds", PictureOptions(image=image))),  # type: ignore[arg-type]
            str(tmp_path / image), picture=PictureOptions(resolution=8),
        )  # fmt: skip
        assert manifest.options["image"] == image and manifest.options["resolution"] == 8
        assert {sample.picture.kind for sample in stored(tmp_path / image).values()} == {kind}
        assert verify_export(tmp_path / image, deep=True).ok


def test_pngs_without_compression_and_raw_pixels_become_small_pngs(tmp_path: Path) -> None:
    png = PictureOptions(image="png")
    options = ExportOptions(
        format="wds", out=str(tmp_path / "direct"), sources=SourceOptions(demo=2), picture=png, run=ONE
    )
    export(options)
    direct = stored(tmp_path / "direct")
    for image in ("stored-png", "raw"):
        before, out = tmp_path / f"{image}-before", tmp_path / image
        export(replace(options, out=str(before), picture=PictureOptions(image=image)))  # type: ignore[arg-type]
        convert(str(before), str(out), picture=png)
        for key, sample in stored(out).items():
            check_alike(sample, direct[key], {"re-encoded as PNG without compression", "decoded to raw pixels"})
            assert len(sample.picture.data) < len(stored(before)[key].picture.data) / 4


@pytest.mark.parametrize("side", [None, 16])
@pytest.mark.parametrize("format", INSIDE)
def test_channels_and_extra_fields_are_those_that_the_sources_give(
    tmp_path: Path, format: str, side: int | None
) -> None:
    channel_files.write(tmp_path)
    picture, given = PictureOptions(resolution=side), channel_files.options(tmp_path)
    options = channel_files.export_options(tmp_path, format, tmp_path / "direct", given, picture=picture, run=ONE)
    direct = export(options)
    export(replace(options, format="wds", out=str(tmp_path / "first"), picture=KEEP, metadata="msgpack"))
    convert(str(tmp_path / "first"), str(tmp_path / "out"), format=format, picture=picture)
    found, wanted = stored(tmp_path / "out"), stored(tmp_path / "direct")
    assert direct.layout.extra and direct.layout.channels
    assert found.keys() == wanted.keys()
    for key, sample in found.items():
        if side is None:
            check_alike(sample, wanted[key])
    for _, fields in channel_files.samples(tmp_path / "out", read_manifest(tmp_path / "out")):
        channel_files.check(fields, channel_files.shown(fields))
    assert verify_export(tmp_path / "out", deep=True).ok


def test_a_crop_s_transform_follows_its_resolution(tmp_path: Path) -> None:
    lpff = write_lpff(tmp_path / "lpff", IDS[:3], size=96)
    sources = SourceOptions(lpff=str(lpff), crop="stylegan", from_="raw", crop_quality="fast")
    sides = {side: tmp_path / str(side) for side in (16, 32)}
    for side, out in sides.items():
        export(
            ExportOptions(
                format="wds", out=str(out), sources=sources, picture=PictureOptions(resolution=side), run=RunOptions(
                    workers=1, on_error="skip"
                ),
            )
        )  # fmt: skip
    convert(str(sides[32]), str(tmp_path / "out"), picture=PictureOptions(resolution=16))
    found, direct = stored(tmp_path / "out"), stored(sides[16])
    assert found.keys() == direct.keys()
    for key, sample in found.items():
        one, other = (json.loads(str(s.scalars["crop_transform"])) for s in (sample, direct[key]))
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_and_shares_change_no_byte(made: Made, tmp_path: Path, workers: int) -> None:
    given: dict[str, Any] = {"picture": PictureOptions(image="png", resolution=8), "shards": ShardOptions(shards=9)}
    before = str(made("wds"))
    convert(before, str(tmp_path / "one"), format="tfrecord", **given)
    wanted = contents(tmp_path / "one")
    run = RunOptions(workers=workers)
    convert(before, str(tmp_path / "many"), format="tfrecord", run=run, **given)
    assert contents(tmp_path / "many") == wanted
    for number in range(1, workers + 1):
        run = RunOptions(workers=1, task=Share(number, workers))
        export_share(conversion_options(before, str(tmp_path / "shared"), "tfrecord", run=run, **given))
    assert contents(tmp_path / "shared") == wanted


def test_a_killed_conversion_goes_on_and_changes_no_byte(made: Made, tmp_path: Path) -> None:
    before = made("wds", shards=ShardOptions(shards=2))
    command = ("convert", before, "--format", "tfrecord", "--image", "png", "--resolution", 512, "--workers", 2)
    command = (*command, "--samples-per-shard", 1, "--out")
    assert running.run(*command, tmp_path / "whole").returncode == 0
    out, forks = tmp_path / "out", running.forks()
    for victim in ("parent", "worker"):
        had = len(shards(out)) if out.exists() else 0
        pid = forks.start(*command, out)
        wait_for(lambda had=had: out.exists() and len(shards(out)) > had + 1)  # type: ignore[misc]
        os.kill(pid if victim == "parent" else children(pid)[0], signal.SIGKILL)
        assert forks.end().returncode != 0
        assert not (out / "manifest.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in shards(out)}
    time.sleep(0.01)
    assert running.run(*command, out).returncode == 0
    assert contents(out) == contents(tmp_path / "whole")
    assert sum(path.stat().st_mtime_ns == kept.get(path) for path in shards(out)) >= len(kept) - 2


def _flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("format", NAMES)
def test_a_damaged_shard_is_refused(made: Made, tmp_path: Path, format: str) -> None:
    before = shutil.copytree(made(format), tmp_path / "before")
    _flip(shards(before)[0], 0.4)
    run = RunOptions(workers=1, on_error="skip")
    with pytest.raises(ShardsError, match="is damaged: it is not the file that the manifest lists") as error:
        convert(str(before), str(tmp_path / "out"), format="wds", run=run)
    assert error.value.exit_status == 1 and shards(before)[0].name in str(error.value)
    assert not (tmp_path / "out/manifest.json").exists()


def _lose(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).unlink()


def _changed_by_others(root: Path) -> None:
    with sqlite3.connect(root / "samples.sqlite") as database:
        database.execute("UPDATE samples SET number = number + 1")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_lose("manifest.json"), "has no manifest.json"),
        (_lose("samples.sqlite"), "samples.sqlite is missing"),
        (_changed_by_others, "samples.sqlite is not what was written"),
        (lambda root: shards(root)[0].unlink(), "cannot be read: No such file"),
        (lambda root: shards(root)[0].write_bytes(b""), "is not the file that the manifest lists"),
    ],
)
def test_an_unfinished_or_damaged_export_is_refused(
    made: Made, tmp_path: Path, fault: Callable[[Path], object], message: str
) -> None:
    before = shutil.copytree(made("wds"), tmp_path / "before")
    fault(before)
    with pytest.raises(ShardsError, match=message):
        convert(str(before), str(tmp_path / "out"))
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.parametrize("inside", [".", "new"])
def test_the_export_s_own_folder_is_no_output(made: Made, inside: str) -> None:
    before = made("wds")
    there = contents(before)
    with pytest.raises(ShardsError, match="is the folder of PATH or in it"):
        convert(str(before), str(before / inside))
    assert contents(before) == there


@pytest.mark.parametrize(
    ("format", "options", "message"),
    [
        ("zip", {"picture": PictureOptions(resolution=48)}, "powers of two"),
        ("parquet", {"picture": PictureOptions(image="raw")}, "--image raw is not for"),
        ("wds", {"shards": ShardOptions(shuffle=True)}, "keeps samples and order"),
        ("wds", {"shards": ShardOptions(shards=1000)}, "is more than the"),
        ("wds", {"mix": MixOptions(license=("CC0-1.0",))}, "keeps samples and order"),
    ],
)
def test_what_a_conversion_cannot_do_is_refused(
    made: Made, tmp_path: Path, format: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShardsError, match=message):
        convert_export(str(made("wds")), str(tmp_path / "out"), format=format, **options)
    assert not (tmp_path / "out").exists()


def test_raw_pixels_need_an_encoding_in_other_formats(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="has raw pixels, and --format parquet has none"):
        convert(str(made("wds", PICTURES["raw"])), str(tmp_path / "out"), format="parquet")


def test_a_zip_is_not_named_like_its_file_of_cameras(tmp_path: Path) -> None:
    sources = SourceOptions(demo=1)
    export(ExportOptions(format="wds", out=str(tmp_path / "first"), sources=sources, name="dataset", run=ONE))
    with pytest.raises(ShardsError, match="--name dataset is not for --format zip"):
        convert(str(tmp_path / "first"), str(tmp_path / "out"), format="zip")
    assert convert(str(tmp_path / "first"), str(tmp_path / "out"), format="zip", name="faces").name == "faces"


def test_a_zip_takes_no_channels_inside_and_no_copies_as_names(made: Made, tmp_path: Path) -> None:
    channel_files.write(tmp_path)
    options = channel_files.options(tmp_path, "mask")
    export(channel_files.export_options(tmp_path, "wds", tmp_path / "first", options, run=ONE))
    with pytest.raises(ShardsError, match="has channels, and --format zip has none inside"):
        convert(str(tmp_path / "first"), str(tmp_path / "out"), format="zip")
    with pytest.raises(ShardsError, match="are names in lists"):
        convert(str(made("zip", zip_copies="list")), str(tmp_path / "out"), format="wds")


def test_attached_channels_are_left_out_and_noted(tmp_path: Path) -> None:
    channel_files.write(tmp_path)
    export(channel_files.export_options(tmp_path, "wds", tmp_path / "first", (), run=ONE))
    attach_channels(tmp_path / "first", channel_files.options(tmp_path, "mask"), workers=1)
    manifest = convert(str(tmp_path / "first"), str(tmp_path / "out"))
    assert [note for note in manifest.notes if note.endswith("(mask)")]
    assert not (tmp_path / "out/mask").exists()
    attach_channels(tmp_path / "out", channel_files.options(tmp_path, "mask"), workers=1)
    assert verify_export(tmp_path / "out").ok


def test_the_new_export_says_what_it_was_made_from(made: Made, tmp_path: Path) -> None:
    before = made("wds")
    convert(str(before), str(tmp_path / "second"), picture=PictureOptions(image="jpeg", quality=80))
    third = convert(str(tmp_path / "second"), str(tmp_path / "third"), format="parquet", name="faces",
                    picture=PictureOptions(resolution=16))  # fmt: skip
    first, origin = read_manifest(before), third.options["converted_from"]
    assert (origin["path"], origin["plan"]) == ("second", read_manifest(tmp_path / "second").plan)
    assert origin["options"]["converted_from"]["plan"] == first.plan
    assert origin["options"]["converted_from"]["options"] == first.options
    card = (tmp_path / "third/README.md").read_text()
    assert "lpff-shards export --format wds --lpff lpff" in card
    assert "lpff-shards convert first --format wds --image jpeg --quality 80 --out second\n" in card
    assert "lpff-shards convert second --format parquet --name faces --resolution 16 --out faces\n" in card
    assert str(tmp_path) not in card + (tmp_path / "third/manifest.json").read_text()
    assert third.licenses == first.licenses
    lines = [
        [line.split(",")[:8] for line in (root / "ATTRIBUTION.csv").read_text().splitlines()]
        for root in (before, tmp_path / "third")
    ]
    assert lines[0] == lines[1]
    with SampleIndex.open(before, first) as one, SampleIndex.open(tmp_path / "third", third) as other:
        assert one.pool() == other.pool() is not None
    found = trace_export(tmp_path / "third", IDS[0])
    assert {one.fields["key"] for one in found.samples} == {
        one.fields["key"] for one in trace_export(before, IDS[0]).samples
    }
    (tmp_path / "third/samples.sqlite").unlink()
    index_export(tmp_path / "third")
    assert verify_export(tmp_path / "third", deep=True).ok


def test_photos_that_were_left_out_or_withdrawn_stay_known(lpff: Path, tmp_path: Path) -> None:
    faulty = shutil.copytree(lpff, tmp_path / "lpff")
    for path in faulty.rglob(f"{IDS[1]}.png"):
        path.write_bytes(b"")
    (tmp_path / "gone").write_text(f"{IDS[0]}\n")
    options = ExportOptions(
        format="wds", out=str(tmp_path / "first"), sources=SourceOptions(lpff=str(faulty)),
        run=RunOptions(workers=1, on_error="skip"),
    )  # fmt: skip
    export(options)
    export(replace(options, mix=MixOptions(exclude=str(tmp_path / "gone")), run=replace(options.run, update=True)))
    manifest = convert(str(tmp_path / "first"), str(tmp_path / "out"), format="tfrecord")
    for id, what in ((IDS[0], "taken_out"), (IDS[1], "left_out")):
        old, new = (getattr(trace_export(tmp_path / folder, id), what) for folder in ("first", "out"))
        assert len(old) == len(new) > 0
    assert manifest.counts.left_out == len(read_manifest(tmp_path / "first").skipped)
    assert verify_export(tmp_path / "out").ok


def test_data_sets_without_a_sample_stay_named(lpff: Path, tmp_path: Path) -> None:
    sources = SourceOptions(demo=4, lpff=str(lpff))
    mix = MixOptions(license=("CC0-1.0", "PDM-1.0"))
    first = export(ExportOptions(format="wds", out=str(tmp_path / "first"), sources=sources, mix=mix, run=ONE))
    manifest = convert(str(tmp_path / "first"), str(tmp_path / "out"), format="tfrecord")
    assert 0 in first.sources.values()
    for name in ("sources", "licenses", "filtered", "splits", "notes"):
        assert getattr(manifest, name) == getattr(first, name)
    assert verify_export(tmp_path / "out").ok


def test_pictures_that_cannot_be_made_are_left_out_on_request(tmp_path: Path) -> None:
    for name, size in (("a", (16, 16)), ("b", (16, 12))):
        write(tmp_path / f"heads/{name}.png", picture(name, 16))
        Image.open(tmp_path / f"heads/{name}.png").crop((0, 0, *size)).save(tmp_path / f"heads/{name}.png")
    sources = SourceOptions(dataset=(f"heads={tmp_path / 'heads'}",), mirror=False)
    export(ExportOptions(format="wds", out=str(tmp_path / "first"), sources=sources, run=ONE))
    small = PictureOptions(resolution=8)
    with pytest.raises(ShardsError, match="16x12; --resolution needs square ones"):
        convert(str(tmp_path / "first"), str(tmp_path / "out"), picture=small)
    skip = RunOptions(workers=1, on_error="skip")
    for _ in range(2):
        manifest = convert(str(tmp_path / "first"), str(tmp_path / "out"), picture=small, run=skip)
        assert [skipped.id for skipped in manifest.skipped] == ["b"] and list(stored(tmp_path / "out")) == ["heads_a"]


def test_sources_of_both_exports_give_the_same_samples(made: Made, tmp_path: Path) -> None:
    before = made("wds", PictureOptions(image="png"))
    convert(str(before), str(tmp_path / "out"), format="tfrecord")
    for split in ("train", "val"):
        one, other = ShardSource(str(before), split=split), ShardSource(str(tmp_path / "out"), split=split)
        assert len(one) == len(other) > 0
        for number in range(len(one)):
            first, second = one[number], other[number]
            assert first["metadata"] == second["metadata"]
            for name in ("image", "camera", "landmarks"):
                assert np.array_equal(first[name], second[name])


def test_exports_in_buckets_are_read_and_written(made: Made, s3: Bucket, tmp_path: Path) -> None:
    uri = f"{s3.uri}/second"
    convert(str(made("wds")), uri, format="tfrecord", run=RunOptions(workers=2))
    picture = PICTURES["raw"]
    convert(uri, str(tmp_path / "out"), format="wds", picture=picture, run=RunOptions(workers=2))
    wanted = stored(made("wds", picture))
    for key, sample in stored(tmp_path / "out").items():
        check_alike(sample, wanted[key])
    assert verify_export(tmp_path / "out", deep=True).ok
    convert(str(made("wds")), f"{s3.uri}/zips", format="zip")
    with pytest.raises(ShardsError, match="is a zip in a bucket"):
        convert(f"{s3.uri}/zips", str(tmp_path / "no"))


def test_a_plan_of_a_conversion_reads_no_shard(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shutil.copytree(made("wds"), tmp_path / "before")
    for shard in shards(before):
        shard.unlink()
    done = call(capsys, monkeypatch, "convert", before, "--out", tmp_path / "out", "--dry-run", "--json")
    assert done.status == 0, done.err
    plan = json.loads(done.out)
    assert plan["samples"] == read_manifest(before).samples and not (tmp_path / "out").exists()
    assert plan["plan"] == plan_export(conversion_options(str(before), "x", None)).digest


def test_another_conversion_into_the_folder_needs_overwrite(made: Made, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    convert(str(made("wds")), out)
    with pytest.raises(ShardsError, match="resolution none -> 8"):
        convert(str(made("wds")), out, picture=PictureOptions(resolution=8))
    with pytest.raises(ShardsError, match="the contents of the sources"):
        convert(str(made("wds", shards=ShardOptions(shards=2))), out)
    again = RunOptions(workers=1, overwrite=True)
    assert convert(str(made("wds")), out, picture=PictureOptions(resolution=8), run=again).options["resolution"] == 8
    assert verify_export(out).ok
