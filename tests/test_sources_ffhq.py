"""FFHQ in EG3D's and in StyleGAN's alignment: numbering, pairs, cameras, and the metadata that joins by FFHQ id."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dataset_factories import (
    camera,
    dump,
    edit,
    eg3d_name,
    mirrored,
    picture,
    v2_record,
    write,
    write_ffhq_eg3d,
    write_ffhq_stylegan,
    write_ffhq_v2,
    zip_folder,
)
from inventories import clean, contents, eg3d, ffhq_credit, stylegan

from lpff_shards.errors import ShardsError
from lpff_shards.planning.entries import combine
from lpff_shards.schemas.record import Credit

PHOTOS = (0, 7, 499, 500, 1002)  # some photos did not survive; two folders of thousands in either layout
NAMINGS = pytest.mark.parametrize("naming", ["id", "index"])


def id_of(photo: int, naming: str) -> str:
    return f"{photo:05d}" if naming == "id" else f"img{2 * photo:08d}"


def expected_eg3d(root: Path, naming: str, credits: bool = False) -> list[tuple[Any, ...]]:
    """What `contents` gives of the written set, told from its files, in the published order."""
    found = []
    for photo in PHOTOS:
        for mirror in (False, True):
            whose = ffhq_credit(photo) if credits else Credit()
            numbers = camera(f"{photo:05d}")
            data = (root / eg3d_name(photo, mirror, naming)).read_bytes()
            head = ("ffhq", "eg3d", id_of(photo, naming), 1, mirror, whose)
            found.append((head, mirrored(numbers) if mirror else numbers, None, data))
    return found


@NAMINGS
@pytest.mark.parametrize("form", ["folder", "zip", "deflated", "wrapped"])
@pytest.mark.parametrize("labels", ["dataset.json", "dataset-ffhq.json", "given"])
def test_eg3d_in_every_form(tmp_path: Path, naming: str, form: str, labels: str) -> None:
    root = write_ffhq_eg3d(tmp_path / "set", PHOTOS, naming, "cameras.json" if labels == "given" else labels)
    given = (root / "cameras.json").rename(tmp_path / "cameras.json") if labels == "given" else None
    wanted = expected_eg3d(root, naming)
    wrapper = "FFHQ_512" if form == "wrapped" else ""
    place = root if form == "folder" else zip_folder(root, tmp_path / "a.zip", form == "deflated", wrapper)
    inventory = eg3d(place, given)
    assert contents(inventory) == wanted
    assert inventory.problems == ()
    (note,) = inventory.notes
    assert "without --ffhq-metadata" in note


def test_a_given_camera_file_goes_before_the_one_inside(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "set", 1)
    both = [camera("other"), mirrored(camera("other"))]
    other = dump(tmp_path / "c.json", {"labels": [["00000.png", both[0]], ["00000_mirror.png", both[1]]]})
    assert eg3d(root, other).cameras.tolist() == both


def test_one_folder_of_thousands_is_no_wrapper(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "set", 3, "index")
    labels = (root / "dataset.json").rename(tmp_path / "dataset.json")
    assert [path.name for path in root.iterdir()] == ["00000"]
    inventory = eg3d(root, labels)
    assert list(inventory.ids) == [id_of(photo, "index") for photo in (0, 0, 1, 1, 2, 2)]


def test_the_order_is_by_number_over_all_folders(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 3)
    (root / "00000").mkdir()
    (root / "00001.png").rename(root / "00000/00001.png")
    edit(
        root / "dataset.json", lambda v: {"labels": [[n.replace("00001.", "00000/00001."), c] for n, c in v["labels"]]}
    )
    inventory = eg3d(root)
    assert list(inventory.ids) == ["00000", "00000", "00001", "00001", "00002", "00002"]
    assert inventory.is_mirror.tolist() == [False, True] * 3


def test_labels_join_by_name_in_any_order(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, PHOTOS)
    edit(root / "dataset.json", lambda value: {"labels": random.Random(1).sample(value["labels"], 10), "more": 1})
    assert contents(eg3d(root)) == expected_eg3d(root, "id")


@NAMINGS
def test_own_mirrors_are_used_in_the_published_order(tmp_path: Path, naming: str) -> None:
    inventory = eg3d(write_ffhq_eg3d(tmp_path, PHOTOS, naming))
    both = combine([inventory])
    assert both.row.tolist() == list(range(10)) and not both.flip.any()
    assert inventory.is_mirror.tolist() == [False, True] * 5
    originals = both.take(~both.mirrored())
    assert originals.row.tolist() == [0, 2, 4, 6, 8] and not originals.flip.any()
    assert both.keys()[:3] == [f"ffhq_{id_of(0, naming)}", f"ffhq_{id_of(0, naming)}_m", f"ffhq_{id_of(7, naming)}"]


@NAMINGS
def test_an_original_that_lacks_its_mirror_is_flipped(tmp_path: Path, naming: str) -> None:
    root = write_ffhq_eg3d(tmp_path, 3, naming)
    (root / eg3d_name(1, True, naming)).unlink()
    inventory = eg3d(root)
    both = combine([inventory])
    assert both.row.tolist() == [0, 1, 2, 2, 3, 4]
    assert both.flip.tolist() == [False, False, False, True, False, False]
    assert both.keys() == [f"ffhq_{id_of(p, naming)}{m}" for p in range(3) for m in ("", "_m")]
    assert both.take(~both.mirrored()).row.tolist() == [0, 2, 3]


def test_metadata_joins_by_ffhq_id(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "set", PHOTOS)
    metadata = write_ffhq_v2(tmp_path / "ffhq-dataset-v2.json", (501, *reversed(PHOTOS), 1))
    assert contents(clean(eg3d(root, metadata=metadata))) == expected_eg3d(root, "id", credits=True)


def test_index_names_tell_no_license(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "set", PHOTOS, "index")
    inventory = eg3d(root, metadata=write_ffhq_v2(tmp_path / "v2.json", range(3)))
    assert contents(inventory) == expected_eg3d(root, "index")
    (note,) = inventory.notes
    assert "10 pictures are numbered by position (00000/img00000000.png), so " in note
    assert "v2.json cannot be matched: their licenses and authors will be unknown" in note
    assert "Give --ffhq-cameras the dataset.json of EG3D's final_crops (00000.png, 00000_mirror.png, ...)" in note


def test_a_picture_that_the_metadata_lacks(tmp_path: Path) -> None:
    metadata = write_ffhq_v2(tmp_path / "v2.json", [0, 2])
    inventories = (
        eg3d(write_ffhq_eg3d(tmp_path / "e", 3), metadata=metadata),
        stylegan(write_ffhq_stylegan(tmp_path / "s", 3), tmp_path / "e/dataset.json", metadata),
    )
    for inventory in inventories:
        assert not inventory.problems
        lacking = [c == Credit() for c in inventory.credits]
        assert lacking == [id == "00001" for id in inventory.ids]
        assert any("v2.json" in note for note in inventory.notes)  # license unknown: the user is to know


@pytest.mark.parametrize(
    ("url", "author", "photo"),
    [
        ("https://www.flickr.com/photos/frumkin/1133484654/", "frumkin", "1133484654"),
        ("http://flickr.com/photos/12345@N06/55", "12345@N06", "55"),
        ("https://www.flickr.com/", "", ""),
        ("https://example.org/photos/a/1/", "", ""),
        ("", "", ""),
    ],
)
def test_a_flickr_url_tells_photo_and_author(tmp_path: Path, url: str, author: str, photo: str) -> None:
    root = write_ffhq_eg3d(tmp_path / "set", 1)
    record = v2_record(0)
    record["metadata"]["photo_url"] = url
    found = eg3d(root, metadata=dump(tmp_path / "v2.json", {"0": record})).credits[0]
    assert (found.author_id, found.photo_id, found.source_url) == (author, photo, url)


def break_label(change: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    """Changes the label of 00001.png, the third one."""
    return lambda value: {"labels": [*value["labels"][:2], *change(value["labels"][2]), *value["labels"][3:]]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda label: [label, label], "twice"),
        (lambda label: [], "no camera"),
        (lambda label: [[label[0], label[1][:24]]], "24 numbers"),
        (lambda label: [[label[0], [*label[1][:3], float("nan"), *label[1][4:]]]], "number 4 of 25 is not finite"),
    ],
)
def test_a_bad_label_sets_its_picture_aside(tmp_path: Path, change: Callable[[Any], Any], reason: str) -> None:
    root = write_ffhq_eg3d(tmp_path)
    edit(root / "dataset.json", break_label(change))
    inventory = eg3d(root)
    (problem,) = inventory.problems
    assert (problem.file, problem.id) == (str(root / "dataset.json"), "00001") and reason in problem.reason
    assert list(inventory.ids) == ["00000", "00000", "00001", "00002", "00002"]
    assert inventory.is_mirror.tolist() == [False, True, True, False, True]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"labels": None}, "has no labels"),
        ({}, "does not contain"),
        ([], "does not contain"),
        ({"labels": {}}, "does not"),
    ],
)
def test_a_camera_file_without_labels(tmp_path: Path, value: Any, words: str) -> None:
    root = write_ffhq_eg3d(tmp_path)
    dump(root / "dataset.json", value)
    with pytest.raises(ShardsError, match=words) as caught:
        eg3d(root)
    assert str(root / "dataset.json") in caught.value.message


def test_strangers_and_labels_without_a_picture_are_told(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "set")
    write(root / "cat.png", picture("cat"))
    write(root / "00000/0001.png", picture("cat"))
    write(root / "other/00009.png", picture("elsewhere"))
    (root / "00002.png").unlink()
    inventory = eg3d(root, metadata=write_ffhq_v2(tmp_path / "v2.json", range(3)))
    strangers, unused = inventory.notes
    assert "2 pictures are ignored: FFHQ has no names such as" in strangers and "cat.png" in strangers
    assert "1 of its 6 cameras" in unused
    assert len(inventory) == 5 and inventory.problems == ()


def test_two_files_of_one_number_are_both_set_aside(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path)
    write(root / "00001.jpg", picture("twin", kind="JPEG"))
    inventory = eg3d(root)
    assert [p.file for p in inventory.problems] == [str(root / "00001.jpg"), str(root / "00001.png")]
    assert {p.id for p in inventory.problems} == {"00001"} and len(inventory) == 5


def test_eg3d_needs_cameras_and_pictures(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "set", 1)
    with pytest.raises(ShardsError, match="no EG3D-aligned pictures"):
        eg3d(write_ffhq_eg3d(tmp_path / "none", 0))
    with pytest.raises(ShardsError, match=r"--ffhq-cameras .* cannot be read"):
        eg3d(root, tmp_path / "nowhere.json")
    with pytest.raises(ShardsError, match=r"--ffhq-metadata .* is not a regular file"):
        eg3d(root, metadata=tmp_path)
    (root / "dataset.json").unlink()
    with pytest.raises(ShardsError, match=r"no dataset\.json or dataset-ffhq\.json") as caught:
        eg3d(root)
    assert "--ffhq-cameras" in caught.value.hint
