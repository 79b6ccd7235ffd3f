"""Pictures in Parquet files, as Hugging Face's `datasets` write them: a column of pictures, and columns of fields."""

from __future__ import annotations

import io
from functools import lru_cache, partial
from typing import Any, ClassVar

from msgspec import Struct

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import BlobError, FileBlob, ObjectBlob, oversize, read_range
from lpff_shards.sources.io.picture_tables import PictureTable, picture_id
from lpff_shards.sources.io.zip_tree import ReadAt
from lpff_shards.storage.path import is_remote, place

IMAGE = "image"
"""The column that is chosen where several hold pictures."""


class ParquetBlob(Struct, frozen=True, gc=False):
    """A picture in a Parquet file; `row` counts in its row group, of which `size` is the mean size of pictures."""

    FEW: ClassVar[tuple[str, ...]] = ("path", "column")

    path: str
    column: str
    nested: bool
    group: int
    row: int
    size: int
    stamp: int

    @property
    def where(self) -> str:
        return f"{self.path}:row {self.row} of group {self.group}"

    def head(self, most: int) -> bytes:
        return self.read()[:most]

    def read(self) -> bytes:
        try:
            found = _pictures(self.path, self.stamp, self.group, self.column, self.nested)[self.row].as_py()
        except OSError as error:
            if is_remote(place(self.path)):
                raise ExportFailed(
                    f"{self.path} cannot be read: {error.strerror}", "Run the same command again"
                ) from None
            raise BlobError(f"cannot be read: {error}") from error
        except Exception as error:  # pyarrow raises many kinds of errors for damaged files
            raise BlobError(f"cannot be read: {error}") from error
        if found is None:
            raise BlobError("has no picture in this row")
        if reason := oversize(len(found)):
            raise BlobError(reason)
        return bytes(found)


@lru_cache(2)  # pictures of a row group are read one after another
def _pictures(path: str, stamp: int, group: int, column: str, nested: bool) -> Any:  # noqa: ARG001  # read if changed
    found = _opened(path).read_row_group(group, columns=[column], use_threads=False)[column].combine_chunks()
    return found.field("bytes") if nested else found


def _opened(path: str) -> Any:
    import pyarrow.parquet as pq

    if is_remote(at := place(path)):
        return pq.ParquetFile(io.BufferedReader(_RangeFile(partial(read_range, at), at.size()), 1 << 20))
    return pq.ParquetFile(path)


class _RangeFile(io.RawIOBase):
    """An object of a bucket as a file."""

    def __init__(self, read: ReadAt, size: int) -> None:
        self._read, self._size, self._at = read, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._read(self._at, min(len(buffer), max(0, self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def read_parquet(blob: Blob, name: str, folder: str) -> tuple[list[tuple[str, Blob]], PictureTable]:
    """Return the pictures of a file by id, and its other columns.

    An id is the file's, and behind a slash the path of its picture without suffix, or the number of its row.

    Raises:
        ShardsError: it cannot be read, has no column of pictures or several, or is in an archive.
    """
    try:
        import pyarrow  # noqa: F401  # only to find out if it is missing
    except ImportError:
        raise ShardsError(f"{blob.where} needs pyarrow", 'pip install "lpff-shards[parquet]"') from None
    if not isinstance(blob, FileBlob | ObjectBlob):
        raise ShardsError(f"{blob.where} cannot be read in an archive", "Unpack it, and give its folder")
    try:
        return _read(blob, name, folder)
    except ShardsError:
        raise
    except Exception as error:  # pyarrow raises many kinds of errors for damaged files
        raise ShardsError(f"{blob.where} is not a readable Parquet file: {error}", "Download it again") from None


def _read(blob: FileBlob | ObjectBlob, name: str, folder: str) -> tuple[list[tuple[str, Blob]], PictureTable]:
    file = _opened(blob.where)
    column, nested = _column(blob, file.schema_arrow)
    others = [field.name for field in file.schema_arrow if field.name != column and not _is_bytes(field.type)]
    rows = [dict[str, Any]() for _ in range(file.metadata.num_rows)]
    for other, values in ((other, file.read(columns=[other])[other]) for other in others):
        for row, value in zip(rows, _values(values), strict=True):
            row[other] = value
    paths = [None] * len(rows)
    if nested:
        paths = file.read(columns=[f"{column}.path"])[column].combine_chunks().field("path").to_pylist()
    is_named = len({*filter(None, paths)}) == len(paths)
    stem = folder + name.rpartition(".")[0]
    ids = [picture_id(f"{stem}/{path if is_named else f'{at:06d}'}") for at, path in enumerate(paths)]
    leaf = f"{column}.bytes" if nested else column
    pictures: list[Blob] = []
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        chunk = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == leaf)
        size = chunk.total_uncompressed_size // max(group.num_rows, 1)
        pictures += (
            ParquetBlob(blob.where, column, nested, number, at, size, blob.stamp) for at in range(group.num_rows)
        )
    return list(zip(ids, pictures, strict=True)), PictureTable(blob.where, dict(zip(ids, rows, strict=True)))


def _values(column: Any) -> list[Any]:
    """Return the values of a column; times and other types as their text."""
    import pyarrow as pa

    plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_nested, pa.types.is_null)
    if not any(is_kind(column.type) for is_kind in plain):
        column = column.cast(pa.string())
    found: list[Any] = column.to_pylist()
    return found


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _column(blob: Blob, schema: Any) -> tuple[str, bool]:
    """Return the column of pictures, and whether it is of structs with `bytes` and `path`."""
    import pyarrow as pa

    structs = (field for field in schema if pa.types.is_struct(field.type))
    found = {field.name: True for field in structs if {"bytes", "path"} <= {inner.name for inner in field.type}}
    found |= {field.name: False for field in schema if _is_bytes(field.type)}
    name = IMAGE if IMAGE in found else next(iter(found), "")
    if IMAGE not in found and len(found) != 1:
        what = f"the columns {', '.join(found)} with pictures" if found else "no column of pictures"
        raise ShardsError(f"{blob.where} has {what}", f"Name one {IMAGE}, of bytes or as `datasets` writes it")
    return name, found[name]
