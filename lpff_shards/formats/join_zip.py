"""Join the parts of a split to a zip: pictures, dataset.json, the lists of names, samples.jsonl.

Texts are collected in temporary files, so memory stays bounded. LPFF's forks read the lists of names and of the
pictures in snapshots.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain, pairwise
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import msgspec
import numpy as np
from isal.isal_zlib import crc32
from msgspec import Raw, Struct
from numpy.typing import NDArray

from lpff_shards.formats.base import Sink
from lpff_shards.formats.containers import zip as zips
from lpff_shards.schemas.archive import FORK_LISTS, LABELS, SAMPLES, SNAPSHOT_PICTURES, SNAPSHOTS
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt

_GATHERED = 1 << 20


class Contents(NamedTuple):
    """Contents of a joined file that its parts do not contain.

    Attributes:
        stems: name of each picture, without its suffix.
        yaw: yaw of each picture, radians, float64 [n]; 0 if unknown.
        lists: how often each list of names repeats each picture, int16 [n], by the list's name.
        cameras: whether the data set has cameras.
    """

    stems: Sequence[str]
    yaw: NDArray[np.float64]
    lists: Mapping[str, NDArray[np.int16]]
    cameras: bool


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
    file: str, parts: Iterable[tuple[IO[bytes], ShardReceipt]], contents: Contents, sink: Sink
) -> ShardReceipt:
    """Write a zip; return the position of each sample. Raises OSError.

    Args:
        file: name of the zip.
        parts: the open files of the parts with their receipts, in order.
    """
    with ExitStack() as stack:
        folder = sink.file().parent

        def text() -> IO[bytes]:
            return stack.enter_context(TemporaryFile(dir=folder, buffering=_GATHERED))

        archive, receipt = ZipWriter(sink), ReceiptBuilder()
        labels, samples = text(), text()
        labels.write(b'{"labels": [' if contents.cameras else b'{"labels": null')
        stems, names = iter(contents.stems), list[str]()
        for source, part in parts:
            for key, (start, end), (kinds, size, _) in zip(
                part.keys, pairwise(part.offsets), part.members, strict=True
            ):
                picture, rest = source.read(size), source.read(end - start - size)
                if len(picture) + len(rest) < end - start:
                    raise OSError(errno.EIO, "a part ends early")
                note, suffix = msgspec.json.decode(rest, type=Note), part.suffixes[kinds][0]
                name = f"{next(stems)}.{suffix}"
                if bytes(note.label) != b"null":
                    labels.write(b'%b\n["%b", %b]' % (b"," if names else b"", name.encode(), note.label))
                samples.write(b'{"name":"%b",%b\n' % (name.encode(), bytes(note.fields)[1:]))
                crc = archive.add(name, note.crc, size, [picture])
                receipt.add(key, archive.at, (suffix,), (size,), crc)
                names.append(name)
        labels.write(b"\n]}\n" if contents.cameras else b"}\n")
        texts = {LABELS: labels}
        for name, items in _lists(contents, names):
            texts[name] = text()
            between = b"[\n"
            for item in items:
                texts[name].write(between + item)
                between = b",\n"
            texts[name].write(b"\n]\n" if between != b"[\n" else b"[]\n")
        texts[SAMPLES] = samples
        for name, collected in texts.items():
            size, crc = collected.tell(), 0
            collected.seek(0)
            while data := collected.read(_GATHERED):
                crc = crc32(data, crc)
            collected.seek(0)
            archive.add(name, crc, size, iter(partial(collected.read, _GATHERED), b""))
        return receipt.build(file, archive.finish())


class ZipWriter:
    """Writes a zip member by member; `at` is the number of bytes so far."""

    def __init__(self, sink: Sink) -> None:
        self.at = self._count = 0
        self._directory = bytearray()
        self._sink = sink

    def add(self, name: str, crc: int, size: int, content: Iterable[bytes]) -> int:
        """Add a member of known size and CRC-32; return the CRC-32 of its header and content."""
        header = zips.local_header(name, crc, size)
        self._directory += zips.entry(name, crc, size, self.at)
        self._count += 1
        self.at += len(header) + size
        whole = 0
        for piece in chain([header], content):
            self._sink.write([piece])
            whole = crc32(piece, whole)
        return whole

    def finish(self) -> int:
        """Write the central directory; return the size of the zip."""
        self._directory += zips.end(self._count, len(self._directory), self.at)
        self._sink.write([bytes(self._directory)])
        return self.at + len(self._directory)


def _lists(contents: Contents, names: Sequence[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield the name and the items, as JSON, of each list of names, and of its snapshot if the forks read one."""
    for name, times in contents.lists.items():
        at = np.repeat(np.arange(len(names)), times)
        yield f"{name}.json", (b'"%b"' % names[row].encode() for row in at.tolist())
        if name in FORK_LISTS and times.any():
            yield f"{name}{SNAPSHOTS}", (b"%d" % index for index in snapshot(contents.yaw[at]).tolist())


def snapshot(yaw: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the 16 names of a list that a snapshot shows: from the least yaw to the largest, at equal intervals.

    `yaw` is that of each name, float64 [n], n at least 1. Fewer than 16 names repeat. Returns indices, int64 [16].
    """
    order = np.argsort(yaw, kind="stable")
    return order[(2 * np.arange(SNAPSHOT_PICTURES) + 1) * len(yaw) // (2 * SNAPSHOT_PICTURES)]
