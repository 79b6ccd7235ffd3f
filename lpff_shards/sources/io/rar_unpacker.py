"""Unpack a RAR archive once, by a program of the system, into a folder that has its name when all files are there."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.schemas.text import format_bytes, format_count
from lpff_shards.sources.io.blobs import rar_checksum
from lpff_shards.storage.local import to_disk
from lpff_shards.storage.path import free_space, is_folder

T = TypeVar("T")

UNPACKED = ".unpacked"
_UNPACKED = re.compile(r"[^.].*-[0-9a-f]{8}\.unpacked")
_LOCK = ".lpff-shards-lock"
_PIECE = 1 << 22
_MOST_OUTPUT = 200
REPORT_SECONDS = 20.0
"""Time between two lines about the progress."""


def _seven_zip(archive: str, folder: str) -> list[str]:
    return ["x", "-aos", "-y", "-bd", "-bso0", "-bsp0", f"-o{folder}", "--", archive]


_PROGRAMS: Mapping[str, Callable[[str, str], Sequence[str]]] = {
    "unrar": lambda archive, folder: ["x", "-o-", "-y", "-p-", "-idq", "--", archive, f"{folder}/"],
    "7zz": _seven_zip,
    "7z": _seven_zip,
    "unar": lambda archive, folder: ["-quiet", "-no-directory", "-force-skip", "-output-directory", folder, archive],
    "bsdtar": lambda archive, folder: ["-x", "-k", "-f", archive, "-C", folder],
}
"""Programs that unpack, with their arguments for an archive and a folder; they keep files that exist."""
_PACKAGES = "apt-get install unar, libarchive-tools, or from Debian's non-free unrar or 7zip-rar"


@dataclass(frozen=True, slots=True)
class RarMember:
    """A file of an archive: its size, its checksum (see `rar_checksum`), and the offset of its data, -1 if packed."""

    size: int
    checksum: str
    at: int


@dataclass(frozen=True, eq=False)
class RarArchive:
    """An archive that cannot be read in place.

    Attributes:
        folder: for its files; it exists when all are there.
        files: by name, in the order of the archive.
    """

    path: str
    folder: Path
    files: Mapping[str, RarMember]

    @property
    def needed(self) -> int:
        """Return the bytes of the files that have not been unpacked yet."""
        return sum(file.size for name, file in self.files.items() if _size(self._partial / name) != file.size)

    @property
    def _partial(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}")

    def refuse_changed(self) -> None:
        """Raise ShardsError if an unpacked file is missing or has another size than in the archive."""
        for name, file in self.files.items():
            if _size(self.folder / name) != file.size:
                message = f"{self.folder / name} is missing or has changed since {self.path} was unpacked"
                raise ShardsError(message, f"Remove {self.folder}: the export unpacks the archive again")

    def unpack(self, on_note: Callable[[str], None]) -> None:
        """Unpack the files that are not there yet, and check all of them.

        Raises:
            ShardsError: no program is installed, or none of them unpacks all files.
            ExportFailed: the disk is full or cannot be written.
        """
        programs = {name: found for name in _PROGRAMS if (found := shutil.which(name))}
        if not programs:
            message = f"{self.path} must be unpacked, and none of {', '.join(_PROGRAMS)} is installed"
            raise ShardsError(message, f"Install one ({_PACKAGES}), or unpack it yourself and give the folder")
        try:
            self._partial.mkdir(parents=True, exist_ok=True)
            with _locked(self._partial / _LOCK, lambda: on_note(f"waiting: {self.path} is being unpacked")) as lock:
                if is_folder(self.folder):
                    # Another process has unpacked it in the meantime.
                    shutil.rmtree(self._partial, ignore_errors=True)
                    return
                self._fill(programs, lock, on_note)
                os.sync()
                self._partial.rename(self.folder)
                to_disk(self.folder.parent)
        except OSError as error:
            raise ExportFailed(
                f"{self.path} cannot be unpacked into {self.folder}: {error.strerror}",
                "Check rights and free space, or choose another folder with --unpack-to",
            ) from None

    def _fill(self, programs: Mapping[str, str], lock: int, on_note: Callable[[str], None]) -> None:
        missing = self._missing(self.files)
        needed, free = sum(self.files[name].size for name in missing), free_space(self._partial)[1]
        if free is not None and needed > free:
            room = f"{self.folder.parent} has room for {format_bytes(free)}"
            message = f"unpacking {self.path} needs {format_bytes(needed)}, and {room}"
            raise ExportFailed(message, "Free some space, or choose another folder with --unpack-to")
        kept = len(self.files) - len(missing)
        before = f"; {format_count(kept, 'file')} of an earlier run kept" if kept else ""
        on_note(f"unpacking {self.path} into {self.folder}: {format_bytes(needed)}{before}")
        results: list[str] = []
        for name, program in programs.items():
            if missing:
                arguments = _PROGRAMS[name](str(Path(self.path).absolute()), str(self._partial.absolute()))
                results.append(f"{name}: {_run([program, *arguments], lock, lambda: on_note(self._progress()))}")
                missing = self._missing(missing)
        if missing:
            others = f" ({len(missing) - 1:,} more too)" if len(missing) > 1 else ""
            message = f"{self.path}:{missing[0]} is missing or does not match its checksum after unpacking{others}"
            hint = f"Download the archive again, or install another program: {_PACKAGES}"
            raise ShardsError(f"{message}; {'; '.join(results)}", hint)
        for path in self._partial.rglob("*"):
            name = path.relative_to(self._partial).as_posix()
            if name not in self.files and name != _LOCK and not stat.S_ISDIR(path.lstat().st_mode):
                raise ShardsError(f"{path} is not a file of {self.path}", "Remove it and run the same command again")

    def _progress(self) -> str:
        there = sum(max(0, _size(self._partial / name)) for name in self.files)
        total = sum(file.size for file in self.files.values())
        return f"unpacking {self.path}: {format_bytes(there)} of {format_bytes(total)}"

    def _missing(self, names: Iterable[str]) -> list[str]:
        """Return those of some files that are not unpacked; a file with other contents is removed."""
        missing = []
        for name in names:
            path, file = self._partial / name, self.files[name]
            if _size(path) != file.size or rar_checksum(_pieces(path), file.checksum) != file.checksum:
                path.unlink(missing_ok=True)
                missing.append(name)
        return missing


class PackedArchive(ShardsError):
    """An archive must be unpacked before it can be read: an export does so, a plan does not."""

    def __init__(self, archive: RarArchive) -> None:
        room = f"{format_bytes(archive.needed)} in {archive.folder.parent}"
        super().__init__(
            f"{archive.path} must be unpacked first, which takes {room}",
            "An export without --dry-run unpacks it; --unpack-to DIR chooses another disk",
        )
        self.args = (archive,)
        self.archive = archive


def is_unpacked(name: str) -> bool:
    """Return whether a folder's name is that of an unpacked archive."""
    return name.endswith(UNPACKED) and _UNPACKED.fullmatch(name) is not None


def unpacked_in(folder: str) -> tuple[str, ...]:
    """Return the folders of unpacked archives in a folder."""
    return tuple(sorted(str(path) for path in Path(folder).glob(f"*{UNPACKED}") if is_unpacked(path.name)))


def _size(path: Path) -> int:
    """Return the size of a regular file, -1 for anything else."""
    try:
        status = path.lstat()
    except (OSError, ValueError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _run(command: Sequence[str], lock: int, on_wait: Callable[[], None]) -> str:
    """Run a program that unpacks, and return its exit status with the last line of its output.

    It inherits the lock: if the export is killed, the next one waits until the program has ended.

    Args:
        on_wait: called now and then while it runs.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    nothing, pipe, same = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    try:
        with subprocess.Popen(
            command, stdin=nothing, stdout=pipe, stderr=same, env=environment, pass_fds=(lock,)
        ) as process:
            output = _output(process, on_wait)
    except OSError as error:
        return str(error.strerror)
    lines = output.decode(errors="replace").strip().splitlines()
    return f"exit status {process.returncode}" + (f", {lines[-1].strip()[:_MOST_OUTPUT]}" if lines else "")


def _output(process: subprocess.Popen[bytes], on_wait: Callable[[], None]) -> bytes:
    """Return the output of a process at its end; kill it if this one is stopped."""
    try:
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=REPORT_SECONDS)[0]
            on_wait()
    except BaseException:
        process.kill()
        raise


@contextmanager
def _locked(path: Path, on_wait: Callable[[], None]) -> Iterator[int]:
    """Hold the lock of a file, and yield its descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            # Some network file systems have no locks.
            pass
        yield fd
    finally:
        os.close(fd)


def when_unpacked(read: Callable[[], T], on_note: Callable[[str], None]) -> T:
    """Return what a function returns after archives that it cannot read in place have been unpacked."""
    while True:
        try:
            return read()
        except PackedArchive as packed:
            packed.archive.unpack(on_note)
