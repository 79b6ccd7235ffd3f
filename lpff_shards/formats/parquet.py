"""Parquet for Hugging Face's datasets: one row per sample, with columns for the picture's file and every field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from isal.isal_zlib import crc32

from lpff_shards.formats.base import ARRAY_BYTES, FIELD_BYTES, Format, Sink, add_picture
from lpff_shards.formats.checks import checked
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.formats.spans import ARRAY_SHAPES
from lpff_shards.schemas.fields import DTYPES, FIELDS, Layout
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import SUFFIXES, Picture, Sample

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = 32 << 20
"""Bytes of pictures in a row group, which a writer holds in memory and a streaming reader reads at once."""
_PREFIX = 4
"""Bytes of the length before a picture in its column, little-endian (Parquet's encoding PLAIN)."""


class Parquet(Format):
    """Row groups of whole samples; pictures are uncompressed and consecutive in the file."""

    name, title, tag = "parquet", "Parquet files", "parquet"
    needs = ("pyarrow", "parquet")
    pattern, glob = r"-[0-9]+-of-[0-9]+\.parquet", "-*.parquet"

    def filename(self, stem: str, number: int, count: int) -> str:
        return f"{stem}-{number:05d}-of-{count:05d}.parquet"

    def loading(self) -> str:
        return Path(__file__).with_suffix(".md").read_text("utf-8")

    def overhead(self, layout: Layout) -> int:
        return sum(ARRAY_BYTES[name] for name in layout.arrays) + FIELD_BYTES // 4

    def writer(self, file: str, sink: Sink, layout: Layout) -> _ParquetWriter:
        return _ParquetWriter(file, sink, layout)

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(pa.py_buffer(shard), page_checksum_verification=True)
            if not file.schema_arrow.equals(_schema(layout), check_metadata=True):
                raise FormatError("its columns are not those of the schema")
            for group in range(file.num_row_groups):
                samples = [checked(one, layout) for one in _rows(file.read_row_group(group, use_threads=False))]
                start = file.metadata.row_group(group).column(0).data_page_offset
                size = file.metadata.row_group(group).column(0).total_compressed_size
                ends = _ends(bytes(shard[start : start + size]), samples)
                for sample, end in zip(samples, ends, strict=True):
                    yield sample, start + end
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise FormatError(f"not a Parquet file of lpff-shards: {str(error) or type(error).__name__}") from None

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same for all pictures
        columns = ", ".join(f"`{name}`" for name in ("image", *layout.arrays))
        return f"a row: {columns}, and a column a field"

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same in all layouts
        return "`image`, its file in `image.bytes`" if name == "image" else f"`{name}`"


class _ParquetWriter:
    """Collect samples and write them one row group at a time."""

    def __init__(self, file: str, sink: Sink, layout: Layout) -> None:
        import pyarrow.parquet as pq

        names = [f.name for f in FIELDS]
        self._file, self._sink = file, sink
        self._schema = _schema(layout)
        self._out = _Out()
        self._parquet = pq.ParquetWriter(
            self._out,
            self._schema,
            compression=dict.fromkeys(names, "zstd"),
            use_dictionary=names,
            # Statistics of the pictures' column would contain whole pictures.
            write_statistics=names,
            write_page_checksum=True,
        )
        self._waiting: list[Sample] = []
        self._size = 0
        self._rest = b""
        self._written = ReceiptBuilder()

    def add(self, sample: Sample) -> int:
        self._waiting.append(sample)
        self._size += len(sample.picture.data)
        if self._size >= GROUP:
            self._write_group()
        return len(sample.picture.data)

    def close(self) -> ShardReceipt:
        if self._waiting:
            self._write_group()
        self._parquet.close()
        end = self._rest + self._out.taken()
        self._sink.write([end])
        return self._written.build(self._file, self._written.at + len(end))

    def _write_group(self) -> None:
        self._parquet.write_table(_table(self._waiting, self._schema))
        # Bytes after the last picture of a group belong to the first sample of the next group.
        group, start, first = self._rest + self._out.taken(), 0, self._written.at
        for sample, end in zip(self._waiting, _ends(group, self._waiting), strict=True):
            add_picture(self._written, sample, first + end, crc32(memoryview(group)[start:end]))
            start = end
        self._rest = group[start:]
        self._sink.write([group[:start]])
        self._waiting, self._size = [], 0


class _Out(BytesIO):
    """A file in memory for pyarrow."""

    def close(self) -> None:
        """Stay open, to be read later."""

    def taken(self) -> bytes:
        """Return the bytes written since the last call."""
        data = self.getvalue()
        self.seek(0)
        self.truncate()
        return data


def _ends(group: bytes, samples: Sequence[Sample], at: int = 0) -> Iterator[int]:
    """Yield the end of each picture of a row group; only a length separates two pictures of one page."""
    for sample in samples:
        data = sample.picture.data
        at = group.find(len(data).to_bytes(_PREFIX, "little") + data[:64], at) + _PREFIX + len(data)
        if at < _PREFIX + len(data) or not group.endswith(data, 0, at):
            raise FormatError(f"the picture of {sample.key} is not stored unchanged")
        yield at


def _schema(layout: Layout) -> pa.Schema:
    """Return the columns, with the metadata that Hugging Face's datasets read."""
    import pyarrow as pa

    # The types allow nulls, though there are none: `datasets` supports only such types for its features.
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns: list[tuple[str, Any, Mapping[str, Any]]] = [("image", image, {"_type": "Image"})]
    for name in layout.arrays:
        kind, feature = pa.float32(), _value("float32")
        for side in reversed(ARRAY_SHAPES[name]):
            kind = pa.list_(pa.field("element", kind), side)
            feature = {"feature": feature, "length": side, "_type": "Sequence"}
        columns.append((name, kind, feature))
    columns += ((f.name, pa.type_for_alias(_DTYPE[f.kind]), _value(_DTYPE[f.kind])) for f in FIELDS)
    features = {name: feature for name, _, feature in columns}
    return pa.schema(
        [pa.field(name, kind) for name, kind, _ in columns],
        {"huggingface": json.dumps({"info": {"features": features}})},
    )


_DTYPE = {**DTYPES, "str": "string"}


def _value(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}


def _table(samples: Sequence[Sample], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {
        "image": [{"bytes": s.picture.data, "path": f"{s.key}.{SUFFIXES[s.picture.kind]}"} for s in samples]
    }
    columns |= {name: [getattr(s, name).tolist() for s in samples] for name in ARRAY_SHAPES if name in schema.names}
    columns |= {f.name: [s.scalars[f.name] for s in samples] for f in FIELDS}
    return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def _rows(table: pa.Table) -> Iterator[Sample]:
    """Yield the samples of a row group; an error counts for the first sample of the group."""
    arrays = {
        name: np.array(table[name].combine_chunks().flatten(recursive=True), np.float32).reshape(-1, *shape)
        for name, shape in ARRAY_SHAPES.items()
        if name in table.column_names
    }
    scalars = table.select([f.name for f in FIELDS]).to_pylist()
    for number, (image, row) in enumerate(zip(table["image"], scalars, strict=True)):
        data = image["bytes"].as_py()
        kind, suffix = inspect(data).kind, image["path"].as_py().removeprefix(f"{row['key']}.")
        if suffix != SUFFIXES[kind]:
            raise FormatError(f"its picture is {kind} but has the name {image['path'].as_py()}")
        picture = Picture(kind, data, row["width"], row["height"], row["mode"])
        camera, points = (arrays[name][number] if name in arrays else None for name in ARRAY_SHAPES)
        yield Sample(row["key"], picture, camera, points, row)
