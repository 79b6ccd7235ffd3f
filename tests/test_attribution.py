"""ATTRIBUTION: exactly one line for the picture of every sample, with license and author, or `unknown` and counted."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from dataset_factories import LPFF_IDS, UP_IDS, dump, edit, v2_record, write_ffhq_eg3d, write_ffhq_v2, write_lpff
from dataset_factories import write_unsplash_pexels as write_up
from hypothesis import given, settings
from hypothesis import strategies as st

from lpff_shards import ExportOptions, MixOptions, PictureOptions, RunOptions, ShardsError, SourceOptions, export
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest, read_manifest
from lpff_shards.schemas.license import FLAGS, demands
from lpff_shards.sidecars.attribution import merged
from lpff_shards.storage.path import read_whole

HOSTILE = 'A "quoted", comma\nand | `code` <script>alert(1)</script> [x](y) = é'


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All three data sets; of FFHQ's pictures one has no record and one a hostile title."""
    root = tmp_path_factory.mktemp("sources")
    write_lpff(root / "lpff", alignments=["eg3d"])
    write_up(root / "up", alignments=["eg3d"])
    write_ffhq_eg3d(root / "ffhq", 4)
    write_ffhq_v2(root / "v2.json", [0, 1, 2])
    edit(root / "v2.json", lambda all: {**all, "1": _titled(all["1"], HOSTILE)})
    return {
        "lpff": str(root / "lpff"),
        "unsplash_pexels": str(root / "up"),
        "ffhq": str(root / "ffhq"),
        "ffhq_metadata": str(root / "v2.json"),
    }


def _titled(record: Any, title: str) -> Any:
    return {**record, "metadata": {**record["metadata"], "photo_title": title}}


def _export(out: Path, sources: dict[str, Any], format: str = "wds", **given: Any) -> Manifest:
    picture = given.pop("picture", PictureOptions())
    mirror = given.pop("mirror", None)
    return export(
        ExportOptions(
            format=format,
            out=str(out),
            sources=SourceOptions(**sources, mirror=mirror),
            mix=MixOptions(**given),
            picture=picture,
            run=RunOptions(workers=1),
        )
    )


def _lines(out: Path) -> list[dict[str, str]]:
    with (out / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _samples(out: Path) -> list[dict[str, Any]]:
    manifest = read_manifest(out)
    read = get_format(manifest.format).samples
    return [dict(s.scalars) for shard in manifest.shards for s in read(read_whole(out / shard.file), manifest.layout)]


MIXES = st.fixed_dictionaries(
    {
        "format": st.sampled_from(["wds", "tfrecord", "zip"]),
        "mirror": st.sampled_from([None, False]),
        "rebalance": st.sampled_from(["none", "lpff", "eg3d", "uniform"]),
        "as_": st.sampled_from(["replicas", "weights"]),
        "splits": st.sampled_from(["train", "train=0.6,val=0.4"]),
        "license": st.sets(st.sampled_from(["CC-BY-2.0", "CC-BY-SA-2.0", "unknown", "Pexels"])).map(tuple),
        "leave": st.sets(st.sampled_from([LPFF_IDS[0], "3071459241", UP_IDS[1], "00002"])),
        "which": st.sets(st.sampled_from(["lpff", "unsplash_pexels", "ffhq"]), min_size=1),
    }
)


@settings(max_examples=25, deadline=None)
@given(MIXES)
def test_every_sample_has_exactly_one_line(sources: dict[str, str], mix: dict[str, Any]) -> None:
    which = mix.pop("which")
    chosen = {name: path for name, path in sources.items() if name in which}
    if "ffhq" in chosen:
        chosen["ffhq_metadata"] = sources["ffhq_metadata"]
    with TemporaryDirectory() as root:
        out = Path(root) / "out"
        if leave := mix.pop("leave"):
            (Path(root) / "leave.txt").write_text("\n".join(leave))
            mix["exclude"] = f"{root}/leave.txt"
        try:
            _export(out, chosen, **mix)
        except ShardsError:
            # Nothing is left by these filters, or the rule of rebalancing does not fit what is.
            return
        _check_lines(out)


def _check_lines(out: Path) -> None:
    lines, samples = _lines(out), _samples(out)
    by_picture = {(line["dataset"], line["source_id"]): line for line in lines}
    assert len(by_picture) == len(lines)
    shown = Counter((sample["dataset"], sample["source_id"]) for sample in samples)
    assert shown == {picture: int(line["samples"]) for picture, line in by_picture.items()}
    for sample in samples:
        line = by_picture[sample["dataset"], sample["source_id"]]
        assert re.fullmatch(re.escape(line["key"]) + r"(_m)?(_r\d\d)?", sample["key"])
        assert line["license"] == (sample["license"] or "unknown")
        assert line["author"] == (sample["author"] or "unknown")
        assert line["face"] == str(sample["face"])
        same = ("photo_id", "title", "author_id", "license_url", "source_url")
        assert [line[name] for name in same] == [sample[name] for name in same]
        assert all(step in line["changes"] for step in sample["changes"].split("; "))
        asked = demands(sample["license"])
        flags = [line[name] for name in ("attribution", "share_alike", "non_commercial", "no_derivatives")]
        told = [flag in asked.flags for flag in FLAGS.values()]
        assert flags == (["yes" if flag else "no" for flag in told] if asked.known else ["unknown"] * 4)
    _check_summary((out / "ATTRIBUTION.md").read_text(), lines, len(samples))


def _check_summary(summary: str, lines: list[dict[str, str]], samples: int) -> None:
    assert f"{samples:,} samples show {len(lines):,} pictures" in summary
    for short, count in Counter(line["license"] for line in lines).items():
        of = sum(int(line["samples"]) for line in lines if line["license"] == short)
        (row,) = re.findall(rf"\| \[?{re.escape(short)}\b.*\|", summary)
        assert f"| {count:,} | {of:,} |" in row
    for name, what in (("author", "author"), ("license", "license")):
        unknown = sum(line[name] == "unknown" for line in lines)
        assert f"| {what} | {unknown:,} of {len(lines):,} |" in summary


def test_what_licenses_ask_for_stands_in_the_summary(sources: dict[str, str], tmp_path: Path) -> None:
    _export(tmp_path / "out", sources)
    _check_lines(tmp_path / "out")
    summary = (tmp_path / "out/ATTRIBUTION.md").read_text()
    for short, asked in (
        ("CC-BY-SA-2.0", "author, license and changes named, **share-alike**"),
        ("CC-BY-NC-2.0", "author, license and changes named, **non-commercial use only**"),
        ("Pexels", "not sold unaltered, not redistributed as stock photos"),
        ("unknown", "not known: find out before showing or sharing it"),
    ):
        (row,) = [line for line in summary.splitlines() if short in line and line.startswith("|")]
        assert row.endswith(f"| {asked} |")
    for terms in ("FFHQ", "LPFF", "Unsplash", "CC BY-NC-SA 4.0", "non-commercial research"):
        assert terms in summary.partition("## Terms of the data sets")[2]


def test_unknown_is_not_guessed(tmp_path: Path) -> None:
    write_ffhq_eg3d(tmp_path / "ffhq", 2, naming="index")
    _export(tmp_path / "out", {"ffhq": str(tmp_path / "ffhq")})
    lines = _lines(tmp_path / "out")
    assert {(line["author"], line["license"], line["attribution"]) for line in lines} == {("unknown",) * 3}
    assert "| author | 2 of 2 |" in (tmp_path / "out/ATTRIBUTION.md").read_text()
    assert "Where you show or share" not in (tmp_path / "out/ATTRIBUTION.md").read_text()


def test_a_hostile_title_stays_in_its_cell(tmp_path: Path) -> None:
    write_ffhq_eg3d(tmp_path / "ffhq", 1)
    dump(tmp_path / "v2.json", {"0": _titled(v2_record(0), HOSTILE)})
    _export(tmp_path / "out", {"ffhq": str(tmp_path / "ffhq"), "ffhq_metadata": str(tmp_path / "v2.json")})
    (line,) = _lines(tmp_path / "out")
    assert line["title"] == HOSTILE
    (example,) = [row for row in (tmp_path / "out/ATTRIBUTION.md").read_text().splitlines() if row.startswith("> ")]
    assert "<script>" not in example
    assert "\\<script\\>" in example


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n", "\x85", "\u2028"])
def test_an_author_of_two_lines_is_one_row(tmp_path: Path, end: str) -> None:
    write_ffhq_eg3d(tmp_path / "ffhq", 2)
    dump(tmp_path / "v2.json", {"0": _titled(v2_record(0), f"one{end}two"), "1": v2_record(1)})
    _export(tmp_path / "out", {"ffhq": str(tmp_path / "ffhq"), "ffhq_metadata": str(tmp_path / "v2.json")})
    assert [line["title"] for line in _lines(tmp_path / "out")] == [
        f"one{end}two",
        v2_record(1)["metadata"]["photo_title"],
    ]


def test_verify_compares_attribution_in_any_locale(tmp_path: Path) -> None:
    write_ffhq_eg3d(tmp_path / "ffhq", 1)
    dump(tmp_path / "v2.json", {"0": _titled(v2_record(0), "Ein schönes 😀")})
    _export(tmp_path / "out", {"ffhq": str(tmp_path / "ffhq"), "ffhq_metadata": str(tmp_path / "v2.json")})
    ascii = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "lpff_shards", "verify", str(tmp_path / "out")]
    done = subprocess.run(command, env=ascii, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_changes_are_told(sources: dict[str, str], tmp_path: Path) -> None:
    _export(tmp_path / "out", {"lpff": sources["lpff"]}, picture=PictureOptions(image="jpeg", resolution=4))
    for line in _lines(tmp_path / "out"):
        steps = line["changes"].split("; ")
        assert steps[0] == "aligned and cropped as for EG3D"
        assert steps[1] == "resized from 8x8 to 4x4 (Lanczos)"
        assert "mirrored (some of its samples)" in steps
        assert any(step.startswith("re-encoded as JPEG") for step in steps)


def test_merged_changes() -> None:
    assert merged(["a; b", "a; m; b"]) == "a; b; m (some of its samples)"
    assert merged(["", "m"]) == "m (some of its samples)"
    assert merged(["", ""]) == ""
    assert merged(["a"]) == "a"


def test_attribution_is_the_same_however_it_was_made(sources: dict[str, str], tmp_path: Path) -> None:
    names = ("ATTRIBUTION.csv", "ATTRIBUTION.md", "samples.sqlite")
    _export(tmp_path / "a", sources, rebalance="lpff")
    found = {name: (tmp_path / "a" / name).read_bytes() for name in names}
    from lpff_shards import index_export

    for name in names[:2]:
        (tmp_path / "a" / name).write_text("torn")
    assert index_export(tmp_path / "a") == names[:2]
    assert {name: (tmp_path / "a" / name).read_bytes() for name in names} == found
    _export(tmp_path / "b", sources, format="tfrecord", rebalance="lpff")
    assert (tmp_path / "b/ATTRIBUTION.csv").read_bytes() == found["ATTRIBUTION.csv"]


def test_verify_compares_attribution_with_the_ledger(sources: dict[str, str], tmp_path: Path) -> None:
    from lpff_shards import verify_export

    _export(tmp_path / "out", sources)
    path = tmp_path / "out/ATTRIBUTION.csv"
    path.write_text(path.read_text().replace("CC-BY-NC-2.0", "CC0-1.0"))
    (fault,) = verify_export(tmp_path / "out").faults
    assert str(fault) == "ATTRIBUTION.csv: is not what was written; lpff-shards index rewrites it"
