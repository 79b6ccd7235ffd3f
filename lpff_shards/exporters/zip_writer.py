"""Writing a zip member by member: copied out of other files, or gathered as text in a file of its own first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from isal.isal_zlib import crc32

from lpff_shards.exporters import copy_range
from lpff_shards.formats.containers import zip

GATHERED = 1 << 20


class Archive:
    """A zip that grows.

    Args:
        target: the open file, empty.

    Attributes:
        at: bytes so far.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._directory = bytearray()
        self._count = 0
        self.at = 0

    def add(self, name: str, crc: int, source: int, start: int, size: int) -> None:
        """Adds a member.

        Args:
            name: of the member, ASCII.
            crc: CRC-32 of its bytes.
            source, start, size: an open file, and which of its bytes they are.
        """
        header = zip.local_header(name, crc, size)
        self._directory += zip.entry(name, crc, size, self.at)
        self._count += 1
        copy_range.write(self._target, header)
        copy_range.copy(source, self._target, start, size)
        self.at += len(header) + size

    def finish(self) -> None:
        """Writes the central directory."""
        end = zip.end(self._count, len(self._directory), self.at)
        copy_range.write(self._target, bytes(self._directory))
        copy_range.write(self._target, end)


class Text:
    """A member that is not known before the pictures are through; it waits in a file of its own.

    Args:
        path: of that file, which goes when the block is left.
        name: of the member.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._crc = self._size = 0

    def __enter__(self) -> Text:
        self._file = self._path.open("w+b", buffering=GATHERED)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()

    def write(self, data: bytes) -> None:
        """Adds to the text."""
        self._file.write(data)
        self._crc = crc32(data, self._crc)
        self._size += len(data)

    def write_lines(self, items: Iterable[bytes]) -> None:
        """Adds a JSON list, a line an item; items are JSON."""
        between = b"[\n"
        for item in items:
            self.write(between + item)
            between = b",\n"
        self.write(b"\n]\n" if between != b"[\n" else b"[]\n")

    def add_to(self, archive: Archive) -> None:
        """Adds the whole text to an archive."""
        self._file.flush()
        archive.add(self._name, self._crc, self._file.fileno(), 0, self._size)
