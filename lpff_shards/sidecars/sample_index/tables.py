"""The tables of samples.sqlite: samples point to their picture and to the way in which it is stored.

A picture's mirrors and copies share its row, so a million samples take little room. The view `records` joins them: the
fields of a sample, then where it is. A fingerprint names the export that the file belongs to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from operator import itemgetter

import blake3
import numpy as np
from numpy.typing import NDArray

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.fields import FIELDS
from lpff_shards.sidecars.sample_index.row_groups import Row

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
"""Fields of which a data set has few combinations."""
SAMPLE = tuple(field.name for field in FIELDS if field.name not in {*PICTURE, *STORED})
"""Fields of a sample itself: all others."""
PLACE = ("shard", "number", "offset", "bytes", "picture_bytes")
"""Where a sample is, beside the name of its file."""

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
"""The parts of a row."""

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
"""Made when all rows are there, which takes less time than keeping them up."""
SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"


@cache
def schema() -> tuple[tuple[str | None, ...], ...]:
    """What `SCHEMA` finds in a ledger: a file that has other views or tables is none, whatever it calls itself."""
    with closing(sqlite3.connect(":memory:")) as ledger:
        ledger.executescript(TABLES + INDEXES)
        return tuple(ledger.execute(SCHEMA))


def facts(manifest: Manifest) -> Mapping[str, str]:
    """Facts by which a ledger is known to be an export's; samples taken out since make it another's."""
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


@dataclass(frozen=True, eq=False)
class Pool:
    """How many training pictures stand where, before any is copied or left undrawn; columns of length m.

    Attributes:
        datasets: names that `dataset` points into.
        dataset: int32 [m]; yaw, pitch: int32 [m], whole degrees, rounded; pictures: int64 [m], how many.
    """

    datasets: tuple[str, ...]
    dataset: NDArray[np.int32]
    yaw: NDArray[np.int32]
    pitch: NDArray[np.int32]
    pictures: NDArray[np.int64]


def count_poses(datasets: tuple[str, ...], dataset: NDArray[np.int64], poses: NDArray[np.float64]) -> Pool:
    """Counts pictures.

    Args:
        datasets: names; dataset: int64 [n], which of them a picture is of.
        poses: float64 [n, 2], yaw and pitch in radians.
    """
    rows = np.concatenate([dataset[:, None], np.rint(np.degrees(poses)).astype(np.int64)], axis=1)
    found, pictures = np.unique(rows, axis=0, return_counts=True)
    whose, yaw, pitch = (column.astype(np.int32) for column in found.T)
    return Pool(datasets, whose, yaw, pitch, pictures.astype(np.int64))
