"""The command with one of its system calls disturbed: a library that the test compiles, preloaded where it forks."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from forks import Forks

SOURCE = Path(__file__).with_name("faults.c")
LOG_HEADER, LOG_ENTRY = struct.Struct("<qqq"), struct.Struct("<i20s232s")
LOGGED = 8192
CHANGE = struct.Struct("<20sIIxxxxQQqq")


class Fault(IntEnum):
    """What happens to a call; as in faults.c."""

    NONE = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    TORN = 3
    EIO = 4
    ENOSPC = 5
    SHORT = 6
    STOP = 7

    @property
    def kills(self) -> bool:
        """Whether the process ends at it."""
        return self in (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.TORN)

    def suits(self, flags: int) -> bool:
        """Whether a call can suffer it, by its flags in the log."""
        changes, writes, reads, room = (flags & bit for bit in (1, 2, 4, 8))
        match self:
            case Fault.KILL_BEFORE | Fault.KILL_AFTER | Fault.STOP:
                return bool(changes)
            case Fault.TORN:
                return bool(writes)
            case Fault.SHORT:
                return bool(writes or reads)
            case Fault.ENOSPC:
                return bool(room)
            case Fault.EIO:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Call:
    """A call on a file below the folders that are watched; `flags` as in faults.c."""

    name: str
    path: str
    flags: int

    @property
    def failed(self) -> bool:
        """Whether it has changed nothing: a file to remove is not there, a folder to make is."""
        return bool(self.flags & 16)


@dataclass(frozen=True, slots=True)
class Change:
    """What a call has changed, for `cuts`: `inode` and data for files, paths for names."""

    call: str
    path: str
    other: str
    inode: int
    folder: bool
    offset: int
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: status, what it printed on stderr, its calls, the one that the fault has struck."""

    status: int
    err: str
    calls: tuple[Call, ...]
    struck: Call | None


def reason_to_skip() -> str:
    """Why nothing can be preloaded here; empty where it can."""
    return "" if shutil.which("cc") else "no C compiler (cc)"


class Disturbed:
    """Runs the command with faults.

    Args:
        folder: where the library and logs lie.
    """

    def __init__(self, folder: Path) -> None:
        library = folder / "faults.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
        self._page, self._record = folder / "calls", folder / "changes"
        self._size = LOG_HEADER.size + LOGGED * LOG_ENTRY.size
        self.forks = Forks(LD_PRELOAD=str(library))

    def prelude(self, out: Path, source: Path, fault: Fault, number: int, record: bool = False) -> str:
        """Code that a forked process runs before the command."""
        self._page.write_bytes(b"")
        os.truncate(self._page, self._size)
        words = [os.fsencode(self._page), os.fsencode(out), os.fsencode(source)]
        recorded = os.fsencode(self._record) if record else b""
        return (
            "import ctypes\n"
            f"assert ctypes.CDLL(None).arm(*{words!r}, {int(fault)}, ctypes.c_long({number}), {recorded!r}) == 0\n"
        )

    def run(
        self, command: tuple[object, ...], out: Path, source: Path, fault: Fault = Fault.NONE, number: int = 0,
        record: bool = False, more: str = "",
    ) -> Ended:  # fmt: skip
        """Runs a command to its end.

        Args:
            fault: what the call that is the `number`-th of those that it suits suffers.
            record: keep what is changed, for `changes`.
            more: code that the process runs before.
        """
        prelude = self.prelude(out, source, fault, number, record)
        done = self.forks.run(*command, prelude=more + prelude)
        return Ended(done.returncode, done.stderr, *self._calls())

    def plain(self, command: tuple[object, ...], more: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a command without faults."""
        return self.forks.run(*command, prelude=more)

    def changes(self) -> Iterator[Change]:
        """What the last command with `record` has changed, in order."""
        data, at = self._record.read_bytes(), 0
        while at < len(data):
            name, path, other, inode, folder, offset, size = CHANGE.unpack_from(data, at)
            at += CHANGE.size
            call = name.partition(b"\0")[0].decode()
            ends = [at + path, at + path + other]
            ends.append(ends[1] + (size if call in ("write", "pwrite", "copy_file_range", "sendfile") else 0))
            paths = os.fsdecode(data[at : ends[0]]), os.fsdecode(data[ends[0] : ends[1]])
            yield Change(call, *paths, inode, bool(folder), offset, size, data[ends[1] : ends[2]])
            at = ends[2]

    def close(self) -> None:
        """Ends the process that forks."""
        self.forks.close()

    def _calls(self) -> tuple[tuple[Call, ...], Call | None]:
        with self._page.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as page:
            logged, _, struck = LOG_HEADER.unpack_from(page)
            assert logged <= LOGGED, "more calls than the log holds"
            entries = (LOG_ENTRY.unpack_from(page, LOG_HEADER.size + n * LOG_ENTRY.size) for n in range(logged))
            calls = tuple(Call(_text(name), _text(path), flags) for flags, name, path in entries)
        return calls, calls[struck - 1] if struck else None


def _text(data: bytes) -> str:
    return os.fsdecode(data.partition(b"\0")[0])
