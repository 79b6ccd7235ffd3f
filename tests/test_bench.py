"""`lpff-shards bench` counts what loaders read, tells of those that cannot, and survives those that fail."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import msgspec
import pytest
from loading import sent
from running import run, wait_for
from sealing import edit_sealed
from stores import Bucket

from lpff_shards import ShardsError, read_manifest
from lpff_shards.commandline.summary import report_text
from lpff_shards.loaders import bench as benching
from lpff_shards.loaders.bench import (
    BenchReport,
    Reading,
    Run,
    bench_export,
    machine,
    measure,
    read_epochs,
    read_twice,
)
from lpff_shards.loaders.bench.contenders import CONTENDERS, Contender, missing
from lpff_shards.options.bench import DEMANDS, LOADERS, BenchOptions
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


def test_an_epoch_of_the_source_holds_each_sample_once(folders: dict[str, Path]) -> None:
    sizes = read_epochs(Run("source", None), _options(folders["wds"]))
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
    refused = run("bench", folders["tfrecord"], "--loader", "webdataset")
    assert (refused.returncode, "reads --format wds" in refused.stderr) == (2, True)


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
    told = json.loads(run(*command, "--json", "--step-ms", 2).stdout)
    assert (told["samples"], told["demanded_pictures_per_second"]) == (12, 2000)
    (found,) = told["runs"]
    assert found["pictures_per_second"] > 0
    assert 0 < found["utilization_percent"] <= 100
    assert found["memory_bytes"] > 10**6
    assert found["cpu_seconds_per_1000_pictures"] >= 0


@pytest.mark.parametrize(
    "words", [["--loader", "nix"], ["--workers", "-1"], ["--batch-size", "0"], ["--seconds", "0"], ["--split", "val"],
              ["--workers", "1", "--workers", "1"], ["--step-ms", "0.5"], ["--demand", "bert"], ["--memory", "0"],
              ["--demand", "resnet50-h100", "--step-ms", "5"]]
)  # fmt: skip
def test_bad_options_are_one_line(folders: dict[str, Path], words: list[str]) -> None:
    done = run("bench", folders["wds"], *words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_without_an_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardsError, match="has no manifest"):
        bench_export(_options(tmp_path))


def test_the_table_is_right() -> None:
    measured = Run("source", None, 1000, 2.0, 0.5, cpu_seconds_per_1000_pictures=1.25, memory_bytes=10**8)
    runs = (measured, Run("jax", 2, problem="not installed: grain"))
    report = BenchReport("demo", "wds", "train", 10, 10**6, 32, Reading(10**6, 0.01, 0.001), runs)
    assert click.unstyle(report_text(report)).splitlines() == [
        "demo train: 10 samples of 100.0 KB (wds), batches of 32",
        "                            pictures/s     MB/s  first batch  CPU s/1,000    memory",
        "files, as found                  1,000      100",
        "files, once more                10,000    1,000",
        "source                             500       50        0.5 s         1.25  100.0 MB",
        "jax, 2 workers              not installed: grain",
    ]


def test_the_table_has_utilization_and_the_kind_of_each_run() -> None:
    kinds: list[dict[str, object]] = [{}, {"cold": True}, {"device": "cuda", "pinned": True}]
    runs = tuple(Run("torch.loader", 4, 1000, 2.0, 0.5, utilization_percent=99.5, **kind) for kind in kinds)  # type: ignore[arg-type]
    report = BenchReport("demo", "wds", "train", 10, 10**6, 32, Reading(10**6, 0.01, 0.001), runs, 502.5)
    lines = click.unstyle(report_text(report)).splitlines()
    assert lines[0].endswith("batches of 32; 502 pictures/s are 100 % utilization")
    assert lines[1].endswith("memory  utilization")
    assert lines[2].startswith("files, cold ")
    titles = ["torch.loader, 4 workers", "torch.loader, 4 workers, cold", "torch.loader, 4 workers, cuda, pinned"]
    assert [line.partition("  ")[0] for line in lines[4:]] == titles
    assert all(line.endswith("     100 %") for line in lines[4:])


class Clock:
    """A clock that only sleeping advances, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _measured(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], wait: float, options: BenchOptions
) -> Run:
    """The run of a loader whose batches of `options.batch_size` each take `wait` seconds."""
    clock = Clock()

    def batches(_: int) -> Iterator[dict[str, range]]:
        clock.sleep(wait)
        yield {"index": range(options.batch_size)}

    monkeypatch.setattr(benching, "time", clock)
    monkeypatch.setitem(CONTENDERS, "source", Contender(lambda *_: batches))
    monkeypatch.setattr(sys, "argv", ["bench", msgspec.json.encode((Run("source", None), options, "")).decode()])
    benching.main()
    return msgspec.json.decode(capsysbinary.readouterr().out, type=Run)


@pytest.mark.parametrize(
    ("batch_size", "step_ms", "wait", "percent"),
    [(32, 250, 0.0, 100), (32, 250, 0.25, 50), (32, 125, 0.375, 25), (8, 1000, 0.25, 80)],
)
def test_utilization_is_computation_over_running_time(
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    batch_size: int,
    step_ms: float,
    wait: float,
    percent: float,
) -> None:
    options = BenchOptions(path="x", batch_size=batch_size, step_ms=step_ms, seconds=10.0)
    run = _measured(monkeypatch, capsysbinary, wait, options)
    # MLPerf Storage: records / accelerators / batch size * computation time, over the running time.
    compute = run.pictures / 1 / batch_size * step_ms / 1000
    assert run.utilization_percent == pytest.approx(percent) == 100 * compute / run.seconds
    assert run.start == wait


def test_a_demand_is_a_rate_whatever_the_batch_size(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    rates = {name: 1 / BenchOptions(path="x", demand=name).picture_seconds for name in DEMANDS}
    assert {name: round(rate, 1) for name, rate in rates.items()} == {
        "retinanet-b200": 504.7,
        "resnet50-h100": 1785.7,
        "resnet50-a100": 919.5,
    }
    for batch_size in (1, 24, 400):
        options = BenchOptions(path="x", batch_size=batch_size, demand="retinanet-b200")
        run = _measured(monkeypatch, capsysbinary, batch_size / 504.73, options)
        assert run.utilization_percent == pytest.approx(50, abs=0.01)


def test_without_a_step_there_is_no_utilization(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    run = _measured(monkeypatch, capsysbinary, 0.5, BenchOptions(path="x", batch_size=4))
    assert (run.utilization_percent, run.rate) == (None, 8.0)


def test_usage_is_that_of_all_processes_of_a_session(tmp_path: Path) -> None:
    work = tmp_path / "work.py"
    # Each of two children uses a tenth of a second of CPU and 40 MB of memory; the first has ended by then.
    work.write_text(
        "import sys, time\nheld = b'x' * 40_000_000\nwhile time.process_time() < 0.1: pass\n"
        "print('ready', flush=True)\nif sys.argv[1:]: time.sleep(60)\n"
    )
    code = (
        "import subprocess, sys, time\n"
        "from lpff_shards.loaders.bench.machine import session_usage\n"
        "before = session_usage()\n"
        f"command = [sys.executable, {str(work)!r}]\n"
        "subprocess.run(command, stdout=subprocess.DEVNULL)\n"
        "child = subprocess.Popen([*command, 'stay'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "after = session_usage()\n"
        "child.kill()\n"
        "print(after[0] - before[0], after[2] - before[2])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, start_new_session=True
    )
    cpu, memory = map(float, done.stdout.split())
    assert cpu >= 0.18
    assert 40e6 < memory < 80e6


def _disk_reads(path: Path) -> int:
    """Bytes that came from storage while a file was read."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
    path.read_bytes()
    return 512 * (resource.getrusage(resource.RUSAGE_SELF).ru_inblock - before)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A folder of a file system whose pages can be dropped."""
    probe = tmp_path / "probe"
    probe.write_bytes(bytes(1 << 20))
    machine.drop_page_cache([probe])
    if not _disk_reads(probe):
        pytest.skip("the file system of temporary files keeps them in memory, or counts no reads")
    probe.unlink()
    return tmp_path


def test_dropped_files_are_read_from_the_disk(disk: Path) -> None:
    path = disk / "file"
    path.write_bytes(bytes(4 << 20))
    assert _disk_reads(path) == 0
    machine.drop_page_cache([path, disk / "missing"])
    assert _disk_reads(path) >= 4 << 20
    assert _disk_reads(path) == 0


def test_cold_runs_come_after_the_warm_ones(folders: dict[str, Path], disk: Path) -> None:
    shutil.copytree(folders["wds"], disk / "out")
    report = bench_export(_options(disk / "out", loader=("source",), workers=(0,), cold=True))
    assert [(run.cold, run.problem) for run in report.runs] == [(False, ""), (True, "")]
    assert report.ok


def test_files_in_memory_are_never_called_cold(folders: dict[str, Path]) -> None:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        shutil.copytree(folders["wds"], Path(memory) / "out")
        with pytest.raises(ShardsError, match=r"the system reports no disk reads of /dev/shm/.*/out\. Leave them out"):
            bench_export(_options(Path(memory) / "out", loader=("source",), cold=True))


def test_a_loader_has_the_memory_that_is_given(folders: dict[str, Path], disk: Path) -> None:
    shutil.copytree(folders["wds"], disk / "out")
    try:
        with machine.memory_group(10**8) as group:
            assert group.is_dir()
    except ShardsError as error:
        pytest.skip(str(error))
    assert not group.exists()
    (enough,) = bench_export(_options(disk / "out", loader=("source",), memory=10**9)).runs
    assert (enough.cold, enough.problem) == (True, "")
    (little,) = bench_export(_options(disk / "out", loader=("source",), memory=10**6)).runs
    assert little.problem == "killed: it needs more than --memory"
    assert not group.exists()


def test_a_memory_limit_without_a_control_group_is_refused(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "control_groups", lambda _: [tmp_path])
    with pytest.raises(
        ShardsError, match=r"none can be made here\. Run as root, or `systemd-run .* MemoryMax=1000000 "
    ):
        bench_export(_options(folders["wds"], memory=10**6))
    # Not a file of a control group was written to a plain folder.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pinned", [False, True])
def test_a_picture_counts_when_it_is_on_the_device(monkeypatch: pytest.MonkeyPatch, pinned: bool) -> None:
    done: list[object] = []

    class Image:
        def to(self, device: str, non_blocking: bool) -> None:
            done.append(f"to {device}")

    def opened(_: BenchOptions, workers: int | None, pin_memory: bool) -> Callable[[int], object]:
        done.append((workers, pin_memory))
        return lambda epoch: [{"index": range(3), "image": Image()}]

    monkeypatch.setitem(CONTENDERS, "torch.loader", Contender(opened))  # type: ignore[arg-type]
    monkeypatch.setitem(
        sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(synchronize=lambda: done.append("complete")))
    )
    sizes = read_epochs(Run("torch.loader", 2, device="cuda", pinned=pinned), BenchOptions(path="x"))
    assert [next(sizes), next(sizes)] == [3, 3]
    assert done == [(2, pinned), *["to cuda", "complete"] * 2]


def test_a_gpu_adds_two_runs(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def apart(run: Run, options: BenchOptions, group: str) -> Run:
        asked.append((run.loader, run.workers, run.device, run.pinned))
        return msgspec.structs.replace(
            run, pictures=1, seconds=1.0, gpu=run.loader == "torch.loader" and not run.device
        )

    monkeypatch.setattr(benching, "missing", lambda *_: "")
    monkeypatch.setattr(benching, "_apart", apart)
    assert bench_export(_options(folders["wds"], loader=("source", "torch.loader"), workers=(1,))).ok
    gpu = [("torch.loader", 1, "cuda", pinned) for pinned in (False, True)]
    assert asked == [("source", 1, "", False), ("torch.loader", 1, "", False), *gpu]


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
    with pytest.raises(ShardsError, match="--cold and --memory need files on a disk"):
        bench_export(BenchOptions(path=uri, loader=("source",), seconds=0.05, cold=True))
    s3.remove(f"sets/out/{shards[0].name}")
    with pytest.raises(ShardsError, match=r"cannot be read: there is no such object\. Check bucket"):
        bench_export(BenchOptions(path=uri, loader=("source",)))
