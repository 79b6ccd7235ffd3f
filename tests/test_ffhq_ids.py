"""FFHQ ids of EG3D's own zip, whose names are by position: told by cameras out of an id-named dataset.json."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import (
    camera,
    dataset_tool,
    dump,
    edit,
    mirrored,
    points,
    write_ffhq_eg3d,
    write_ffhq_stylegan,
    write_ffhq_v2,
    zip_folder,
)
from inventories import clean, contents, eg3d, ffhq_credit, stylegan

from lpff_shards import ExportOptions, SourceOptions, export
from lpff_shards.errors import ShardsError
from lpff_shards.sources import ffhq_labels
from lpff_shards.sources.ffhq_labels import CameraLabels, Number, match_by_cameras
from lpff_shards.sources.inventory import Inventory

PHOTOS = (0, 7, 499, 500, 1002)  # some photos did not survive, so positions are not ids


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """EG3D's final_crops."""
    return write_ffhq_eg3d(tmp_path / "final/crops", PHOTOS)


@pytest.fixture
def root(crops: Path, tmp_path: Path) -> Path:
    """What EG3D's dataset_tool.py makes of them."""
    return dataset_tool(crops, tmp_path / "made/FFHQ_512")


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    return write_ffhq_v2(tmp_path / "v2/ffhq-dataset-v2.json", PHOTOS)


def told(inventory: Inventory, count: int = 10) -> Inventory:
    """An inventory whose only note is of the ids."""
    (note,) = inventory.notes
    assert note.endswith(f": its cameras give the FFHQ ids of {count} pictures") and not inventory.problems
    return inventory


def test_the_file_of_final_crops_tells_ids_and_credits(crops: Path, root: Path, v2: Path, tmp_path: Path) -> None:
    expected = contents(clean(eg3d(crops, metadata=v2)))
    inventory = told(eg3d(root, crops / "dataset.json", v2))
    assert contents(inventory) == expected
    assert inventory.places.tolist() == list(range(10)) and inventory.places_of == 10
    assert contents(told(eg3d(zip_folder(root, tmp_path / "a.zip"), crops / "dataset.json", v2))) == expected


@pytest.mark.parametrize("place", ["inside", "beside the set", "beside the cameras"])
def test_where_the_file_is_found(crops: Path, root: Path, v2: Path, tmp_path: Path, place: str) -> None:
    expected = contents(clean(eg3d(crops, metadata=v2)))
    labels, cameras = crops / "dataset.json", None
    if place == "inside":
        labels.rename(root / "dataset-ffhq.json")
    elif place == "beside the set":
        labels.rename(root.parent / "dataset.json")
    else:
        cameras = (root / "dataset.json").rename(crops / "by_position.json")
    assert contents(told(eg3d(root, cameras, v2))) == expected


def test_a_file_that_nobody_named_is_recorded_as_if_it_were_given(crops: Path, root: Path, tmp_path: Path) -> None:
    (crops / "dataset.json").rename(root.parent / "dataset.json")
    options = SourceOptions(ffhq=str(root))
    manifest = export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=options))
    assert manifest.options["ffhq_cameras"] == "dataset.json"
    assert "--ffhq-cameras dataset.json" in (tmp_path / "out/README.md").read_text()


def test_labels_in_another_order_and_pictures_that_are_not_there(crops: Path, root: Path, v2: Path) -> None:
    edit(crops / "dataset.json", lambda table: {"labels": table["labels"][::-1]})
    for index in (2, 3, 9):
        (root / f"00000/img{index:08d}.png").unlink()
    inventory = eg3d(root, crops / "dataset.json", v2)
    assert list(inventory.ids) == ["00000", "00000", "00499", "00499", "00500", "00500", "01002"]
    assert inventory.places.tolist() == [0, 1, 4, 5, 6, 7, 8] and inventory.places_of == 10
    assert [credit.author for credit in inventory.credits][-1] == ffhq_credit(1002).author


def test_mirrors_may_stand_first(tmp_path: Path, crops: Path, root: Path) -> None:
    def swap(table: dict[str, list[list[Any]]]) -> object:
        flipped = {"": "_mirror", "_mirror": ""}
        named = ((name[:5], name[5:-4], numbers) for name, numbers in table["labels"])
        return {"labels": [[f"{id}{flipped[which]}.png", numbers] for id, which, numbers in named]}

    edit(crops / "dataset.json", swap)
    inventory = eg3d(root, crops / "dataset.json")
    assert inventory.is_mirror.tolist() == [False, True] * 5
    assert inventory.cameras[:2].tolist() == [mirrored(camera("00000")), camera("00000")]
    assert inventory.record(0).blob.where.endswith("img00000001.png")


def test_another_sets_file_is_refused_with_the_figure(tmp_path: Path, root: Path) -> None:
    other = write_ffhq_eg3d(tmp_path / "other", [*PHOTOS[:3], 3, 4]) / "dataset.json"
    with pytest.raises(ShardsError, match=r"has the cameras of 60\.0% of the pictures") as caught:
        eg3d(root, other)
    assert str(other) in caught.value.message and "final_crops" in caught.value.hint


def test_another_sets_file_that_nobody_gave_is_passed_over(tmp_path: Path, root: Path, v2: Path) -> None:
    (write_ffhq_eg3d(tmp_path / "other", 3) / "dataset.json").rename(root.parent / "dataset.json")
    inventory = eg3d(root, metadata=v2)
    assert list(inventory.ids)[:2] == ["img00000000"] * 2
    passed, unknown = inventory.notes
    assert "20.0%" in passed and passed.endswith("it is ignored") and "final_crops" in unknown


@pytest.mark.parametrize("value", [[], {"labels": None}, {"labels": [["cat.png", 1]]}])
def test_other_files_of_that_name_beside_the_set_are_left_alone(root: Path, value: object) -> None:
    dump(root.parent / "dataset.json", value)
    (note,) = eg3d(root).notes
    assert "without --ffhq-metadata" in note


def test_ids_alone_give_no_cameras(crops: Path, root: Path) -> None:
    (root / "dataset.json").unlink()
    with pytest.raises(ShardsError, match=r"those of --ffhq .* are numbered by position") as caught:
        eg3d(root, crops / "dataset.json")
    assert "dataset_tool.py" in caught.value.hint


def test_strangers_and_ties_are_counted_and_stay_unknown(
    crops: Path, root: Path, v2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffhq_labels, "ENOUGH", 0.5)

    def change(table: dict[str, list[list[Any]]]) -> object:
        labels = table["labels"]
        labels[4][1], labels[5][1] = camera("stranger"), mirrored(camera("stranger"))  # of photo 499
        # Photo 500 stands there twice.
        return {"labels": [*labels, ["00900.png", labels[6][1]], ["00900_mirror.png", labels[7][1]]]}

    edit(crops / "dataset.json", change)
    inventory = eg3d(root, crops / "dataset.json", v2)
    ids = [id for id in inventory.ids if id.startswith("img")]
    assert ids == ["img00000004"] * 2 + ["img00000006"] * 2
    assert sorted({*inventory.ids} - {*ids}) == ["00000", "00007", "01002"]
    told, unknown = inventory.notes
    assert told.endswith("ids of 6 pictures; 2 cameras are not in it, 2 belong to several pictures")
    assert "4 pictures are numbered by position" in unknown


def test_one_of_a_pair_tells_the_other(crops: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffhq_labels, "ENOUGH", 0.5)
    edit(
        crops / "dataset.json",
        lambda table: {"labels": [label for label in table["labels"] if label[0] != "00007.png"]},
    )
    inventory = eg3d(root, crops / "dataset.json")
    assert [id for id in inventory.ids if id == "00007"] == ["00007"] * 2
    assert inventory.is_mirror.tolist() == [False, True] * 5


def test_cameras_in_more_digits_are_the_same_in_float32(crops: Path, root: Path) -> None:
    edit(crops / "dataset.json", lambda t: {"labels": [[n, [x * (1 + 1e-12) for x in c]] for n, c in t["labels"]]})
    assert list(eg3d(root, crops / "dataset.json").ids)[-1] == "01002"


def test_minus_zero_is_zero() -> None:
    own = CameraLabels("a", {"img00000000.png": 0}, np.full((1, 25), -0.0), {})
    ids = CameraLabels("b", {"00003.png": 0}, np.zeros((1, 25)), {})
    assert match_by_cameras(own, ["img00000000.png"], ids).numbers == {
        "img00000000.png": Number(3, False, "00003", True)
    }


def test_all_of_ffhq_takes_no_time() -> None:
    count = 139_914
    numbers = np.random.default_rng(1).normal(size=(count, 25))
    ids = {f"{n // 2:05d}{'_mirror' * (n % 2)}.png": n for n in range(count)}
    own = {f"{n // 1000:05d}/img{n:08d}.png": n for n in range(count)}
    start = time.process_time()
    found = match_by_cameras(CameraLabels("a", own, numbers, {}), list(own), CameraLabels("b", ids, numbers, {}))
    assert time.process_time() - start < 15
    assert (len(found.numbers), found.share, found.unmatched, found.ties) == (count, 1.0, 0, 0)
    assert found.numbers["00139/img00139913.png"] == Number(69956, True, "69956", True)


@pytest.mark.parametrize("place", ["inside", "beside the set", "beside the cameras"])
def test_cameras_by_position_reach_stylegans_pictures(
    tmp_path: Path, crops: Path, root: Path, v2: Path, place: str
) -> None:
    pictures = write_ffhq_stylegan(tmp_path / "here/FFHQ", PHOTOS)
    cameras = (root / "dataset.json").rename(root / "by_position.json")
    folder = {"inside": pictures, "beside the set": pictures.parent, "beside the cameras": cameras.parent}[place]
    (crops / "dataset.json").rename(folder / "dataset.json")
    inventory = told(stylegan(pictures, cameras, v2))
    assert inventory.cameras.tolist() == [camera(f"{photo:05d}") for photo in PHOTOS]
    assert inventory.places.tolist() == [0, 2, 4, 6, 8]
    assert inventory.landmarks[1].tolist() == points("ffhq 7") and not len(inventory.anonymous_cameras)


def test_cameras_by_position_of_another_set_stay_anonymous(tmp_path: Path, root: Path) -> None:
    pictures = write_ffhq_stylegan(tmp_path / "here/FFHQ", PHOTOS)
    (write_ffhq_eg3d(tmp_path / "other", 3) / "dataset.json").rename(pictures.parent / "dataset.json")
    inventory = stylegan(pictures, root / "dataset.json")
    passed, why, _ = inventory.notes
    assert passed.endswith("it is ignored") and "numbered by position" in why
    assert len(inventory.anonymous_cameras) == 10 and not inventory.has_camera.any()
    table = json.loads((root / "dataset.json").read_text())["labels"]
    assert sorted(inventory.anonymous_cameras.tolist()) == sorted(numbers for _, numbers in table)
