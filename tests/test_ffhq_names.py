"""FFHQ's names as people have them: labels of other folders, suffixes and slashes; StyleGAN's zip, in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
    write_lpff,
    zip_folder,
)
from inventories import clean, contents, eg3d, ffhq_credit, stylegan

from lpff_shards import ExportOptions, MixOptions, ShardOptions, ShardsError, SourceOptions, plan_export
from lpff_shards.planning.plan import Plan
from lpff_shards.sources import ffhq

PHOTOS = (0, 3, 500, 1002)
NAMINGS = pytest.mark.parametrize("naming", ["id", "index"])
SPELLINGS: dict[str, Callable[[str], str]] = {
    "flat": lambda name: name.rpartition("/")[2],
    "in folders": lambda name: f"00007/{name.rpartition('/')[2]}",
    "below a folder": lambda name: f"FFHQ_512/{name}",
    "from the dot": lambda name: f"./{name}",
    "of Windows": lambda name: f"FFHQ\\{name}".replace("/", "\\"),
    "another suffix": lambda name: name.replace(".png", ".jpg"),
    "no suffix": lambda name: name.replace(".png", ""),
}


@NAMINGS
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_labels_join_by_number_where_paths_differ(tmp_path: Path, naming: str, spelling: str) -> None:
    root = write_ffhq_eg3d(tmp_path, PHOTOS, naming)
    expected = contents(eg3d(root))
    spell = SPELLINGS[spelling]
    edit(root / "dataset.json", lambda table: {"labels": [[spell(name), numbers] for name, numbers in table["labels"]]})
    inventory = eg3d(root)
    assert contents(inventory) == expected
    assert not inventory.problems and len(inventory.notes) == 1  # no camera is without its picture
    assert inventory.places.tolist() == (list(range(8)) if naming == "id" else [0, 1, 6, 7, 1000, 1001, 2004, 2005])


def test_pictures_of_another_suffix_take_their_labels(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, PHOTOS)
    cameras = eg3d(root).cameras.tolist()
    for path in root.glob("*.png"):
        path.rename(path.with_suffix(".webp"))
    assert eg3d(root).cameras.tolist() == cameras


def test_the_exact_path_goes_before_the_number(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 2)
    expected = contents(eg3d(root))
    edit(root / "dataset.json", lambda table: {"labels": [["a/00001.png", camera("other")], *table["labels"]]})
    inventory = eg3d(root)
    assert contents(inventory) == expected and not inventory.problems
    assert any("1 of its 5 cameras match no picture" in note for note in inventory.notes)
    assert inventory.places.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("alignment", ["eg3d", "stylegan"])
def test_a_number_of_two_labels_is_told_and_not_guessed(tmp_path: Path, alignment: str) -> None:
    root = write_ffhq_eg3d(tmp_path / "e", 3)

    def double(table: dict[str, list[tuple[str, list[float]]]]) -> object:
        labels = [(f"a/{name}", numbers) for name, numbers in table["labels"]]
        return {"labels": [*labels, ("b/00001.png", camera("other"))]}

    edit(root / "dataset.json", double)
    labels = root / "dataset.json"
    inventory = eg3d(root) if alignment == "eg3d" else stylegan(write_ffhq_stylegan(tmp_path / "s"), labels)
    (problem,) = inventory.problems
    assert (problem.file, problem.id) == (str(labels), "00001")
    assert problem.reason == "2 labels have the picture's number, such as a/00001.png and b/00001.png"
    assert len(inventory) == (5 if alignment == "eg3d" else 2)


def test_a_bad_camera_is_told_under_another_path_too(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path)
    edit(root / "dataset.json", lambda table: {"labels": [[f"x/{n}", c] for n, c in table["labels"]]})
    edit(root / "dataset.json", lambda table: {"labels": [[table["labels"][0][0], [1.0]], *table["labels"][1:]]})
    (problem,) = eg3d(root).problems
    assert (problem.id, problem.reason) == ("00000", "camera has 1 numbers, not 25")


def test_numbers_by_id_and_by_position_are_not_matched(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "a", 2)
    with pytest.raises(ShardsError, match="none of its cameras"):
        eg3d(root, write_ffhq_eg3d(tmp_path / "b", 2, "index") / "dataset.json")


def stylegan_tool(root: Path, photos: int, suffix: str = "png", first: int = 0) -> Path:
    """What StyleGAN's dataset_tool.py makes of images1024x1024."""
    for index in range(first, photos):
        write(root / f"{index // 1000:05d}/img{index:08d}.{suffix}", picture(f"stylegan {index}"))
    dump(root / "dataset.json", {"labels": None})
    return root


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_stylegans_zip_of_all_photos_is_in_ffhqs_order(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffhq, "PHOTOS", 5)
    root = stylegan_tool(tmp_path / "set", 5)
    place = root if form == "folder" else zip_folder(root, tmp_path / "a.zip")
    labels = write_ffhq_eg3d(tmp_path / "eg3d", 5) / "dataset.json"
    inventory = clean(stylegan(place, labels, write_ffhq_v2(tmp_path / "v2.json", range(5))))
    expected = []
    for photo in range(5):
        head = ("ffhq", "stylegan", f"{photo:05d}", 1, False, ffhq_credit(photo))
        data = (root / f"00000/img{photo:08d}.png").read_bytes()
        expected.append((head, camera(f"{photo:05d}"), points(f"ffhq {photo}"), data))
    assert contents(inventory) == expected


@pytest.mark.parametrize(("photos", "first"), [(4, 0), (5, 1), (6, 1)])
def test_a_part_of_stylegans_zip_tells_no_id(
    tmp_path: Path, photos: int, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffhq, "PHOTOS", 5)
    root = stylegan_tool(tmp_path / "set", photos, first=first)
    labels = write_ffhq_eg3d(tmp_path / "eg3d", 5) / "dataset.json"
    inventory = stylegan(root, labels, write_ffhq_v2(tmp_path / "v2.json", range(5)))
    assert list(inventory.ids) == [f"img{index:08d}" for index in range(first, photos)]
    assert not inventory.has_camera.any() and {credit.author for credit in inventory.credits} == {""}
    cameras, ids = inventory.notes
    assert "the pictures are numbered by position" in cameras and len(inventory.anonymous_cameras) == 10
    assert f"{photos - first} pictures are numbered by position (00000/img{first:08d}.png) and are not all 5" in ids


def test_more_pictures_than_ffhq_has_are_not_stylegans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffhq, "PHOTOS", 5)
    with pytest.raises(ShardsError, match="has 6 pictures, and StyleGAN's FFHQ 5"):
        stylegan(stylegan_tool(tmp_path / "set", 6))


def plan(tmp_path: Path, labels: Path, rule: str = "lpff") -> Plan:
    """FFHQ and LPFF, aligned for StyleGAN and rebalanced."""
    sources = SourceOptions(
        ffhq=str(tmp_path / "F"), lpff=str(tmp_path / "L"), ffhq_cameras=str(labels), alignment="stylegan"
    )
    mix = MixOptions(rebalance=rule)  # type: ignore[arg-type]
    options = ExportOptions(format="wds", out="x", sources=sources, mix=mix, shards=ShardOptions(shuffle=False))
    return plan_export(options)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    write_ffhq_stylegan(tmp_path / "F", 40)
    write_lpff(tmp_path / "L", [f"1@N00_{n}_01" for n in range(60)], ("stylegan",))
    return tmp_path


def test_cameras_by_position_rebalance_lpff_as_those_by_id_do(both: Path) -> None:
    by_id = plan(both, write_ffhq_eg3d(both / "id", 40) / "dataset.json")
    table = write_ffhq_eg3d(both / "index", 40, "index", "dataset-ffhq.json") / "dataset-ffhq.json"
    by_position = plan(both, table)
    assert by_position.keys == by_id.keys and len(by_id.keys) > 100  # some are copied
    alone = plan_export(
        ExportOptions(
            format="wds",
            out="x",
            sources=SourceOptions(lpff=str(both / "L"), alignment="stylegan"),
            mix=MixOptions(rebalance="lpff"),
            shards=ShardOptions(shuffle=False),
        )
    )
    assert [key for key in by_id.keys if key.startswith("lpff")] != alone.keys  # FFHQ's poses do count
    density = by_position.entries.density[by_position.entries.source == 1]
    assert density.tolist() == by_id.entries.density[by_id.entries.source == 1].tolist()
    inventory = by_position.inventories[0]
    assert not inventory.has_camera.any()
    assert any("counts all 80 cameras" in note and "dataset-ffhq.json" in note for note in inventory.notes)


@pytest.mark.parametrize("rule", ["eg3d", "uniform"])
def test_other_rules_need_each_pictures_camera(both: Path, rule: str) -> None:
    table = write_ffhq_eg3d(both / "index", 40, "index") / "dataset.json"
    with pytest.raises(ShardsError, match=f"--rebalance {rule} needs each picture's camera") as caught:
        plan(both, table, rule)
    assert "final_crops" in caught.value.hint


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([["00000/img00000000.png", camera("a")], ["00000/img00000001.png", camera("b")]], "are not mirrored"),
        ([["00000/img00000000.png", camera("a")]], "00000/img00000000.png has no mirror"),
        ([["cat.png", camera("a")]], "has none of FFHQ's picture names"),
        ([["00000/img00000000.png", [1.0]]], "00000/img00000000.png: camera has 1 numbers, not 25"),
    ],
)
def test_cameras_by_position_that_are_not_ffhqs(both: Path, labels: object, reason: str) -> None:
    with pytest.raises(ShardsError, match=reason):
        plan(both, dump(both / "own/dataset.json", {"labels": labels}))
