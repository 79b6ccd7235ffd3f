"""ArrayRecord: Examples as in TFRecords, in files with random access for Grain, one Riegeli chunk per sample."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from isal.isal_zlib import crc32

from lpff_shards.formats import examples
from lpff_shards.formats.base import Sink, payload
from lpff_shards.formats.errors import FormatError
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import Sample

# Riegeli's records: blocks of 64 KiB with headers that interrupt the chunks, and a header before each chunk (hash, data
# size, data hash, type and number of records, decoded size), see riegeli/doc/riegeli_records_file_format.md.
_BLOCK, _BLOCK_HEADER = 1 << 16, 24
_INNER = _BLOCK - _BLOCK_HEADER
_CHUNK = struct.Struct("<8xQ8xQQ")
_RECORDS = ord("r")


class ArrayRecord(examples.ExampleFormat):
    """Records without compression, since pictures are compressed already; the library's index is at the end."""

    name, title, tag = "arrayrecord", "ArrayRecord files", "arrayrecord"
    needs = ("array_record", "jax")
    pattern, glob = r"\.array_record-[0-9]+-of-[0-9]+", ".array_record-*"

    def filename(self, stem: str, number: int, count: int) -> str:
        return f"{stem}.array_record-{number:05d}-of-{count:05d}"

    def overhead(self, layout: Layout) -> int:
        return super().overhead(layout) + _CHUNK.size

    def writer(self, file: str, sink: Sink, layout: Layout) -> _ArrayRecordWriter:
        return _ArrayRecordWriter(file, sink, layout)

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        # The library reads only files.
        with NamedTemporaryFile() as copy:
            copy.write(shard)
            copy.flush()
            ends = _ends(lambda at, size: bytes(shard[at : at + size]))
            for record in _records(copy.name):
                end = next(ends, 0)
                if not end:
                    raise FormatError("it holds more records than chunks")
                yield examples.decode_sample(record, layout), end

    def picture_bytes(self, sample: bytes, start: int, size: int, raw: bool) -> bytes:  # noqa: ARG002  # the record contains it
        chunk = _without_headers(sample, start)[0 if start else _CHUNK.size :]
        example = chunk[-_CHUNK.unpack_from(chunk)[2] :]
        found = examples.find_picture(example, 0, raw)
        if found is None:
            raise FormatError("it holds no picture")
        return example[found.start : found.start + found.size]


class _ArrayRecordWriter:
    """Write a file with the library, then copy it and record each sample's position and checksum."""

    def __init__(self, file: str, sink: Sink, layout: Layout) -> None:
        from array_record.python.array_record_module import ArrayRecordWriter

        self._file, self._sink, self._layout = file, sink, layout
        self._path = sink.file()
        self._added: list[tuple[str, tuple[str, ...], tuple[int, ...]]] = []
        with _named(self._path):
            self._records = ArrayRecordWriter(str(self._path), "group_size:1,uncompressed")

    def add(self, sample: Sample) -> int:
        data = b"".join(examples.encode_sample(sample, self._layout))
        with _named(self._path):
            self._records.write(data)
        self._added.append((sample.key, *payload(sample, self._layout)))
        return len(data)

    def close(self) -> ShardReceipt:
        with _named(self._path):
            self._records.close()
        written = ReceiptBuilder()
        with self._path.open("rb") as file:
            ends = _ends(lambda at, size: os.pread(file.fileno(), size, at))
            for (key, suffixes, sizes), end in zip(self._added, ends, strict=False):
                data = file.read(end - written.at)
                written.add(key, end, suffixes, sizes, crc32(data))
                self._sink.write([data])
            if len(written) < len(self._added):
                raise FormatError(f"{len(self._added)} records were written, but {len(written)} were found")
            rest = file.read()
            self._sink.write([rest])
        return written.build(self._file, written.at + len(rest))


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Convert the library's errors to OSErrors of that path."""
    try:
        yield
    except RuntimeError as error:
        code = next((code for code in errno.errorcode if os.strerror(code) in str(error)), errno.EIO)
        raise OSError(code, os.strerror(code), str(path)) from None


def _records(path: str) -> Iterator[bytes]:
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        reader = ArrayRecordReader(path)
        for start in range(0, reader.num_records(), 16):
            yield from reader.read(start, min(start + 16, reader.num_records()))
    except (RuntimeError, ValueError, IndexError) as error:
        raise FormatError(str(error)) from None


def _ends(read: Callable[[int, int], bytes]) -> Iterator[int]:
    """Yield the end of each chunk of records, given bytes by offset and number; the library's index comes last."""
    at = 0
    while True:
        start, stop = _outer(at), _outer(at + _CHUNK.size)
        header = _without_headers(read(start, stop - start), start)
        if len(header) < _CHUNK.size:
            return
        size, kind, _ = _CHUNK.unpack(header)
        at += _CHUNK.size + size
        if kind & 0xFF == _RECORDS:
            yield _outer(at)


def _outer(at: int) -> int:
    """Return the offset in the file of an offset in the bytes of its chunks."""
    return at // _INNER * _BLOCK + _BLOCK_HEADER + at % _INNER


def _without_headers(data: bytes, start: int) -> bytes:
    """Return bytes from an offset of the file, without the headers of blocks in them."""
    pieces, at = [], start
    while at < start + len(data):
        stop = at - at % _BLOCK + _BLOCK
        pieces.append(data[max(at, stop - _INNER) - start : stop - start])
        at = stop
    return b"".join(pieces)
