"""Writing the ledger: shard by shard, so that memory holds the pictures' digests and one shard's rows."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import blake3
import msgspec

from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.sample_index.row_groups import Row
from lpff_shards.sidecars.sample_index.tables import (
    INDEXES,
    PICTURE,
    PLACE,
    SAMPLE,
    STORED,
    TABLES,
    Pool,
    of_picture,
    of_sample,
    of_stored,
)

_SETTINGS = """
PRAGMA page_size = 4096;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -65536;
"""


def write_ledger(
    path: Path, facts: Mapping[str, str], shards: Iterable[tuple[ShardReceipt, Iterable[Row]]], pool: Pool | None
) -> None:
    """Writes a ledger; the same samples give the same bytes, by one version of SQLite.

    Args:
        path: of a file that is not there yet.
        facts: of the export.
        shards: in order, what is where in each, and its samples' rows.
        pool: the poses before rebalancing.

    Raises:
        OSError: the file cannot be written.
    """
    # Nobody else sees the file before it is whole, and some network file systems have no locks.
    uri = f"{path.absolute().as_uri()}?vfs=unix-none"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as ledger:
            ledger.executescript(_SETTINGS + TABLES)
            ledger.execute("BEGIN")
            ledger.executemany("INSERT INTO export VALUES (?, ?)", sorted(facts.items()))
            _write_shards(ledger, shards)
            if pool is not None:
                ledger.executemany("INSERT INTO poses VALUES (?, ?, ?, ?)", _poses(pool))
            ledger.execute("COMMIT")
            ledger.executescript(INDEXES)
    except sqlite3.Error as error:
        code = errno.ENOSPC if error.sqlite_errorcode == sqlite3.SQLITE_FULL else None
        raise OSError(code, f"SQLite: {error}", str(path)) from None


def _write_shards(ledger: sqlite3.Connection, shards: Iterable[tuple[ShardReceipt, Iterable[Row]]]) -> None:
    pictures, stored = Numbers(), Numbers()
    insert_picture = _insert("pictures", 1 + len(PICTURE))
    insert_stored = _insert("stored", 2 + len(STORED))
    insert_sample = _insert("samples", 3 + len(SAMPLE) + len(PLACE))
    sample = 0
    for number, (receipt, rows) in enumerate(shards):
        ledger.execute(_insert("shards", 2), (number, receipt.file))
        samples = []
        for row, place in zip(rows, places(number, receipt), strict=True):
            shown, how = of_picture(row), (place[0], *of_stored(row))
            samples.append((sample, *of_sample(row), *place[1:], pictures.of(shown), stored.of(how)))
            sample += 1
        ledger.executemany(insert_picture, pictures.new())
        ledger.executemany(insert_stored, stored.new())
        ledger.executemany(insert_sample, samples)


def places(shard: int, receipt: ShardReceipt) -> Iterator[tuple[str, int, int, int, int, int]]:
    """The suffix of each sample's picture, and where the sample is: the columns of `PLACE`."""
    offsets = receipt.offsets
    for number, (kind, size, *_) in enumerate(receipt.members):
        start, end = offsets[number], offsets[number + 1]
        yield receipt.suffixes[kind][0], shard, number, start, end - start, size


def _poses(pool: Pool) -> Iterator[tuple[str | int, ...]]:
    columns = (pool.dataset.tolist(), pool.yaw.tolist(), pool.pitch.tolist(), pool.pictures.tolist())
    return ((pool.datasets[code], *place) for code, *place in zip(*columns, strict=True))


def _insert(table: str, columns: int) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"


class Numbers:
    """Numbers rows as they are first met; of those met before only a digest stays in memory."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._new: list[Row] = []
        self._encode = msgspec.json.Encoder().encode

    def of(self, row: Row) -> int:
        """The number of a row."""
        digest = blake3.blake3(self._encode(row)).digest(length=16)
        number = self._known.get(digest)
        if number is None:
            number = self._known[digest] = len(self._known)
            self._new.append((number, *row))
        return number

    def new(self) -> list[Row]:
        """The rows met since the last call, each with its number before it."""
        new, self._new = self._new, []
        return new
