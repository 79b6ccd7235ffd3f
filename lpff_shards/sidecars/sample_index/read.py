"""Reading samples.sqlite: whole columns, the records of a name, all records of a shard."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.manifest import Manifest
from lpff_shards.schemas.archive import picture_stem
from lpff_shards.schemas.fields import FIELDS, PYTHON_TYPES, Scalar
from lpff_shards.schemas.filenames import SAMPLE_INDEX
from lpff_shards.sidecars.sample_index.tables import PICTURE, PLACE, SCHEMA, STORED, PoseHistogram, fingerprint, schema
from lpff_shards.storage.path import StoragePath, is_file, no_place, on_disk

_DTYPES: Mapping[str, type] = {"int": np.int64, "bool": np.bool_, "float": np.float32}
_KINDS: Mapping[str, str] = {**{field.name: field.kind for field in FIELDS}, **dict.fromkeys(PLACE, "int")}

_HELD: Mapping[type, type] = {np.int64: int, np.bool_: int, np.float32: float, object: str}
_RECORD = (*(int if f.kind == "bool" else PYTHON_TYPES[f.kind] for f in FIELDS), str, int, int, int, int, str, int)

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


class SampleIndex:
    """samples.sqlite of a finished export, open for reading; a context manager that closes it."""

    def __init__(self, path: StoragePath, connection: sqlite3.Connection, samples: int, copy: ExitStack) -> None:
        self.path = path
        self._connection = connection
        self._samples = samples
        self._copy = copy

    @classmethod
    def open(cls, root: StoragePath, manifest: Manifest) -> SampleIndex:
        """Open samples.sqlite of an export; download it whole from a bucket.

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
                connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            except (sqlite3.Error, OSError) as error:
                raise _unusable(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
            index = cls(path, connection, manifest.samples, stack.pop_all())
        try:
            index._check(fingerprint(manifest))
        except SampleIndexError:
            index.close()
            raise
        return index

    def _check(self, known: Mapping[str, str]) -> None:
        if self._ask(SCHEMA) != list(schema()):
            raise _unusable(self.path, "is damaged: it has other tables than expected")
        if self._ask("SELECT name, value FROM export ORDER BY name") != sorted(known.items()):
            raise _unusable(self.path, "belongs to another export")

    def __enter__(self) -> SampleIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        self._copy.close()

    def numbers(self, name: str) -> NDArray[Any]:
        """Return a column of all samples, in the order of the shards: int64, bool or float32 [n].

        Args:
            name: an int, bool or float field, or a column of `tables.PLACE`.
        """
        dtype = _DTYPES[_KINDS[name]]
        values, rows = self._column(name, dtype)
        return values if rows is None else values[rows]

    def categories(self, name: str) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """Return a str field of all samples: int32 [n], indices into the names, and the names, sorted."""
        values, rows = self._column(name, object)
        names, codes = np.unique(values.astype(object), return_inverse=True)
        of_values: NDArray[np.int32] = codes.reshape(-1).astype(np.int32)
        return of_values if rows is None else of_values[rows], tuple(names.tolist())

    def strings(self, name: str) -> NDArray[np.object_]:
        """Return a str field of all samples, as objects [n]."""
        values, rows = self._column(name, object)
        return values if rows is None else values[rows]

    def _column(self, name: str, dtype: type) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Return a column's values, and each sample's index into them if samples share them."""
        for table, own, key in (("pictures", PICTURE, "picture"), ("stored", (*STORED, "suffix"), "stored")):
            if name in own:
                values = self._array(f"SELECT {name} FROM {table} ORDER BY {key}", dtype)
                rows = self._of_samples(key, np.int64)
                if not 0 <= rows.min() <= rows.max() < len(values):
                    raise _unusable(self.path, f"is damaged: samples point to missing rows of {table}")
                return values, rows
        return self._of_samples(name, dtype), None

    def _of_samples(self, name: str, dtype: type) -> NDArray[Any]:
        values = self._array(f"SELECT {name} FROM samples ORDER BY sample", dtype)
        if len(values) != self._samples:
            raise _unusable(self.path, f"is damaged: it has {len(values)} samples of {self._samples}")
        return values

    def _array(self, query: str, dtype: type) -> NDArray[Any]:
        values = [value for (value,) in self.rows(query, (_HELD[dtype],))]
        try:
            with np.errstate(over="raise"):
                return np.array(values, dtype)
        except FloatingPointError:
            raise _unusable(self.path, "is damaged: a number is too large for its column") from None

    def pool(self) -> PoseHistogram | None:
        """Return the poses of training pictures before rebalancing; None if the file was recreated from shards."""
        rows = list(self.rows("SELECT dataset, yaw, pitch, pictures FROM poses", (str, int, int, int)))
        if not rows:
            return None
        names, yaw, pitch, pictures = zip(*rows, strict=True)
        if max(map(abs, (*yaw, *pitch))) > _HALF_TURN:
            raise _unusable(self.path, "is damaged: a pose is out of range")
        datasets, codes = np.unique(names, return_inverse=True)
        dataset, yaws, pitches = (np.array(column, np.int32) for column in (codes.reshape(-1), yaw, pitch))
        return PoseHistogram(tuple(datasets.tolist()), dataset, yaws, pitches, np.array(pictures, np.int64))

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

    def rows(self, query: str, types: tuple[type, ...], values: Sequence[Scalar] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Args:
            types: types of each row's values: str, int or float.
        """
        for row in self._each(query, values):
            if tuple(map(type, row)) != types:
                raise _unusable(self.path, "is damaged: a value has the wrong type for its column")
            yield row

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        return list(self._each(query))

    def _each(self, query: str, values: Sequence[Scalar] = ()) -> Iterator[tuple[Any, ...]]:
        cursor = self._connection.cursor()
        rows = self._next(lambda: cursor.execute(query, values).fetchmany(_AT_ONCE))
        while rows:
            yield from rows
            rows = self._next(lambda: cursor.fetchmany(_AT_ONCE))

    def _next(self, fetch: Callable[[], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        try:
            return fetch()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", None) in _OF_TEMPORARY_FILES:
                raise no_place(f"SQLite: {error}") from None
            raise _unusable(self.path, f"is damaged: {error}") from None


def _unusable(path: StoragePath, how: str) -> SampleIndexError:
    return SampleIndexError(f"{path} {how}", f"Recreate it: lpff-shards index {path.parent}")
