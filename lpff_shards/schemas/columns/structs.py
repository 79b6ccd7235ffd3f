"""Structs as columns of their fields: texts, integers, and values that many rows share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar, overload

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.schemas.columns.texts import Rows, Texts, TextsBuilder

T = TypeVar("T")
S = TypeVar("S")

_AT_ONCE = 4096
_as_tuple: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple


class Column(Protocol):
    """Values in order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, row: int, /) -> Any: ...

    def take(self, rows: Rows) -> Column:
        """Return the values of `rows` (int64), in that order."""


class Gathering(Protocol):
    """A column that grows."""

    def add(self, values: Sequence[Any], /) -> None:
        """Append values, thousands at a time."""

    def done(self) -> Column:
        """Return the finished column."""


class Numbers(Sequence[int]):
    """Integers, int64 [n]."""

    __slots__ = ("values",)

    def __init__(self, values: NDArray[np.int64]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, row: int) -> int: ...

    @overload
    def __getitem__(self, row: slice) -> Numbers: ...

    def __getitem__(self, row: int | slice) -> int | Numbers:
        return Numbers(self.values[row]) if isinstance(row, slice) else int(self.values[row])

    def __iter__(self) -> Iterator[int]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self.values[start : start + _AT_ONCE].tolist()

    def take(self, rows: Rows) -> Numbers:
        """Return the numbers of `rows` (int64), in that order."""
        return Numbers(self.values[rows])


class Repeated(Sequence[T], Generic[T]):
    """Values that many rows share.

    Attributes:
        codes: int32 [n], each row's index in `values`.
    """

    __slots__ = ("codes", "values")

    def __init__(self, codes: NDArray[np.int32], values: Sequence[T]) -> None:
        self.codes, self.values = codes, values

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, row: int) -> T: ...

    @overload
    def __getitem__(self, row: slice) -> Repeated[T]: ...

    def __getitem__(self, row: int | slice) -> T | Repeated[T]:
        return Repeated(self.codes[row], self.values) if isinstance(row, slice) else self.values[self.codes[row]]

    def __iter__(self) -> Iterator[T]:
        return map(self.values.__getitem__, Numbers(self.codes.astype(np.int64)))

    def met(self) -> list[T]:
        """Return the values that occur in a row."""
        return [self.values[code] for code in np.unique(self.codes).tolist()]

    def take(self, rows: Rows) -> Repeated[T]:
        """Return the values of `rows` (int64), in that order."""
        return Repeated(self.codes[rows], self.values)


class GatheringNumbers:
    """Collect integers."""

    def __init__(self) -> None:
        self._parts = [np.zeros(0, np.int64)]

    def add(self, values: Sequence[int]) -> None:
        self._parts.append(np.array(values, np.int64))

    def done(self) -> Numbers:
        return Numbers(np.concatenate(self._parts))


class GatheringRepeated:
    """Collect hashable values."""

    def __init__(self) -> None:
        self._parts = [np.zeros(0, np.int32)]
        self._known: dict[Hashable, int] = {}

    def add(self, values: Sequence[Hashable]) -> None:
        known = self._known
        self._parts.append(np.array([known.setdefault(value, len(known)) for value in values], np.int32))

    def done(self) -> Repeated[Any]:
        return Repeated(np.concatenate(self._parts), list(self._known))


class Structs(Sequence[S], Generic[S]):
    """Structs of one class or of a few, with a column for each field of each class.

    A class may list in `FEW` the fields with few distinct values.
    """

    __slots__ = ("_places", "_tables", "_which")

    def __init__(self, tables: Sequence[_Table[S]], which: NDArray[np.int8], places: Rows) -> None:
        """`which` and `places` are each struct's table, int8 [n], and row in it, int64 [n]; empty for one table."""
        self._tables, self._which, self._places = tables, which, places

    @classmethod
    def of(cls, items: Iterable[S]) -> Structs[S]:
        """Return the structs of an iterable, which may create them one by one."""
        builder: StructsBuilder[S] = StructsBuilder()
        for item in items:
            builder.add(item)
        return builder.done()

    @classmethod
    def from_columns(cls, kind: type[S], columns: Sequence[Column]) -> Structs[S]:
        """Return structs of one class from columns in the order of its fields."""
        return cls([_Table(kind, columns)], np.zeros(0, np.int8), np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self._tables[0]) if self._single else len(self._which)

    @overload
    def __getitem__(self, row: int) -> S: ...

    @overload
    def __getitem__(self, row: slice) -> Structs[S]: ...

    def __getitem__(self, row: int | slice) -> S | Structs[S]:
        if isinstance(row, slice):
            return self.take(np.array(range(len(self))[row], np.int64))
        if row < 0:
            row += len(self)
        if not 0 <= row < len(self):
            raise IndexError(row)
        return self._tables[0][row] if self._single else self._tables[self._which[row]][int(self._places[row])]

    def __iter__(self) -> Iterator[S]:
        return iter(self._tables[0]) if self._single else (self[row] for row in range(len(self)))

    @property
    def _single(self) -> bool:
        return len(self._tables) == 1

    def take(self, rows: Rows) -> Structs[S]:
        """Return the structs of `rows` (int64), in that order."""
        if self._single:
            return Structs([self._tables[0].take(rows)], self._which, self._places)
        which, places = self._which[rows], self._places[rows]
        if len(rows) and (which == which[0]).all():
            return Structs([self._tables[which[0]].take(places)], which[:0], places[:0])
        return Structs(self._tables, which, places)

    def of_kind(self, kind: type[S]) -> Rows:
        """Return the rows of the structs of a class, int64, ascending."""
        kinds = [table.kind is kind for table in self._tables]
        if self._single:
            return np.arange(len(self) if kinds[0] else 0)
        return np.flatnonzero(np.isin(self._which, np.flatnonzero(kinds)))

    def column(self, name: str) -> Column:
        """Return a field or a property of all structs; every class must have it."""
        if self._single and name in _fields(self._tables[0].kind):
            return self._tables[0].column(name)
        return repeated([getattr(item, name) for item in self])

    @property
    def kinds(self) -> tuple[type[S], ...]:
        """Classes of the structs."""
        return tuple(table.kind for table in self._tables)


class _Table(Generic[S]):
    """Structs of one class."""

    __slots__ = ("_columns", "kind")

    def __init__(self, kind: type[S], columns: Sequence[Column]) -> None:
        self.kind, self._columns = kind, columns

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, row: int) -> S:
        return self.kind(*[column[row] for column in self._columns])

    def __iter__(self) -> Iterator[S]:
        return map(self.kind, *self._columns)

    def take(self, rows: Rows) -> _Table[S]:
        return _Table(self.kind, [column.take(rows) for column in self._columns])

    def column(self, name: str) -> Column:
        return self._columns[_fields(self.kind).index(name)]


class StructsBuilder(Generic[S]):
    """Collect structs."""

    def __init__(self) -> None:
        self._waiting: list[S] = []
        self._which: list[NDArray[np.int8]] = []
        self._tables: dict[type[S], tuple[int, list[Gathering]]] = {}

    def add(self, item: S) -> None:
        """Append a struct."""
        self._waiting.append(item)
        if len(self._waiting) == _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        kinds = {type(item): None for item in self._waiting}
        for kind in kinds:
            if kind not in self._tables:
                self._tables[kind] = len(self._tables), _gatherings(kind)
            of_kind = [item for item in self._waiting if type(item) is kind]
            values = zip(*map(_as_tuple, of_kind), strict=True)
            for gathering, column in zip(self._tables[kind][1], values, strict=True):
                gathering.add(column)
        numbers = (self._tables[type(item)][0] for item in self._waiting)
        self._which.append(np.fromiter(numbers, np.int8, len(self._waiting)))
        self._waiting = []

    def done(self) -> Structs[S]:
        """Return the collected structs."""
        self._flush()
        tables = [_Table(kind, [g.done() for g in gatherings]) for kind, (_, gatherings) in self._tables.items()]
        which = np.concatenate([np.zeros(0, np.int8), *self._which])
        if len(tables) == 1:
            return Structs(tables, which[:0], np.zeros(0, np.int64))
        places = np.zeros(len(which), np.int64)
        for number in range(len(tables)):
            here = which == number
            places[here] = np.arange(int(here.sum()))
        return Structs(tables, which, places)


def _gatherings(kind: type) -> list[Gathering]:
    few = getattr(kind, "FEW", ())
    return [
        TextsBuilder()
        if field.type is str and field.name not in few
        else GatheringNumbers()
        if field.type is int
        else GatheringRepeated()
        for field in msgspec.structs.fields(kind)
    ]


def _fields(kind: type) -> tuple[str, ...]:
    assert issubclass(kind, Struct)
    return kind.__struct_fields__


def take(items: Sequence[T], rows: Rows) -> Sequence[T]:
    """Return the items of `rows` (int64), in that order; a column for a column."""
    if isinstance(items, Texts | Numbers | Repeated | Structs):
        return items.take(rows)
    return [items[row] for row in rows.tolist()]


def column(items: Sequence[Any], name: str) -> Column:
    """Return a field of all structs of a sequence; every class must have it."""
    if isinstance(items, Structs):
        return items.column(name)
    return repeated([getattr(item, name) for item in items])


def repeated(values: Column | Sequence[Any]) -> Repeated[Any]:
    """Return values as codes, so equal values are processed once."""
    if isinstance(values, Repeated):
        return values
    gathering = GatheringRepeated()
    gathering.add(list(values))
    return gathering.done()
