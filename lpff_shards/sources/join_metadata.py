"""What the JSON tables of a source tell of its pictures, put in the pictures' order record by record as they are read.

So no table is held as a whole, nor the ids of its records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas import landmarks
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.columns.structs import StructsBuilder, take
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.cameras import PictureCameras, parse_block
from lpff_shards.sources.io.json_files import TWICE, Table, read_points

T = TypeVar("T")
ReadCredit = Callable[[Table, str], Credit]
"""Makes an id's credit out of a table that may hold its record."""


class _Met:
    """Which pictures' records were met so far, and which twice; records of no picture count by their ids."""

    def __init__(self, rows: Mapping[str, int]) -> None:
        self._rows = rows
        self.known = np.zeros(len(rows), bool)
        self.others: set[str] = set()
        self.twice: set[int] = set()

    def of(self, table: Table) -> NDArray[np.int64]:
        """The pictures that a table's records are of, int64, -1 for those of none."""
        get = self._rows.get
        found = np.fromiter((get(id, -1) for id in table.rows), np.int64, len(table.rows))
        pictures = found[found >= 0]
        self.twice.update(pictures[self.known[pictures]].tolist(), (get(id, -1) for id in table.twice))
        self.twice.discard(-1)
        self.known[pictures] = True
        if len(pictures) < len(found):
            self.others.update(id for id in table.rows if id not in self._rows)
        return found


def join_cameras(tables: Iterable[Table], rows: Mapping[str, int]) -> PictureCameras:
    """The cameras of pictures, by their tables.

    Args:
        rows: of the pictures by id.
    """
    met = _Met(rows)
    numbers = np.zeros((len(rows), CAMERA_NUMBERS))
    faults: dict[int, str] = {}
    where = such_as = ""
    for table in tables:
        where, such_as = table.where, such_as or next(iter(table.rows), "")
        pictures = met.of(table)
        read, wrong = parse_block(table.rows.values())
        mine = pictures >= 0
        numbers[pictures[mine]] = read[mine]
        faults |= {int(pictures[at]): reason for at, reason in wrong.items() if mine[at]}
    faults |= dict.fromkeys(met.twice, TWICE)
    count = int(met.known.sum()) + len(met.others)
    return PictureCameras(where, such_as, count, numbers, met.known, faults, len(met.others))


def spread(faults: Mapping[int, T], at: NDArray[np.int64]) -> dict[int, T]:
    """The faults of pictures of which several may share a row: `at` (int64) says which row is a picture's."""
    return {row: faults[shared] for row, shared in enumerate(at.tolist()) if shared in faults}


@dataclass(frozen=True, eq=False)
class PicturePoints:
    """Landmarks in the order of a source's pictures.

    Attributes:
        numbers: float32 [m, 68, 2]; `rows` (int64 [n]) says which are a picture's, -1 for none.
        faults: row of a picture to the file and the rule that its landmarks break.
        where: the file, empty where there is none.
    """

    numbers: NDArray[np.float32]
    rows: NDArray[np.int64]
    faults: Mapping[int, tuple[str, str]]
    where: str = ""

    def spread(self, at: NDArray[np.int64]) -> PicturePoints:
        """See `spread`."""
        return PicturePoints(self.numbers, self.rows[at], spread(self.faults, at), self.where)


def join_points(tables: Iterable[Table], rows: Mapping[str, int]) -> PicturePoints:
    """The landmarks of pictures, by their tables."""
    met = _Met(rows)
    every = np.zeros((0, landmarks.LANDMARKS, 2), np.float32)
    faults: dict[int, tuple[str, str]] = {}
    where = ""
    for table in tables:
        where = table.where
        every = every if len(every) else np.zeros((len(rows), landmarks.LANDMARKS, 2), np.float32)
        for id, row in zip(table.rows, met.of(table).tolist(), strict=True):
            try:
                points = read_points(table, id) if row >= 0 else None
            except ValueError as error:
                faults[row] = table.where, str(error)
            else:
                if points is not None:
                    every[row] = points
        faults |= dict.fromkeys(met.twice, (table.where, TWICE))
    sound = met.known.copy()
    sound[list(faults)] = False
    numbers = every if sound.all() else every[sound] if len(every) else every
    return PicturePoints(numbers, np.where(sound, np.cumsum(sound) - 1, -1).astype(np.int64), faults, where)


@dataclass(frozen=True, eq=False)
class PictureCredits:
    """Credits in the order of a source's pictures.

    Attributes:
        credits: of length n.
        without: how many have no record.
        faults: row of a picture to the file and the rule that its record breaks.
    """

    credits: Sequence[Credit]
    without: int
    faults: Mapping[int, tuple[str, str]]

    def spread(self, at: NDArray[np.int64]) -> PictureCredits:
        """See `spread`."""
        return PictureCredits(take(self.credits, at), self.without, spread(self.faults, at))


def join_credits(
    tables: Iterable[Table], rows: Mapping[str, int], read_credit: ReadCredit, hidden: Collection[int]
) -> PictureCredits:
    """The credits of pictures, by their tables.

    Args:
        hidden: rows of pictures whose credit nobody asks for.
    """
    met = _Met(rows)
    found: StructsBuilder[Credit] = StructsBuilder()
    # The first credit is that of a picture whose record is faulty.
    found.add(Credit())
    places = np.zeros(len(rows), np.int64)
    faults: dict[int, tuple[str, str]] = {}
    count = 1
    for table in tables:
        for id, row in zip(table.rows, met.of(table).tolist(), strict=True):
            if row < 0:
                continue
            try:
                found.add(read_credit(table, id))
            except ValueError as error:
                faults[row] = table.where, str(error)
                continue
            places[row] = count
            count += 1
        faults |= dict.fromkeys(met.twice, (table.where, TWICE))
    nothing = Table("", {})
    for id, row in rows.items() if not met.known.all() else ():
        if not met.known[row]:
            found.add(read_credit(nothing, id))
            places[row] = count
            count += 1
    places[[*faults, *hidden]] = 0
    return PictureCredits(take(found.done(), places), len(rows) - int(met.known.sum()), faults)
