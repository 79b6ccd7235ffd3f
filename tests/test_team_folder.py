"""A folder of several people and machines: rights follow the umask, and nobody removes what another is writing."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PROJECT
from running import contents, run, run_after
from test_shares import _options

from lpff_shards import ShardsError, export
from lpff_shards.api import export_share, plan_export
from lpff_shards.exporters import output_lock
from lpff_shards.exporters.output_lock import acquire, locked
from lpff_shards.options.declaration import Share
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.storage import local

SMALL = ("export", "--demo", 4, "--no-mirror", "--resolution", 16)
SHARES = ("export", "--format", "wds", "--demo", "4", "--no-mirror", "--resolution", "16", "--shards", "4")
STATE = ".lpff-shards"
NO_LOCKS = """
import errno, fcntl
def flock(*_): raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""


@pytest.mark.parametrize(("format", "umask"), [("wds", 0o002), ("tfrecord", 0), ("zip", 0o002)])
def test_every_file_has_the_rights_that_the_umask_leaves(tmp_path: Path, format: str, umask: int) -> None:
    done = run_after(f"import os\nos.umask({umask})", *SMALL, "--format", format, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    modes = {path: path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*")}
    others = {path: mode for path, mode in modes.items() if mode != (0o777 if path.is_dir() else 0o666) & ~umask}
    assert not others
    assert tmp_path / "out" / STATE / "lock" in modes


@pytest.mark.skipif(os.getuid() != 0, reason="two people are played by root alone")
@pytest.mark.skipif(not (shutil.which("setpriv") and shutil.which("capsh")), reason="setpriv or capsh is missing")
def test_a_colleague_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    tmp_path.chmod(0o755)
    assert run_after("import os\nos.umask(2)", *SHARES, "--task", "1/2", "--out", out).returncode == 0
    (out / STATE / "lock").chmod(0o644)  # as older versions made it
    for path in (out, *out.rglob("*")):
        shutil.chown(path, 65534, 1234)
        path.chmod(0o2775 if path.is_dir() else path.stat().st_mode & 0o777)
    arguments = " ".join([*SHARES, "--task", "2/2", "--out", str(out)])
    command = f"umask 002; PYTHONPATH={PROJECT} {sys.executable} -m lpff_shards {arguments}"
    group = ["setpriv", "--groups", "1234", "--regid", "1234", "--reuid", "0", "capsh"]
    powerless = [*group, "--drop=cap_dac_override,cap_dac_read_search,cap_fowner", "--", "-c", command]
    done = subprocess.run(powerless, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (out / "manifest.json").stat().st_gid == 1234


def test_a_lock_that_can_only_be_read_keeps_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def opened(path: object, flags: int, *mode: int) -> int:
        if flags & os.O_ACCMODE and str(path).endswith("lock"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, flags, *mode)  # type: ignore[call-overload, no-any-return]

    (tmp_path / STATE).mkdir()
    with pytest.raises(PermissionError), monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        with locked(OutputFolder(tmp_path)):
            pass
    (tmp_path / STATE / "lock").touch()
    monkeypatch.setattr(os, "open", opened)
    with locked(OutputFolder(tmp_path)) as alone:
        assert alone
        with pytest.raises(ShardsError, match="being written by another export"), locked(OutputFolder(tmp_path), 0.0):
            pass


def _file(folder: OutputFolder, here: str, pid: int, age: float = 0.0) -> Path:
    path = local.LocalFolder(Path(str(folder.root))).partial("x.tar").with_name(f"x.tar.{here}.{pid}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"growing")
    os.utime(path, (time.time() - age,) * 2)
    return path


def _no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def _gone() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_without_locks_only_files_of_nobody_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, here = OutputFolder(tmp_path), local._here()
    plan = plan_export(_options(tmp_path))
    for kind in ("shared", "alone"):
        monkeypatch.setattr(fcntl, "flock", _no_locks)
        stay = [_file(folder, here, os.getppid(), 2 * local.A_DAY), _file(folder, "0badcafe", os.getpid(), 3600)]
        go = [_file(folder, here, os.getpid()), _file(folder, here, _gone())]
        go.append(_file(folder, "0badcafe", 7, 2 * local.A_DAY))
        if kind == "shared":
            with acquire(folder, plan, overwrite=False, on_note=print, shared=True):
                pass
        else:
            export(_options(tmp_path))
        assert [path.exists() for path in (*stay, *go)] == [True, True, False, False, False]
    monkeypatch.undo()
    # With locks nobody else is there.
    with locked(folder) as alone:
        assert alone
    assert not list((tmp_path / STATE / "partial").iterdir())


def test_without_locks_shares_at_the_same_time_make_the_same_export(tmp_path: Path) -> None:
    assert run(*SHARES, "--out", tmp_path / "expected").returncode == 0
    out = tmp_path / "out"
    code = f"{NO_LOCKS}\nimport sys\nsys.argv[0] = 'lpff-shards'\nfrom lpff_shards.cli import main; main()"
    command = [sys.executable, "-c", code, *SHARES, "--out", str(out), "--workers", "2"]
    running = [
        subprocess.Popen([*command, "--task", f"{share}/2"], stderr=subprocess.PIPE, text=True) for share in (1, 2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    assert contents(out) == contents(tmp_path / "expected")
    assert not list((out / STATE / "partial").iterdir())


def test_without_locks_a_folder_is_taken_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share that found nothing a moment ago leaves alone what another has written since."""
    monkeypatch.setattr(fcntl, "flock", _no_locks)
    real = output_lock._take_over

    def late(*given: object) -> None:
        monkeypatch.setattr(output_lock, "_take_over", real)
        export_share(_options(tmp_path, Share(2, 2)))
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(output_lock, "_take_over", late)
    done = export_share(_options(tmp_path, Share(1, 2)))
    assert done.manifest is not None
    assert done.manifest.samples == 4


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _broken(*_: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("fault", [_full, _broken, _interrupted])
@pytest.mark.parametrize("task", [None, Share(1, 2)])
def test_nothing_partial_stays_where_the_plan_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None], task: Share | None
) -> None:
    sync = local.os.fsync
    # The first thing that is written; folders are brought to the disk before it.
    monkeypatch.setattr(local.os, "fsync", lambda fd: sync(fd) if stat.S_ISDIR(os.fstat(fd).st_mode) else fault())
    with pytest.raises(KeyboardInterrupt if fault is _interrupted else ShardsError):
        export_share(_options(tmp_path, task)) if task else export(_options(tmp_path))
    assert not list((tmp_path / STATE / "partial").iterdir())
    assert not (tmp_path / STATE / "plan.json").exists()
