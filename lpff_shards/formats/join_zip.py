"""Join the parts of a split to a zip: pictures, dataset.json, the lists of names, samples.jsonl.

Pictures are copied from file to file and texts are collected in temporary files, so memory stays bounded. LPFF's forks
read the lists of names and of the pictures in snapshots.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec
import numpy as np
from isal.isal_zlib import crc32
from msgspec import Raw, Struct
from numpy.typing import NDArray

from lpff_shards.formats.base import Contents, Target
from lpff_shards.formats.containers import zip as zips
from lpff_shards.schemas.archive import FORK_LISTS, LABELS, SAMPLES, SNAPSHOT_PICTURES, SNAPSHOTS
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt

GATHERED = 1 << 20


class Note(Struct, frozen=True, array_like=True):
    """The record after each picture of a part.

    Attributes:
        crc: CRC-32 of the picture's file.
        label: camera as a JSON list, or null.
        fields: scalars and landmarks as a JSON object.
    """

    crc: int
    label: Raw
    fields: Raw


def join_zip(
    file: str,
    parts: Iterable[tuple[BinaryIO, ShardReceipt]],
    contents: Contents,
    target: Target,
    scratch: Callable[[str], Path],
) -> ShardReceipt:
    """Write a zip; return the position of each sample, without its CRC. See `Format.joining`."""
    with ExitStack() as stack:
        archive = Archive(target)
        receipt = ReceiptBuilder()
        members = (LABELS, *_list_members(contents), SAMPLES)
        texts = {name: stack.enter_context(Text(scratch(name), name)) for name in members}
        labels, samples = texts[LABELS], texts[SAMPLES]
        labels.write(b'{"labels": [' if contents.cameras else b'{"labels": null')
        stems, names = iter(contents.stems), list[str]()
        for source, part in parts:
            for key, suffix, at, note in _pictures(source, part):
                name = f"{next(stems)}.{suffix}"
                if bytes(note.label) != b"null":
                    labels.write(b'%b\n["%b", %b]' % (b"," if archive.at else b"", name.encode(), note.label))
                samples.write(b'{"name":"%b",%b\n' % (name.encode(), bytes(note.fields)[1:]))
                archive.add(name, note.crc, source, *at)
                receipt.add(key, archive.at, (suffix,), at[1:])
                names.append(name)
        labels.write(b"\n]}\n" if contents.cameras else b"}\n")
        for name, lines in _list_lines(contents, names):
            texts[name].write_lines(lines)
        for text in texts.values():
            text.add_to(archive)
        archive.finish()
        return receipt.build(file, archive.at)


def _pictures(source: BinaryIO, part: ShardReceipt) -> Iterator[tuple[str, str, tuple[int, int], Note]]:
    """Yield each sample's key, its picture's suffix, start and size, and its note."""
    for key, (start, end), (kinds, size, _) in zip(part.keys, pairwise(part.offsets), part.members, strict=True):
        source.seek(start + size)
        note = source.read(end - start - size)
        if len(note) < end - start - size:
            raise OSError(errno.EIO, "a part ends early")
        yield key, part.suffixes[kinds][0], (start, size), msgspec.json.decode(note, type=Note)


class Archive:
    """Writes a zip member by member.

    Attributes:
        at: bytes written so far.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._directory = bytearray()
        self._count = 0
        self.at = 0

    def add(self, name: str, crc: int, source: BinaryIO, start: int, size: int) -> None:
        """Add a member.

        Args:
            name: name of the member, ASCII.
            crc: CRC-32 of its bytes.
            source, start, size: an open file, and the offset and number of the bytes in it.
        """
        header = zips.local_header(name, crc, size)
        self._directory += zips.entry(name, crc, size, self.at)
        self._count += 1
        self._target.write(header)
        self._target.copy(source, start, size)
        self.at += len(header) + size

    def finish(self) -> None:
        """Write the central directory."""
        end = zips.end(self._count, len(self._directory), self.at)
        self._target.write(bytes(self._directory))
        self._target.write(end)
        self.at += len(self._directory) + len(end)


class Text:
    """A member that is collected in a temporary file until all pictures are written.

    Args:
        path: path of the temporary file; the end of the block removes it.
        name: name of the member.
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
        """Add to the text."""
        self._file.write(data)
        self._crc = crc32(data, self._crc)
        self._size += len(data)

    def write_lines(self, items: Iterable[bytes]) -> None:
        """Add a JSON list, one item per line; items are JSON."""
        between = b"[\n"
        for item in items:
            self.write(between + item)
            between = b",\n"
        self.write(b"\n]\n" if between != b"[\n" else b"[]\n")

    def add_to(self, archive: Archive) -> None:
        """Add the whole text to an archive."""
        self._file.flush()
        archive.add(self._name, self._crc, self._file, 0, self._size)


def _list_members(contents: Contents) -> Iterator[str]:
    """Yield the names of the lists, each with its snapshot if the forks read one."""
    for name, times in contents.lists.items():
        yield f"{name}.json"
        if _has_snapshot(name, times):
            yield f"{name}{SNAPSHOTS}"


def _list_lines(contents: Contents, names: list[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield the name of each of these members and its items as JSON.

    Args:
        names: names of the pictures with suffix, in the order in which the forks sort them.
    """
    for name, times in contents.lists.items():
        at = np.repeat(np.arange(len(names)), times)
        yield f"{name}.json", (b'"%b"' % names[row].encode() for row in at.tolist())
        if _has_snapshot(name, times):
            yield f"{name}{SNAPSHOTS}", (b"%d" % index for index in snapshot(contents.yaw[at]).tolist())


def snapshot(yaw: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the 16 names of a list that a snapshot shows: from the least yaw to the largest, at equal intervals.

    Args:
        yaw: yaw of each name, float64 [n], n at least 1; a list of fewer than 16 names repeats some.

    Returns:
        int64 [16], indices into the list.
    """
    order = np.argsort(yaw, kind="stable")
    return order[(2 * np.arange(SNAPSHOT_PICTURES) + 1) * len(yaw) // (2 * SNAPSHOT_PICTURES)]


def _has_snapshot(name: str, times: NDArray[np.integer]) -> bool:
    return name in FORK_LISTS and bool(times.any())
