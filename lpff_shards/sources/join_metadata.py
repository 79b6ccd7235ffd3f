"""Join metadata files with the pictures of a source, in the pictures' order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas import camera
from lpff_shards.schemas.columns.structs import StructsBuilder, take
from lpff_shards.schemas.landmarks import LANDMARKS, Points
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.io.json_files import TWICE, JsonTable, read_points

T = TypeVar("T")
Fault = tuple[str, str]
"""A file, and the rule that a record in it violates."""
ReadCredit = Callable[[JsonTable, str], Credit]
"""Returns an id's credit from a table that may contain its record."""

_NUMBERS = msgspec.json.Decoder(list[float | None])
_NONE = (0.0,) * camera.CAMERA_NUMBERS
NO_TABLE = JsonTable("", {})
"""The table of a missing file."""
_NO_POINTS = np.zeros((0, LANDMARKS, 2), np.float32)


def _spread(faults: Mapping[int, T], at: NDArray[np.int64]) -> dict[int, T]:
    return {row: faults[shared] for row, shared in enumerate(at.tolist()) if shared in faults} if faults else {}


@dataclass(frozen=True, eq=False)
class PictureCameras:
    """Cameras in the order of a source's pictures.

    `spread(at)` of this and the classes below gives each picture the values of row `at` (int64), which may repeat.

    Attributes:
        where: their file; such_as: the first id in it, or empty; count: number of cameras in it.
        numbers: float64 [n, 25], zeros where a picture has none.
        known: bool [n], whether the file has a picture's camera.
        faults: row to the rule that its camera violates.
        unused: number of cameras without a picture.
    """

    where: str
    such_as: str
    count: int
    numbers: NDArray[np.float64]
    known: NDArray[np.bool_]
    faults: Mapping[int, str]
    unused: int

    def spread(self, at: NDArray[np.int64]) -> PictureCameras:
        return replace(self, numbers=self.numbers[at], known=self.known[at], faults=_spread(self.faults, at))


@dataclass(frozen=True, eq=False)
class PicturePoints:
    """Landmarks in the order of a source's pictures.

    Attributes:
        numbers: float32 [m, 68, 2]; `rows` (int64 [n]): the row of each picture, -1 for none.
        sizes: int32 [m, 2], of the pictures of the landmarks, 0 for the picture itself.
        faults: row of a picture to the file and the rule that its landmarks violate.
        where: the file, or empty.
    """

    numbers: Points
    rows: NDArray[np.int64]
    sizes: NDArray[np.int32]
    faults: Mapping[int, Fault]
    where: str = ""

    def spread(self, at: NDArray[np.int64]) -> PicturePoints:
        return replace(self, rows=self.rows[at], faults=_spread(self.faults, at))


def no_points(count: int) -> PicturePoints:
    """Return the landmarks of `count` pictures that have none."""
    return PicturePoints(_NO_POINTS, np.full(count, -1), np.zeros((0, 2), np.int32), {})


@dataclass(frozen=True, eq=False)
class PictureCredits:
    """Credits in the order of a source's pictures.

    Attributes:
        credits: of length n.
        known: bool [n], whether the file has a picture's record.
        faults: row of a picture to the file and the rule that its record violates.
    """

    credits: Sequence[Credit]
    known: NDArray[np.bool_]
    faults: Mapping[int, Fault]

    def spread(self, at: NDArray[np.int64]) -> PictureCredits:
        return PictureCredits(take(self.credits, at), self.known[at], _spread(self.faults, at))


@dataclass(frozen=True, eq=False)
class Joined:
    """The pictures that have a record in a table.

    Attributes:
        where: the file; rows: of the pictures by id.
        pictures: int64, the picture's row of each record, -1 for none.
        known: bool [n], whether a picture has a record.
        faults: row to the file and the rule that its record violates.
    """

    where: str
    rows: Mapping[str, int]
    pictures: NDArray[np.int64]
    known: NDArray[np.bool_]
    faults: Mapping[int, Fault]


def join_records(table: JsonTable, rows: Mapping[str, int], *reads: Callable[[JsonTable, str, int], None]) -> Joined:
    """Read the records of pictures.

    Args:
        rows: of the pictures by id.
        reads: called with the table, id and row of each; a ValueError is the fault of the row.
    """
    pictures = np.fromiter((rows.get(id, -1) for id in table.rows), np.int64, len(table.rows))
    known = np.zeros(len(rows), bool)
    known[pictures[pictures >= 0]] = True
    faults: dict[int, Fault] = {}
    for id, row in zip(table.rows, pictures.tolist(), strict=True) if reads else ():
        try:
            for read in reads if row >= 0 else ():
                read(table, id, row)
        except ValueError as error:
            faults[row] = table.where, str(error)
    faults |= {rows[id]: (table.where, TWICE) for id in table.twice if id in rows}
    return Joined(table.where, rows, pictures, known, faults)


def join_cameras(table: JsonTable, rows: Mapping[str, int]) -> PictureCameras:
    """Return the cameras of pictures from their table."""
    joined = join_records(table, rows)
    read, wrong = parse_cameras(table.rows.values())
    numbers = np.zeros((len(rows), camera.CAMERA_NUMBERS))
    matched = joined.pictures >= 0
    numbers[joined.pictures[matched]] = read[matched]
    faults = {int(joined.pictures[at]): reason for at, reason in wrong.items() if matched[at]}
    faults |= {row: reason for row, (_, reason) in joined.faults.items()}
    such_as, unused = next(iter(table.rows), ""), int((~matched).sum())
    return PictureCameras(table.where, such_as, len(table.rows), numbers, joined.known, faults, unused)


def parse_cameras(raws: Iterable[msgspec.Raw]) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Return checked cameras, float64 [n, 25], zeros where one is invalid, and the reason by row."""
    found: list[Sequence[float | None]] = []
    faults: dict[int, str] = {}
    for row, raw in enumerate(raws):
        numbers: Sequence[float | None] = _NONE
        try:
            numbers = _NUMBERS.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            faults[row] = f"camera is not a list of numbers: {error}"
        if len(numbers) != camera.CAMERA_NUMBERS:
            faults[row] = f"camera has {len(numbers)} numbers, not {camera.CAMERA_NUMBERS}"
            numbers = _NONE
        found.append(numbers)
    # numpy reads null (None) as NaN, which `camera.faults` refuses.
    read = np.array(found, np.float64).reshape(-1, camera.CAMERA_NUMBERS)
    for row, reason in camera.faults(read).items():
        faults.setdefault(row, reason)
    return read, faults


class PointsColumn:
    """Collects the landmarks of `count` pictures while their records are read."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.numbers, self.sizes = _NO_POINTS, np.zeros((0, 2), np.int32)

    def put(self, row: int, points: Points, size: tuple[int, int] = (0, 0)) -> None:
        if not len(self.numbers):
            self.numbers = np.zeros((self._count, *self.numbers.shape[1:]), np.float32)
            self.sizes = np.zeros((self._count, 2), np.int32)
        self.numbers[row], self.sizes[row] = points, size

    def done(self, joined: Joined) -> PicturePoints:
        sound = joined.known.copy()
        sound[list(joined.faults)] = False
        some = slice(None) if sound.all() or not len(self.numbers) else sound
        rows = np.where(sound, np.cumsum(sound) - 1, -1).astype(np.int64)
        return PicturePoints(self.numbers[some], rows, self.sizes[some], joined.faults, joined.where)


def join_points(table: JsonTable, rows: Mapping[str, int]) -> PicturePoints:
    """Return the landmarks of pictures from their table."""
    column = PointsColumn(len(rows))

    def read(table: JsonTable, id: str, row: int) -> None:
        points = read_points(table, id)
        assert points is not None
        column.put(row, points)

    return column.done(join_records(table, rows, read))


class CreditsColumn:
    """Collects the credits of `count` pictures while their records are read; the first one is empty."""

    def __init__(self, count: int, read_credit: ReadCredit) -> None:
        self._read_credit, self._found = read_credit, StructsBuilder[Credit]()
        self._found.add(Credit())
        self._places, self._count = np.zeros(count, np.int64), 1

    def read(self, table: JsonTable, id: str, row: int) -> None:
        self._found.add(self._read_credit(table, id))
        self._places[row] = self._count
        self._count += 1

    def done(self, joined: Joined, hidden: Collection[int] = ()) -> PictureCredits:
        """Return the credits, also of pictures without a record.

        Args:
            hidden: rows of pictures whose credit is not needed.
        """
        for id, row in joined.rows.items() if not joined.known.all() else ():
            if not joined.known[row]:
                self.read(NO_TABLE, id, row)
        self._places[list(hidden)] = 0
        return PictureCredits(take(self._found.done(), self._places), joined.known, joined.faults)


def join_credits(
    table: JsonTable, rows: Mapping[str, int], read_credit: ReadCredit, hidden: Collection[int]
) -> PictureCredits:
    """Return the credits of pictures from their table; see `CreditsColumn`."""
    column = CreditsColumn(len(rows), read_credit)
    joined = join_records(table, rows, column.read)
    return column.done(joined, {*joined.faults, *hidden})
