"""Folders as people have them: odd places, wrappers, wrong names, records with holes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dataset_factories import (
    FOLDERS,
    LPFF_IDS,
    UP_IDS,
    dump,
    edit,
    picture,
    write,
    write_ffhq_eg3d,
    write_ffhq_stylegan,
    write_ffhq_v2,
    write_unsplash_pexels,
    zip_folder,
)
from inventories import clean, contents, publish, read
from running import contents as written

from lpff_shards.errors import ShardsError
from lpff_shards.sources.ffhq import Ffhq
from lpff_shards.sources.io.tree import file_blob, open_tree
from lpff_shards.sources.io.zip_tree import ZipTree
from lpff_shards.sources.registry import read_exclusions


@pytest.fixture
def lpff(tmp_path: Path) -> Path:
    return publish("lpff", tmp_path / "lpff")


@pytest.mark.parametrize("zipped", [False, True])
def test_crops_of_another_alignment_are_told_by_their_folder(lpff: Path, tmp_path: Path, zipped: bool) -> None:
    path = lpff / "crop/stylegan"
    if zipped:
        path = zip_folder(path, lpff / "stylegan.zip")
    with pytest.raises(ShardsError, match=r"has the name of stylegan pictures, not eg3d\. Use --alignment stylegan"):
        read("lpff", path, "eg3d")
    assert len(read("lpff", path, "stylegan")) == len(LPFF_IDS)


def test_an_archive_unpacked_into_a_folder_of_its_name(lpff: Path, tmp_path: Path) -> None:
    expected = contents(clean(read("lpff", lpff)))
    (lpff / "eg3d").mkdir()
    (lpff / "crop/eg3d").rename(lpff / "eg3d/eg3d")
    assert contents(clean(read("lpff", lpff))) == expected


def test_wrappers_with_a_note_beside_them(lpff: Path, tmp_path: Path) -> None:
    expected = contents(clean(read("lpff", lpff)))
    outer = tmp_path / "outer"
    write(outer / "README.txt", b"read me")
    (outer / "a").mkdir()
    lpff.rename(outer / "a/b")
    assert contents(clean(read("lpff", outer))) == expected
    assert contents(clean(read("lpff", zip_folder(outer, tmp_path / "outer.zip")))) == expected


def test_someone_else_s_info_json_above_is_left_alone(lpff: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat/stylegan"
    flat.parent.mkdir()
    (lpff / "crop/stylegan").rename(flat)
    dump(tmp_path / "info.json", ["not", "ours"])
    assert any("info.json was not found" in note for note in read("lpff", flat, "stylegan").notes)


def test_photos_of_other_kinds_are_noted(lpff: Path) -> None:
    write(lpff / "raw/5@N00_6.gif", b"GIF89a")
    (note,) = read("lpff", lpff, "raw").notes
    assert "1 files, such as 5@N00_6.gif, are ignored: " in note


def test_a_photo_that_no_table_knows_still_tells_its_author(lpff: Path) -> None:
    write(lpff / "raw/5@N00_3071459242.jpg", picture("x", kind="JPEG"))
    inventory = read("lpff", lpff, "raw")
    record = inventory.record(inventory.ids.index("5@N00_3071459242"))
    assert (record.credit.photo_id, record.credit.author_id, record.face) == ("3071459242", "5@N00", 0)


def test_null_is_unknown(lpff: Path, tmp_path: Path) -> None:
    def forget(table: dict[str, dict[str, dict[str, object]]]) -> object:
        table[LPFF_IDS[0]]["image_info"] |= {"username": None, "license": None, "photo_url": None}
        return table

    edit(lpff / "info.json", forget)
    credit = read("lpff", lpff).record(0).credit
    assert (credit.author, credit.license.short, credit.source_url) == ("", "", "")
    assert credit.photo_id == "21795165006"
    ffhq = write_ffhq_eg3d(tmp_path / "ffhq", 1)
    v2 = write_ffhq_v2(tmp_path / "v2.json", [0])
    edit(v2, lambda t: {"0": t["0"] | {"metadata": dict.fromkeys(t["0"]["metadata"])}})
    assert clean(Ffhq(str(ffhq), "eg3d", None, str(v2)).inventory()).record(0).credit.author == ""


def test_a_byte_order_mark_is_no_fault(lpff: Path) -> None:
    expected = contents(clean(read("lpff", lpff)))
    path = lpff / "info.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert contents(clean(read("lpff", lpff))) == expected


def test_nan_in_words_stays(tmp_path: Path) -> None:
    ffhq = write_ffhq_eg3d(tmp_path / "ffhq", 1)
    v2 = write_ffhq_v2(tmp_path / "v2.json", [0])
    title = 'a, NaN, "b": -Infinity, \\'
    edit(v2, lambda t: {"0": t["0"] | {"metadata": {"photo_title": title}}, "1": float("nan")})
    assert Ffhq(str(ffhq), "eg3d", None, str(v2)).inventory().record(0).credit.title == title


def test_labels_of_other_names_are_one_error(tmp_path: Path) -> None:
    ffhq = write_ffhq_eg3d(tmp_path / "ffhq", 2)
    other = write_ffhq_eg3d(tmp_path / "other", 2, "index")
    with pytest.raises(
        ShardsError, match=r"none of its cameras \(00000/img00000000\.png, \.\.\.\) is for these pictures"
    ):
        Ffhq(str(ffhq), "eg3d", str(other / "dataset.json")).inventory()


@pytest.mark.parametrize("layout", ["eg3d", "stylegan"])
def test_ffhq_photos_without_a_record_are_noted(tmp_path: Path, layout: str) -> None:
    v2 = str(write_ffhq_v2(tmp_path / "v2.json", [0]))
    if layout == "eg3d":
        inventory = Ffhq(str(write_ffhq_eg3d(tmp_path / "ffhq", 3)), "eg3d", None, v2).inventory()
    else:
        inventory = Ffhq(str(write_ffhq_stylegan(tmp_path / "ffhq", 3)), "stylegan", None, v2).inventory()
    assert any("2 photos, such as 00001, have no record" in note for note in inventory.notes)


@pytest.mark.parametrize("folder", ["images1024x1024", ""])
def test_stylegan_zips_with_a_wrapper(tmp_path: Path, folder: str) -> None:
    root = write_ffhq_stylegan(tmp_path / "ffhq", 3, folder)
    path = zip_folder(root, tmp_path / "x.zip", wrapper="ffhq-dataset")
    assert list(Ffhq(str(path), "stylegan").inventory().ids) == ["00000", "00001", "00002"]


@pytest.mark.parametrize("alignment", ["stylegan", "raw"])
def test_names_in_another_unicode_form_are_the_same_names(tmp_path: Path, alignment: str) -> None:
    """Files as macOS names them, tables as Python wrote them, and the other way round."""
    name = "señora-woman_01"
    written = write_unsplash_pexels(tmp_path / "nfc", [name, UP_IDS[0]], [alignment])
    expected = contents(clean(read("unsplash_pexels", written, alignment)))
    moved = write_unsplash_pexels(tmp_path / "nfd", [name, UP_IDS[0]], [alignment])
    for file in (moved / FOLDERS[alignment]).iterdir():
        file.rename(file.with_name(unicodedata.normalize("NFD", file.name)))
    decomposed = write_unsplash_pexels(tmp_path / "nfd-tables", [name, UP_IDS[0]], [alignment])
    for table in decomposed.glob("*.json"):
        edit(table, lambda rows: {unicodedata.normalize("NFD", id): row for id, row in rows.items()})
    for root in (moved, decomposed, zip_folder(moved, tmp_path / "moved.zip")):
        inventory = read("unsplash_pexels", root, alignment)
        assert name in inventory.ids
        assert contents(clean(inventory)) == expected


def test_two_files_of_one_name_in_two_unicode_forms_are_both_named(tmp_path: Path) -> None:
    root = write_unsplash_pexels(tmp_path / "up", ["señora_01", UP_IDS[0]], ["stylegan"])
    folder = root / FOLDERS["stylegan"]
    write(folder / "sen\u0303ora_01.png", picture("twin"))
    for problem in read("unsplash_pexels", root, "stylegan").problems:
        other = r"se\xf1ora_01.png" if "\u0303" in problem.file else r"sen\u0303ora_01.png"
        assert problem.reason == f"2 pictures have this id, such as {other}"
    assert len(read("unsplash_pexels", root, "stylegan").problems) == 2


def test_exclusions_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    path = write(tmp_path / "out.txt", "sen\u0303ora_01\n".encode())
    assert read_exclusions(str(path)) == ("señora_01",)


@pytest.mark.parametrize("option", [open_tree, file_blob])
def test_a_zero_byte_in_a_path_is_one_error(option: Callable[[str, str], object]) -> None:
    with pytest.raises(ShardsError, match=r"does not exist|null (byte|character)"):
        option("--lpff", "a\0b")


def test_a_member_in_endless_folders_is_passed_over(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/" * 10_000 + "x.png", b"")
    tree = open_tree("--lpff", str(tmp_path / "a.zip"))
    assert isinstance(tree, ZipTree)
    assert list(tree.rows) == [""]


def test_a_rar_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="does not exist"):
        read("lpff", tmp_path / "eg3d.rar")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_zip_without_rights(lpff: Path, tmp_path: Path) -> None:
    path = zip_folder(lpff, tmp_path / "x.zip")
    path.chmod(0)
    with pytest.raises(ShardsError, match="permission denied"):
        read("lpff", path)


def test_numbers_too_large_for_float32(lpff: Path) -> None:
    edit(
        lpff / "camera_parameters.json",
        lambda t: t | {LPFF_IDS[0]: [*t[LPFF_IDS[0]][:11], 1e300, *t[LPFF_IDS[0]][12:]]},
    )
    points = json.loads((lpff / "realign2400_lm.json").read_text())
    points[LPFF_IDS[1]][3][0] = -1e300
    dump(lpff / "realign2400_lm.json", points)
    first, second = read("lpff", lpff, "realign2400").problems
    assert first.reason == "camera number 12 of 25 is not finite"
    assert second.reason == "landmark 3 is not finite"


def test_names_are_utf8_in_a_locale_that_lacks_their_letters(tmp_path: Path) -> None:
    root = write_unsplash_pexels(tmp_path / "UP", ("señora-woman_01", "山田_01", "plain-man_01"), ["stylegan"])
    command = ["export", "--format", "wds", "--unsplash-pexels", root, "--alignment", "stylegan", "--quiet"]
    code = "from lpff_shards.cli import main; main()"
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name, more in (("utf8", {"LC_ALL": "C.UTF-8"}), ("ascii", ascii_only)):
        given = [sys.executable, "-c", code, *map(str, command), "--out", str(tmp_path / name)]
        done = subprocess.run(given, env={**os.environ, **more}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert written(tmp_path / "ascii") == written(tmp_path / "utf8")
