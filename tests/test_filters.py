"""Filters: what is kept, why the rest is not, and that what is kept stays what it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from dataset_factories import (
    LPFF_IDS,
    UP_IDS,
    edit,
    write,
    write_ffhq_eg3d,
    write_ffhq_v2,
    write_lpff,
    write_unsplash_pexels,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from inventories import contents, eg3d, read
from running import Done, call, examples

from lpff_shards import ShardsError
from lpff_shards.planning.mix import BY_ID, BY_PHOTO, BY_USER, select
from lpff_shards.schemas.license import License
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.build import ScannedImage, build
from lpff_shards.sources.demo import look_at
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import FileBlob
from lpff_shards.sources.registry import read_exclusions

BY, SA = "license CC-BY-2.0", "license CC-BY-SA-2.0"


class Picture(NamedTuple):
    """What decides whether a picture is kept."""

    id: str
    license: str = "CC-BY-2.0"
    photo_id: str = ""
    user_id: str = ""
    is_mirror: bool = False
    fault: str = ""


def inventory(source: str, pictures: Sequence[Picture]) -> Inventory:
    """Pictures without bytes, every other one with a camera, every third with landmarks, each of its own numbers."""
    found = [
        ScannedImage(
            id=p.id,
            blob=FileBlob(f"/nowhere/{n}.png", n),
            camera=look_at(n / 100, 0) if n % 2 == 0 else None,
            face=n % 4,
            is_mirror=p.is_mirror,
            points=np.full((68, 2), n, np.float32) if n % 3 == 0 else None,
            credit=Credit(p.photo_id, f"author {n}", p.user_id, f"title {n}", license=License(p.license)),
            fault=("/nowhere/info.json", p.fault) if p.fault else None,
        )
        for n, p in enumerate(pictures)
    ]
    built = build(source, "stylegan", found, "/nowhere/cameras.json")
    return replace(built, places=10 * np.arange(len(built)))


def told(inventory: Inventory) -> list[tuple[Any, ...]]:
    """All that an inventory says of each of its pictures."""
    records = [(inventory.record(row), int(inventory.places[row])) for row in range(len(inventory))]
    return [
        (
            (r.source, r.alignment, r.id, r.face, r.is_mirror, r.blob, r.credit, place),
            None if r.camera is None else r.camera.tolist(),
            None if r.landmarks is None else r.landmarks.tolist(),
        )
        for r, place in records
    ]


def kept(pictures: Sequence[Picture], licenses: Collection[str] = (), exclusions: Sequence[str] = ()) -> list[str]:
    """Ids of what is kept of one source."""
    (left,) = select([inventory("lpff", pictures)], licenses, exclusions).inventories
    return list(left.ids)


FOUR = [
    Picture("u1@N0_11_01", "CC-BY-2.0", "11", "u1@N0"),
    Picture("u1@N0_11_02", "CC-BY-2.0", "11", "u1@N0"),
    Picture("u1@N0_12_01", "CC0-1.0", "12", "u1@N0"),
    Picture("u2@N0_13_01", "", "13", "u2@N0"),
]
ALL = [picture.id for picture in FOUR]


@pytest.mark.parametrize(
    ("licenses", "rows"),
    [
        ((), [0, 1, 2, 3]),
        (("CC-BY-2.0",), [0, 1]),
        (("CC0-1.0",), [2]),
        (("unknown",), [3]),
        (("unknown", "CC0-1.0"), [2, 3]),
        (("CC0-1.0", "CC-BY-2.0", "unknown"), [0, 1, 2, 3]),
        (("CC-BY-NC-2.0",), []),
    ],
)
def test_the_named_licenses_are_kept(licenses: tuple[str, ...], rows: list[int]) -> None:
    assert kept(FOUR, licenses) == [ALL[row] for row in rows]


@pytest.mark.parametrize(
    ("exclusions", "rows", "reasons"),
    [
        ((), [0, 1, 2, 3], {}),
        (("u1@N0_11_01",), [1, 2, 3], {BY_ID: 1}),
        (("u1@N0_11",), [2, 3], {BY_PHOTO: 2}),
        (("11",), [2, 3], {BY_PHOTO: 2}),
        (("u1@N0",), [3], {BY_USER: 3}),
        (("u1@N0", "u2@N0"), [], {BY_USER: 4}),
        (("u1@N0", "11", "u1@N0_11_02"), [3], {BY_USER: 1, BY_PHOTO: 1, BY_ID: 1}),
        (("author 0",), [1, 2, 3], {BY_USER: 1}),
        (("U1@N0", "u1", "1", "01", "_01", "u1@N0_11_", "u1@N0_11_1", "Author 0", "title 0"), [0, 1, 2, 3], {}),
    ],
)
def test_the_excluded_are_left_out(exclusions: tuple[str, ...], rows: list[int], reasons: dict[str, int]) -> None:
    chosen = select([inventory("lpff", FOUR)], (), exclusions)
    assert list(chosen.inventories[0].ids) == [ALL[row] for row in rows]
    assert chosen.reasons == reasons


def test_a_license_without_a_place_keeps_its_ports() -> None:
    pictures = [Picture("a", "CC-BY-2.1-JP"), Picture("b", "CC-BY-2.1"), Picture("c", "CC-BY-SA-2.1-JP")]
    assert kept(pictures, ["CC-BY-2.1"]) == ["a", "b"]
    assert kept(pictures, ["CC-BY-2.1-JP"]) == ["a"]


def test_reasons_are_counted_over_all_sources_the_exclusion_first() -> None:
    sources = [inventory("lpff", FOUR), inventory("ffhq", [Picture("00000", "", "99", "u1@N0"), Picture("00001", "")])]
    chosen = select(sources, ["CC0-1.0"], ["u1@N0_12_01", "00000"])
    assert chosen.reasons == {"license CC-BY-2.0": 2, BY_ID: 2, "license unknown": 2}
    assert [len(left) for left in chosen.inventories] == [0, 0]


def test_a_user_of_both_sources_is_left_out_of_both() -> None:
    sources = [inventory("ffhq", [Picture("00000", "", "99", "u1@N0")]), inventory("lpff", FOUR)]
    chosen = select(sources, (), ["u1@N0"])
    assert [list(left.ids) for left in chosen.inventories] == [[], ["u2@N0_13_01"]]
    assert chosen.reasons == {BY_USER: 4}


@pytest.mark.parametrize("exclusion", ["00001", "9", "u"])
def test_a_picture_and_its_mirror_go_together(exclusion: str) -> None:
    pair = [Picture("00001", "", "9", "u", is_mirror=mirror) for mirror in (False, True)]
    chosen = select([inventory("ffhq", [Picture("00000"), *pair, Picture("00002")])], (), [exclusion])
    assert list(chosen.inventories[0].ids) == ["00000", "00002"]
    assert list(chosen.reasons.values()) == [2]


@pytest.mark.parametrize(("exclusion", "naming"), [("00001", "id"), ("img00000002", "index"), ("frumkin1", "id")])
def test_both_files_of_eg3ds_ffhq_go_together(tmp_path: Path, exclusion: str, naming: str) -> None:
    root = write_ffhq_eg3d(tmp_path / "F", 3, naming)
    before = eg3d(root, metadata=write_ffhq_v2(tmp_path / "v2.json", range(3)))
    (left,) = select([before], (), [exclusion]).inventories
    assert contents(left) == [*contents(before)[:2], *contents(before)[4:]]


def test_unsplash_pexels_is_excluded_by_its_slug(tmp_path: Path) -> None:
    before = read("unsplash_pexels", write_unsplash_pexels(tmp_path))
    chosen = select([before], (), [UP_IDS[0].removesuffix("_01")])
    assert list(chosen.inventories[0].ids) == [UP_IDS[2]]
    assert chosen.reasons == {BY_PHOTO: 2}


def test_unused_exclusions_are_told_in_order() -> None:
    exclusions = ["zz", "u2@N0", "11", "aa", "u1@N0_11_01", "mm"]
    assert select([inventory("lpff", FOUR)], (), exclusions).unused == ("zz", "aa", "mm")


def test_an_exclusion_is_used_though_another_or_the_license_left_the_picture_out_already() -> None:
    exclusions = ["u1@N0", "11", "u1@N0_11", "u1@N0_11_01", "13"]
    assert select([inventory("lpff", FOUR)], ["CC0-1.0"], exclusions).unused == ()


def test_without_exclusions_none_is_unused() -> None:
    assert select([inventory("lpff", FOUR)], ["CC0-1.0"], ()).unused == ()


def test_an_unknown_photo_or_user_is_never_excluded() -> None:
    assert kept([Picture("a"), Picture("b")], (), ["", "a"]) == ["b"]


FAULTY = [
    Picture("a_01", fault="torn"),
    Picture("b_01"),
    Picture("00001", is_mirror=True, fault="torn"),
    Picture("c_01", photo_id="7", user_id="u", fault="torn"),
    Picture("d_01"),
]
PROBLEMS = ["a_01", "00001 (its mirror)", "c_01"]


@pytest.mark.parametrize(
    ("exclusions", "left"),
    [
        ((), [0, 1, 2]),
        (("b_01", "zz"), [0, 1, 2]),
        (("a_01",), [1, 2]),
        (("a",), [1, 2]),
        (("00001",), [0, 2]),
        (("c_01", "00001", "a_01"), []),
    ],
)
def test_the_problem_of_a_picture_that_is_excluded_by_its_id_vanishes(
    exclusions: tuple[str, ...], left: list[int]
) -> None:
    chosen = select([inventory("lpff", FAULTY)], (), exclusions)
    assert [problem.id for problem in chosen.inventories[0].problems] == [PROBLEMS[row] for row in left]
    assert chosen.unused == (("zz",) if "zz" in exclusions else ())


def test_the_reasons_of_problems_stay() -> None:
    before = inventory("lpff", FAULTY)
    assert [problem.reason for problem in before.problems] == ["torn"] * 3
    assert select([before], ["CC-BY-2.0"], ()).inventories[0].problems == before.problems


def test_a_problem_of_another_license_is_left_out_and_counted() -> None:
    found = select([inventory("lpff", FAULTY)], ["CC0-1.0"], ())
    assert found.inventories[0].problems == found.inventories[0].problem_credits == ()
    assert found.reasons[BY] == len(FAULTY) == 5


def test_a_problem_that_tells_no_license_stays() -> None:
    before = inventory("lpff", [picture._replace(license="") for picture in FAULTY])
    assert select([before], ["CC0-1.0"], ()).inventories[0].problems == before.problems


def test_mirrors_that_were_lost_stay_lost() -> None:
    before = inventory("ffhq", [*FAULTY, Picture("00001")])
    assert before.lost_mirrors == {"00001"}
    for exclusions in ((), ("b_01",)):
        assert select([before], (), exclusions).inventories[0].lost_mirrors == {"00001"}


def test_what_the_source_says_of_itself_stays() -> None:
    before = inventory("lpff", [*FOUR, Picture("e_01")])
    (left,) = select([before], ["CC0-1.0"], ()).inventories
    for name in ("source", "alignment", "notes", "places_of", "typical_size"):
        assert getattr(left, name) == getattr(before, name)


PICTURES = st.lists(
    st.builds(
        Picture,
        id=st.sampled_from([f"{user}_{photo}_{face:02d}" for user in "uv" for photo in (1, 2, 3) for face in (1, 2)]),
        license=st.sampled_from(["", "CC-BY-2.0", "CC0-1.0"]),
        photo_id=st.sampled_from(["", "1", "2", "3"]),
        user_id=st.sampled_from(["", "u", "v", "w"]),
        is_mirror=st.booleans(),
        fault=st.just(""),
    ),
    max_size=16,
    unique_by=lambda p: (p.id, p.is_mirror),
)


@settings(max_examples=examples(150), deadline=None)
@given(PICTURES, st.data())
def test_the_columns_of_taken_rows_stay_aligned(pictures: list[Picture], data: st.DataObject) -> None:
    before = inventory("lpff", pictures)
    every = told(before)
    rows = data.draw(st.lists(st.integers(0, len(pictures) - 1), unique=True)) if pictures else []
    taken = before.take(np.array(rows, np.int64))
    assert told(taken) == [every[row] for row in rows]
    assert len(taken.landmarks) == sum(points is not None for *_, points in told(taken))
    assert told(before) == every


@settings(max_examples=examples(150), deadline=None)
@given(PICTURES, st.data())
def test_rows_may_be_taken_of_taken_rows(pictures: list[Picture], data: st.DataObject) -> None:
    before = inventory("lpff", pictures)
    flags = st.lists(st.booleans(), min_size=len(pictures), max_size=len(pictures))
    first = np.flatnonzero(np.array(data.draw(flags), bool))
    second = np.array(data.draw(st.permutations(range(len(first)))), np.int64)
    assert told(before.take(first).take(second)) == told(before.take(first[second]))


def _is_excluded(picture: Picture, names: Collection[str]) -> bool:
    return bool({picture.id, picture.id[:-3], picture.photo_id, picture.user_id} & {*names} - {""})


@settings(max_examples=examples(200), deadline=None)
@given(
    pictures=PICTURES,
    licenses=st.sets(st.sampled_from(["unknown", "CC-BY-2.0", "CC0-1.0", "PDM-1.0"])),
    exclusions=st.lists(st.sampled_from(["u_1_01", "v_2_02", "u_3", "v_1", "1", "3", "u", "w", "x"]), unique=True),
)
def test_what_is_kept_is_right_and_what_it_was(
    pictures: list[Picture], licenses: set[str], exclusions: list[str]
) -> None:
    before = inventory("lpff", pictures)
    chosen = select([before], licenses, exclusions)
    excluded = [_is_excluded(picture, exclusions) for picture in pictures]
    foreign = [bool(licenses) and (picture.license or "unknown") not in licenses for picture in pictures]
    rows = [row for row in range(len(pictures)) if not excluded[row] and not foreign[row]]
    assert told(chosen.inventories[0]) == [told(before)[row] for row in rows]
    assert sum(n for why, n in chosen.reasons.items() if why.startswith("excluded by")) == sum(excluded)
    assert chosen.reasons.total() == len(pictures) - len(rows)
    assert set(chosen.unused) == {e for e in exclusions if not any(_is_excluded(picture, [e]) for picture in pictures)}


# The file of --exclude.


def _file(folder: Path, data: bytes) -> str:
    return str(write(folder / "withdrawn.txt", data))


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n\n  \n\t\n", []),
        (b"a\nb\nc", ["a", "b", "c"]),
        (b"a\nb\na\n", ["a", "b"]),
        (b"b\r\na\r\n\r\n", ["b", "a"]),
        (b"a\rb\r", ["a", "b"]),
        (b"\xef\xbb\xbfa\nb\n", ["a", "b"]),
        (b"\xef\xbb\xbf# only a comment\n", []),
        (b"# c\n#c\n  # c\n\t#\tc\n\t# \na\n", ["#c", "a"]),
        (b"#nofilter\r\nZo\xc3\xab #1\nA\tB\nA\xe2\x80\xa8B\n", ["#nofilter", "Zo\u00eb #1", "A\tB", "A\u2028B"]),
        (b"a # withdrawn\nb\t# withdrawn\nc  #\nd #\n", ["a", "b", "c", "d"]),
        (b"a#1\n", ["a#1"]),
        (b"  a  \n\tb\t\n", ["a", "b"]),
        (b"#\n", []),
        (b"zo\xc3\xab\n", ["zoë"]),
        (b"100004356@N06_21795165006_01\n", ["100004356@N06_21795165006_01"]),
        (b"a" * 100_000, ["a" * 100_000]),
    ],
)
def test_lines_of_the_file(tmp_path: Path, data: bytes, lines: list[str]) -> None:
    assert read_exclusions(_file(tmp_path, data)) == tuple(lines)


@pytest.mark.parametrize("data", [b"\xff\xfea\x00", b"a\nb\xe9\n", b"\x89PNG\r\n\x1a\n", b"a\xed\xa0\x80"])
def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path, data: bytes) -> None:
    path = _file(tmp_path, data)
    with pytest.raises(ShardsError) as caught:
        read_exclusions(path)
    assert str(caught.value) == f"--exclude {path} is not UTF-8 text. Give one id a line"


# On the command line.


@pytest.fixture
def lpff(tmp_path: Path) -> Path:
    """Two faces of a CC-BY photo and one of a CC-BY-SA photo."""
    return write_lpff(tmp_path / "LPFF", alignments=("eg3d",))


@pytest.fixture
def export(lpff: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs an export of the tiny LPFF with more options."""

    def run(*more: object) -> Done:
        out = ("--out", tmp_path / "out", "--workers", 1)
        return call(capsys, monkeypatch, "export", "--format", "wds", "--lpff", lpff, *out, *more)

    return run


def _manifest(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "out" / "manifest.json").read_text())
    return found


def _spoil(lpff: Path, id: str) -> None:
    (lpff / f"crop/eg3d/{id}.png").write_bytes(b"no picture")


@pytest.mark.parametrize("line", [LPFF_IDS[0], LPFF_IDS[0][:-3], "21795165006", "100004356@N06"])
def test_an_excluded_torn_picture_no_longer_stops_the_export(
    tmp_path: Path, lpff: Path, export: Any, line: str
) -> None:
    _spoil(lpff, LPFF_IDS[0])
    failed = export()
    assert (failed.status, LPFF_IDS[0] in failed.err) == (2, True)
    assert export("--exclude", _file(tmp_path, line.encode()), "--overwrite").status == 0
    assert _manifest(tmp_path)["counts"]["skipped"] == 0


def test_an_excluded_picture_without_a_camera_no_longer_stops_the_export(
    tmp_path: Path, lpff: Path, export: Any
) -> None:
    edit(lpff / "camera_parameters.json", lambda cameras: {id: cameras[id] for id in (LPFF_IDS[0], LPFF_IDS[2])})
    failed = export()
    assert (failed.status, "it has no camera for this picture" in failed.err) == (2, True)
    assert export("--exclude", _file(tmp_path, LPFF_IDS[1].encode())).status == 0
    manifest = _manifest(tmp_path)
    assert (manifest["samples"], manifest["counts"]["left_out"], manifest["skipped"]) == (4, 0, [])


def test_excluding_one_faulty_picture_does_not_forgive_another(tmp_path: Path, lpff: Path, export: Any) -> None:
    edit(lpff / "camera_parameters.json", lambda cameras: cameras | {LPFF_IDS[0]: [], LPFF_IDS[1]: []})
    done = export("--exclude", _file(tmp_path, LPFF_IDS[0].encode()))
    assert (done.status, LPFF_IDS[0] in done.err, LPFF_IDS[1] in done.err) == (2, False, True)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--license", "PDM-1.0"), {BY: 2, SA: 1}),
        (("--license", "unknown"), {BY: 2, SA: 1}),
        (("--license", "CC-BY-2.0", "--exclude", b"100004356@N06"), {BY_USER: 2, SA: 1}),
        (("--exclude", "\n".join(LPFF_IDS).encode()), {BY_ID: 3}),
    ],
)
def test_nothing_left_is_told_in_a_line_with_the_reasons(
    tmp_path: Path, export: Any, more: tuple[str | bytes, ...], told: dict[str, int]
) -> None:
    done = export(*(_file(tmp_path, arg) if isinstance(arg, bytes) else arg for arg in more))
    assert (done.status, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("lpff-shards: there is nothing to write: all pictures were left out (")
    assert line.endswith("). Loosen --license or --exclude")
    assert sorted(line.split("(")[1].split(")")[0].split("; ")) == sorted(f"{why}: {n}" for why, n in told.items())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["CC-BY", "CC0", "CC-BY-2", "cc_by_2.0", "MIT", "", "CC-BY-2.0;PDM-1.0", "*"])
def test_a_license_that_is_none_is_refused_with_the_list(tmp_path: Path, export: Any, name: str) -> None:
    done = export("--license", f"PDM-1.0,{name}")
    assert (done.status, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"lpff-shards: --license {name!r} is not known. ")
    for known in ("CC-BY-2.0", "CC-BY-SA-2.0", "CC-BY-NC-2.0", "CC0-1.0", "PDM-1.0", "US-Gov-Works", "Unsplash"):
        assert known in line
    assert line.endswith("Pexels, or unknown")


@pytest.mark.parametrize(
    ("given_", "recorded", "filtered"),
    [
        (["CC-BY-2.0"], ["CC-BY-2.0"], {SA: 1}),
        (["cc-by-2.0"], ["CC-BY-2.0"], {SA: 1}),
        (["Cc-By-Sa-2.0"], ["CC-BY-SA-2.0"], {BY: 2}),
        (["cc-by-2.0,CC-BY-SA-2.0"], ["CC-BY-2.0", "CC-BY-SA-2.0"], {}),
        (["UNKNOWN, CC-BY-2.0 ,pdm-1.0"], ["CC-BY-2.0", "PDM-1.0", "unknown"], {SA: 1}),
        (["cc-by-sa-2.0", "cc-by-2.0,CC-BY-2.0"], ["CC-BY-2.0", "CC-BY-SA-2.0"], {}),
    ],
)
def test_licenses_in_any_case_in_lists_and_repeated(
    export: Any, given_: list[str], recorded: list[str], filtered: dict[str, int]
) -> None:
    done = export("--dry-run", "--json", *(arg for name in given_ for arg in ("--license", name)))
    plan = json.loads(done.out)
    assert (plan["options"]["license"], plan["filtered"]) == (recorded, filtered)


def test_what_was_filtered_is_told_everywhere(tmp_path: Path, export: Any) -> None:
    more = ("--license", "CC-BY-2.0", "--exclude", _file(tmp_path, LPFF_IDS[1].encode()))
    expected = {BY_ID: 1, SA: 1}
    text = export(*more, "--dry-run").out
    (line,) = (line for line in text.splitlines() if line.startswith("filtered out: "))
    assert line in (f"filtered out: {BY_ID}: 1, {SA}: 1", f"filtered out: {SA}: 1, {BY_ID}: 1")
    plan = json.loads(export(*more, "--dry-run", "--json").out)
    assert (plan["filtered"], plan["samples"], plan["notes"]) == (expected, 2, [])
    done = export(*more)
    assert (done.status, line in done.err.splitlines()) == (0, True)
    manifest = _manifest(tmp_path)
    assert (manifest["filtered"], manifest["samples"], manifest["licenses"]) == (expected, 2, {"CC-BY-2.0": 2})
    assert manifest["options"]["exclude"] == "withdrawn.txt"


def test_without_filters_nothing_is_told_of_them(tmp_path: Path, export: Any) -> None:
    assert "filtered" not in export("--dry-run").out
    assert "filtered" not in export().err
    assert _manifest(tmp_path)["filtered"] == {}


def test_a_line_that_names_no_picture_is_told(tmp_path: Path, export: Any) -> None:
    path = _file(tmp_path, f"# withdrawn\n404@N00\n{LPFF_IDS[2]}\n99_1\n".encode())
    note = "--exclude: 2 of its lines name no picture here"
    shown = export("--exclude", path, "--dry-run").out.splitlines()
    assert f"note: {note}" in shown
    assert "no picture matches these --exclude entries: 404@N00, 99_1" in shown
    assert json.loads(export("--exclude", path, "--dry-run", "--json").out)["notes"] == [note]
    assert f"note: {note}" in export("--exclude", path).err.splitlines()
    # What names nothing here may name a person, and a manifest is published.
    assert _manifest(tmp_path)["notes"] == [note]
    assert "404@N00" not in json.dumps(_manifest(tmp_path))


def test_a_license_that_no_picture_has_is_told(export: Any) -> None:
    shown = export("--license", "CC-BY-4.0,CC-BY-2.0", "--dry-run").out.splitlines()
    assert [line for line in shown if "--license" in line] == ["note: --license CC-BY-4.0 is no picture's here"]


def test_a_line_that_names_a_faulty_picture_is_not_told_as_naming_none(tmp_path: Path, lpff: Path, export: Any) -> None:
    edit(lpff / "camera_parameters.json", lambda cameras: cameras | {LPFF_IDS[1]: []})
    path = _file(tmp_path, LPFF_IDS[1].encode())
    plan = json.loads(export("--exclude", path, "--dry-run", "--json").out)
    assert (plan["notes"], plan["left_out"], plan["samples"]) == ([], [], 4)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "cannot be read: No such file or directory. Give the file itself"),
        (lambda path: path.mkdir(), "is not a regular file. Give the file itself"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels of symbolic links. Give the file itself"),
        (lambda path: path.write_bytes(b"a\n\xff\n"), "is not UTF-8 text. Give one id a line"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_line(tmp_path: Path, export: Any, make: Any, reason: str) -> None:
    path = tmp_path / "withdrawn"
    make(path)
    done = export("--exclude", path)
    assert (done.status, done.out, done.err) == (2, "", f"lpff-shards: --exclude {path} {reason}\n")


def test_what_is_left_out_is_no_part_of_the_plan_or_its_densities(tmp_path: Path, export: Any) -> None:
    ids = [*LPFF_IDS, *(f"9@N00_{n}_01" for n in range(20))]
    write_lpff(tmp_path / "LPFF", ids, ("eg3d",))
    path = _file(tmp_path, "\n".join(ids[12:]).encode())
    filtered = json.loads(export("--exclude", path, "--rebalance", "lpff", "--dry-run", "--json").out)
    for id in ids[12:]:
        (tmp_path / f"LPFF/crop/eg3d/{id}.png").unlink()
    fewer = json.loads(export("--rebalance", "lpff", "--dry-run", "--json").out)
    assert filtered["filtered"] == {BY_ID: len(ids) - 12}
    for name in ("samples", "balance", "licenses", "shards"):
        assert filtered[name] == fewer[name]


def test_the_mirrors_of_what_is_left_out_are_left_out(tmp_path: Path, export: Any) -> None:
    export("--exclude", _file(tmp_path, LPFF_IDS[1].encode()), "--samples-per-shard", 100)
    (receipt,) = (tmp_path / "out").rglob("*.tar*.json")
    keys = Counter(key.removesuffix("_m") for key in json.loads(receipt.read_text())["keys"])
    assert keys == {f"lpff_{id.replace('@', '-')}": 2 for id in (LPFF_IDS[0], LPFF_IDS[2])}


@pytest.mark.parametrize("name", ["100004356@N06", "21795165006", "100004356@N06_21795165006_01"])
def test_a_withdrawn_picture_may_be_faulty_whatever_names_it(tmp_path: Path, name: str) -> None:
    root = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    edit(root / "camera_parameters.json", lambda table: {**table, "100004356@N06_21795165006_01": []})
    inventory = read("lpff", root)
    assert [problem.id for problem in inventory.problems] == ["100004356@N06_21795165006_01"]
    found = select([inventory], (), (name,))
    assert found.inventories[0].problems == ()
    assert (found.unused, sum(found.reasons.values())) == ((), 1 if name.endswith("_01") else 2)


def test_only_mirrors_and_no_mirrors_wanted_is_nothing_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_ffhq_eg3d(tmp_path / "F")
    edit(root / "dataset.json", lambda table: {"labels": [label for label in table["labels"] if "_m" in label[0]]})
    args = ("--format", "wds", "--ffhq", root, "--no-mirror", "--on-error", "skip", "--out", tmp_path / "out")
    done = call(capsys, monkeypatch, "export", *args)
    assert (done.status, done.err) == (
        2,
        "lpff-shards: there is nothing to write: all pictures are mirrors. Leave out --no-mirror\n",
    )
