"""FFHQ as its authors publish it: folders of thousands, landmarks and credits from v2, cameras lent by EG3D."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dataset_factories import (
    camera,
    dump,
    edit,
    picture,
    points,
    write,
    write_ffhq_eg3d,
    write_ffhq_stylegan,
    write_ffhq_v2,
    zip_folder,
)
from inventories import clean, contents, ffhq_credit, stylegan

from lpff_shards.errors import ShardsError
from lpff_shards.planning.entries import combine
from lpff_shards.schemas.record import Credit

PHOTOS = (0, 7, 499, 500, 1002)
FORMS = pytest.mark.parametrize("folder", ["images1024x1024", ""])


def parts(tmp_path: Path, folder: str = "images1024x1024") -> tuple[Path, Path, Path]:
    """Pictures, cameras and metadata."""
    root = write_ffhq_stylegan(tmp_path / "set", PHOTOS, folder)
    cameras = write_ffhq_eg3d(tmp_path / "eg3d", PHOTOS) / "dataset.json"
    return root, cameras, write_ffhq_v2(tmp_path / "v2.json", (*PHOTOS, 1, 501))


def expected(root: Path, folder: str) -> list[tuple[Any, ...]]:
    """What `contents` gives of the whole set, told from its files."""
    found = []
    for photo in PHOTOS:
        id = f"{photo:05d}"
        data = (root / folder / f"{photo // 1000:02d}000/{id}.png").read_bytes()
        head = ("ffhq", "stylegan", id, 1, False, ffhq_credit(photo))
        found.append((head, camera(id), points(f"ffhq {photo}"), data))
    return found


@FORMS
@pytest.mark.parametrize("form", ["folder", "zip", "deflated", "wrapped"])
def test_every_form(tmp_path: Path, folder: str, form: str) -> None:
    root, cameras, metadata = parts(tmp_path, folder)
    wanted = expected(root, folder)
    wrapper = "ffhq-dataset" if form == "wrapped" else ""
    place = root if form == "folder" else zip_folder(root, tmp_path / "a.zip", form == "deflated", wrapper)
    inventory = clean(stylegan(place, cameras, metadata))
    assert contents(inventory) == wanted
    both = combine([inventory])
    assert both.take(~both.mirrored()).row.tolist() == list(range(5))


def test_the_inner_folder_itself(tmp_path: Path) -> None:
    root, cameras, metadata = parts(tmp_path)
    inventory = clean(stylegan(root / "images1024x1024", cameras, metadata))
    assert contents(inventory) == expected(root, "images1024x1024")


def test_pictures_alone(tmp_path: Path) -> None:
    inventory = stylegan(write_ffhq_stylegan(tmp_path, 2))
    records = [inventory.record(row) for row in range(2)]
    assert [(r.id, r.camera, r.landmarks, r.credit) for r in records] == [
        ("00000", None, None, Credit()),
        ("00001", None, None, Credit()),
    ]
    cameras, metadata = inventory.notes
    assert "--ffhq-cameras" in cameras and "--ffhq-metadata" in metadata and inventory.problems == ()


def test_mirrors_are_made_as_there_are_none(tmp_path: Path) -> None:
    both = combine([stylegan(write_ffhq_stylegan(tmp_path, 2))])
    assert both.row.tolist() == [0, 0, 1, 1] and both.flip.tolist() == [False, True, False, True]


def test_a_picture_without_a_camera_stays(tmp_path: Path) -> None:
    root, cameras, metadata = parts(tmp_path)
    edit(cameras, lambda value: {"labels": value["labels"][2:]})
    inventory = stylegan(root, cameras, metadata)
    assert inventory.has_camera.tolist() == [False, True, True, True, True] and inventory.problems == ()
    assert inventory.cameras[1:].tolist() == [camera(f"{photo:05d}") for photo in PHOTOS[1:]]
    (note,) = inventory.notes
    assert "1 of 5 pictures have no camera" in note and str(cameras) in note


def test_cameras_of_more_pictures_are_told(tmp_path: Path) -> None:
    root, cameras, metadata = parts(tmp_path)
    (root / "images1024x1024/00000/00007.png").unlink()
    (note,) = stylegan(root, cameras, metadata).notes
    assert "1 of its 5 cameras match no picture" in note


def test_index_names_are_strangers_beside_ids(tmp_path: Path) -> None:
    root, cameras, metadata = parts(tmp_path)
    for name in ("img00000003.png", "cat.png"):
        write(root / "images1024x1024/00000" / name, picture(name))
    inventory = stylegan(root, cameras, metadata)
    assert contents(inventory) == expected(root, "images1024x1024")
    (note,) = inventory.notes
    assert "2 pictures are ignored: FFHQ has no names such as" in note


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="no StyleGAN-aligned pictures"):
        stylegan(write_ffhq_eg3d(tmp_path / "none", 0))


def spoilt_camera(cameras: Path, metadata: Path) -> Path:
    edit(cameras, lambda value: {"labels": [[value["labels"][0][0], [1.0] * 25], *value["labels"][1:]]})
    return cameras


def in_v2(*keys: str, value: Any) -> Callable[[Path, Path], Path]:
    """Changes a value in the first record."""

    def change(cameras: Path, metadata: Path) -> Path:
        table = json.loads(metadata.read_text())
        inner = table["0"]
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return dump(metadata, table)

    return change


def twice_in_v2(cameras: Path, metadata: Path) -> Path:
    return write(metadata, metadata.read_bytes().rstrip()[:-1] + b', "0": {}}')


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoilt_camera, "camera"),
        (in_v2("image", "face_landmarks", value=[[0.0, 1.0]] * 67), "67x2"),
        (in_v2("image", "face_landmarks", value=[[0.0, float("nan")]] * 68), "landmark 0 is not finite"),
        (in_v2("image", value={}), "face_landmarks"),
        (in_v2("metadata", value="none"), "record cannot be read"),
        (in_v2("metadata", "author", value=5), "record cannot be read"),
        (twice_in_v2, "twice"),
    ],
)
def test_one_bad_record_sets_its_picture_aside(
    tmp_path: Path, spoil: Callable[[Path, Path], Path], reason: str
) -> None:
    root, cameras, metadata = parts(tmp_path)
    file = spoil(cameras, metadata)
    inventory = stylegan(root, cameras, metadata)
    (problem,) = inventory.problems
    assert (problem.file, problem.id) == (str(file), "00000") and reason in problem.reason
    assert contents(inventory) == expected(root, "images1024x1024")[1:]


def test_what_is_not_needed_is_not_read(tmp_path: Path) -> None:
    root, cameras, metadata = parts(tmp_path)
    table = json.loads(metadata.read_text())
    for record in table.values():
        record |= {"thumbnail": None, "in_the_wild": "gone", "new": [1]}
        record["metadata"]["date_crawled"] = 5
        record["image"]["file_size"] = "large"
    inventory = clean(stylegan(root, cameras, dump(metadata, table)))
    assert contents(inventory) == expected(root, "images1024x1024")
