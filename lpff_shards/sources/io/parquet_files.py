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
    group: int
    row: int
    size: int
    stamp: int

    @property
    def where(self) -> str:
        return f"{self.path}:{self.group}.{self.row}"

    def head(self, most: int) -> bytes:
        return self.read()[:most]

    def read(self) -> bytes:
        try:
            found = _pictures(self.path, self.stamp, self.group, self.column)[self.row].as_py()
        except OSError as error:
            if is_remote(place(self.path)):
                raise ExportFailed(
                    f"{self.path} cannot be read: {error.strerror}", "Run the same command again"
                ) from None
            raise BlobError(f"cannot be read: {error}") from error
        except (ValueError, IndexError) as error:  # pyarrow's errors are ValueErrors
            raise BlobError(f"cannot be read: {error}") from error
        if found is None:
            raise BlobError("has no picture in this row")
        if reason := oversize(len(found)):
            raise BlobError(reason)
        return bytes(found)


@lru_cache(2)  # pictures of a row group are read one after another
def _pictures(path: str, stamp: int, group: int, column: str) -> Any:  # noqa: ARG001  # a changed file is read again
    found = _opened(path).read_row_group(group, columns=[column], use_threads=False).column(0).combine_chunks()
    return found.field("bytes") if "." in column else found


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
        ShardsError: it cannot be read, has no column of pictures or several, or is in a zip.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise ShardsError(f"{blob.where} needs pyarrow", 'pip install "lpff-shards[parquet]"') from None
    if not isinstance(blob, FileBlob | ObjectBlob):
        raise ShardsError(f"{blob.where} cannot be read inside a zip", "Unpack it, and give its folder")
    try:
        file = _opened(blob.where)
        column = _column(blob, file.schema_arrow)
        others = [name for name in file.schema_arrow.names if name != column.partition(".")[0]]
        paths = [f"{column.partition('.')[0]}.path"] if "." in column else []
        rows = file.read(columns=[*others, *paths]).to_pylist()
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        raise ShardsError(f"{blob.where} is not a readable Parquet file: {error}", "Download it again") from None
    named = [(row.pop(column.partition(".")[0], None) or {}).get("path") for row in rows]
    is_named = len({*filter(None, named)}) == len(named)
    stem = folder + name.rpartition(".")[0]
    ids = [picture_id(f"{stem}/{path if is_named else f'{at:06d}'}") for at, path in enumerate(named)]
    pictures: list[Blob] = []
    for number, group in enumerate(groups):
        leaf = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == column)
        size = leaf.total_uncompressed_size // max(group.num_rows, 1)
        pictures += (ParquetBlob(blob.where, column, number, at, size, blob.stamp) for at in range(group.num_rows))
    return list(zip(ids, pictures, strict=True)), PictureTable(blob.where, dict(zip(ids, rows, strict=True)))


def _column(blob: Blob, schema: Any) -> str:
    """Return the path of the column with the bytes of pictures."""
    import pyarrow as pa

    found = {
        field.name: f"{field.name}.bytes" if pa.types.is_struct(field.type) else field.name
        for field in schema
        if pa.types.is_binary(field.type)
        or pa.types.is_large_binary(field.type)
        or (pa.types.is_struct(field.type) and {"bytes", "path"} <= {inner.name for inner in field.type})
    }
    if IMAGE not in found and len(found) != 1:
        what = f"the columns {', '.join(found)} with pictures" if found else "no column of pictures"
        raise ShardsError(f"{blob.where} has {what}", f"Name one {IMAGE}, of bytes or as `datasets` writes it")
    return found.get(IMAGE) or next(iter(found.values()))
