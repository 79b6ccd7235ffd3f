"""samples.sqlite: writing it from the fields of all samples, and reading columns, and the records of some samples.

Samples refer to a row of `pictures` and a row of `stored`. A picture's mirrors and copies share its row, so a million
samples take little space. The view `records` joins the tables: a sample's fields, then its place. A fingerprint
identifies the export that the file belongs to.
"""

from __future__ import annotations

import errno
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import blake3
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.manifest import Manifest, file_digest
from lpff_shards.schemas.archive import picture_stem
from lpff_shards.schemas.fields import DTYPES, FIELDS, PYTHON_TYPES, Kind, Scalar
from lpff_shards.schemas.filenames import SAMPLE_INDEX
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.attached import refuse_channel
from lpff_shards.sidecars.folder import Row
from lpff_shards.storage.path import StoragePath, is_file, no_place, on_disk

VERSION = 2

PICTURE = (
    *("dataset", "source_id", "photo_id", "face", "category", "alignment"),
    *("license", "license_url", "author", "author_id", "title", "source_url"),
    *("low_resolution_download_url", "high_resolution_download_url"),
)
"""Fields that all samples of a picture share."""
STORED = (
    *("split", "camera_alignment", "landmarks_source", "changes"),
    *("width", "height", "mode", "exif_orientation", "resize_filter"),
)
"""Fields with few combinations in a data set."""
SAMPLE = tuple(field.name for field in FIELDS if field.name not in {*PICTURE, *STORED})
"""All other fields."""
PLACE = ("shard", "number", "offset", "bytes", "picture_bytes")
"""A sample's place, without the name of its file."""

_KINDS: Mapping[str, Kind] = {**{field.name: field.kind for field in FIELDS}, **dict.fromkeys(PLACE, "int")}
_SQL_TYPES = {"str": "TEXT", "int": "INTEGER", "bool": "INTEGER", "float": "REAL"}
_TYPES: Mapping[Kind, type] = {**PYTHON_TYPES, "bool": int}
_KEYS = {"pictures": "picture", "stored": "stored", "samples": "sample"}
_HOMES = {**dict.fromkeys(_KINDS, "samples"), **dict.fromkeys(PICTURE, "pictures"), **dict.fromkeys(STORED, "stored")}
"""The primary keys of the tables, and the table of each column."""
_RECORD = (*(_TYPES[field.kind] for field in FIELDS), str, int, int, int, int, str, int)


def _columns(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {_SQL_TYPES[_KINDS[name]]} NOT NULL" for name in names)


def _pick(names: tuple[str, ...]) -> itemgetter[Row]:
    return itemgetter(*([field.name for field in FIELDS].index(name) for name in names))


of_picture, of_stored, of_sample = _pick(PICTURE), _pick(STORED), _pick(SAMPLE)
"""Split a row into its parts."""

TABLES = f"""
CREATE TABLE export (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE shards (shard INTEGER PRIMARY KEY, file TEXT NOT NULL);
CREATE TABLE pictures (picture INTEGER PRIMARY KEY, {_columns(PICTURE)});
CREATE TABLE stored (stored INTEGER PRIMARY KEY, suffix TEXT NOT NULL, {_columns(STORED)});
CREATE TABLE samples (
    sample INTEGER PRIMARY KEY, {_columns(SAMPLE)}, {_columns(PLACE)},
    picture INTEGER NOT NULL REFERENCES pictures, stored INTEGER NOT NULL REFERENCES stored
);
CREATE TABLE poses (
    dataset TEXT NOT NULL, yaw INTEGER NOT NULL, pitch INTEGER NOT NULL, pictures INTEGER NOT NULL
);
CREATE VIEW records AS SELECT
    {", ".join(f"{_HOMES[field.name]}.{field.name}" for field in FIELDS)},
    shards.file, number, offset, bytes, picture_bytes, suffix, sample
FROM samples JOIN pictures USING (picture) JOIN stored USING (stored) JOIN shards USING (shard);
"""
INDEXES = """
CREATE UNIQUE INDEX samples_key ON samples (key);
CREATE INDEX samples_picture ON samples (picture);
CREATE INDEX pictures_source_id ON pictures (source_id);
CREATE INDEX pictures_photo_id ON pictures (photo_id);
CREATE INDEX pictures_author ON pictures (author);
CREATE INDEX pictures_author_id ON pictures (author_id);
"""
"""Created after all rows, which is faster than updating indexes."""
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
_SETTINGS = """
PRAGMA page_size = 4096;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
"""


@cache
def _schema() -> tuple[tuple[str | None, ...], ...]:
    """Return the result of `_SCHEMA` on a valid file; other tables or views mean that it is damaged."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES + INDEXES)
        return tuple(database.execute(_SCHEMA))


def fingerprint(manifest: Manifest) -> Mapping[str, str]:
    """Return the fingerprint of an export's database; it changes when samples are removed."""
    return {
        "version": str(VERSION),
        "schema": str(manifest.schema),
        "name": manifest.name,
        "format": manifest.format,
        "plan": manifest.plan,
        "samples": str(manifest.samples),
        "shards": file_digest("".join(f"{shard.file} {shard.checksum}\n" for shard in manifest.shards).encode()),
    }


PoseHistogram = Sequence[tuple[str, int, int, int]]
"""Training pictures before rebalancing: data set, yaw and pitch in whole degrees, number of pictures."""


def count_poses(datasets: tuple[str, ...], dataset: NDArray[np.int64], poses: NDArray[np.float64]) -> PoseHistogram:
    """Count pictures by data set (int64 [n], indices into the names) and pose (float64 [n, 2], yaw, pitch, radians)."""
    rows = np.concatenate([dataset[:, None], np.rint(np.degrees(poses)).astype(np.int64)], axis=1)
    found, pictures = np.unique(rows, axis=0, return_counts=True)
    return [(datasets[d], yaw, pitch, n) for (d, yaw, pitch), n in zip(found.tolist(), pictures.tolist(), strict=True)]


def write_tables(
    path: Path,
    fingerprint: Mapping[str, str],
    shards: Iterable[tuple[ShardReceipt, Iterable[Row]]],
    pool: PoseHistogram | None,
) -> None:
    """Write samples.sqlite at a new path; the same samples and SQLite version give the same bytes.

    Args:
        shards: in order, each shard's receipt and its samples' rows.
        pool: poses before rebalancing.

    Raises:
        OSError: the file cannot be written.
    """
    # Unlocked: no other process opens the incomplete file, and some network file systems have no locks.
    uri = f"{path.absolute().as_uri()}?vfs=unix-none"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
            database.executescript(_SETTINGS + TABLES)
            database.execute("BEGIN")
            _insert(database, "export", sorted(fingerprint.items()))
            _insert_shards(database, shards)
            _insert(database, "poses", pool or ())
            database.execute("COMMIT")
            database.executescript(INDEXES)
    except sqlite3.Error as error:
        code = errno.ENOSPC if error.sqlite_errorcode == sqlite3.SQLITE_FULL else None
        raise OSError(code, f"SQLite: {error}", str(path)) from None


def _insert_shards(database: sqlite3.Connection, shards: Iterable[tuple[ShardReceipt, Iterable[Row]]]) -> None:
    pictures: dict[bytes, int] = {}
    stored: dict[bytes, int] = {}
    sample = 0
    for number, (receipt, rows) in enumerate(shards):
        new_pictures: list[Row] = []
        new_stored: list[Row] = []
        samples = []
        members = zip(rows, receipt.members, pairwise(receipt.offsets), strict=True)
        for at, (row, (kind, size, *_), (start, end)) in enumerate(members):
            how = _number((receipt.suffixes[kind][0], *of_stored(row)), stored, new_stored)
            shown = _number(of_picture(row), pictures, new_pictures)
            samples.append((sample, *of_sample(row), number, at, start, end - start, size, shown, how))
            sample += 1
        _insert(database, "shards", [(number, receipt.file)])
        _insert(database, "pictures", new_pictures)
        _insert(database, "stored", new_stored)
        _insert(database, "samples", samples)


_encode = msgspec.json.Encoder().encode


def _number(row: Row, known: dict[bytes, int], new: list[Row]) -> int:
    """Return a row's number, in order of first occurrence; only the digests of earlier rows stay in memory."""
    digest = blake3.blake3(_encode(row)).digest(length=16)
    number = known.get(digest)
    if number is None:
        number = known[digest] = len(known)
        new.append((number, *row))
    return number


def _insert(database: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    if rows:
        database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


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


_HALF_TURN = np.float32(math.pi)


@dataclass(frozen=True, slots=True)
class SampleIndex:
    """samples.sqlite of a finished export, open for reading; `samples` is the manifest's number of samples."""

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
        refuse_channel(root, manifest)
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
            if tuple(index.rows(_SCHEMA)) != _schema():
                raise _unusable(path, "is damaged: it has other tables than expected")
            if dict(index.rows("SELECT name, value FROM export")) != fingerprint(manifest):
                raise _unusable(path, "belongs to another export")
            yield index

    def column(self, name: str) -> NDArray[Any]:
        """Return a field, or column of `PLACE`, of all samples in order: int64, bool, float32 [n], texts as objects."""
        table = _HOMES[name]
        values = self._values(name, table, _KINDS[name])
        if table == "samples":
            return values
        rows = self._values(_KEYS[table], "samples", "int")
        if not 0 <= rows.min() <= rows.max() < len(values):
            raise _unusable(self.path, f"is damaged: samples point to missing rows of {table}")
        shared: NDArray[Any] = values[rows]
        return shared

    def _values(self, name: str, table: str, kind: Kind) -> NDArray[Any]:
        query = f"SELECT {name} FROM {table} ORDER BY {_KEYS[table]}"
        values = [value for (value,) in self.rows(query, (_TYPES[kind],))]
        if table == "samples" and len(values) != self.samples:
            raise _unusable(self.path, f"is damaged: it has {len(values)} samples of {self.samples}")
        try:
            with np.errstate(over="raise"):
                found = np.array(values, object if kind == "str" else DTYPES[kind])
        except FloatingPointError:
            raise _unusable(self.path, "is damaged: a number is too large for its column") from None
        # A contact sheet would have a column for each step of yaw.
        if name in ("yaw", "pitch") and not (np.abs(found) <= _HALF_TURN).all():
            raise _unusable(self.path, f"is damaged: {name} is out of range")
        return found

    def pool(self) -> PoseHistogram | None:
        """Return the poses of training pictures before rebalancing; None if the file was recreated from shards."""
        rows = list(self.rows("SELECT dataset, yaw, pitch, pictures FROM poses", (str, int, int, int)))
        if any(max(abs(yaw), abs(pitch)) > 180 for _, yaw, pitch, _ in rows):
            raise _unusable(self.path, "is damaged: a pose is out of range")
        return rows or None

    def records(self, condition: str, values: Sequence[Scalar] = ()) -> Iterator[IndexedSample]:
        """Yield the records of samples that meet an SQL condition on the table `samples`, in shard order."""
        query = f"SELECT * FROM records WHERE sample IN (SELECT sample FROM samples WHERE {condition}) ORDER BY sample"
        for row in self.rows(query, _RECORD, values):
            scalars = zip(FIELDS, row, strict=False)
            fields = {field.name: bool(value) if field.kind == "bool" else value for field, value in scalars}
            yield IndexedSample(fields, *row[len(FIELDS) : -1])

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
        """Yield the rows of a query; their values must be of these types (str, int or float), if given."""
        try:
            for row in self.connection.execute(query, values):
                if types and tuple(map(type, row)) != types:
                    raise _unusable(self.path, "is damaged: a value has the wrong type for its column")
                yield row
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", None) in _OF_TEMPORARY_FILES:
                raise no_place(f"SQLite: {error}") from None
            raise _unusable(self.path, f"is damaged: {error}") from None


def _unusable(path: StoragePath, how: str) -> SampleIndexError:
    return SampleIndexError(f"{path} {how}", f"Recreate it: lpff-shards index {path.parent}")
