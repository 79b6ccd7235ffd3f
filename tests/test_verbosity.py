"""--quiet, --verbose and --json: what goes to stdout, what to stderr, and what is said."""

from __future__ import annotations

import io
import json
import re
import threading
from pathlib import Path

import pytest
from dataset_factories import LPFF_IDS, write_lpff
from running import Done, call, run

from lpff_shards import api
from lpff_shards.commandline import progress
from lpff_shards.commandline.options import Verbosity
from lpff_shards.commandline.progress import versions
from lpff_shards.errors import EXIT_DAMAGED
from lpff_shards.executors.processes import Progress, ShardDone
from lpff_shards.options.export import ExportOptions, PictureOptions
from lpff_shards.options.sources import SourceOptions
from lpff_shards.planning.plan import Plan

Capsys = pytest.CaptureFixture[str]
Monkeypatch = pytest.MonkeyPatch
DEMO = ("export", "--format", "wds", "--demo", 4, "--resolution", 16, "--shards", 2, "--workers", 1)
SHARD = r"  demo-train-00000{}.tar: 4 samples, [0-9.]+ KB in [0-9.]+ s, [0-9,]+ pictures/s, [0-9.,]+ MB/s\n"
LIBRARIES = re.compile(r"^lpff-shards [0-9.]+, Python [0-9.]+, numpy [0-9.]+, pillow [0-9.]+, .*msgpack [0-9.]+", re.M)


class Command:
    """The command in this process, with the options that every test has."""

    def __init__(self, capsys: Capsys, monkeypatch: Monkeypatch) -> None:
        self._places = capsys, monkeypatch

    def __call__(self, *args: object) -> Done:
        return call(*self._places, *args)


@pytest.fixture
def command(capsys: Capsys, monkeypatch: Monkeypatch) -> Command:
    return Command(capsys, monkeypatch)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("verbosity") / "out"
    assert run(*DEMO, "--out", out).returncode == 0
    return out


def _damaged(shards: Path, tmp_path: Path) -> Path:
    import shutil

    copy = tmp_path / "damaged"
    shutil.copytree(shards, copy)
    with (copy / "demo-train-000001.tar").open("r+b") as file:
        file.seek(700)
        file.write(b"x")
    return copy


def _argv(name: str, shards: Path) -> tuple[object, ...]:
    return {
        "export": (*DEMO, "--out", shards),
        "dry run": (*DEMO, "--out", shards, "--dry-run"),
        "verify": ("verify", shards, "--workers", 1),
        "index": ("index", shards),
        "bench": ("bench", shards, "--loader", "source", "--seconds", 0.02),
    }[name]


NAMES = ("export", "dry run", "verify", "index", "bench")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [(), ("--quiet",), ("--verbose",)])
def test_json_alone_is_on_stdout(name: str, more: tuple[str, ...], shards: Path, command: Command) -> None:
    done = command(*_argv(name, shards), "--json", *more)
    assert done.status == 0
    assert isinstance(json.loads(done.out), dict)
    if more == ("--quiet",):
        assert done.err == ""


@pytest.mark.parametrize("name", NAMES)
def test_quiet_prints_neither_progress_nor_summary(name: str, shards: Path, command: Command) -> None:
    done = command(*_argv(name, shards), "-q")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("demo train: 8 samples") if name == "bench" else done.out == ""


def test_a_quiet_export_writes_all_the_same(tmp_path: Path, command: Command) -> None:
    root = write_lpff(tmp_path / "lpff", LPFF_IDS, ["eg3d"])
    (root / f"crop/eg3d/{LPFF_IDS[0]}.png").write_bytes(b"")
    args = ("export", "--format", "wds", "--lpff", root, "--out", tmp_path / "out", "--workers", 1)
    refused = command(*args, "--quiet")
    assert (refused.status, refused.out) == (2, "")
    assert f"{LPFF_IDS[0]}: the file is empty" in refused.err and refused.err.count("\n") == 1
    done = command(*args, "--quiet", "--on-error", "skip")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert json.loads((tmp_path / "out/manifest.json").read_text())["counts"]["skipped"] == 2


def test_quiet_verify_names_what_is_wrong(shards: Path, tmp_path: Path, command: Command) -> None:
    damaged = _damaged(shards, tmp_path)
    loud = command("verify", damaged)
    done = command("verify", damaged, "-q")
    assert done.status == loud.status == EXIT_DAMAGED
    assert done.err == ""
    assert done.out.startswith("demo-train-000001.tar: ")
    assert done.out == "".join(loud.out.splitlines(keepends=True)[:-1])
    found = command("verify", damaged, "--json")
    assert (found.status, json.loads(found.out)["ok"]) == (EXIT_DAMAGED, False)


@pytest.mark.parametrize("name", NAMES)
def test_quiet_and_verbose_exclude_one_another(name: str, shards: Path, command: Command) -> None:
    done = command(*_argv(name, shards), "-q", "-v")
    assert (done.status, done.out) == (2, "")
    assert done.err == "lpff-shards: --quiet and --verbose cannot be used together. Give one of them\n"


@pytest.mark.parametrize("name", ["export", "verify", "index", "bench"])
def test_errors_with_json_are_a_line_on_stderr(name: str, tmp_path: Path, command: Command) -> None:
    out = "s3://bucket" if name == "export" else tmp_path / "none"
    done = command(*_argv(name, out), "--json")  # type: ignore[arg-type]
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("lpff-shards: ") and done.err.count("\n") == 1


def test_a_verbose_export_tells_of_shards_times_and_versions(tmp_path: Path, command: Command) -> None:
    done = command(*DEMO, "--out", tmp_path / "out", "-v")
    assert LIBRARIES.match(done.err)
    for number in range(2):
        assert re.search(SHARD.format(number), done.err)
    times = r"  planning [0-9.]+ s, checking [0-9.]+ s, writing [0-9.]+ s, finishing [0-9.]+ s\n$"
    assert re.search(times, done.err)
    (tmp_path / "out/demo-train-000000.tar").unlink()
    again = command(*DEMO, "--out", tmp_path / "out", "-v")
    assert re.search(r"  demo-train-000001\.tar: finished before, 4 samples, [0-9.]+ KB\n", again.err)
    assert "000000.tar: finished before" not in again.err
    assert re.search(SHARD.format(0), again.err) and not re.search(SHARD.format(1), again.err)
    assert again.out == done.out == command(*DEMO, "--out", tmp_path / "out").out


def test_a_verbose_zip_tells_of_its_parts_and_of_itself(tmp_path: Path, command: Command) -> None:
    args = ("export", "--format", "zip", "--demo", 2, "--resolution", 16, "--workers", 1, "--out", tmp_path / "out")
    told = command(*args, "-v").err
    assert "  demo-train.zip-000000.part: 4 samples, " in told
    assert "  demo-train.zip: 4 samples, " in told
    assert "  demo-train.zip: finished before, 4 samples, " in command(*args, "-v").err


def test_a_verbose_dry_run_tells_how_long_planning_takes(shards: Path, command: Command) -> None:
    done = command(*_argv("dry run", shards), "-v")
    assert LIBRARIES.match(done.err)
    assert re.search(r"\n  planning [0-9.]+ s\n$", done.err)
    assert done.out == command(*_argv("dry run", shards)).out


@pytest.mark.parametrize("workers", [1, 2])
def test_a_verbose_verify_tells_of_each_shard(shards: Path, tmp_path: Path, command: Command, workers: int) -> None:
    done = command("verify", shards, "--verbose", "--workers", workers)
    assert LIBRARIES.match(done.err)
    assert all(re.search(SHARD.format(number), done.err) for number in range(2))
    assert re.search(r"\n  reading [0-9.]+ s\n$", done.err)
    damaged = command("verify", _damaged(shards, tmp_path), "--verbose", "--workers", workers)
    assert re.search(r"  demo-train-000001\.tar: .* MB/s, 1 fault\n", damaged.err)


def test_a_verbose_index_tells_what_it_read_and_wrote(shards: Path, tmp_path: Path, command: Command) -> None:
    (shards / "demo-train-000001.idx").unlink()
    done = command("index", shards, "-v")
    assert all(re.search(SHARD.format(number), done.err) for number in range(2))
    assert done.err.endswith("  wrote demo-train-000001.idx\n")
    assert done.out == f"{shards}: 1 file written\n"


def test_a_verbose_bench_tells_what_it_counted(shards: Path, command: Command) -> None:
    done = command(*_argv("bench", shards), "--verbose")
    assert "numpy " in done.err.splitlines()[0]
    counted = r"  source: [0-9,]+ pictures/s \([0-9,]+ pictures in [0-9.]+ s, the first batch after [0-9.]+ s\)\n$"
    assert re.search(counted, done.err)
    assert re.fullmatch(r"  source: [0-9,]+ pictures/s\n", command(*_argv("bench", shards)).err)


def test_versions_are_of_what_is_installed() -> None:
    assert re.fullmatch(r"lpff-shards [0-9.]+, Python [0-9.]+, numpy [0-9.]+", versions(("numpy", "no-such-library")))


class Full(io.StringIO):
    """A stream without room."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class FullTerminal(Full, Terminal):
    """A terminal that takes nothing."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    sources, picture = SourceOptions(demo=4), PictureOptions(resolution=16)
    return api.plan_export(ExportOptions(format="wds", out="x", sources=sources, picture=picture))


def test_the_bar_shows_counts_time_and_rate_in_one_thread(plan: Plan, monkeypatch: Monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream, threads = Terminal(), threading.enumerate()
    with progress.observer(stream) as told:
        told.on_plan(plan, 0)
        told.on_progress(Progress(3, 3_000_000))
        told.on_note("odd")
        assert set(threading.enumerate()) <= set(threads), "workers are forked only where no other thread runs"
    assert re.search(r"\r *\rnote: odd\n", stream.getvalue()), "a note stands on a line of its own"
    last = stream.getvalue().rpartition("\r")[2]
    assert re.fullmatch(r" 38%\|.*\| 3/8 \[00:0[0-9]<[0-9:]+, [0-9,]+ pictures/s, [0-9,.]+ MB/s\] *\n", last)


@pytest.mark.parametrize("stream", [Full(), FullTerminal()])
def test_an_export_goes_on_where_its_progress_cannot_be_printed(
    stream: Full, plan: Plan, monkeypatch: Monkeypatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with progress.observer(stream) as told:
        told.on_plan(plan, 0)
        told.on_progress(Progress(8, 2))
        told.on_note("odd")


def test_progress_that_no_one_takes_stops_nothing() -> None:
    for verbosity in Verbosity:
        with progress.observer(Full(), verbosity) as told:
            told.on_progress(Progress(1, 2))
            told.on_shard(ShardDone("x", 1, 2, 0.0))
    stream = io.StringIO()
    with progress.observer(stream, Verbosity.VERBOSE) as told:
        told.on_stage("reading")
        told.on_shard(ShardDone("x", 1, 2, 0.0, faults=2))
    assert ", 2 faults\n" in stream.getvalue()
