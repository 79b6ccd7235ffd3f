"""Killed, stopped, starved of disk, unplugged: nothing half stands under a final name, and the bytes come out alike."""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import running
from dataset_factories import picture, write, write_lpff
from forks import Forks
from running import ENDURANCE, changed, children, contents, run_after, shards, wait_for

FORMATS = ("wds", "tfrecord", "parquet", "arrayrecord")
"""ArrayRecord files are written twice, and none is small, so it is not among those that fill a disk."""
SHARDS = 16
KILLS = 40 if ENDURANCE else 4
STOPS = 10 if ENDURANCE else 2
PAGE = 4096
STATE = ".lpff-shards"


def _ids(count: int) -> list[str]:
    return [f"{n}@N01_{500 + n}_01" for n in range(count)]


def _command(lpff: Path, format: str, out: Path, *more: object) -> tuple[object, ...]:
    return changed(("export", "--format", format, "--lpff", lpff, "--workers", 2, "--out", out), *more)


@dataclass(frozen=True)
class Job:
    """One command, and what it leaves behind when nobody interrupts it."""

    format: str
    lpff: Path
    out: Path
    whole: dict[str, bytes]

    @property
    def command(self) -> tuple[object, ...]:
        return _command(self.lpff, self.format, self.out, "--shards", SHARDS)

    @property
    def finished(self) -> bool:
        return (self.out / "manifest.json").exists()

    def written(self) -> list[Path]:
        """Shards and receipts: what nobody but an export with the lock removes."""
        return [*shards(self.out), *(self.out / STATE / "receipts").glob("*.json")]

    def check(self) -> None:
        """Each shard and receipt is whole or absent, and the manifest is there only when nothing is missing."""
        if self.finished:
            assert contents(self.out) == self.whole
        assert all(path.read_bytes() == self.whole[str(path.relative_to(self.out))] for path in self.written())


@pytest.fixture(scope="module")
def lpff(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 samples, half of them mirrored by us, so that a shard takes a moment."""
    return write_lpff(tmp_path_factory.mktemp("source") / "lpff", _ids(32), ["eg3d"], size=32)


@pytest.fixture(scope="module", params=FORMATS)
def undisturbed(
    request: pytest.FixtureRequest, lpff: Path, forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> Job:
    out = tmp_path_factory.mktemp(request.param) / "out"
    done = forks.run(*_command(lpff, request.param, out, "--shards", SHARDS, "--workers", 1))
    assert done.returncode == 0, done.stderr
    return Job(request.param, lpff, out, contents(out))


@pytest.fixture
def job(undisturbed: Job, tmp_path: Path) -> Job:
    """The same command with a folder of its own."""
    return Job(undisturbed.format, undisturbed.lpff, tmp_path / "out", undisturbed.whole)


@pytest.fixture(scope="module")
def forks() -> Forks:
    """Quick starts, so that what is killed does its work and not its imports."""
    return running.forks()


def _ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _wait_until_it_writes(job: Job, pid: int, count: int) -> None:
    """Waits until a run has given birth to its workers, and has written some shards."""
    wait_for(lambda: len(children(pid)) == 2 or _ended(pid))
    names = _inodes(job.out)
    wait_for(lambda: _ended(pid) or len(set(_inodes(job.out).items()) - set(names.items())) >= count)


def _inodes(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_ino for path in shards(out)}


def _lose_some(job: Job, draw: random.Random) -> int:
    """Removes about half of what there is, so that the next run has something to write; returns what is missing."""
    for path in job.written():
        if draw.random() < 0.35:
            path.unlink()
    kept = [path for path in shards(job.out) if (job.out / STATE / "receipts" / f"{path.name}.json").exists()]
    return SHARDS - len(kept)


def _kill(pid: int, victim: str, draw: random.Random) -> None:
    workers = children(pid)
    if victim == "parent":
        os.kill(pid, signal.SIGKILL)
    elif workers:
        os.kill(draw.choice(workers), signal.SIGKILL)


def test_kills_at_any_moment_leave_nothing_half_and_change_no_byte(job: Job, forks: Forks) -> None:
    draw = random.Random(f"kills {job.format}")
    missing, kills = SHARDS, 0
    for turn in itertools.count():
        assert turn < 2 * KILLS, "most kills come too late to tell anything"
        victim = ("parent", "worker")[turn % 2]
        pid = forks.start(*job.command)
        _wait_until_it_writes(job, pid, draw.randrange(max(1, missing - 1)))
        time.sleep(draw.uniform(0, 0.004))
        _kill(pid, victim, draw)
        done = forks.end()
        assert done.returncode in ((-signal.SIGKILL, 0) if victim == "parent" else (1, 0)), done.stderr
        assert "Traceback" not in done.stderr
        assert victim == "parent" or done.returncode == 0 or "was killed (exit status -9)" in done.stderr
        job.check()
        kills += done.returncode != 0
        if kills == KILLS:
            break
        missing = _lose_some(job, draw)
    done = forks.run(*job.command)
    assert done.returncode == 0, done.stderr
    assert contents(job.out) == job.whole


def test_stops_leave_no_partial_file_and_change_no_byte(job: Job, forks: Forks) -> None:
    draw = random.Random(f"stops {job.format}")
    missing = SHARDS
    for _ in range(STOPS):
        pid = forks.start(*job.command)
        # In the first half of the work, so that each one comes in time.
        _wait_until_it_writes(job, pid, draw.randrange(missing // 2))
        time.sleep(draw.uniform(0, 0.002))
        os.kill(pid, signal.SIGTERM)
        done = forks.end()
        assert done.returncode == 130, done.stderr
        assert done.stderr.endswith("Finished shards are kept: run the same command again to go on\n")
        assert "Traceback" not in done.stderr
        assert not list((job.out / STATE / "partial").iterdir())
        assert not job.finished
        job.check()
        missing = _lose_some(job, draw)
    assert forks.run(*job.command).returncode == 0
    assert contents(job.out) == job.whole


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def _punch(path: Path) -> None:
    """A page that never reached the disk."""
    at = path.stat().st_size // 2 // PAGE * PAGE
    with path.open("r+b") as file:
        file.seek(at)
        assert any(file.read(PAGE)), "zeros would not show"
        file.seek(at)
        file.write(bytes(PAGE))


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 0x10
    path.unlink()
    path.write_bytes(data)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


DAMAGES = (_truncate, _punch, _flip, _empty)


@pytest.mark.parametrize("manifest", [True, False])
def test_what_a_pulled_plug_spoilt_is_written_again_and_nothing_else(
    job: Job, undisturbed: Job, forks: Forks, manifest: bool
) -> None:
    shutil.copytree(undisturbed.out, job.out)
    if not manifest:
        (job.out / "manifest.json").unlink()
    written = shards(job.out)
    spoilt = random.Random(f"plug {manifest}").sample(written, 2 * len(DAMAGES))
    for path, damage in zip(spoilt, itertools.cycle(DAMAGES), strict=False):
        before = path.stat()
        damage(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    inodes = _inodes(job.out)
    done = forks.run(*job.command)
    assert done.returncode == 0, done.stderr
    assert f"{SHARDS - len(spoilt)} of them finished before" in done.stderr
    assert {path for path, inode in _inodes(job.out).items() if inode != inodes[path]} == set(spoilt)
    assert contents(job.out) == job.whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 1 MB, of whole pages."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    mounted = _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", disk)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def _mount(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *map(str, args)], capture_output=True, text=True, check=False)


def _remount(disk: Path, options: str) -> None:
    done = _mount("-o", f"remount,{options}", disk)
    assert done.returncode == 0, done.stderr


def _one_error(status: int, err: str, says: str) -> None:
    errors = [line for line in err.splitlines() if line.startswith("lpff-shards: ")]
    assert status == 1, err
    assert errors == err.splitlines()[-1:]
    assert says in errors[0]
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def bulky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.8 MB of pictures, more than the small disk takes."""
    return write_lpff(tmp_path_factory.mktemp("bulky") / "lpff", _ids(24), ["eg3d"], size=160)


BLIND = "import lpff_shards.api as api\napi.refuse_full = lambda *_: None\n"
"""Others fill the disk while an export runs, so that what it saw before is no help."""


@pytest.mark.parametrize("format", FORMATS[:3])
def test_a_disk_that_is_really_full_is_one_error_and_more_room_is_enough(
    bulky: Path, small_disk: Path, forks: Forks, tmp_path: Path, format: str
) -> None:
    more = ("--no-mirror", "--shards", 8)
    assert forks.run(*_command(bulky, format, tmp_path / "whole", *more)).returncode == 0
    whole = contents(tmp_path / "whole")
    pages = sum(-(-len(data) // PAGE) for data in whole.values())
    job = Job(format, bulky, small_disk / "out", whole)
    command = _command(bulky, format, job.out, *more)
    # A disk too small for the plan, for the shards, and for the last page of the last file.
    _remount(small_disk, f"size={2**20}")
    done = forks.run(*command)
    _one_error(done.returncode, done.stderr, "has room for 1.0 MB")
    assert not job.out.exists()
    for size in (PAGE, 2**20, (pages - 1) * PAGE):
        _remount(small_disk, f"size={size}")
        done = forks.run(*command, prelude=BLIND)
        _one_error(done.returncode, done.stderr, "No space left on device")
        assert not job.finished
        assert not list(job.out.glob(f"{STATE}/partial/lpff-train*"))
        job.check()
    _remount(small_disk, f"size={(pages + 64) * PAGE}")
    done = forks.run(*command)
    assert done.returncode == 0, done.stderr
    # Nearly all, since two files that grow at once may need the last page's room before it is the last.
    finished = re.search(r"(\d) of them finished before", done.stderr)
    assert finished is not None
    assert int(finished[1]) >= 6
    assert contents(job.out) == whole


def test_a_disk_that_turned_read_only_is_one_error_and_can_still_be_verified(
    bulky: Path, small_disk: Path, forks: Forks
) -> None:
    _remount(small_disk, "size=16m")
    assert forks.run(*_command(bulky, "wds", small_disk / "done")).returncode == 0
    shutil.copytree(small_disk / "done", small_disk / "started")
    (small_disk / "started/manifest.json").unlink()
    (small_disk / "started/lpff-train-000000.tar").unlink()
    before = contents(small_disk)
    _remount(small_disk, "ro")
    for out in ("started", "fresh"):
        done = forks.run(*_command(bulky, "wds", small_disk / out))
        _one_error(done.returncode, done.stderr, "Read-only file system")
    assert forks.run("verify", small_disk / "done").returncode == 0
    assert contents(small_disk) == before
    _remount(small_disk, "rw")
    assert forks.run(*_command(bulky, "wds", small_disk / "started")).returncode == 0
    assert contents(small_disk / "started") == contents(small_disk / "done")


# Sizes of the pictures, a shard each: the last two are beyond what may be written.
GROWING = (8, 8, 16, 24, 128, 160)
LIMIT = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))"


@pytest.mark.parametrize("format", FORMATS[:3])
def test_shards_before_the_one_that_is_too_large_for_the_disk_are_kept(
    forks: Forks, tmp_path: Path, format: str
) -> None:
    ids = _ids(len(GROWING))
    root = write_lpff(tmp_path / "lpff", ids, ["eg3d"])
    for id, size in zip(ids, GROWING, strict=True):
        write(root / f"crop/eg3d/{id}.png", picture(id, size))
    more = ("--no-mirror", "--no-shuffle", "--samples-per-shard", 1, "--workers", 1)
    assert forks.run(*_command(root, format, tmp_path / "whole", *more)).returncode == 0
    job = Job(format, root, tmp_path / "out", contents(tmp_path / "whole"))
    done = run_after(LIMIT, *_command(root, format, job.out, *more))
    _one_error(done.returncode, done.stderr, "cannot be written: File too large")
    job.check()
    kept = _inodes(job.out)
    assert [path.name for path in sorted(kept)] == [path.name for path in shards(tmp_path / "whole")][:4]
    assert forks.run(*_command(root, format, job.out, *more)).returncode == 0
    assert {path: inode for path, inode in _inodes(job.out).items() if path in kept} == kept
    assert contents(job.out) == job.whole
