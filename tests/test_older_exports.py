"""Exports that older versions wrote: resumed, updated, verified, indexed, traced, reported and loaded by this one.

`tests/golden/exports` holds an export of each kind as its version left it, and the data set that all of them were made
from. They are never made anew: a change that needs it breaks the promise. A rule of digests or a schema that comes
later adds its own, by `LPFF_SHARDS_REGENERATE_GOLDEN=1`, which writes those that are missing.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from dataset_factories import LPFF_IDS, write_lpff, zip_folder
from running import contents, run, run_after
from sealing import edit_sealed

from lpff_shards import trace_export, verify_export
from lpff_shards.loaders import ShardSource
from lpff_shards.manifest import read_manifest
from lpff_shards.planning.plan import DIGEST_RULE
from lpff_shards.schemas.filenames import POSES

EXPORTS = Path(__file__).parent / "golden/exports"
SOURCE = EXPORTS / "LPFF.zip"
IDS = (*LPFF_IDS, *(f"1000{n}@N0{n % 3}_{n * 7919}_01" for n in range(12)))
SPLITS = ("--splits", "train=0.5,val=0.5")
KINDS: dict[str, tuple[str, ...]] = {
    # Nothing in them depends on the version of a library that packs pictures.
    "wds": ("--format", "wds", "--no-mirror", "--shards", "2"),
    "packed": ("--format", "wds", "--image", "raw", "--metadata", "msgpack", "--samples-per-shard", "3", "--seed", "7"),
    "tfrecord": ("--format", "tfrecord", "--image", "raw", "--rebalance", "lpff", "--shards", "3"),
    "zip": ("--format", "zip", "--resolution", "8", "--rebalance", "lpff"),
    "splits": ("--format", "tfrecord", "--no-mirror", *SPLITS, "--shards", "2", "--checksum", "sha256"),
}


def _command(kind: str, source: Path, out: Path) -> tuple[object, ...]:
    return ("export", *KINDS[kind], "--lpff", source, "--out", out, "--workers", 1)


def _kept() -> list[str]:
    return sorted(path.name.removesuffix(".tar.gz") for path in EXPORTS.glob("*.tar.gz"))


def test_golden_exports_are_there() -> None:
    """One of each kind by this version's rule; with `LPFF_SHARDS_REGENERATE_GOLDEN` the missing ones are made."""
    wanted = {kind: EXPORTS / f"rule{DIGEST_RULE}-{kind}.tar.gz" for kind in KINDS}
    if os.environ.get("LPFF_SHARDS_REGENERATE_GOLDEN"):
        EXPORTS.mkdir(exist_ok=True)
        for kind, path in wanted.items():
            if not path.exists():
                _make(kind, path)
    assert all(path.exists() for path in wanted.values())


def _make(kind: str, path: Path) -> None:
    work = path.with_suffix(".new")
    if not SOURCE.exists():
        write_lpff(work, IDS, ["eg3d"])
        zip_folder(work, SOURCE)
        shutil.rmtree(work)
    assert run(*_command(kind, SOURCE, work)).returncode == 0
    # It is the same in all exports, and larger than the rest.
    (work / POSES).unlink()
    with tarfile.open(path, "w:gz") as archive:
        archive.add(work, ".")
    shutil.rmtree(work)


@pytest.fixture(params=_kept())
def older(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The kind of an older export, and a copy of it."""
    out = tmp_path / "out"
    with tarfile.open(EXPORTS / f"{request.param}.tar.gz") as archive:
        archive.extractall(out, filter="data")
    return request.param.partition("-")[2], out


def _files(out: Path) -> dict[str, bytes]:
    """All but prose and what tells the version of this program, of SQLite, or which of both wrote it."""
    found = contents(out)
    versioned = ("manifest.json", "README.md", "ATTRIBUTION.md", "samples.sqlite", POSES)
    return {name: data for name, data in found.items() if name not in versioned}


def test_they_are_whole_and_read(older: tuple[str, Path]) -> None:
    _, out = older
    verdict = verify_export(out, deep=True)
    assert verdict.ok, verdict.faults
    manifest = read_manifest(out)
    (found,) = {sample.fields["source_id"] for sample in trace_export(out, LPFF_IDS[0]).samples}
    assert found == LPFF_IDS[0]
    if manifest.format != "zip":
        assert sum(1 for _ in ShardSource(out, split=None)) == manifest.samples
    done = run("index", out, "--json")
    assert done.returncode == 0, done.stderr
    # Another version of SQLite packs the same rows in another way, and prose gets better.
    assert set(json.loads(done.stdout)["written"]) <= {"samples.sqlite", "ATTRIBUTION.md"}
    assert verify_export(out).ok


def test_a_report_tells_of_them(older: tuple[str, Path], tmp_path: Path) -> None:
    kind, out = older
    if kind != "packed":
        pytest.skip("a report reads the same columns of all, and plots take a second each")
    done = run("report", out, "--out", tmp_path / "report.html")
    assert done.returncode == 0, done.stderr


def test_they_are_converted(older: tuple[str, Path], tmp_path: Path) -> None:
    _, out = older
    done = run("convert", out, "--format", "parquet", "--image", "png", "--out", tmp_path / "parquet", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert verify_export(tmp_path / "parquet", deep=True).samples == read_manifest(out).samples


@pytest.mark.parametrize("moved", [False, True])
def test_the_command_goes_on_in_them(older: tuple[str, Path], tmp_path: Path, moved: bool) -> None:
    """Also when the data set was renamed, or staged on another disk."""
    kind, out = older
    source = shutil.copy(SOURCE, tmp_path / "elsewhere.zip") if moved else SOURCE
    before = _files(out)
    lost = next(out / shard.file for shard in read_manifest(out).shards)
    kept = {path: path.stat().st_ino for path in (out / shard.file for shard in read_manifest(out).shards[1:])}
    lost.unlink()
    done = run(*_command(kind, source, out))
    assert done.returncode == 0, done.stderr
    assert _files(out) == before
    assert {path: path.stat().st_ino for path in kept} == kept
    assert verify_export(out).ok
    if moved:
        assert "elsewhere.zip" in (out / "README.md").read_text()


def test_an_update_takes_out_of_them(older: tuple[str, Path], tmp_path: Path) -> None:
    kind, out = older
    withdrawn = tmp_path / "withdrawn.txt"
    withdrawn.write_text(LPFF_IDS[1])
    done = run(*_command(kind, SOURCE, out), "--exclude", withdrawn, "--update")
    assert done.returncode == 0, done.stderr
    assert verify_export(out).ok
    trace = trace_export(out, LPFF_IDS[1])
    assert not trace.samples and trace.found


NEW_OPTION = (
    "import lpff_shards.api as api\n"
    "recorded = api.recorded\n"
    "api.recorded = lambda options: {**recorded(options), 'new_option': 'its default'}\n"
)


def test_a_new_option_at_its_default_changes_no_digest(older: tuple[str, Path]) -> None:
    kind, out = older
    before = {path: path.stat().st_ino for path in out.iterdir() if path.name != "manifest.json"}
    done = run_after(NEW_OPTION, *_command(kind, SOURCE, out))
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "manifest.json").read_text())["options"]["new_option"] == "its default"
    kept = {path: path.stat().st_ino for path in before if path.exists()}
    changed = {path.name for path in before if kept.get(path) != before[path]}
    assert changed <= {"ATTRIBUTION.md", "README.md", "samples.sqlite"}


def test_what_this_version_does_not_know_is_refused(older: tuple[str, Path]) -> None:
    kind, out = older
    edit_sealed(out / ".lpff-shards/plan.json", lambda plan: plan.update(rule=DIGEST_RULE + 1))
    before = contents(out)
    done = run(*_command(kind, SOURCE, out))
    assert done.returncode == 2
    assert (
        f"holds an export of another version (rule {DIGEST_RULE + 1} of its digest, not {DIGEST_RULE})" in done.stderr
    )
    assert contents(out) == before
