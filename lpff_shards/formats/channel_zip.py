"""The zip of a channel beside the trainers' zip: the same names of members, as PanoHead and GGHead read masks."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from isal.isal_zlib import crc32
from msgspec import Raw, structs

from lpff_shards.formats.base import Sink
from lpff_shards.formats.checks import attached_sample, checked
from lpff_shards.formats.containers.zip import members
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.join_zip import ZipWriter
from lpff_shards.schemas.archive import SAMPLES, picture_stem
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import Sample


class ChannelZipWriter:
    """Writes the members in the pictures' order, and the key of each in samples.jsonl."""

    def __init__(self, file: str, sink: Sink, layout: Layout) -> None:
        self._file, self._layout = file, layout
        self._zip, self._written = ZipWriter(sink), ReceiptBuilder()
        self._lines: list[bytes] = []
        self._number = -1

    def add(self, sample: Sample) -> int:
        """Write a sample's file; `replica` is among its fields."""
        replica = int(sample.scalars["replica"])
        self._number += not replica
        (first, *others), files = self._layout.channels or (), sample.channels
        # Trainers read every picture of a zip; what else there is, such as `has_NAME`, is JSON.
        data, more = files[first.name], {one.name: Raw(files[one.name]) for one in others}
        name, crc = f"{picture_stem(self._number, replica)}.{first.kind}", crc32(data)
        whole = self._zip.add(name, crc, len(data), [data])
        self._lines.append(msgspec.json.encode({"name": name, "key": sample.key, **more}) + b"\n")
        self._written.add(sample.key, self._zip.at, (first.suffix,), (len(data),), whole)
        return len(data)

    def close(self) -> ShardReceipt:
        lines = b"".join(self._lines)
        self._zip.add(SAMPLES, crc32(lines), len(lines), [lines])
        return self._written.build(self._file, self._zip.finish())


def read_channel_zip(shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
    """Yield the samples of a channel's zip, each with its end; raise FormatError for another file."""
    *files, last = members(shard)
    (first, *others) = layout.channels or ()
    try:
        rows = msgspec.json.Decoder(dict[str, Raw]).decode_lines(bytes(last.read(shard)))
        if last.name != SAMPLES or len(rows) != len(files):
            raise FormatError(f"the zip does not end with {SAMPLES}, a line for each of its {len(files)} files")
        for member, row in zip(files, rows, strict=True):
            name, key = (msgspec.json.decode(row[text], type=str) for text in ("name", "key"))
            if name != member.name:
                raise FormatError(f"{SAMPLES} has no line for {member.name} at its position")
            values = {first.name: bytes(member.read(shard)), **{one.name: bytes(row[one.name]) for one in others}}
            sample = checked(attached_sample(key, values), layout)
            yield structs.replace(sample, scalars={"key": key, "replica": _replica(name)}), member.end
    except (KeyError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise FormatError(f"{SAMPLES} is damaged: {error}") from None


def _replica(name: str) -> int:
    """Return the number of a copy at the end of its member's name, 0 without one."""
    copy = name.partition(".")[0].partition("_")[2]
    return int(copy) if copy.isdigit() else 0
