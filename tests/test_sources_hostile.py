"""Sources that hold what is no picture, and records that are no text."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from dataset_factories import LPFF_IDS, edit, picture, write, write_ffhq_eg3d, write_ffhq_v2, write_lpff
from inventories import clean, contents, publish, read
from running import run

from lpff_shards.errors import ShardsError
from lpff_shards.planning.entries import combine
from lpff_shards.sources.ffhq import Ffhq

ID = LPFF_IDS[1]


@pytest.fixture
def lpff(tmp_path: Path) -> Path:
    return publish("lpff", tmp_path / "lpff")


def _put(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "dangling link":
        path.symlink_to("/nowhere/at/all")
    elif kind == "link to itself":
        path.symlink_to(path.name)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["dangling link", "link to itself", "fifo", "folder"])
def test_a_name_without_a_file_is_a_problem(lpff: Path, kind: str) -> None:
    _put(lpff / f"crop/eg3d/{ID}.png", kind)
    inventory = read("lpff", lpff)
    (problem,) = inventory.problems
    assert (problem.id, problem.file) == (ID, str(lpff / f"crop/eg3d/{ID}.png"))
    assert "cannot be read" in problem.reason or "not a regular file" in problem.reason
    assert len(inventory) == len(LPFF_IDS) - 1


@pytest.mark.parametrize("kind", ["dangling link", "fifo"])
def test_metadata_without_a_file_is_an_error(lpff: Path, kind: str) -> None:
    _put(lpff / "info.json", kind)
    with pytest.raises(ShardsError, match=r"info\.json (is not a regular file|cannot be read)"):
        read("lpff", lpff)


@pytest.mark.parametrize("path", ["/dev/zero", "fifo"])
def test_a_source_that_is_no_file(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ShardsError, match="is not a regular file"):
        read("lpff", tmp_path / path)


def test_links_to_files_and_folders_are_followed(lpff: Path, tmp_path: Path) -> None:
    expected = contents(clean(read("lpff", lpff)))
    linked = tmp_path / "linked"
    (linked / "crop").mkdir(parents=True)
    (linked / "crop/eg3d").symlink_to(lpff / "crop/eg3d")
    for name in ("camera_parameters.json", "info.json", "realign2400_lm.json"):
        (linked / name).symlink_to(lpff / name)
    assert contents(clean(read("lpff", linked))) == expected


def test_an_output_beside_the_pictures_is_no_source(lpff: Path, tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.mkdir()
    lpff.rename(wrapper / "LPFF")
    command = ("export", "--format", "wds", "--lpff", wrapper, "--out", tmp_path / "shards", "--no-mirror")
    assert run(*command).returncode == 0
    # Moved there since: an export that is asked for there is refused.
    shutil.copytree(tmp_path / "shards", wrapper / "shards")
    again = run(*command)
    assert again.returncode == 0
    assert "1 of them finished before" in again.stderr


@pytest.mark.parametrize("naming", ["id", "index"])
def test_a_faulty_mirror_is_named_and_not_made_up_for(tmp_path: Path, naming: str) -> None:
    root = write_ffhq_eg3d(tmp_path / "ffhq", 2, naming)
    edit(root / "dataset.json", lambda t: {"labels": [*t["labels"][:1], [t["labels"][1][0], [1.0]], *t["labels"][2:]]})
    inventory = Ffhq(str(root), "eg3d").inventory()
    (problem,) = inventory.problems
    assert problem.id == ("00000 (its mirror)" if naming == "id" else "img00000000 (its mirror)")
    entries = combine([inventory])
    assert len(entries) == 3
    assert not entries.flip.any()


def test_a_lone_surrogate_becomes_a_replacement_character(lpff: Path) -> None:
    path = lpff / "info.json"
    names = [r"a\ud800b", r"\\ud800 \ud83d\ude00 \udc00", "plain"]
    table = json.loads(path.read_text())
    text = path.read_text()
    for id, name in zip(table, names, strict=True):
        text = text.replace(json.dumps(table[id]["image_info"]["username"]), f'"{name}"', 1)
    path.write_text(text)
    authors = [credit.author for credit in clean(read("lpff", lpff)).credits]
    assert sorted(authors) == sorted(["a\ufffdb", "\\ud800 \U0001f600 \ufffd", "plain"])


def test_names_that_are_not_utf8(lpff: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd\xff")
    write(lpff / f"crop/eg3d/{odd}.png", picture("odd"))
    write(lpff / f"crop/eg3d/{odd}.dat", b"x")
    inventory = read("lpff", lpff)
    (problem,) = inventory.problems
    assert problem.id == r"odd\xff"
    assert problem.reason == "the file's name is not UTF-8"
    assert any(r"odd\xff.dat" in note for note in inventory.notes)
    refused = run("export", "--format", "wds", "--lpff", os.fsdecode(b"n\xff"), "--out", tmp_path / "out")
    assert refused.returncode == 2
    assert "is not UTF-8" in refused.stderr
    skipped = run("export", "--format", "wds", "--lpff", lpff, "--out", tmp_path / "out", "--on-error", "skip")
    assert skipped.returncode == 0, skipped.stderr


def test_a_deep_zip_is_no_fault(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a/" * 3000 + "b.png", picture("deep"))
    with pytest.raises(ShardsError, match="contains neither"):
        read("lpff", tmp_path / "x.zip")


def test_authors_of_any_script_are_kept(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "lpff", [ID], ["eg3d"])
    name = "Ж 漢字 \U0001f600 \x00\x1b[31m\n" + "x" * 100_000
    edit(root / "info.json", lambda t: {ID: t[ID] | {"image_info": t[ID]["image_info"] | {"username": name}}})
    for format in ("wds", "tfrecord"):
        assert run("export", "--format", format, "--lpff", root, "--out", tmp_path / format).returncode == 0
        assert run("verify", tmp_path / format).returncode == 0
    from reading import read_wds

    assert {sample.fields["author"] for sample in read_wds(tmp_path / "wds").values()} == {name}


def test_ffhq_records_with_faults_leave_their_pictures_out(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path / "ffhq", 2)
    v2 = write_ffhq_v2(tmp_path / "v2.json", [0, 1])
    edit(v2, lambda t: t | {"1": {"category": 5}})
    inventory = Ffhq(str(root), "eg3d", None, str(v2)).inventory()
    assert [problem.id for problem in inventory.problems] == ["00001", "00001 (its mirror)"]
    assert all(problem.file == str(v2) for problem in inventory.problems)
