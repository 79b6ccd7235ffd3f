"""What metadata files tell of a source's pictures, put in the pictures' order record by record as they are read.

So no table is held as a whole, nor the ids of its records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
"""A file, and the rule that a record in it breaks."""
ReadCredit = Callable[[JsonTable, str], Credit]
"""Makes an id's credit out of a table that may hold its record."""

_NUMBERS = msgspec.json.Decoder(list[float | None])
_NONE = (0.0,) * camera.CAMERA_NUMBERS
_NOTHING = JsonTable("", {})
_NO_POINTS = np.zeros((0, LANDMARKS, 2), np.float32)


def _spread(faults: Mapping[int, T], at: NDArray[np.int64]) -> dict[int, T]:
    return {row: faults[shared] for row, shared in enumerate(at.tolist()) if shared in faults} if faults else {}


@dataclass(frozen=True, eq=False)
class PictureCameras:
    """Cameras in the order of a source's pictures.

    `spread(at)` of this and the classes below gives each picture what row `at` (int64) has: pictures may share a row.

    Attributes:
        where: the file they are from; such_as: the first id there, empty where there is none; count: how many it has.
        numbers: float64 [n, 25], zeros where a picture has none.
        known: bool [n], whether the file has a picture's camera.
        faults: row to the rule that its camera breaks.
        unused: how many are no picture's.
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
        numbers: float32 [m, 68, 2]; `rows` (int64 [n]) says which are a picture's, -1 for none.
        sizes: int32 [m, 2], of the pictures that they are of, 0 for the picture itself.
        faults: row of a picture to the file and the rule that its landmarks break.
        where: the file, empty where there is none.
    """

    numbers: Points
    rows: NDArray[np.int64]
    sizes: NDArray[np.int32]
    faults: Mapping[int, Fault]
    where: str = ""

    def spread(self, at: NDArray[np.int64]) -> PicturePoints:
        return replace(self, rows=self.rows[at], faults=_spread(self.faults, at))


def no_points(count: int) -> PicturePoints:
    """No landmarks of so many pictures."""
    return PicturePoints(_NO_POINTS, np.full(count, -1), np.zeros((0, 2), np.int32), {})


@dataclass(frozen=True, eq=False)
class PictureCredits:
    """Credits in the order of a source's pictures.

    Attributes:
        credits: of length n.
        known: bool [n], whether the file has a picture's record.
        faults: row of a picture to the file and the rule that its record breaks.
    """

    credits: Sequence[Credit]
    known: NDArray[np.bool_]
    faults: Mapping[int, Fault]

    def spread(self, at: NDArray[np.int64]) -> PictureCredits:
        return PictureCredits(take(self.credits, at), self.known[at], _spread(self.faults, at))


@dataclass(eq=False)
class Joined:
    """Which pictures' records were met so far, and which twice; records of no picture count by their ids.

    Attributes:
        rows: of the pictures by id.
        known: bool [n], whether a picture's record was met.
        faults: row to the file and the rule that its record breaks.
    """

    rows: Mapping[str, int]
    where: str = ""
    others: set[str] = field(default_factory=set)
    twice: set[int] = field(default_factory=set)
    faults: dict[int, Fault] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = np.zeros(len(self.rows), bool)

    def meet(self, table: JsonTable) -> NDArray[np.int64]:
        """The pictures that a table's records are of, int64, -1 for those of none."""
        self.where = table.where
        get = self.rows.get
        found = np.fromiter((get(id, -1) for id in table.rows), np.int64, len(table.rows))
        pictures = found[found >= 0]
        self.twice.update(pictures[self.known[pictures]].tolist(), (get(id, -1) for id in table.twice))
        self.twice.discard(-1)
        self.known[pictures] = True
        if len(pictures) < len(found):
            self.others.update(id for id in table.rows if id not in self.rows)
        return found


def join_records(
    tables: Iterable[JsonTable], rows: Mapping[str, int], *reads: Callable[[JsonTable, str, int], None]
) -> Joined:
    """Reads the records of pictures.

    Args:
        rows: of the pictures by id.
        reads: called with the table, id and row of each; a ValueError is the fault of the row.
    """
    joined = Joined(rows)
    for table in tables:
        for id, row in zip(table.rows, joined.meet(table).tolist(), strict=True):
            try:
                for read in reads if row >= 0 else ():
                    read(table, id, row)
            except ValueError as error:
                joined.faults[row] = table.where, str(error)
    joined.faults |= dict.fromkeys(joined.twice, (joined.where, TWICE))
    return joined


def join_cameras(tables: Iterable[JsonTable], rows: Mapping[str, int]) -> PictureCameras:
    """The cameras of pictures, by their tables."""
    joined = Joined(rows)
    numbers = np.zeros((len(rows), camera.CAMERA_NUMBERS))
    faults: dict[int, str] = {}
    such_as = ""
    for table in tables:
        such_as = such_as or next(iter(table.rows), "")
        pictures = joined.meet(table)
        read, wrong = parse_cameras(table.rows.values())
        mine = pictures >= 0
        numbers[pictures[mine]] = read[mine]
        faults |= {int(pictures[at]): reason for at, reason in wrong.items() if mine[at]}
    faults |= dict.fromkeys(joined.twice, TWICE)
    count = int(joined.known.sum()) + len(joined.others)
    return PictureCameras(joined.where, such_as, count, numbers, joined.known, faults, len(joined.others))


def parse_cameras(raws: Iterable[msgspec.Raw]) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Cameras, float64 [n, 25], each checked; zeros where one is none, and what is wrong with which."""
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
    """Landmarks of so many pictures, as their records are read."""

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


def join_points(tables: Iterable[JsonTable], rows: Mapping[str, int]) -> PicturePoints:
    """The landmarks of pictures, by their tables."""
    column = PointsColumn(len(rows))

    def read(table: JsonTable, id: str, row: int) -> None:
        points = read_points(table, id)
        assert points is not None
        column.put(row, points)

    return column.done(join_records(tables, rows, read))


class CreditsColumn:
    """Credits of so many pictures, as their records are read; the first one is that of a picture without any."""

    def __init__(self, count: int, read_credit: ReadCredit) -> None:
        self._read_credit, self._found = read_credit, StructsBuilder[Credit]()
        self._found.add(Credit())
        self._places, self._count = np.zeros(count, np.int64), 1

    def read(self, table: JsonTable, id: str, row: int) -> None:
        self._found.add(self._read_credit(table, id))
        self._places[row] = self._count
        self._count += 1

    def done(self, joined: Joined, hidden: Collection[int] = ()) -> PictureCredits:
        """The credits, those of pictures without a record too.

        Args:
            hidden: rows of pictures whose credit nobody asks for.
        """
        for id, row in joined.rows.items() if not joined.known.all() else ():
            if not joined.known[row]:
                self.read(_NOTHING, id, row)
        self._places[list(hidden)] = 0
        return PictureCredits(take(self._found.done(), self._places), joined.known, joined.faults)


def join_credits(
    tables: Iterable[JsonTable], rows: Mapping[str, int], read_credit: ReadCredit, hidden: Collection[int]
) -> PictureCredits:
    """The credits of pictures, by their tables; see `CreditsColumn`."""
    column = CreditsColumn(len(rows), read_credit)
    joined = join_records(tables, rows, column.read)
    return column.done(joined, {*joined.faults, *hidden})
