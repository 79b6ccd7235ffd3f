"""Open files of shards, read at offsets: safe to share between threads and with forked processes."""

from __future__ import annotations

import errno
import os
import platform
import resource
import stat
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.shards import Reads, Span, changed, too_short
from lpff_shards.manifest import Manifest, read_manifest
from lpff_shards.storage.full_reads import pread_fully, preadv_fully

MOST_OPEN = 1024
"""Most files that the sources of a process keep open, if the system allows four times as many."""

_NO_MORE = (errno.EMFILE, errno.ENFILE)


class Mark(NamedTuple):
    """The identity of a file, to detect another file with its name."""

    size: int
    time: int
    inode: int


class _OpenFile:
    """An open file, closed with its last reference: one thread may read it while another drops it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class ShardFiles:
    """The shards of a data set in a folder: `Shards` and `Reads` in one. Pickles without its open files.

    Every read passes its offset, so no position is shared.

    Args:
        root: the folder.
        manifest: of the data set.
        names: of its shards, in order.
        marks: of the shards; reading a file with another mark is an error.
    """

    def __init__(self, root: Path, manifest: Manifest, names: Sequence[str], marks: Sequence[Mark]) -> None:
        self._root = root
        self._manifest = manifest
        self._paths = tuple(root / name for name in names)
        self._marks = list(marks)
        self._node = platform.node()
        self._open: dict[int, _OpenFile] = {}
        _SOURCES[id(self)] = self

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": {}}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        _SOURCES[id(self)] = self

    def path(self, shard: int) -> Path:
        """Return a shard's path."""
        return self._paths[shard]

    def read_batch(self, spans: Iterable[Span]) -> Iterable[Reads]:  # noqa: ARG002
        """Yield this object for every span: the system already reads ahead."""
        return repeat(self)

    read_sequential = read_batch

    def read(self, shard: int, at: int, size: int) -> bytes:
        """See `Reads`."""
        file = self._file(shard)
        try:
            return pread_fully(file.fd, size, at)
        except OSError as error:
            raise unreadable_file(self._paths[shard], error) from None

    def read_into(self, shard: int, at: int, parts: Sequence[memoryview | bytearray]) -> None:
        """See `Reads`."""
        file = self._file(shard)
        try:
            missing = sum(map(len, parts)) - os.preadv(file.fd, parts, at)
            if missing:
                missing = sum(map(len, parts)) - preadv_fully(file.fd, parts, at)
        except OSError as error:
            raise unreadable_file(self._paths[shard], error) from None
        if missing:
            raise too_short(self._paths[shard], missing)

    def check(self, shard: int) -> None:
        """See `Reads`: refuse an open file that was written to."""
        file = self._open.get(shard)
        if file is not None:
            now, known = os.fstat(file.fd), self._marks[shard]
            if now.st_mtime_ns != known.time or now.st_size != known.size:
                raise changed(self._paths[shard])

    def check_path(self, shard: int) -> None:
        """Refuse a shard whose file was replaced, for readers that open it themselves.

        Raises:
            ShardsError: the file is another one or missing.
        """
        try:
            self._compare(shard, self._paths[shard].stat())
        except OSError as error:
            raise unreadable_file(self._paths[shard], error) from None

    def _file(self, shard: int) -> _OpenFile:
        """Return a shard's open file; at the limit it replaces another open file of this source.

        No lock: a process forked while one is held would wait forever. Of two threads the first one's file stays.
        """
        file = self._open.get(shard)
        if file is None:
            file = self._opened(shard)
            if self._open and sum(len(source._open) for source in _sources()) >= most_open():
                _drop_one(self._open)
            file = self._open.setdefault(shard, file)
        return file

    def _opened(self, shard: int) -> _OpenFile:
        path = self._paths[shard]
        try:
            file = _OpenFile(_open(path))
            status = os.fstat(file.fd)
        except OSError as error:
            raise unreadable_file(path, error) from None
        self._compare(shard, status)
        return file

    def _compare(self, shard: int, status: os.stat_result) -> None:
        known, mark = self._marks[shard], Mark(status.st_size, status.st_mtime_ns, status.st_ino)
        if mark != known and not self._is_copy(known, mark):
            raise changed(self._paths[shard])
        # Later reads compare a copy with itself.
        self._marks[shard] = mark

    def _is_copy(self, known: Mark, mark: Mark) -> bool:
        """Return whether a file with another mark is a copy with the same bytes, by its manifest.

        Some network file systems change inode numbers, and on another machine the data set may be a copy.
        """
        alike = mark.time == known.time or platform.node() != self._node
        return mark.size == known.size and alike and read_manifest(self._root) == self._manifest


def marked(path: Path) -> Mark:
    """Return the mark of a shard.

    Raises:
        ShardsError: it is missing, or not a regular file: a device would be read forever.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable_file(path, error) from None
    if not stat.S_ISREG(status.st_mode):
        raise ShardsError(f"{path} is not a regular file", "See lpff-shards verify, and export it again")
    return Mark(status.st_size, status.st_mtime_ns, status.st_ino)


def unreadable_file(path: Path, error: OSError) -> ShardsError:
    """Return the error for a shard that the system cannot open or read."""
    return ShardsError(f"{path} cannot be read: {error.strerror}", "Check the folder")


def most_open() -> int:
    """Return how many files the sources of this process keep open together: a quarter of the system's limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_OPEN if limit == resource.RLIM_INFINITY else min(MOST_OPEN, limit // 4)


def _open(path: Path) -> int:
    """Open a file without waiting for the writer of a pipe; at the limit, close the sources' open files first."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno not in _NO_MORE:
            raise
    for source in _sources():
        while _drop_one(source._open):
            pass
    return os.open(path, flags)


def _drop_one(files: dict[int, _OpenFile]) -> bool:
    """Drop an open file and return whether there was one. Safe in threads."""
    try:
        files.popitem()
    except KeyError:
        return False
    return True


_SOURCES: WeakValueDictionary[int, ShardFiles] = WeakValueDictionary()


def _sources() -> list[ShardFiles]:
    return [source for ref in _SOURCES.valuerefs() if (source := ref()) is not None]
