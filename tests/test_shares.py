"""--task I/N: shares of an export, in turn or at once, killed and repeated, make what one export makes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import contents, run, shards

from lpff_shards import (
    ExportOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    ShardsError,
    Share,
    SourceOptions,
    export,
    export_share,
    plan_export,
    verify_export,
)
from lpff_shards.exporters.output_lock import acquire, locked
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.storage.local import LocalFolder

COMMAND = ("export", "--demo", 20, "--no-mirror", "--resolution", 16, "--splits", "train=0.5,val=0.5")
SHARDS = {"wds": ("--shards", 6), "tfrecord": ("--shards", 6), "zip": ()}


def _command(format: str, out: Path, *more: object) -> tuple[object, ...]:
    return (*COMMAND, "--format", format, *SHARDS[format], "--out", out, *more)


@pytest.fixture(scope="module", params=SHARDS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """What one export writes."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert run(*_command(request.param, out)).returncode == 0
    return request.param, contents(out)


@pytest.mark.parametrize("shares", [1, 9])
def test_shares_make_what_one_export_makes(whole: tuple[str, dict[str, bytes]], tmp_path: Path, shares: int) -> None:
    format, expected = whole
    out = tmp_path / "out"
    for number in reversed(range(1, shares + 1)):
        done = run(*_command(format, out, "--task", f"{number}/{shares}"))
        assert done.returncode == 0, done.stderr
        last = number == 1
        assert (out / "manifest.json").exists() == last
        assert ("the last share to be done writes the manifest" in done.stdout) != last
    assert contents(out) == expected


def _start(*args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lpff_shards", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_shares_at_the_same_time_make_what_one_export_makes(
    whole: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    format, expected = whole
    out = tmp_path / "out"
    shares = [_start(*_command(format, out, "--workers", 1, "--task", f"{number}/2")) for number in (1, 2)]
    told = [share.communicate(timeout=120) for share in shares]
    assert [share.returncode for share in shares] == [0, 0], told
    assert any("samples in" in said for said, _ in told)
    assert contents(out) == expected


def test_a_killed_share_is_run_again(whole: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    format, expected = whole
    out = tmp_path / "out"
    share = _start(*_command(format, out, "--workers", 1, "--task", "2/2"))
    while share.poll() is None and not list((out / ".lpff-shards/partial").glob("*")):
        time.sleep(0.002)
    share.send_signal(signal.SIGKILL)
    share.communicate()
    assert run(*_command(format, out, "--task", "1/2")).returncode == 0
    assert not (out / "manifest.json").exists()
    assert run(*_command(format, out, "--task", "2/2")).returncode == 0
    assert contents(out) == expected


def test_a_share_that_is_run_again_mends_what_was_lost(whole: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    format, expected = whole
    if format == "zip":
        pytest.skip("a zip is made anew from all its parts")
    out = tmp_path / "out"
    for number in (1, 2):
        assert run(*_command(format, out, "--task", f"{number}/2")).returncode == 0
    shard = next(
        name for name in expected if name.endswith("000000.tar") or ("-00000-of" in name and "dali" not in name)
    )
    (out / shard).write_bytes(b"")
    statuses = [run(*_command(format, out, "--task", f"{number}/2")).returncode for number in (1, 2)]
    assert statuses == [0, 0]
    assert contents(out) == expected


def test_a_share_that_finds_another_s_shard_lost_takes_the_manifest_away(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in (1, 2):
        assert run(*_command("wds", out, "--task", f"{number}/2")).returncode == 0
    lost = [path.name for path in shards(out)][1]
    (out / lost).unlink()
    # Shards go round: the second is the second share's.
    assert run(*_command("wds", out, "--task", "1/2")).returncode == 0
    assert not (out / "manifest.json").exists()
    assert run(*_command("wds", out, "--task", "2/2")).returncode == 0
    assert verify_export(out).ok


def test_an_export_goes_on_where_shares_stopped(whole: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    format, expected = whole
    out = tmp_path / "out"
    assert run(*_command(format, out, "--task", "1/3")).returncode == 0
    done = run(*_command(format, out))
    assert re.search(r"\d of them finished before", done.stderr)
    assert contents(out) == expected


def test_shares_of_another_plan_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(*_command("wds", out, "--task", "1/2")).returncode == 0
    done = run(*_command("wds", out, "--seed", 5, "--task", "2/2"))
    assert done.returncode == 2
    assert "--seed 0 -> 5" in done.stderr
    assert run(*_command("wds", out, "--seed", 5, "--task", "2/2", "--overwrite")).returncode == 0
    assert run(*_command("wds", out, "--seed", 5, "--task", "1/2")).returncode == 0
    assert verify_export(out).ok


def test_one_export_and_shares_do_not_write_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lpff_shards.storage import local

    out = tmp_path / "out"
    assert export_share(_options(out, Share(1, 2))).manifest is None
    monkeypatch.setattr(local, "LOCK_SECONDS", 0.0)
    with locked(OutputFolder(out)), pytest.raises(ShardsError, match="being written by another export"):
        export_share(_options(out, Share(2, 2)))
    plan = plan_export(_options(out, Share(2, 2)))
    with acquire(OutputFolder(out), plan, overwrite=False, on_note=print, shared=True):
        with pytest.raises(ShardsError, match="being written by another export"):
            export(_options(out, None))
        with acquire(OutputFolder(out), plan, overwrite=False, on_note=print, shared=True):
            pass


def _options(out: Path, task: Share | None = None) -> ExportOptions:
    return ExportOptions(
        format="wds",
        out=str(out),
        sources=SourceOptions(demo=4, mirror=False),
        picture=PictureOptions(resolution=16),
        shards=ShardOptions(shards=2),
        run=RunOptions(workers=1, task=task),
    )


def test_from_python(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = export_share(_options(out, Share(1, 2)))
    assert (first.manifest, first.written, first.shards) == (None, 1, 2)
    last = export_share(_options(out, Share(2, 2)))
    assert last.manifest is not None
    assert last.manifest == export(_options(out, None))
    with pytest.raises(ShardsError, match="export_share"):
        export(_options(out, Share(1, 2)))
    with pytest.raises(ShardsError, match="no share is named"):
        export_share(_options(out, None))


def test_json_tells_whether_the_export_is_finished(tmp_path: Path) -> None:
    told = [json.loads(run(*_command("wds", tmp_path / "out", "--task", f"{n}/2", "--json")).stdout) for n in (1, 2)]
    assert [one["finished"] for one in told] == [False, True]
    assert told[1]["manifest"]["samples"] == 20
    assert told[0]["manifest"] is None


@pytest.mark.parametrize("task", ["0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4", "1/1000000", ""])
def test_what_is_no_share_is_refused(tmp_path: Path, task: str) -> None:
    done = run(*_command("wds", tmp_path / "out", "--task", task))
    assert done.returncode == 2
    assert "is invalid" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("other", ["--dry-run", "--update"])
def test_what_a_share_excludes(tmp_path: Path, other: str) -> None:
    done = run(*_command("wds", tmp_path / "out", "--task", "1/2", other))
    assert done.returncode == 2
    assert f"{other}" in done.stderr
    assert "cannot be used together" in done.stderr


@pytest.mark.parametrize(("count", "of"), [(0, 3), (1, 3), (7, 3), (12, 4), (3, 9)])
def test_shares_are_all_tasks_once_and_alike(count: int, of: int) -> None:
    shares = [list(Share(number, of).tasks(count)) for number in range(1, of + 1)]
    assert sorted(task for share in shares for task in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_partial_files_of_two_machines_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = LocalFolder(Path("x"))
    names = set()
    for machine in ("node1", "node2"):
        monkeypatch.setattr("platform.node", lambda machine=machine: machine)
        names.add(folder.partial("a.tar"))
    assert len(names) == 2
    assert all(str(os.getpid()) in str(name) for name in names)


def test_a_share_whose_shards_are_taken_away_meanwhile_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"

    def wiped(folder: OutputFolder, names: list[str]) -> None:
        """Runs when the share's shards are written: another one takes the folder over."""
        for name in names:
            (out / ".lpff-shards/receipts" / f"{name}.json").unlink()

    monkeypatch.setattr(OutputFolder, "sync", wiped)
    with pytest.raises(ShardsError, match="another task has taken it over"):
        export_share(_options(out, Share(1, 2)))
