"""What a power cut may leave, by the rules of file systems, of changes that were recorded in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from disturbed import Change


@dataclass(eq=False)
class Content:
    """A file's bytes: those that a sync has brought to the disk, and what was written since.

    Attributes:
        waiting: bytes at an offset; None for a new size.
    """

    synced: bytes = b""
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        """Brings it to the disk."""
        self.synced, self.waiting = self._with(len(self.waiting)), []

    def left(self, draw: Random) -> bytes:
        """What a cut may leave: nothing, some or all of what was written since, or its size and no bytes."""
        if draw.random() < 0.25:
            size = len(self._with(len(self.waiting)))
            return self.synced[:size].ljust(size, b"\0")
        return self._with(draw.choice((0, len(self.waiting), draw.randint(0, len(self.waiting)))))

    def _with(self, count: int) -> bytes:
        data = bytearray(self.synced)
        for offset, more in self.waiting[:count]:
            if more is None:
                data = data[:offset].ljust(offset, b"\0")
            else:
                data = data.ljust(offset, b"\0")
                data[offset : offset + len(more)] = more
        return bytes(data)


Entry = Content | None
"""What a name stands for; None for a folder."""


@dataclass(frozen=True)
class Naming:
    """Names that appear or go at once."""

    sets: tuple[tuple[str, Entry], ...] = ()
    goes: tuple[str, ...] = ()

    def apply(self, names: dict[str, Entry]) -> None:
        """Changes the names."""
        for path in self.goes:
            names.pop(path, None)
        names.update(self.sets)

    def within(self, folder: str) -> bool:
        """Whether a sync of a folder brings it to the disk; a rename, where it goes to."""
        return os.path.dirname((*(path for path, _ in self.sets), *self.goes)[0]) == folder  # noqa: PTH120


class Disk:
    """A folder's files and names while changes come.

    Args:
        root: the folder as it is before; all that is there is on the disk.
        ordered: whether names reach the disk in order and with each sync, as journals have it. Otherwise only a sync
            of its folder brings a name there, and those that wait come in any order.
    """

    def __init__(self, root: Path, ordered: bool) -> None:
        self._ordered = ordered
        self._now: dict[str, Entry] = {}
        self._inodes: dict[int, Content] = {}
        for path in (root, *root.rglob("*")) if root.exists() else ():
            content = None if path.is_dir() else Content(path.read_bytes())
            self._now[str(path)] = content
            if content is not None:
                self._inodes[path.stat().st_ino] = content
        self._synced = dict(self._now)
        self._waiting: list[Naming] = []

    def change(self, change: Change) -> None:
        """A change that was made; a file that never had a name is gone after a power cut."""
        if change.path.endswith(" (deleted)") and change.inode not in self._inodes:
            return
        match change.call:
            case "open":
                self._open(change)
            case "write" | "pwrite" | "copy_file_range" | "sendfile":
                self._inodes[change.inode].waiting.append((change.offset, change.data))
            case "truncate":
                self._inodes[change.inode].waiting.append((change.offset, None))
            case "fsync":
                self._sync(change)
            case "mkdir":
                self._name(Naming(((change.path, None),)))
            case "link":
                self._name(Naming(((change.other, self._now[change.path]),)))
            case "unlink" | "rmdir":
                self._name(Naming(goes=(change.path,)))
            case "rename":
                assert self._now[change.path] is not None, "folders are not renamed"
                self._name(Naming(((change.other, self._now[change.path]),), (change.path,)))
            case _:
                raise AssertionError(f"{change.call} is not foreseen")

    def cut(self, draw: Random, root: Path, out: Path) -> None:
        """Writes what a power cut may leave of `root` to another folder."""
        names = dict(self._synced)
        for naming in self._chosen(draw):
            naming.apply(names)
        for path in sorted(names):
            target, entry = out / Path(path).relative_to(root), names[path]
            if target != out and not target.parent.is_dir():
                continue  # its folder has no name
            if entry is None:
                target.mkdir()
            else:
                target.write_bytes(entry.left(draw))

    def _chosen(self, draw: Random) -> Iterator[Naming]:
        """Which of the names that wait have reached the disk."""
        if self._ordered:
            yield from self._waiting[: draw.randint(0, len(self._waiting))]
            return
        share, late = draw.random(), set[str]()
        for naming in self._waiting:
            paths = {*naming.goes, *(path for path, _ in naming.sets)}
            # What happened to a name happened in order.
            if draw.random() < share and not paths & late:
                yield naming
            else:
                late |= paths

    def _open(self, change: Change) -> None:
        content = self._now.get(change.path)
        if content is None:
            content = self._inodes[change.inode] = Content()
            self._name(Naming(((change.path, content),)))
        elif change.offset == 0:
            content.waiting.append((0, None))

    def _name(self, naming: Naming) -> None:
        naming.apply(self._now)
        self._waiting.append(naming)

    def _sync(self, change: Change) -> None:
        if not change.folder:
            self._inodes[change.inode].sync()
        reached = [one for one in self._waiting if self._ordered or (change.folder and one.within(change.path))]
        for naming in reached:
            naming.apply(self._synced)
        self._waiting = [one for one in self._waiting if one not in reached]
