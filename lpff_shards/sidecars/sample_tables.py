"""Writing samples.sqlite and its tables: samples refer to a row of `pictures` and a row of `stored`.

A picture's mirrors and copies share its row, so a million samples take little space. The view `records` joins the
tables: a sample's fields, then its place. A fingerprint identifies the export that the file belongs to.
"""

from __future__ import annotations

import errno
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from operator import itemgetter
from pathlib import Path
from types import GenericAlias

import blake3
import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.fields import FIELDS, PYTHON_TYPES, Scalar
from lpff_shards.schemas.receipt import ShardReceipt

Row = tuple[Scalar, ...]
"""A sample's scalars in the order of `FIELDS`."""

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

_SQL_TYPES = {"str": "TEXT", "int": "INTEGER", "bool": "INTEGER", "float": "REAL"}
_KINDS = {field.name: field.kind for field in FIELDS}
_AT = {field.name: at for at, field in enumerate(FIELDS)}


def _columns(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {_SQL_TYPES[_KINDS[name]]} NOT NULL" for name in names)


def _home(name: str) -> str:
    return "pictures" if name in PICTURE else "stored" if name in STORED else "samples"


def _pick(names: tuple[str, ...]) -> itemgetter[Row]:
    return itemgetter(*(_AT[name] for name in names))


of_picture, of_stored, of_sample = _pick(PICTURE), _pick(STORED), _pick(SAMPLE)
"""Split a row into its parts."""

TABLES = f"""
CREATE TABLE export (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE shards (shard INTEGER PRIMARY KEY, file TEXT NOT NULL);
CREATE TABLE pictures (picture INTEGER PRIMARY KEY, {_columns(PICTURE)});
CREATE TABLE stored (stored INTEGER PRIMARY KEY, suffix TEXT NOT NULL, {_columns(STORED)});
CREATE TABLE samples (
    sample INTEGER PRIMARY KEY, {_columns(SAMPLE)}, {", ".join(f"{name} INTEGER NOT NULL" for name in PLACE)},
    picture INTEGER NOT NULL REFERENCES pictures, stored INTEGER NOT NULL REFERENCES stored
);
CREATE TABLE poses (
    dataset TEXT NOT NULL, yaw INTEGER NOT NULL, pitch INTEGER NOT NULL, pictures INTEGER NOT NULL
);
CREATE VIEW records AS SELECT
    {", ".join(f"{_home(field.name)}.{field.name}" for field in FIELDS)},
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
SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"


@cache
def schema() -> tuple[tuple[str | None, ...], ...]:
    """Return the result of `SCHEMA` on a valid file; other tables or views mean that it is damaged."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(TABLES + INDEXES)
        return tuple(database.execute(SCHEMA))


def fingerprint(manifest: Manifest) -> Mapping[str, str]:
    """Return the fingerprint of an export's database; it changes when samples are removed."""
    shards = "".join(f"{shard.file} {shard.checksum}\n" for shard in manifest.shards)
    return {
        "version": str(VERSION),
        "schema": str(manifest.schema),
        "name": manifest.name,
        "format": manifest.format,
        "plan": manifest.plan,
        "samples": str(manifest.samples),
        "shards": blake3.blake3(shards.encode()).hexdigest(length=16),
    }


PoseHistogram = Sequence[tuple[str, int, int, int]]
"""Training pictures before rebalancing: data set, yaw and pitch in whole degrees, number of pictures."""


def count_poses(datasets: tuple[str, ...], dataset: NDArray[np.int64], poses: NDArray[np.float64]) -> PoseHistogram:
    """Count pictures by data set and pose.

    Args:
        datasets: names; dataset: int64 [n], each picture's index into them.
        poses: float64 [n, 2], yaw and pitch in radians.
    """
    rows = np.concatenate([dataset[:, None], np.rint(np.degrees(poses)).astype(np.int64)], axis=1)
    found, pictures = np.unique(rows, axis=0, return_counts=True)
    return [(datasets[d], yaw, pitch, n) for (d, yaw, pitch), n in zip(found.tolist(), pictures.tolist(), strict=True)]


_SETTINGS = """
PRAGMA page_size = 4096;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
"""


def write_tables(
    path: Path,
    fingerprint: Mapping[str, str],
    shards: Iterable[tuple[ShardReceipt, Iterable[Row]]],
    pool: PoseHistogram | None,
) -> None:
    """Write samples.sqlite; the same samples and SQLite version give the same bytes.

    Args:
        path: a file that does not exist yet.
        fingerprint: of the export.
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
            database.executemany("INSERT INTO export VALUES (?, ?)", sorted(fingerprint.items()))
            _write_shards(database, shards)
            if pool is not None:
                database.executemany("INSERT INTO poses VALUES (?, ?, ?, ?)", pool)
            database.execute("COMMIT")
            database.executescript(INDEXES)
    except sqlite3.Error as error:
        code = errno.ENOSPC if error.sqlite_errorcode == sqlite3.SQLITE_FULL else None
        raise OSError(code, f"SQLite: {error}", str(path)) from None


def _write_shards(database: sqlite3.Connection, shards: Iterable[tuple[ShardReceipt, Iterable[Row]]]) -> None:
    pictures, stored = NumberColumn(), NumberColumn()
    insert_picture = _insert("pictures", 1 + len(PICTURE))
    insert_stored = _insert("stored", 2 + len(STORED))
    insert_sample = _insert("samples", 3 + len(SAMPLE) + len(PLACE))
    sample = 0
    for number, (receipt, rows) in enumerate(shards):
        database.execute(_insert("shards", 2), (number, receipt.file))
        samples = []
        for at, (row, (kind, size, *_)) in enumerate(zip(rows, receipt.members, strict=True)):
            start, end = receipt.offsets[at], receipt.offsets[at + 1]
            how = stored.of((receipt.suffixes[kind][0], *of_stored(row)))
            shown = pictures.of(of_picture(row))
            samples.append((sample, *of_sample(row), number, at, start, end - start, size, shown, how))
            sample += 1
        database.executemany(insert_picture, pictures.new())
        database.executemany(insert_stored, stored.new())
        database.executemany(insert_sample, samples)


def _insert(table: str, columns: int) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"


class NumberColumn:
    """Numbers rows in order of first occurrence; only a digest of earlier rows stays in memory."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._new: list[Row] = []
        self._encode = msgspec.json.Encoder().encode

    def of(self, row: Row) -> int:
        digest = blake3.blake3(self._encode(row)).digest(length=16)
        number = self._known.get(digest)
        if number is None:
            number = self._known[digest] = len(self._known)
            self._new.append((number, *row))
        return number

    def new(self) -> list[Row]:
        """Return the rows added since the last call, each preceded by its number."""
        new, self._new = self._new, []
        return new


_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\4\3"
"""The gzip header of level 1 and Unix: zlib's own varies between systems and versions of Python."""


def encode_rows(rows: Iterable[Row]) -> bytes:
    """Return a row group: a shard's rows as gzipped JSON lines; equal rows give equal bytes.

    Concatenated groups are a group again.
    """
    encoder = msgspec.json.Encoder()
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    packed = packer.compress(b"".join(encoder.encode(row) + b"\n" for row in rows)) + packer.flush()
    return _HEADER + packed[len(_HEADER) :]


def rows_digest(group: bytes) -> str:
    """Return a row group's digest, as in its shard's receipt: BLAKE3, 32 hex digits."""
    return blake3.blake3(group).hexdigest(length=16)


def decode_rows(group: bytes) -> Iterator[Row]:
    """Yield the rows of a complete row group; memory holds those of one shard or part at a time."""
    typed = GenericAlias(tuple, tuple(PYTHON_TYPES[field.kind] for field in FIELDS))
    decoder = msgspec.json.Decoder(typed)
    while group:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        rows: list[Row] = decoder.decode_lines(member.decompress(group))
        yield from rows
        group = member.unused_data
