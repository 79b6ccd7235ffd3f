"""An export from beginning to end: the same bytes always, going on after a stop, whose folder it is."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import call, children, contents, run, run_after, shards, wait_for

DEMO = ("--demo", 8, "--samples-per-shard", 3)


def _export(out: Path, *more: object, format: str = "wds") -> subprocess.CompletedProcess[str]:
    return run("export", "--format", format, *DEMO, "--out", out, *more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export that was never interrupted, on one worker."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = _export(out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("format", ["wds", "tfrecord"])
def test_same_bytes_for_any_workers(tmp_path: Path, format: str) -> None:
    folders = []
    for workers in (1, 2):
        folders.append(tmp_path / str(workers))
        assert _export(folders[-1], "--workers", workers, format=format).returncode == 0
    assert contents(folders[0]) == contents(folders[1])
    assert len(shards(folders[0])) == 6


def test_same_bytes_in_another_folder_and_hash_seed(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.chdir(tmp_path)
    assert _export(Path("here")).returncode == 0
    assert contents(tmp_path / "here") == contents(whole)


def test_same_bytes_from_the_function_in_a_threaded_process(whole: Path, tmp_path: Path) -> None:
    from threading import Event, Thread

    from lpff_shards import ExportOptions, RunOptions, ShardOptions, SourceOptions, export

    done = Event()
    other = Thread(target=done.wait)
    other.start()
    try:
        # A second thread makes forking unsafe, so the workers start afresh.
        export(
            ExportOptions(
                format="wds",
                out=str(tmp_path / "out"),
                sources=SourceOptions(demo=8),
                shards=ShardOptions(samples_per_shard=3),
                run=RunOptions(workers=2),
            )
        )
    finally:
        done.set()
        other.join()
    assert contents(tmp_path / "out") == contents(whole)


def _break(out: Path, how: str) -> None:
    shard = out / "demo-train-000002.tar"
    receipt = out / ".lpff-shards/receipts/demo-train-000002.tar.json"
    if how == "no manifest":
        (out / "manifest.json").unlink()
    elif how == "no receipt":
        receipt.unlink()
    elif how == "torn receipt":
        receipt.write_bytes(receipt.read_bytes()[:100])
    elif how == "receipt of another plan":
        receipt.write_text(receipt.read_text().replace('"plan": "', '"plan": "0'))
    elif how == "no shard":
        shard.unlink()
    elif how == "truncated":
        os.truncate(shard, 5000)
    elif how == "zeroed":
        shard.write_bytes(bytes(shard.stat().st_size))
    elif how == "half-written":
        (out / ".lpff-shards/partial").mkdir(exist_ok=True)
        (out / ".lpff-shards/partial/demo-train-000002.tar").write_bytes(shard.read_bytes()[:5000])
        shard.unlink()
    else:
        raise AssertionError(how)


BREAKS = ["no manifest", "no receipt", "torn receipt", "receipt of another plan", "no shard", "truncated", "zeroed"]


@pytest.mark.parametrize("how", [*BREAKS, "half-written"])
def test_goes_on_where_it_was_stopped(whole: Path, tmp_path: Path, how: str) -> None:
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", whole, out], check=True)
    _break(out, how)
    (out / "manifest.json").unlink(missing_ok=True)
    kept = (out / "demo-train-000000.tar").stat().st_ino
    done = _export(out)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(whole)
    assert (out / "demo-train-000000.tar").stat().st_ino == kept
    assert f"{6 if how == 'no manifest' else 5} of them finished before" in done.stderr


@pytest.mark.parametrize(("sent", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_a_signal_stops_cleanly(tmp_path: Path, sent: signal.Signals, workers: int) -> None:
    out = tmp_path / "out"
    command = ["export", "--format", "wds", "--demo", "40", "--shards", "40", "--workers", str(workers)]
    process = subprocess.Popen(
        [sys.executable, "-m", "lpff_shards", *command, "--out", str(out)], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: list(out.glob("*.tar")))
    process.send_signal(sent)
    # Impatience, or a supervisor that tells every process of a group, changes nothing.
    for again in (sent, signal.SIGTERM, sent):
        time.sleep(0.01)
        process.send_signal(again)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run the same command again to go on" in err
    assert "Traceback" not in err
    assert not (out / "manifest.json").exists()
    assert not list((out / ".lpff-shards/partial").iterdir())
    # A shard that was renamed just before the signal may still lack its receipt, and is then written again.
    receipts = (out / ".lpff-shards/receipts").glob("*.json")
    before = {path.stem: (out / path.stem).stat().st_ino for path in receipts}
    done = run(*command, "--out", out)
    assert done.returncode == 0, done.stderr
    assert {name: (out / name).stat().st_ino for name in before} == before
    assert run("verify", out).returncode == 0


KILLED = ("export", "--format", "tfrecord", "--demo", "40", "--shards", "16", "--workers", "2")


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("never") / "out"
    assert run(*KILLED, "--out", out).returncode == 0
    return out


@pytest.mark.parametrize("victim", ["busy worker", "idle worker", "parent"])
def test_a_killed_process_leaves_nothing_half(never_killed: Path, tmp_path: Path, victim: str) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "lpff_shards", *KILLED, "--out", str(out)], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: out.is_dir() and len(children(process.pid)) == 2)
    workers = children(process.pid)
    wait_for(lambda: list(out.glob("*.tfrecord-*")))
    if victim == "busy worker":
        os.kill(workers[0], signal.SIGSTOP)
    else:
        # Without their parent the workers finish what they have and wait.
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.5)
    os.kill(process.pid if victim == "parent" else workers[0], signal.SIGKILL)
    os.kill(process.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if victim == "parent" else 1)
    assert victim == "parent" or ("was killed" in err and "Traceback" not in err)
    wait_for(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in workers))
    assert not (out / "manifest.json").exists()
    assert run(*KILLED, "--out", out).returncode == 0
    assert contents(out) == contents(never_killed)


def test_another_plan_s_folder_is_refused(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", whole, out], check=True)
    before = contents(out)
    refused = _export(out, "--image", "raw")
    assert refused.returncode == 2
    assert "--image keep -> raw" in refused.stderr
    assert contents(out) == before
    assert _export(out, "--image", "raw", "--shard-size", "1MB").returncode == 2
    replaced = run("export", "--format", "tfrecord", "--demo", "2", "--out", out, "--overwrite")
    assert replaced.returncode == 0
    assert not list(out.glob("*.tar"))
    assert run("verify", out).returncode == 0


def test_changed_sources_are_another_plan(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("export", "--format", "wds", "--demo", 2, "--name", "x", "--out", out).returncode == 0
    refused = run("export", "--format", "wds", "--demo", 3, "--name", "x", "--out", out)
    assert refused.returncode == 2
    assert "--demo 2 -> 3" in refused.stderr


@pytest.mark.parametrize("name", ["README.md", "poses.png", "manifest.json", "demo-train-000001.tar"])
def test_a_stranger_s_file_is_not_overwritten(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    refused = _export(out)
    assert refused.returncode == 2
    assert name in refused.stderr
    assert contents(out) == {name: b"mine"}
    assert not (out / ".lpff-shards").exists()


def test_unrelated_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert _export(tmp_path).returncode == 0
    assert _export(tmp_path, "--overwrite", "--image", "raw").returncode == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_second_export_at_the_same_time_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "out/.lpff-shards"
    state.mkdir(parents=True)
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        soon = "import lpff_shards.storage.local as local\nlocal.LOCK_SECONDS = 0.2"
        refused = run_after(soon, "export", "--format", "wds", *DEMO, "--out", tmp_path / "out")
    assert refused.returncode == 2
    assert "is being written by another export" in refused.stderr
    assert _export(tmp_path / "out").returncode == 0


def test_a_finished_export_is_left_as_it_is(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    subprocess.run(["cp", "-r", whole, out], check=True)
    inodes = {path.name: path.stat().st_ino for path in out.glob("*.tar")}
    done = _export(out)
    assert done.returncode == 0
    assert "6 of them finished before" in done.stderr
    assert {path.name: path.stat().st_ino for path in out.glob("*.tar")} == inodes
    assert contents(out) == contents(whole)


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    prelude = (
        "import resource, signal\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    )
    done = run_after(prelude, "export", "--format", "wds", "--demo", 8, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "demo-train-000000.tar cannot be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*.tar"))
    assert run("export", "--format", "wds", "--demo", 8, "--out", tmp_path / "out").returncode == 0


def test_sha256sums_pass_sha256sum(tmp_path: Path) -> None:
    assert _export(tmp_path / "out", "--checksum", "sha256").returncode == 0
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "out", capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0
    assert checked.stdout.count(": OK") == 6


def test_verbose_words_on_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = call(capsys, monkeypatch, "export", "--format", "wds", *DEMO, "--out", tmp_path / "out", "--workers", 1)
    assert done.status == 0
    assert "demo: 16 samples, 6 shards" in done.err
    assert "pictures/s" in done.err
    assert done.out.startswith("demo: 16 samples in 6 shards")


def test_a_signal_that_python_cannot_raise_is_delivered_again(tmp_path: Path) -> None:
    prelude = "import lpff_shards.cli as cli\nreal = cli.cli.main\n" + (
        "def main(**given):\n"
        "    import os, signal, time, weakref\n"
        "    thing = type('Thing', (), {})()\n"
        "    kept = weakref.ref(thing, lambda _: [os.kill(os.getpid(), signal.SIGTERM), sum(range(1000))])\n"
        "    del thing\n"
        "    time.sleep(5)\n"
        "    real(**given)\n"
        "cli.cli.main = main"
    )
    done = run_after(prelude, "export", "--format", "wds", "--demo", 2, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (130, "lpff-shards: stopped\n")
    assert not (tmp_path / "out").exists()


def test_a_signal_amid_a_dataclass_is_status_130(tmp_path: Path) -> None:
    """Of a KeyboardInterrupt that passes an exec Python dies by SIGINT at its end."""
    prelude = "import lpff_shards.cli as cli\n" + (
        "def main(**_):\n"
        "    exec('import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)')\n"
        "cli.cli.main = main"
    )
    code = f"{prelude}\nimport sys\nsys.argv = ['lpff-shards', 'verify', 'x']\ncli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "lpff-shards: stopped\n")
