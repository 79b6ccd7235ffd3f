"""What is noticed of pictures and cameras before anything is written, and told again of what was written."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import camera, edit, mirrored, write, write_ffhq_eg3d, write_lpff, zip_folder
from PIL import Image
from running import call

from lpff_shards import (
    ExportOptions,
    PictureOptions,
    RunOptions,
    ShardsError,
    SourceOptions,
    export,
    index_export,
    plan_export,
    verify_export,
)
from lpff_shards.errors import BadInput
from lpff_shards.loaders import ShardSource
from lpff_shards.planning import survey as surveys
from lpff_shards.schemas.camera import likely_convention, looks_away
from lpff_shards.sources.demo import look_at

IDS = [f"{n}@N01_{500 + n}_01" for n in range(12)]


def encoded(size: tuple[int, int], kind: str = "PNG", mode: str = "RGB", turn: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = turn
    out = io.BytesIO()
    Image.new(mode, size, 90).save(out, kind, **({"exif": exif} if turn != 1 else {}))
    return out.getvalue()


@pytest.mark.parametrize("format", ["wds", "zip"])
def test_what_the_encoder_does_not_take_is_known_before_anything_is_written(tmp_path: Path, format: Any) -> None:
    path = lpff(tmp_path / "lpff", {3: ("png", encoded((16_400, 16)))}, "stylegan")
    wanted = options(tmp_path / "out", path, format, alignment="stylegan", picture={"image": "webp"})
    with pytest.raises(BadInput, match=f"{IDS[3]}: the picture is 16400x16, and "):
        export(wanted)
    assert not (tmp_path / "out").exists()


def test_only_what_is_encoded_is_held_against_the_encoder(tmp_path: Path) -> None:
    path = lpff(tmp_path / "lpff", {3: ("webp", encoded((16_383, 1), "WEBP"))}, "stylegan")
    assert not plan_export(options(tmp_path / "out", path, alignment="stylegan", mirror=True)).seen.misfits


def lpff(root: Path, odd: dict[int, tuple[str, bytes]], alignment: str = "eg3d", size: int = 64) -> str:
    """LPFF with some pictures replaced: number to suffix and file."""
    write_lpff(root, IDS, [alignment], size)
    (root / "realign2400_lm.json").unlink()
    folder = root / {"eg3d": "crop/eg3d", "stylegan": "crop/stylegan"}[alignment]
    for number, (suffix, data) in odd.items():
        (folder / f"{IDS[number]}.png").unlink()
        write(folder / f"{IDS[number]}.{suffix}", data)
    return str(root)


def options(out: Path, path: str, format: Any = "wds", **more: Any) -> ExportOptions:
    alignment = more.pop("alignment", "eg3d")
    sources = SourceOptions(lpff=path, alignment=alignment, mirror=more.pop("mirror", None))
    return ExportOptions(
        format=format,
        out=str(out),
        sources=sources,
        picture=PictureOptions(**more.pop("picture", {})),
        run=RunOptions(workers=1, **more),
    )


def told(notes: tuple[str, ...], start: str) -> str:
    (found,) = [note for note in notes if start in note]
    return found


# Sizes.


def test_pictures_of_several_sizes_are_told_with_the_commonest_one(tmp_path: Path) -> None:
    path = lpff(tmp_path / "L", {7: ("png", encoded((48, 48)))})
    planned = plan_export(options(tmp_path / "out", path)).notes
    expected = (
        "the pictures are of several sizes (22 of 64x64, 2 of 48x48): loaders make no batch of them; "
        "--resolution 64 makes them alike"
    )
    assert told(planned, "several sizes") == expected
    manifest = export(options(tmp_path / "out", path))
    assert told(manifest.notes, "several sizes") == expected
    assert manifest.sizes == {"64x64": 22, "48x48": 2}
    assert "several sizes" in (tmp_path / "out/README.md").read_text()
    alike = options(tmp_path / "alike", path, picture={"resolution": 64})
    assert not any("several sizes" in note for note in (*plan_export(alike).notes, *export(alike).notes))


def test_pictures_that_are_not_square_have_no_resolution_that_mends_them(tmp_path: Path) -> None:
    path = lpff(tmp_path / "L", {n: ("png", encoded((40 + n, 64))) for n in range(5)}, "stylegan")
    note = told(plan_export(options(tmp_path / "out", path, alignment="stylegan")).notes, "several sizes")
    assert note.endswith("(7 of 64x64, 1 of 44x64, 1 of 43x64, and 3 other sizes): loaders make no batch of them")


def test_of_many_pictures_a_sample_is_opened_and_what_is_written_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "SAMPLED", 3)
    path = lpff(tmp_path / "L", {0: ("png", encoded((48, 48))), 4: ("png", encoded((32, 32)))})
    note = told(plan_export(options(tmp_path / "out", path)).notes, "several sizes")
    assert "(of 3 files, 4 of 64x64, 2 of 48x48)" in note
    manifest = export(options(tmp_path / "out", path))
    assert "(20 of 64x64, 2 of 48x48, 2 of 32x32)" in told(manifest.notes, "several sizes")


def test_files_that_cannot_be_read_are_told_when_they_are_written(tmp_path: Path) -> None:
    path = lpff(tmp_path / "L", {3: ("png", b"\x89PNG\r\n\x1a\nno header at all")})
    plan = plan_export(options(tmp_path / "out", path))
    assert dict(plan.seen.sizes) == {(64, 64): 22}
    with pytest.raises(BadInput, match="3@N01_503_01"):
        export(options(tmp_path / "out", path))


# What the trainers' zip cannot hold is refused by the dry run.

MISFITS = {
    "wide": (("png", encoded((64, 32))), {}, "is 64x32, and --format zip takes square ones"),
    "ten": (("png", encoded((48, 48))), {}, "is 48x48, and --format zip takes powers of two: --resolution 64 makes"),
    "small": (("png", encoded((32, 32))), {}, "takes one size, 64x64 like others here: --resolution 64 makes"),
    "gray": (("png", encoded((64, 64), mode="L")), {"image": "keep"}, "has color mode L, and --format zip takes RGB"),
}


@pytest.mark.parametrize("kind", MISFITS)
@pytest.mark.parametrize("packed", [False, True])
def test_the_dry_run_refuses_what_the_zip_would(tmp_path: Path, kind: str, packed: bool) -> None:
    picture, how, reason = MISFITS[kind]
    path = lpff(tmp_path / "L", {5: picture, 8: picture})
    path = str(zip_folder(Path(path), tmp_path / "L.zip", deflated=True)) if packed else path
    given = options(tmp_path / "out", path, "zip", picture=how)
    for attempt in (plan_export, export):
        with pytest.raises(BadInput) as caught:
            attempt(given)
        assert caught.value.id == IDS[5] and reason in str(caught.value)
        assert "1 more" in str(caught.value)
    assert not (tmp_path / "out").exists()
    skipping = options(tmp_path / "out", path, "zip", picture=how, on_error="skip")
    note = told(plan_export(skipping).notes, "will be left out")
    assert note.startswith(f"2 pictures will be left out, such as {IDS[5]}: the picture")
    assert export(skipping).counts.skipped == (2 if kind == "gray" else 4)


# EXIF.


def test_pictures_that_readers_would_turn_are_told_and_recorded(tmp_path: Path) -> None:
    turned = {n: ("png", encoded((64, 64), turn=6)) for n in (1, 2)}
    turned[4] = ("jpg", encoded((64, 64), "JPEG", turn=8))
    path = lpff(tmp_path / "L", turned)
    expected = "3 samples have an EXIF orientation: readers that apply it"
    assert told(plan_export(options(tmp_path / "out", path)).notes, "EXIF").startswith(expected)
    manifest = export(options(tmp_path / "out", path))
    assert told(manifest.notes, "EXIF").startswith(expected)
    assert manifest.turned == 3
    # The mirrors of these are made anew.
    fields = [sample["metadata"] for sample in ShardSource(str(tmp_path / "out"))]
    found = {(f["source_id"], f["exif_orientation"]) for f in fields if f["exif_orientation"] != 1}
    assert found == {(IDS[1], 6), (IDS[2], 6), (IDS[4], 8)}
    assert verify_export(str(tmp_path / "out"), deep=True).ok
    dropped = options(tmp_path / "png", path, picture={"image": "png"})
    assert not any("EXIF" in note for note in (*plan_export(dropped).notes, *export(dropped).notes))
    for shard in (tmp_path / "png").glob("*.tar"):
        assert b"eXIf" not in shard.read_bytes() and b"Exif" not in shard.read_bytes()


# Kinds.


def test_mixed_kinds_are_told_and_hugging_face_is_not_offered(tmp_path: Path) -> None:
    path = lpff(tmp_path / "L", {n: ("jpg", encoded((64, 64), "JPEG")) for n in range(3)})
    expected = "several kinds (18 .png, 6 .jpg) and kept so, and Hugging Face datasets reads the kind of the first"
    assert expected in told(plan_export(options(tmp_path / "out", path)).notes, "kinds")
    manifest = export(options(tmp_path / "out", path))
    assert expected in told(manifest.notes, "kinds") and "--image png" in told(manifest.notes, "kinds")
    card = (tmp_path / "out/README.md").read_text()
    assert "load_dataset" not in card and "configs:" not in card
    alike = export(options(tmp_path / "png", path, picture={"image": "png"}))
    assert alike.kinds == {"png": 24} and not any("kinds" in note for note in alike.notes)
    card = (tmp_path / "png/README.md").read_text()
    assert "load_dataset" in card and "configs:" in card


def test_a_name_that_belies_its_kind_is_told_of_what_was_written(tmp_path: Path) -> None:
    path = lpff(tmp_path / "L", {2: ("png", encoded((64, 64), "JPEG"))})
    manifest = export(options(tmp_path / "out", path))
    assert manifest.kinds == {"png": 22, "jpg": 2}
    assert "several kinds (22 .png, 2 .jpg)" in told(manifest.notes, "kinds")


def test_what_was_found_on_writing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lpff(tmp_path / "L", {2: ("png", encoded((64, 64), "JPEG"))})
    done = call(capsys, monkeypatch, "export", "--format", "wds", "--lpff", path, "--out", tmp_path / "out")
    assert done.status == 0 and "note: the pictures are of several kinds (22 .png, 2 .jpg)" in done.out


# Cameras.

Change = Callable[[list[float]], list[float]]


def opengl(numbers: list[float]) -> list[float]:
    return [-n if place in (1, 2, 5, 6, 9, 10) else n for place, n in enumerate(numbers)]


def world_to_camera(numbers: list[float]) -> list[float]:
    return [*np.linalg.inv(np.array(numbers[:16]).reshape(4, 4)).ravel().tolist(), *numbers[16:]]


def both(numbers: list[float]) -> list[float]:
    return world_to_camera(opengl(numbers))


def elsewhere(numbers: list[float]) -> list[float]:
    return [n + 3 if place == 3 else n for place, n in enumerate(numbers)]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (opengl, "OpenGL axes?"),
        (world_to_camera, "world-to-camera?"),
        (both, "world-to-camera with OpenGL axes?"),
        (elsewhere, "OpenGL axes, world-to-camera, or a head elsewhere?"),
    ],
)
def test_cameras_that_look_away_are_told_with_the_likely_cause(tmp_path: Path, change: Change, cause: str) -> None:
    path = lpff(tmp_path / "L", {})
    edit(tmp_path / "L/camera_parameters.json", lambda table: {id: change(numbers) for id, numbers in table.items()})
    note = told(plan_export(options(tmp_path / "out", path)).notes, "look at the head")
    assert note.startswith(f"lpff: 12 of 12 cameras do not look at the head ({cause})")
    manifest = export(options(tmp_path / "out", path))
    assert "do not look at the head" in told(manifest.notes, "look at the head")


def test_some_cameras_that_look_away_are_counted(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "F", 4)

    def turn(table: dict[str, Any]) -> dict[str, Any]:
        labels = dict(table["labels"])
        labels["00002.png"] = opengl(labels["00002.png"])
        labels["00002_mirror.png"] = mirrored(labels["00002.png"])
        return {"labels": list(labels.items())}

    edit(root / "dataset.json", turn)
    sources = SourceOptions(ffhq=str(root))
    notes = plan_export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources)).notes
    assert told(notes, "look at the head").startswith("ffhq: 2 of 8 cameras do not look at the head (OpenGL axes?)")


def test_published_cameras_look_at_the_head(tmp_path: Path, shared_data: Path) -> None:
    numbers = [camera(f"{n}") for n in range(200)]
    for source in ("lpff", "unsplash_pexels"):
        numbers += json.loads((shared_data / "documented" / source / "camera_parameters.json").read_text()).values()
    assert not looks_away(np.array(numbers)).any()


def test_axes_may_meet_in_the_face_and_not_in_the_origin() -> None:
    for degrees in range(-180, 181, 5):
        numbers = look_at(np.radians(degrees), 0.2)
        numbers[11] += 0.18
        assert not looks_away(numbers[None]).any()
    assert likely_convention(np.array([opengl(camera("a"))])) == "OpenGL axes"


def test_an_export_of_another_schema_is_refused_by_name(tmp_path: Path) -> None:
    export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=SourceOptions(demo=2)))
    edit(tmp_path / "out/manifest.json", lambda table: {**table, "schema": 1, "generator": "lpff-shards 0.0.9"})
    for attempt in (ShardSource, verify_export, index_export):
        with pytest.raises(
            ShardsError, match=r"has version 1 of the fields.*Read it with lpff-shards 0.0.9, or export"
        ):
            attempt(str(tmp_path / "out"))
