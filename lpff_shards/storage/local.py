"""A folder that an export writes: its files, their syncs in the background, and its lock."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.filenames import STATE_FOLDER
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.storage.bucket import BucketPath, Listed
from lpff_shards.storage.file_io import file_checksum, write_fully
from lpff_shards.storage.path import StoragePath, exists
from lpff_shards.storage.prefetch import Threads, prefetch

LOCK_SECONDS = 3.0
"""Longest wait for the lock: workers of a killed export hold it a moment longer."""

_SYNCED_AT_ONCE = 8
A_DAY = 86_400.0
"""Seconds after which an unfinished file of another machine counts as abandoned."""


def to_disk(path: StoragePath) -> None:
    """Wait until a file or folder is on disk; do nothing for a bucket, which is durable."""
    if isinstance(path, BucketPath):
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class BackgroundSync:
    """Sync files in the background, one after another; the end of the block waits for all unless it failed.

    It does not replace the final sync: it makes the system start writing earlier.
    """

    def __init__(self) -> None:
        self._thread = Threads(1)
        self._waiting: list[Future[None]] = []

    def submit(self, path: StoragePath) -> None:
        """Begin to sync a file."""
        self._waiting.append(self._thread.submit(to_disk, path))

    def keep_up(self, path: StoragePath) -> None:
        """Begin to sync the current part of a growing file, unless an earlier sync is still running."""
        if all(waiting.done() for waiting in self._waiting):
            self.submit(path)

    def wait(self) -> None:
        """Wait for all syncs; raise OSError if a file cannot be synced."""
        for waiting in self._waiting:
            waiting.result()

    def __enter__(self) -> BackgroundSync:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._thread.end(wait=kind is None)


STRIDE = 1 << 25
"""Bytes after which a growing file is synced."""


@dataclass(slots=True)
class StagedFile:
    """A growing file: `path` is its temporary name, `fd` its open file, and `disk` syncs it."""

    fd: int
    path: Path
    final: Path
    disk: BackgroundSync
    unsynced: int = 0

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append bytes, in one call if the system accepts them all."""
        size = sum(map(len, pieces))
        written = os.writev(self.fd, pieces)
        if written != size:
            write_fully(self.fd, memoryview(b"".join(pieces))[written:])
        self.unsynced += size
        if self.unsynced >= STRIDE:
            self.disk.keep_up(self.path)
            self.unsynced = 0

    def finish(self) -> str:
        """Wait for the running syncs, then give the file its final name; return no ETag."""
        self.disk.wait()
        self.final.parent.mkdir(exist_ok=True)
        self.path.rename(self.final)
        return ""


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder that an export writes, with a lock in its state folder."""

    root: Path

    @property
    def _state(self) -> Path:
        return self.root / STATE_FOLDER

    def partial(self, name: str) -> Path:
        """Return the path of an unfinished file; another process, or machine, may be writing the same shard."""
        return self._state / "partial" / f"{name}.{_here()}.{os.getpid()}"

    @contextmanager
    def atomic_file(self, name: str, planned: int) -> Iterator[StagedFile]:  # noqa: ARG002  # its size is not needed
        final = self.root / name
        with self.staging_path(final.name) as path, path.open("wb", buffering=0) as file, BackgroundSync() as disk:
            yield StagedFile(file.fileno(), path, final, disk)

    @contextmanager
    def staging_path(self, name: str) -> Iterator[Path]:
        path = self.partial(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # SQLite would create it with other permissions.
            path.write_bytes(b"")
            yield path
        finally:
            path.unlink(missing_ok=True)

    def keep(self, made: Path, name: str) -> str:
        made.rename(self.root / name)
        return ""

    def write(self, name: str, data: bytes, durable: bool = False, new: bool = False) -> None:
        path, temporary = self.root / name, self.partial(f"{Path(name).name}.new")
        try:
            for folder in (path.parent, temporary.parent):
                folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            if new:
                _link(temporary, path)
            temporary.rename(path)
        except OSError as error:
            # Errors of writes do not contain the path.
            raise OSError(error.errno, error.strerror, str(path)) from None
        finally:
            temporary.unlink(missing_ok=True)
        if durable:
            to_disk(path.parent)

    def create(self, name: str, data: bytes) -> bool:
        self.write(name, data, durable=True, new=True)
        return True

    def sync(self, names: Iterable[str]) -> None:
        def sync(paths: list[Path]) -> None:
            for path in paths:
                to_disk(path)

        paths = [self.root / name for name in names]
        if len(paths) <= _SYNCED_AT_ONCE:
            sync(paths)
            return
        # A file system syncs the files of several threads together, in a third of the time of one by one.
        parts = (paths[first::_SYNCED_AT_ONCE] for first in range(_SYNCED_AT_ONCE))
        for _ in prefetch(sync, parts, _SYNCED_AT_ONCE):
            pass

    def same(self, name: str, found: Listed, receipt: ShardReceipt) -> bool:  # noqa: ARG002  # by its bytes
        return file_checksum(self.root / name, receipt.algorithm) == receipt.checksum

    @contextmanager
    def lock(self, seconds: float | None) -> Iterator[bool]:
        with self._lock_file() as fd:
            yield self._until(lambda: _took(fd, fcntl.LOCK_EX), LOCK_SECONDS if seconds is None else seconds)

    @contextmanager
    def share(self, ours: Callable[[], bool], take_over: Callable[[bool], None]) -> Iterator[None]:
        def attempt() -> bool | None:
            if ours():
                return _took(fd, fcntl.LOCK_SH)
            alone = _took(fd, fcntl.LOCK_EX)
            if alone is False:
                return False
            take_over(alone is True)
            return _took(fd, fcntl.LOCK_SH)

        with self._lock_file() as fd:
            try:
                self._until(attempt, LOCK_SECONDS)
                self.clear_unfinished(alone=False)
                yield
            finally:
                self.clear_unfinished(alone=False)

    @contextmanager
    def _lock_file(self) -> Iterator[int]:
        missing = [folder for folder in (self._state, *self._state.parents) if not exists(folder)]
        self._state.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            # New folders must survive a power cut. Some are writable but not readable.
            with suppress(PermissionError):
                to_disk(folder.parent)
        path = self._state / "lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except PermissionError as error:
            # Another user's file with another umask: read access is enough for a lock.
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            except OSError:
                raise error from None
        try:
            yield fd
        finally:
            os.close(fd)

    def _until(self, attempt: Callable[[], bool | None], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (took := attempt()) is False:
            if time.monotonic() >= deadline:
                raise ShardsError(
                    f"{self.root} is being written by another export", "Wait for it, or choose another folder"
                )
            time.sleep(0.1)
        return took is True

    def clear_unfinished(self, alone: bool) -> None:
        """Also make the folder for unfinished files."""
        if (partial := self._state / "partial").is_symlink():
            return
        with suppress(OSError):
            partial.mkdir(exist_ok=True)
            for path in partial.iterdir():
                with suppress(OSError):
                    if alone or _is_left(path):
                        path.unlink()


def _took(fd: int, kind: int) -> bool | None:
    """Return whether the lock was acquired; None if the file system has no locks (some network file systems)."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _link(path: Path, new: Path) -> None:
    """Give a file a new name; of two processes at once, one succeeds."""
    try:
        new.hardlink_to(path)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no hard links; there the folder's lock is enough.
        if exists(new):
            raise FileExistsError(errno.EEXIST, "already exists", str(new)) from None


def _here() -> str:
    """Return a hash of this machine, its boot and this container, in which process ids are valid."""
    return f"{zlib.crc32(f'{platform.node()} {_boot()}'.encode()):08x}"


@cache
def _boot() -> str:
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_left(path: Path) -> bool:
    """Return whether a partial file belongs to this process or an ended one, or has not changed for a day."""
    process, _, pid = path.name.rpartition(".")
    if not process.endswith(f".{_here()}") or not pid.isdecimal():
        return time.time() - path.stat().st_mtime > A_DAY
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return int(pid) == os.getpid()
