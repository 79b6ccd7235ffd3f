"""verify --deep: pictures that do not decode and numbers that disagree, though every checksum is right."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import LPFF_IDS, undecodable, write_lpff
from msgspec.structs import replace
from PIL import Image
from running import call

from lpff_shards import (
    ExportOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    SourceOptions,
    export,
    plan_export,
    verify_export,
)
from lpff_shards.exporters.sample import ImageCache, make_sample
from lpff_shards.formats.checks import deep_fault
from lpff_shards.loaders import ShardSource
from lpff_shards.schemas.sample import Sample

BROKEN = LPFF_IDS[0].replace("@", "-")


@pytest.fixture
def lpff(tmp_path: Path) -> Path:
    root = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    (root / "crop/eg3d" / f"{LPFF_IDS[0]}.png").write_bytes(undecodable())
    return root


@pytest.mark.parametrize("format", ["wds", "tfrecord", "parquet", "arrayrecord"])
def test_a_picture_that_does_not_decode_is_named(lpff: Path, tmp_path: Path, format: Any) -> None:
    out = tmp_path / "out"
    sources = SourceOptions(lpff=str(lpff), mirror=False)
    options = ExportOptions(
        format=format, out=str(out), sources=sources, shards=ShardOptions(shards=2), run=RunOptions(workers=1)
    )
    manifest = export(options)
    assert verify_export(out).ok
    for workers in (1, 2):
        verdict = verify_export(out, workers, deep=True)
        (fault,) = verdict.faults
        assert fault.sample == f"lpff_{BROKEN}"
        assert fault.shard in {shard.file for shard in manifest.shards}
        assert "its picture does not decode" in fault.reason
        assert verdict.samples == 3


def test_all_faults_of_a_shard_are_told(lpff: Path, tmp_path: Path) -> None:
    for id in LPFF_IDS:
        (lpff / "crop/eg3d" / f"{id}.png").write_bytes(undecodable())
    out = tmp_path / "out"
    export(ExportOptions(format="wds", out=str(out), sources=SourceOptions(lpff=str(lpff), mirror=False)))
    assert len(verify_export(out, deep=True).faults) == 3


def test_the_command_looks_deeper_and_tells_its_speed(
    lpff: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(ExportOptions(format="wds", out=str(out), sources=SourceOptions(lpff=str(lpff), mirror=False)))
    shallow = call(capsys, monkeypatch, "verify", out)
    assert (shallow.status, "all whole" in shallow.out, "pictures/s" in shallow.out) == (0, True, True)
    deep = call(capsys, monkeypatch, "verify", out, "--deep")
    assert (deep.status, f"lpff_{BROKEN}: its picture does not decode" in deep.out) == (1, True)
    assert json.loads(call(capsys, monkeypatch, "verify", out, "--deep", "--json").out)["seconds"] > 0


@pytest.mark.parametrize("image", ["keep", "png", "jpeg", "webp", "raw"])
def test_a_whole_export_is_whole_at_depth_too(tmp_path: Path, image: Any) -> None:
    options = ExportOptions(
        format="wds",
        out=str(tmp_path / "out"),
        sources=SourceOptions(demo=3),
        picture=PictureOptions(image=image, resolution=32),
    )
    export(options)
    assert verify_export(tmp_path / "out", deep=True).ok


@pytest.fixture(scope="module")
def sample() -> Sample:
    plan = plan_export(ExportOptions(format="wds", out="x", sources=SourceOptions(demo=1)))
    (task,) = plan.tasks()
    return make_sample(task.entries[0], task.settings, ImageCache(task.entries, task.settings.picture))


def _with(sample: Sample, **scalars: object) -> Sample:
    return replace(sample, scalars={**sample.scalars, **scalars})


def _moved(sample: Sample, place: int, by: float) -> Sample:
    assert sample.camera is not None
    camera = sample.camera.copy()
    camera[place] += np.float32(by)
    return replace(sample, camera=camera)


def test_a_sample_as_it_is_written_has_no_fault(sample: Sample) -> None:
    assert deep_fault(sample) is None


def test_a_picture_of_another_size_is_a_fault(sample: Sample) -> None:
    wrong = replace(sample, picture=replace(sample.picture, width=255))
    assert deep_fault(wrong) == "its picture is png, RGB, 256x256, its fields give png, RGB, 255x256"


def test_a_picture_of_another_kind_is_a_fault(sample: Sample) -> None:
    out = io.BytesIO()
    Image.new("RGB", (256, 256)).save(out, "JPEG")
    wrong = replace(sample, picture=replace(sample.picture, data=out.getvalue()))
    assert deep_fault(wrong) == "its picture is jpeg, RGB, 256x256, its fields give png, RGB, 256x256"


def test_a_color_mode_that_is_not_the_picture_s_is_a_fault(sample: Sample) -> None:
    wrong = replace(sample, picture=replace(sample.picture, mode="L"))
    assert deep_fault(wrong) == "its picture is png, RGB, 256x256, its fields give png, L, 256x256"


def test_an_orientation_that_is_not_the_file_s_is_a_fault(sample: Sample) -> None:
    assert deep_fault(_with(sample, exif_orientation=6)) == "its EXIF orientation is 1, its fields give 6"
    raw = replace(sample, picture=replace(sample.picture, kind="raw"))
    assert deep_fault(raw) is None
    assert deep_fault(_with(raw, exif_orientation=3)) == "its EXIF orientation is 1, its fields give 3"


@pytest.mark.parametrize(
    ("place", "by", "says"),
    [
        (0, 0.1, "its camera's rotation is not orthonormal"),
        (15, 0.5, "its camera's last row"),
        (16, -5.0, "its camera's focal length"),
        (18, 0.6, "its camera's principal point"),
        (3, 0.01, "its yaw and pitch are"),
        (7, 0.01, "its yaw and pitch are"),
    ],
)
def test_a_camera_that_is_none_is_a_fault(sample: Sample, place: int, by: float, says: str) -> None:
    assert str(deep_fault(_moved(sample, place, by))).startswith(says)


@pytest.mark.parametrize("field", ["yaw", "pitch"])
def test_angles_that_are_not_the_camera_s_are_a_fault(sample: Sample, field: str) -> None:
    assert "its yaw and pitch are" in str(deep_fault(_with(sample, **{field: float(sample.scalars[field]) + 0.01})))


def test_a_whole_turn_is_no_fault(sample: Sample) -> None:
    assert deep_fault(_with(sample, yaw=float(sample.scalars["yaw"]) + 2 * np.pi)) is None


def test_what_is_unknown_is_zeros(sample: Sample) -> None:
    assert "has_camera is false" in str(deep_fault(_with(sample, has_camera=False)))
    assert "has_landmarks is false" in str(deep_fault(_with(sample, has_landmarks=False)))
    nothing = replace(sample, camera=np.zeros(25, np.float32), landmarks=np.zeros((68, 2), np.float32))
    assert deep_fault(_with(nothing, has_camera=False, has_landmarks=False)) is None


@pytest.mark.parametrize(("image", "orientation"), [("keep", 6), ("png", 1)])
def test_an_export_records_the_orientation_that_its_files_carry(tmp_path: Path, image: Any, orientation: int) -> None:
    root, exif = write_lpff(tmp_path / "lpff", alignments=["eg3d"]), Image.Exif()
    exif[0x0112] = 6
    for file in (root / "crop/eg3d").iterdir():
        Image.open(file).save(file, exif=exif)
    options = ExportOptions(
        format="wds",
        out=str(tmp_path / "out"),
        sources=SourceOptions(lpff=str(root)),
        picture=PictureOptions(image=image),
    )
    export(options)
    assert verify_export(tmp_path / "out", deep=True).ok
    told = {(row["metadata"]["mirrored"], row["metadata"]["exif_orientation"]) for row in ShardSource(tmp_path / "out")}
    assert told == {(False, orientation), (True, 1)}
