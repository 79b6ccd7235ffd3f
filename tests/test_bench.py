"""`lpff-shards bench` counts what loaders read, tells of those that cannot, and survives those that fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from loading import sent
from running import run, wait_for
from sealing import edit_sealed
from stores import Bucket

from lpff_shards import ShardsError, read_manifest
from lpff_shards.commandline.summary import report_text
from lpff_shards.loaders import bench as benching
from lpff_shards.loaders.bench import BenchReport, Reading, Run, bench_export, measure, read_twice
from lpff_shards.loaders.bench.__main__ import last_line
from lpff_shards.loaders.bench.contenders import CONTENDERS, missing, read_epochs
from lpff_shards.options.bench import LOADERS, BenchOptions
from lpff_shards.storage.path import place


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for format in ("wds", "tfrecord"):
        found[format] = tmp_path_factory.mktemp("bench") / format
        command = ("export", "--format", format, "--demo", 6, "--resolution", 16, "--shards", 3, "--image", "raw")
        assert run(*command, "--out", found[format]).returncode == 0
    return found


def _options(path: Path, **given: object) -> BenchOptions:
    return BenchOptions(**{"path": str(path), "seconds": 0.05, "batch_size": 5, **given})  # type: ignore[arg-type]


def test_the_source_is_read_for_as_long_as_asked(folders: dict[str, Path]) -> None:
    report = bench_export(_options(folders["tfrecord"], loader=("source",), mirror=True))
    (found,) = report.runs
    assert (found.loader, found.workers, found.problem) == ("source", None, "")
    assert found.pictures > 0
    assert found.seconds >= 0.05
    assert found.rate == found.pictures / found.seconds
    assert (report.samples, report.format) == (12, "tfrecord")
    assert 0 < report.reading.bytes <= report.bytes


def test_the_plain_reading_goes_through_every_shard_in_the_time_it_needs(folders: dict[str, Path]) -> None:
    paths = sorted(folders["wds"].glob("*.tar"))
    assert len(paths) == 3
    assert read_twice(paths, 60.0).bytes == sum(path.stat().st_size for path in paths)
    assert read_twice(paths, 0.0).bytes == paths[0].stat().st_size


def test_every_loader_is_told_of(folders: dict[str, Path]) -> None:
    told: list[Run] = []
    report = bench_export(_options(folders["wds"], workers=(0,)), told.append)
    assert [found.loader for found in report.runs] == list(LOADERS)
    assert tuple(told) == report.runs
    for found in report.runs:
        expected = missing(found.loader, "wds")
        assert found.problem == expected
        assert (found.pictures > 0) == (not expected)
    assert report.runs[LOADERS.index("tensorflow")].problem == "reads --format tfrecord"


def test_an_epoch_of_the_source_holds_each_sample_once(folders: dict[str, Path]) -> None:
    sizes = read_epochs("source", None, _options(folders["wds"]))
    assert [next(sizes) for _ in range(6)] == [5, 5, 2, 5, 5, 2]


def test_each_loader_that_can_be_named_is_there() -> None:
    assert tuple(CONTENDERS) == LOADERS


def test_no_loader_is_said_to_read_a_zip() -> None:
    told = {loader: missing(loader, "zip") for loader in LOADERS}
    assert told["source"] == told["torch.loader"] == "reads --format wds and tfrecord"
    assert told["webdataset"] == "reads --format wds"


def test_nothing_outlives_a_call(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    child = f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(str(os.getpid())); time.sleep(60)"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    with pytest.raises(subprocess.TimeoutExpired):
        benching._call([sys.executable, "-c", code], 2.0)
    pid = int(told.read_text())
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())


def test_the_status_tells_whether_all_were_measured(folders: dict[str, Path]) -> None:
    words = ("bench", folders["wds"], "--seconds", 0.05, "--loader", "source")
    assert run(*words).returncode == 0
    assert run(*words, "--workers", 3).returncode == 1
    refused = run("bench", folders["wds"], "--loader", "tensorflow")
    assert (refused.returncode, "reads --format tfrecord" in refused.stderr) == (2, True)


def test_an_error_of_a_worker_is_its_last_line() -> None:
    handed_on = "Caught ShardsError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  x\n"
    error = ShardsError(f"{handed_on}lpff_shards.errors.ShardsError: a shard is damaged. See verify")
    assert last_line(error) == "a shard is damaged. See verify"
    assert last_line(ShardsError("one line", "a hint")) == "one line. a hint"


def test_measuring_stops_after_the_batch_in_which_time_runs_out() -> None:
    given = iter([3, 4, 5])
    assert measure(given, 0.0)[0] == 3
    assert measure(iter([3, 4, 5]), 60.0)[0] == 12


def test_a_loader_that_fails_is_told_in_a_line(folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("export", "--format", "wds", "--demo", 2, "--resolution", 16, "--out", out).returncode == 0
    shard = next(out.glob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[512 : 512 + 64] = bytes(64)
    shard.write_bytes(data)
    report = bench_export(_options(out, loader=("source", "webdataset"), workers=(0,)))
    assert all(found.problem for found in report.runs)
    assert "is damaged" in report.runs[0].problem
    assert "Traceback" not in report_text(report)


def test_a_loader_that_hangs_is_given_up(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benching, "PATIENCE", -0.04)
    (found,) = bench_export(_options(folders["wds"], loader=("source",))).runs
    assert "no batch" in found.problem


def test_worker_processes_that_a_loader_lacks_are_told(folders: dict[str, Path]) -> None:
    found = bench_export(_options(folders["wds"], loader=("source",), workers=(0, 2))).runs
    assert [one.problem == "" for one in found] == [True, False]


def test_the_command_prints_a_table_and_json(folders: dict[str, Path]) -> None:
    command = ("bench", folders["wds"], "--loader", "source", "--seconds", 0.05, "--batch-size", 4)
    done = run(*command)
    assert done.returncode == 0
    assert "pictures/s" in done.stdout
    assert "files, as found" in done.stdout
    told = json.loads(run(*command, "--json").stdout)
    assert told["samples"] == 12
    assert told["runs"][0]["pictures_per_second"] > 0


@pytest.mark.parametrize(
    "words", [["--loader", "nix"], ["--workers", "-1"], ["--batch-size", "0"], ["--seconds", "0"], ["--split", "val"],
              ["--workers", "1", "--workers", "1"]]
)  # fmt: skip
def test_bad_options_are_one_line(folders: dict[str, Path], words: list[str]) -> None:
    done = run("bench", folders["wds"], *words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_without_an_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="has no manifest"):
        bench_export(_options(tmp_path))


def test_the_table_is_right() -> None:
    runs = (Run("source", None, 1000, 2.0, 0.5), Run("jax", 2, problem="not installed: grain"))
    report = BenchReport("demo", "wds", "train", 10, 10**6, 32, Reading(10**6, 0.01, 0.001), runs)
    lines = [line.split() for line in report_text(report).splitlines()]
    assert lines[2][-2:] == ["1,000", "100"]
    assert lines[3][-2:] == ["10,000", "1,000"]
    assert lines[4] == ["source", "500", "50", "0.5", "s"]
    assert lines[5][-3:] == ["not", "installed:", "grain"]


def test_a_split_without_samples_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(folders["wds"] / "manifest.json", tmp_path)
    edit_sealed(tmp_path / "manifest.json", lambda manifest: [shard.update(samples=0) for shard in manifest["shards"]])
    with pytest.raises(ShardsError, match="has no samples in split 'train'"):
        bench_export(_options(tmp_path))


def test_a_bucket_is_read_as_its_loaders_read_it(folders: dict[str, Path], s3: Bucket) -> None:
    uri = sent(folders["wds"], s3)
    s3.break_with()
    report = bench_export(BenchOptions(path=uri, batch_size=4, loader=("source",), seconds=0.05))
    assert report.ok
    # How far the plain reading comes in so short a time is the machine's matter.
    assert 0 < report.reading.bytes <= report.bytes
    # Those of the source's process are among them.
    assert s3.counts().methods["GET"] > 2 + report.runs[0].pictures // 4
    shards = [place(uri) / shard.file for shard in read_manifest(uri).shards]
    assert read_twice(shards, 60.0).bytes == report.bytes
    assert "reads no buckets" in missing("webdataset", "wds", in_bucket=True)
    with pytest.raises(ShardsError, match=rf"webdataset cannot read {uri} here: reads no buckets"):
        bench_export(BenchOptions(path=uri, loader=("webdataset",)))
    s3.remove(f"sets/out/{shards[0].name}")
    with pytest.raises(ShardsError, match=r"cannot be read: there is no such object\. Check bucket"):
        bench_export(BenchOptions(path=uri, loader=("source",)))
