"""Reading samples.sqlite: whole columns, the records of a name, all records of a shard."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.manifest import Manifest
from lpff_shards.schemas.archive import picture_stem
from lpff_shards.schemas.fields import FIELDS, Scalar
from lpff_shards.schemas.filenames import SAMPLE_INDEX
from lpff_shards.sidecars.sample_tables import PICTURE, PLACE, SCHEMA, STORED, PoseHistogram, fingerprint, schema
from lpff_shards.storage.path import StoragePath, is_file, no_place, on_disk

_DTYPES: Mapping[str, type] = {"int": np.int64, "bool": np.bool_, "float": np.float32, "str": object}
_KINDS: Mapping[str, str] = {**{field.name: field.kind for field in FIELDS}, **dict.fromkeys(PLACE, "int")}
_STORED_TYPES: Mapping[str, type] = {"int": int, "bool": int, "float": float, "str": str}
_RECORD = (*(_STORED_TYPES[field.kind] for field in FIELDS), str, int, int, int, int, str, int)

_HALF_TURN = 180
_AT_ONCE = 1024


class IndexedSample(Struct, frozen=True):
    """A sample's record in samples.sqlite.

    Attributes:
        fields: by name, in the order of `FIELDS`, each of its type.
        file: the shard; number: the sample's number in it, from 0.
        offset: start of the sample's first header in the shard; bytes: length of the sample.
        picture_bytes: length of its picture.
        suffix: suffix of its picture: png, jpg, webp or image.npy.
    """

    fields: Mapping[str, Scalar]
    file: str
    number: int
    offset: int
    bytes: int
    picture_bytes: int
    suffix: str


class SampleIndexError(ShardsError):
    """samples.sqlite cannot be used; `lpff-shards index` recreates it."""


_OF_TEMPORARY_FILES = (
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_IOERR_GETTEMPPATH, sqlite3.SQLITE_IOERR_WRITE),
)
"""SQLite's errors of written files; an open index writes only temporary files of large sorts."""


@dataclass(frozen=True, slots=True)
class SampleIndex:
    """samples.sqlite of a finished export, open for reading.

    Attributes:
        samples: number of samples in the manifest.
    """

    path: StoragePath
    connection: sqlite3.Connection
    samples: int

    @classmethod
    @contextmanager
    def open(cls, root: StoragePath, manifest: Manifest) -> Iterator[SampleIndex]:
        """Open samples.sqlite of an export, downloaded whole from a bucket; the end of the block closes it.

        Raises:
            SampleIndexError: it is missing, damaged, or belongs to another export.
        """
        path = root / SAMPLE_INDEX
        with ExitStack() as stack:
            try:
                if not is_file(path):
                    raise _unusable(path, "is missing")
                copy = stack.enter_context(on_disk(path))
                # It does not change, so it is not locked: some network file systems have no locks or no free space.
                uri = f"{copy.absolute().as_uri()}?mode=ro&immutable=1"
                connection = stack.enter_context(closing(sqlite3.connect(uri, uri=True, check_same_thread=False)))
            except (sqlite3.Error, OSError) as error:
                raise _unusable(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
            index = cls(path, connection, manifest.samples)
            if tuple(index.rows(SCHEMA)) != schema():
                raise _unusable(path, "is damaged: it has other tables than expected")
            if dict(index.rows("SELECT name, value FROM export")) != fingerprint(manifest):
                raise _unusable(path, "belongs to another export")
            yield index

    def column(self, name: str) -> NDArray[Any]:
        """Return a column of all samples, in the order of the shards: int64, bool or float32 [n], or texts as objects.

        Args:
            name: a field, or a column of `sample_tables.PLACE`.
        """
        values, rows = self._column(name)
        return values if rows is None else values[rows]

    def categories(self, name: str) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """Return a str field of all samples: int32 [n], indices into the names, and the names, sorted."""
        values, rows = self._column(name)
        names, codes = np.unique(values, return_inverse=True)
        of_values: NDArray[np.int32] = codes.reshape(-1).astype(np.int32)
        return of_values if rows is None else of_values[rows], tuple(names.tolist())

    def _column(self, name: str) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Return a column's values, and each sample's index into them if samples share them."""
        for table, own, key in (("pictures", PICTURE, "picture"), ("stored", STORED, "stored")):
            if name in own:
                values = self._array(f"SELECT {name} FROM {table} ORDER BY {key}", _KINDS[name])
                rows = self._of_samples(key, "int")
                if not 0 <= rows.min() <= rows.max() < len(values):
                    raise _unusable(self.path, f"is damaged: samples point to missing rows of {table}")
                return values, rows
        return self._of_samples(name, _KINDS[name]), None

    def _of_samples(self, name: str, kind: str) -> NDArray[Any]:
        values = self._array(f"SELECT {name} FROM samples ORDER BY sample", kind)
        if len(values) != self.samples:
            raise _unusable(self.path, f"is damaged: it has {len(values)} samples of {self.samples}")
        return values

    def _array(self, query: str, kind: str) -> NDArray[Any]:
        values = [value for (value,) in self.rows(query, (_STORED_TYPES[kind],))]
        try:
            with np.errstate(over="raise"):
                return np.array(values, _DTYPES[kind])
        except FloatingPointError:
            raise _unusable(self.path, "is damaged: a number is too large for its column") from None

    def pool(self) -> PoseHistogram | None:
        """Return the poses of training pictures before rebalancing; None if the file was recreated from shards."""
        rows = list(self.rows("SELECT dataset, yaw, pitch, pictures FROM poses", (str, int, int, int)))
        if any(max(abs(yaw), abs(pitch)) > _HALF_TURN for _, yaw, pitch, _ in rows):
            raise _unusable(self.path, "is damaged: a pose is out of range")
        return rows or None

    def records(self, condition: str, values: Sequence[Scalar] = ()) -> Iterator[IndexedSample]:
        """Yield the records of samples that meet an SQL condition on the table `samples`, in shard order."""
        query = f"SELECT * FROM records WHERE sample IN (SELECT sample FROM samples WHERE {condition}) ORDER BY sample"
        for row in self.rows(query, _RECORD, values):
            *scalars, file, number, offset, size, picture_bytes, suffix, _ = row
            fields = {
                f.name: bool(value) if f.kind == "bool" else value for f, value in zip(FIELDS, scalars, strict=True)
            }
            yield IndexedSample(fields, file, number, offset, size, picture_bytes, suffix)

    def member(self, record: IndexedSample) -> str:
        """Return the member of a zip with a sample's picture: copies share the number of their picture."""
        ((pictures,),) = self.rows(
            "SELECT count(DISTINCT picture * 2 + mirrored) FROM samples JOIN shards USING (shard) "
            "WHERE file = ? AND number <= ?",
            (int,),
            [record.file, record.number],
        )
        return f"{picture_stem(pictures - 1, int(record.fields['replica']))}.{record.suffix}"

    def rows(
        self, query: str, types: tuple[type, ...] = (), values: Sequence[Scalar] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Args:
            types: types of each row's values, str, int or float; not checked if empty.
        """
        with self._errors():
            cursor = self.connection.execute(query, values)
        while True:
            with self._errors():
                found = cursor.fetchmany(_AT_ONCE)
            if not found:
                return
            for row in found:
                if types and tuple(map(type, row)) != types:
                    raise _unusable(self.path, "is damaged: a value has the wrong type for its column")
                yield row

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", None) in _OF_TEMPORARY_FILES:
                raise no_place(f"SQLite: {error}") from None
            raise _unusable(self.path, f"is damaged: {error}") from None


def _unusable(path: StoragePath, how: str) -> SampleIndexError:
    return SampleIndexError(f"{path} {how}", f"Recreate it: lpff-shards index {path.parent}")
