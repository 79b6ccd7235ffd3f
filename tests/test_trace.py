"""lpff-shards trace: a photo's samples by any of its names, where they are, and whose they are."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from dataset_factories import LPFF_IDS, write_lpff
from running import call, run

from lpff_shards import ShardsError, trace_export
from lpff_shards.formats import tfrecord
from lpff_shards.manifest import read_manifest
from lpff_shards.sidecars.trace import BY


@pytest.fixture(scope="module", params=["wds", "tfrecord", "zip"])
def out(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trace") / "out"
    mix = ("--rebalance", "lpff", "--splits", "train=0.6,val=0.4")
    done = run("export", "--format", request.param, "--demo", 14, "--resolution", 16, *mix, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def _fields(out: Path) -> list[dict[str, object]]:
    with closing(sqlite3.connect(out / "samples.sqlite")) as ledger:
        ledger.row_factory = sqlite3.Row
        return [dict(row) for row in ledger.execute("SELECT * FROM records")]


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ("key", "key"),
        ("id", "source_id"),
        ("photo", "photo_id"),
        ("author", "author"),
        ("author", "author_id"),
        ("url", "source_url"),
    ],
)
def test_every_name_finds_its_samples(out: Path, what: str, field: str) -> None:
    samples = _fields(out)
    for name in {str(sample[field]) for sample in samples}:
        named = [sample for sample in samples if sample[field] == name]
        pictures = {sample["source_id"] for sample in named}
        # Whoever looks for a photo by the key of a sample is to find its mirror and its copies too.
        all = {sample["key"] for sample in samples if sample["source_id"] in pictures}
        assert {record.fields["key"] for record in trace_export(out, name).samples} == all
        found = {record.fields["key"] for record in trace_export(out, name, what).samples}
        assert found == {sample["key"] for sample in named}
        for other in {*BY} - {what}:
            assert not trace_export(out, name, other).found


def test_an_id_without_its_face_finds_all_faces_of_the_photo(out: Path) -> None:
    samples = _fields(out)
    faces = {sample["source_id"] for sample in samples if str(sample["source_id"]).startswith("10001@N00_00000004_")}
    assert len(faces) > 1
    found = trace_export(out, "10001@N00_00000004")
    assert {record.fields["source_id"] for record in found.samples} == faces
    assert not trace_export(out, "10001@N00_0000000").found
    assert not trace_export(out, "10001@N00_0000000?").found


def test_the_place_is_the_sample_s(out: Path) -> None:
    format = read_manifest(out).format
    for record in trace_export(out, "Demo author 10001").samples:
        data = memoryview((out / record.file).read_bytes())[record.offset : record.offset + record.bytes]
        if format == "tfrecord":
            ((at, example),) = tfrecord.records(data)
            assert at == 0
            assert str(record.fields["key"]).encode() in bytes(example)
        elif format == "wds":
            assert bytes(data[:512]).startswith(f"{record.fields['key']}.png\0".encode())
        else:
            name = f"img{record.number:08d}.png".encode()
            assert data[:4] == b"PK\x03\x04"
            assert name in bytes(data[:60])


def test_the_command_tells_whose_it_is(out: Path) -> None:
    done = run("trace", "10001@N00_00000004_02", out)
    assert done.returncode == 0
    head, license, source, changes, *rest = done.stdout.splitlines()
    assert (
        head == 'demo 10001@N00_00000004_02 (photo 00000004, face 2): "Demo photo 4" by Demo author 10001 (10001@N00)'
    )
    assert license == "  license CC-BY-2.0 https://creativecommons.org/licenses/by/2.0/ (attribution)"
    assert source == "  from https://example.org/photos/10001@N00/00000004/"
    assert changes.startswith("  aligned and cropped as for EG3D; resized from 256x256 to 16x16 (Lanczos)")
    assert rest[0].startswith("  demo_10001-N00_00000004_02")
    assert " of 1 picture in " in rest[-1]


def test_the_member_is_told(out: Path) -> None:
    format = read_manifest(out).format
    for sample in json.loads(run("trace", "00000003", out, "--json").stdout)["samples"]:
        expected = {"wds": f"{sample['key']}.png", "tfrecord": None, "zip": f"00000/img{sample['number']:08d}.png"}
        assert sample["member"] == expected[format]
        assert sample["license"] == "CC0-1.0"


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_a_name_that_finds_nothing_is_status_1(out: Path, json_: tuple[str, ...]) -> None:
    done = run("trace", "demo AUTHOR 1000", out, *json_)
    assert done.returncode == 1
    assert done.stderr.startswith(f"lpff-shards: No match for demo AUTHOR 1000 in {out}. Near it: Demo author 1000")
    assert bool(done.stdout) == bool(json_)
    assert not json_ or json.loads(done.stdout)["found"] is False
    assert "letter by letter" in run("trace", "xyzzy", out).stderr


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("", "{out}"), "the name to search is empty"),
        (("x", "{out}", "--by", "face"), "It is one of: key, id, photo, author, url"),
        (("x", "{out}/nowhere"), "is not a folder"),
        (("x",), "Missing argument"),
        (("\udcff", "{out}"), "is not UTF-8"),
        (("\udcff", "{out}", "--json"), "is not UTF-8"),
    ],
)
def test_bad_input_is_status_2(out: Path, args: tuple[str, ...], error: str) -> None:
    done = run("trace", *(arg.format(out=out) for arg in args))
    assert done.returncode == 2
    assert error in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_a_ledger_the_remedy_is_told(out: Path) -> None:
    path = out / "samples.sqlite"
    data = path.read_bytes()
    path.unlink()
    try:
        done = run("trace", "00000003", out)
        assert done.returncode == 2
        assert done.stderr == f"lpff-shards: {path} is missing. Recreate it: lpff-shards index {out}\n"
    finally:
        path.write_bytes(data)


def test_what_was_taken_out_and_left_out_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lpff = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    (lpff / f"crop/eg3d/{LPFF_IDS[2]}.png").write_bytes(b"no picture")
    gone = tmp_path / "gone.txt"
    gone.write_text("")
    command = (
        "export",
        "--format",
        "wds",
        "--lpff",
        lpff,
        "--exclude",
        gone,
        "--on-error",
        "skip",
        "--out",
        tmp_path / "out",
    )
    assert call(capsys, monkeypatch, *command).status == 0
    gone.write_text(f"{LPFF_IDS[0]}\n")
    assert call(capsys, monkeypatch, *command, "--update").status == 0
    key = f"lpff_{LPFF_IDS[0].replace('@', '-')}_m"
    done = call(capsys, monkeypatch, "trace", key, tmp_path / "out")
    assert done.status == 0
    assert f"{key}: taken out of lpff-train-000000.tar by export --update\n" in done.out
    assert [one.key for one in trace_export(tmp_path / "out", key, "key").taken_out] == [key]
    for name in (key, LPFF_IDS[0], "21795165006", "100004356@N06_21795165006"):
        found = trace_export(tmp_path / "out", name)
        assert sorted(one.key for one in found.taken_out) == [key.removesuffix("_m"), key]
    assert not trace_export(tmp_path / "out", "100004356@N06_21795165006", "id").taken_out
    for name in ("5165006", "m", "01", "01_m", "N06_21795165006", "lpff"):
        assert not trace_export(tmp_path / "out", name).taken_out
    for by in ("author", "url"):
        assert not trace_export(tmp_path / "out", LPFF_IDS[0], by).taken_out
    done = call(capsys, monkeypatch, "trace", LPFF_IDS[2], tmp_path / "out")
    assert done.status == 0
    assert "left out: " in done.out
    assert str(tmp_path) not in done.out


def test_nothing_of_others_reaches_the_terminal_as_a_command(tmp_path: Path) -> None:
    lpff = write_lpff(tmp_path / "lpff", alignments=["eg3d"])
    info = json.loads((lpff / "info.json").read_text())
    info[LPFF_IDS[0]]["image_info"]["username"] = "\x1b[31mred\nlines"
    (lpff / "info.json").write_text(json.dumps(info))
    assert run("export", "--format", "wds", "--lpff", lpff, "--out", tmp_path / "out").returncode == 0
    done = run("trace", LPFF_IDS[0], tmp_path / "out")
    assert "by \\x1b[31mred\\nlines" in done.stdout
    assert "\x1b" not in done.stdout
    assert trace_export(tmp_path / "out", "\x1b[31mred\nlines").found


def test_an_unknown_by_is_refused(out: Path) -> None:
    with pytest.raises(ShardsError, match="--by"):
        trace_export(out, "x", "face")
