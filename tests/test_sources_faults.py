"""Bad input: one bad picture is set aside with file, id and reason; a bad file or place stops with what to do."""

from __future__ import annotations

import json
import math
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dataset_factories import FOLDERS, LPFF_IDS, edit, picture, write, write_lpff, zip_folder
from inventories import clean, contents, read

from lpff_shards.errors import ShardsError

BAD = LPFF_IDS[1]
CAMERAS, INFO, LANDMARKS = "camera_parameters.json", "info.json", "realign2400_lm.json"
CROPS = FOLDERS["eg3d"]


def replaced(file: str, value: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Changes the bad id's value in a JSON file."""
    return lambda root: edit(root / file, lambda table: table | {BAD: value(table[BAD])})


def at(place: int, number: Any) -> Callable[[Path], None]:
    return replaced(CAMERAS, lambda numbers: [*numbers[:place], number, *numbers[place + 1 :]])


def lost_camera(root: Path) -> None:
    edit(root / CAMERAS, lambda table: {id: table[id] for id in table if id != BAD})


def twice(file: str) -> Callable[[Path], None]:
    """Writes the bad id once more, at the file's end."""

    def change(root: Path) -> None:
        value = json.dumps(json.loads((root / file).read_text())[BAD])
        write(root / file, (root / file).read_bytes().rstrip()[:-1] + f', "{BAD}": {value}}}'.encode())

    return change


def twin_picture(root: Path) -> None:
    write(root / CROPS / f"{BAD}_eg3d.png", picture("twin"))


def scaled(numbers: list[float]) -> list[float]:
    return [n * 1.1 if i % 4 < 3 and i < 12 else n for i, n in enumerate(numbers)]


def left_handed(numbers: list[float]) -> list[float]:
    return [-n if i in (0, 4, 8) else n for i, n in enumerate(numbers)]


PROBLEMS = [
    ("eg3d", replaced(CAMERAS, lambda c: c[:24]), CAMERAS, "24 numbers, not 25"),
    ("eg3d", replaced(CAMERAS, lambda c: [*c, 0.0]), CAMERAS, "26 numbers, not 25"),
    ("eg3d", replaced(CAMERAS, lambda c: []), CAMERAS, "0 numbers, not 25"),
    ("eg3d", replaced(CAMERAS, lambda c: {"pose": c}), CAMERAS, "not a list of numbers"),
    ("eg3d", replaced(CAMERAS, lambda c: None), CAMERAS, "not a list of numbers"),
    ("eg3d", at(3, math.nan), CAMERAS, "camera number 4 of 25 is not finite"),
    ("eg3d", at(24, math.inf), CAMERAS, "camera number 25 of 25 is not finite"),
    ("eg3d", at(0, None), CAMERAS, "camera number 1 of 25 is not finite"),
    ("eg3d", at(7, "0.98"), CAMERAS, "not a list of numbers"),
    ("eg3d", at(15, 2.0), CAMERAS, "last row is 0 0 0 2, not 0 0 0 1"),
    ("eg3d", at(16, 0.0), CAMERAS, "focal length is 0, not positive"),
    ("eg3d", at(18, 256.0), CAMERAS, "principal point is 256 0.5"),
    ("eg3d", at(24, 0.0), CAMERAS, "intrinsics end in 0 0 0, not 0 0 1"),
    ("eg3d", at(11, 1e300), CAMERAS, ""),  # float32 cannot hold it
    ("eg3d", replaced(CAMERAS, scaled), CAMERAS, "not orthonormal: off by 0.21"),
    ("eg3d", replaced(CAMERAS, left_handed), CAMERAS, "determinant -1, not +1"),
    ("stylegan", replaced(CAMERAS, lambda c: c[:24]), CAMERAS, "24 numbers, not 25"),
    ("eg3d", lost_camera, CAMERAS, "no camera"),
    ("eg3d", twice(CAMERAS), CAMERAS, "twice"),
    ("eg3d", twice(INFO), INFO, "twice"),
    ("eg3d", replaced(INFO, lambda record: {"raw_image_name": "x"}), INFO, "image_info"),
    ("eg3d", replaced(INFO, lambda record: "https://example.org"), INFO, "cannot be read"),
    ("realign2400", replaced(LANDMARKS, lambda p: p[:67]), LANDMARKS, "67x2, not 68x2"),
    ("realign2400", replaced(LANDMARKS, lambda p: []), LANDMARKS, "not 68x2"),
    ("realign2400", replaced(LANDMARKS, lambda p: [[*xy, 0.0] for xy in p]), LANDMARKS, "length 2"),
    ("realign2400", replaced(LANDMARKS, lambda p: [n for xy in p for n in xy]), LANDMARKS, "cannot be read"),
    ("realign2400", replaced(LANDMARKS, lambda p: [*p[:5], [1.0, math.nan], *p[6:]]), LANDMARKS, "landmark 5 is not"),
    ("realign2400", replaced(LANDMARKS, lambda p: [[1e300, 1.0], *p[1:]]), LANDMARKS, "landmark 0 is not finite"),
    ("realign2400", twice(LANDMARKS), LANDMARKS, "twice"),
]


@pytest.mark.parametrize(("alignment", "spoil", "file", "reason"), PROBLEMS)
def test_one_bad_picture_is_set_aside(
    tmp_path: Path, alignment: str, spoil: Callable[[Path], None], file: str, reason: str
) -> None:
    root = write_lpff(tmp_path)
    good = [row for row in contents(clean(read("lpff", root, alignment))) if row[0][2] != BAD]
    spoil(root)
    inventory = read("lpff", root, alignment)
    (problem,) = inventory.problems
    assert (problem.file, problem.id) == (str(root / file), BAD)
    assert problem.reason and reason in problem.reason
    assert contents(inventory) == good


def test_two_pictures_of_one_id_are_both_set_aside(tmp_path: Path) -> None:
    root = write_lpff(tmp_path)
    twin_picture(root)
    inventory = read("lpff", root)
    files = [str(root / CROPS / f"{BAD}{end}.png") for end in ("", "_eg3d")]
    assert sorted(problem.file for problem in inventory.problems) == files
    names = [f"{BAD}{end}.png" for end in ("", "_eg3d")]
    reasons = {(problem.id, problem.reason) for problem in inventory.problems}
    assert reasons == {(BAD, f"2 pictures have this id, such as {name}") for name in names}
    assert list(inventory.ids) == sorted({*LPFF_IDS} - {BAD})


def test_nan_elsewhere_does_no_harm(tmp_path: Path) -> None:
    root = write_lpff(tmp_path)
    edit(root / INFO, lambda info: {id: info[id] | {"score": math.nan, "low": -math.inf} for id in info})
    assert list(clean(read("lpff", root)).ids) == sorted(LPFF_IDS)


def test_the_faults_of_several_pictures_are_all_told(tmp_path: Path) -> None:
    root = write_lpff(tmp_path)
    edit(root / CAMERAS, lambda table: {id: numbers[:20] for id, numbers in table.items()})
    inventory = read("lpff", root)
    assert (len(inventory), inventory.typical_size) == (0, (0, 0))
    assert [problem.id for problem in inventory.problems] == sorted(LPFF_IDS)


def stop(path: Path, alignment: str = "eg3d") -> ShardsError:
    with pytest.raises(ShardsError) as caught:
        read("lpff", path, alignment)
    assert caught.value.hint and "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("file", [CAMERAS, INFO, LANDMARKS])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "not valid JSON"),  # cut short
        (b"", "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b"[" * 100_000, "does not contain"),
        (b'[["a", [1, 2]]]', "does not contain"),
        (b"null", "does not contain"),
    ],
)
def test_a_json_file_that_is_none(tmp_path: Path, file: str, data: bytes | None, words: str) -> None:
    root = write_lpff(tmp_path)
    write(root / file, (root / file).read_bytes()[:-20] if data is None else data)
    error = stop(root, "realign2400")
    assert error.message.startswith(str(root / file)) and words in error.message


def test_places_that_hold_nothing(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "set", alignments=["eg3d"])
    assert "does not exist" in stop(tmp_path / "nowhere").message
    assert "neither a folder nor a zip" in stop(root / INFO).message
    error = stop(root, "stylegan")
    assert "crop/stylegan" in error.message and "stylegan" in error.hint
    (tmp_path / "empty").mkdir()
    assert "--lpff" in stop(tmp_path / "empty").message
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert "--lpff" in stop(tmp_path / "empty.zip").message


def test_a_folder_of_other_previews_holds_no_pictures(tmp_path: Path) -> None:
    root = write_lpff(tmp_path, alignments=())
    write(root / f"{BAD}_stylegan.png", picture("x"))
    assert "no eg3d pictures" in stop(root).message


def test_a_folder_may_be_called_rar(tmp_path: Path) -> None:
    assert len(clean(read("lpff", write_lpff(tmp_path / "lpff.rar")))) == 3


def make_zip(folder: Path, method: int = zipfile.ZIP_STORED, more: str = "") -> Path:
    """A zip of LPFF with one more member; its name may be taken already."""
    path = zip_folder(write_lpff(folder / "set", alignments=["eg3d"]), folder / "a.zip")
    with zipfile.ZipFile(path, "a", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(more or f"{CROPS}/{BAD}_eg3d.png", picture("more"))
    return path


@pytest.mark.parametrize(
    ("method", "more", "words"),
    [
        (zipfile.ZIP_STORED, "../x.png", "../x.png points outside"),
        (zipfile.ZIP_STORED, "a/../../x.png", "points outside"),
        (zipfile.ZIP_STORED, "/x.png", "points outside"),
        (zipfile.ZIP_STORED, "C:/x.png", "points outside"),
        (zipfile.ZIP_STORED, f"{CROPS}/{BAD}.png", "twice"),
        (zipfile.ZIP_BZIP2, f"{CROPS}/new.png", "packed with method 12"),
        (zipfile.ZIP_LZMA, f"{CROPS}/new.png", "packed with method 14"),
    ],
)
def test_a_zip_with_a_bad_member(tmp_path: Path, method: int, more: str, words: str) -> None:
    path = make_zip(tmp_path, method, more)
    error = stop(path)
    assert error.message.startswith(f"{path}:") and words in error.message and "Pack the zip again" in error.hint


def test_an_encrypted_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # the flag in the directory
    assert "is encrypted" in stop(write(path, bytes(data))).message


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_a_zip_that_is_cut_short(tmp_path: Path, keep: float) -> None:
    data = make_zip(tmp_path).read_bytes()
    error = stop(write(tmp_path / "b.zip", data[: int(len(data) * keep)]))
    assert "cut short" in error.message and "whole zip" in error.hint


def test_a_zip_with_a_damaged_directory(tmp_path: Path) -> None:
    path = make_zip(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02")] = 0
    assert "not a readable zip" in stop(write(path, bytes(data))).message


def test_a_zip_whose_json_does_not_inflate(tmp_path: Path) -> None:
    path = zip_folder(write_lpff(tmp_path / "set", alignments=["eg3d"]), tmp_path / "a.zip", deflated=True)
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo(CAMERAS).header_offset
    data = bytearray(path.read_bytes())
    data[offset + 30 + len(CAMERAS)] = 0xFF  # a block type that does not exist
    error = stop(write(path, bytes(data)))
    assert error.message.startswith(f"{path}:{CAMERAS} does not inflate")
