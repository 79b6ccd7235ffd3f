"""Parquet for Hugging Face's datasets: one row per sample, with columns for the picture's file and every field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from io import BytesIO
from itertools import repeat
from typing import Any

from isal.isal_zlib import crc32

from lpff_shards.formats.base import FIELD_BYTES, Format, Sink, add_picture, payload
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.parquet_columns import cell_of, columns_of, samples_of
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import SUFFIXES, Sample

GROUP = 32 << 20
"""Bytes of pictures in a row group, which a writer holds in memory and a streaming reader reads at once."""


class Parquet(Format):
    """Row groups of whole samples; pictures are uncompressed and consecutive in the file."""

    name, title, tag = "parquet", "Parquet files", "parquet"
    needs = ("pyarrow", "parquet")
    pattern, glob = r"-[0-9]+-of-[0-9]+\.parquet", "-*.parquet"
    channels = "inside"

    def filename(self, stem: str, number: int, count: int) -> str:
        return f"{stem}-{number:05d}-of-{count:05d}.parquet"

    def overhead(self, layout: Layout) -> int:
        return super().overhead(layout) - FIELD_BYTES * 3 // 4

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same for all pictures
        channels = (channel.name for channel in layout.channels or ())
        columns = ", ".join(f"`{name}`" for name in ("image", *layout.arrays, *channels))
        return f"a row: {columns}, and a column a field"

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same in all layouts
        return "`image`, its file in `image.bytes`" if name == "image" else f"`{name}`"

    def writer(self, file: str, sink: Sink, layout: Layout) -> _ParquetWriter:
        return _ParquetWriter(file, sink, layout)

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(pa.py_buffer(shard), page_checksum_verification=True)
            if not file.schema_arrow.equals(columns_of(layout), check_metadata=True):
                raise FormatError("its columns are not those of the schema")
            for number in range(file.num_row_groups):
                samples = [*samples_of(file.read_row_group(number, use_threads=False), layout)]
                first = file.metadata.row_group(number).column(0)
                start = first.data_page_offset
                group = shard[start : start + first.total_compressed_size]
                ends = repeat(len(group)) if layout.attached else _ends(bytes(group), samples)
                for sample, end in zip(samples, ends, strict=False):
                    yield sample, start + end
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise FormatError(f"not a Parquet file of lpff-shards: {str(error) or type(error).__name__}") from None


class _ParquetWriter:
    """Collect samples and write them one row group at a time."""

    def __init__(self, file: str, sink: Sink, layout: Layout) -> None:
        import pyarrow.parquet as pq

        names = [f.name for f in layout.fields]
        self._file, self._sink, self._layout = file, sink, layout
        # Statistics of the pictures' column would contain whole pictures.
        options = {"compression": dict.fromkeys(names, "zstd"), "use_dictionary": names, "write_statistics": names}
        self._out, self._written = BytesIO(), ReceiptBuilder()
        self._parquet = pq.ParquetWriter(self._out, columns_of(layout), write_page_checksum=True, **options)
        self._waiting, self._size = list[Sample](), 0

    def add(self, sample: Sample) -> int:
        self._waiting.append(sample)
        size = sum(payload(sample, self._layout)[1])
        self._size += size
        if self._size >= GROUP:
            self._write_group()
        return size

    def close(self) -> ShardReceipt:
        if self._waiting:
            self._write_group()
        self._parquet.close()
        self._sink.write([end := self._out.getvalue()])
        return self._written.build(self._file, self._written.at + len(end))

    def _write_group(self) -> None:
        import pyarrow as pa

        there = self._waiting
        columns: dict[str, Any] = {f.name: [s.scalars[f.name] for s in there] for f in self._layout.fields}
        columns |= {name: [getattr(s, name).tolist() for s in there] for name in self._layout.arrays}
        for channel in self._layout.channels or ():
            columns[channel.name] = [cell_of(channel, s.key, s.channels[channel.name]) for s in there]
        if not self._layout.attached:
            files = ((s.picture.data, f"{s.key}.{SUFFIXES[s.picture.kind]}") for s in there)
            columns["image"] = [{"bytes": data, "path": path} for data, path in files]
        self._parquet.write_table(pa.Table.from_pydict(columns, columns_of(self._layout)))
        group, start, first = self._out.getvalue(), 0, self._written.at
        # Channels alone are not found one by one: the first of a row group is given all of its bytes.
        ends = repeat(len(group)) if self._layout.attached else _ends(group, self._waiting)
        for sample, end in zip(self._waiting, ends, strict=False):
            add_picture(self._written, sample, self._layout, first + end, crc32(memoryview(group)[start:end]))
            start = end
        self._sink.write([group[:start]])
        # Bytes after the last picture of a group belong to the first sample of the next group.
        self._out.seek(0)
        self._out.truncate(self._out.write(group[start:]))
        self._waiting, self._size = [], 0


def _ends(group: bytes, samples: Sequence[Sample]) -> Iterator[int]:
    """Yield the end of each picture of a row group; only a length, 4 bytes, separates two pictures of one page."""
    at = 0
    for sample in samples:
        data = sample.picture.data
        found = group.find(len(data).to_bytes(4, "little") + data[:64], at)
        at = found + 4 + len(data)
        if found < 0 or not group.endswith(data, 0, at):
            raise FormatError(f"the picture of {sample.key} is not stored unchanged")
        yield at
