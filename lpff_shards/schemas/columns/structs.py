"""Structs as columns of their fields: texts, integers, and values that many rows share."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.schemas.columns.texts import Rows, Texts, TextsBuilder

T = TypeVar("T")
S = TypeVar("S")

_AT_ONCE = 4096
_as_tuple: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Integers, int64 [n]."""

    values: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> int:
        return int(self.values[row])

    def __iter__(self) -> Iterator[int]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self.values[start : start + _AT_ONCE].tolist()

    def take(self, rows: Rows) -> Numbers:
        return Numbers(self.values[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Repeated(Generic[T]):
    """Values that many rows share.

    Attributes:
        codes: int32 [n], each row's index in `values`.
    """

    codes: NDArray[np.int32]
    values: Sequence[T]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> T:
        return self.values[int(self.codes[row])]

    def __iter__(self) -> Iterator[T]:
        return map(self.values.__getitem__, Numbers(self.codes.astype(np.int64)))

    def met(self) -> list[T]:
        """Return the values that occur in a row."""
        return [self.values[code] for code in np.unique(self.codes).tolist()]

    def take(self, rows: Rows) -> Repeated[T]:
        return Repeated(self.codes[rows], self.values)


Column = Texts | Numbers | Repeated[Any]


class Structs(Generic[S]):
    """Structs, most of one class, with a column for each of its fields; the others are kept as objects.

    A class may list in `FEW` the fields with few distinct values.
    """

    __slots__ = ("_columns", "_kind", "_others")

    def __init__(self, kind: type[S], columns: Sequence[Column], others: Mapping[int, S] | None = None) -> None:
        """`columns` are in the order of the fields of `kind`; `others`: structs of other classes by row."""
        self._kind, self._columns, self._others = kind, columns, others or {}

    @classmethod
    def of(cls, items: Iterable[S]) -> Structs[S]:
        """Return the structs of an iterable, which may create them one by one."""
        builder: StructsBuilder[S] = StructsBuilder()
        for item in items:
            builder.add(item)
        return builder.done()

    def __len__(self) -> int:
        return len(self._columns[0]) if self._columns else 0

    def __getitem__(self, row: int) -> S:
        row = range(len(self))[row]
        return self._others[row] if row in self._others else self._kind(*[column[row] for column in self._columns])

    def __iter__(self) -> Iterator[S]:
        items: Iterator[S] = map(self._kind, *self._columns) if self._columns else iter(())
        return map(self._others.get, count(), items) if self._others else items

    def take(self, rows: Rows) -> Structs[S]:
        """Return the structs of `rows` (int64), in that order."""
        others = self._others
        if others:
            others = {at: others[row] for at, row in enumerate(rows.tolist()) if row in others}
        return Structs(self._kind, [column.take(rows) for column in self._columns], others)

    def column(self, *names: str) -> Column:
        """Return the first of these fields or properties that the structs have; every class must have the last one."""
        fields = () if self._others else getattr(self._kind, "__struct_fields__", ())
        found = [name for name in names if name in fields]
        if found:
            return self._columns[fields.index(found[0])]
        values = _RepeatedBuilder()
        values.add([getattr(item, names[-1]) for item in self])
        return values.done()


class StructsBuilder(Generic[S]):
    """Collect structs."""

    def __init__(self) -> None:
        self._waiting: list[S] = []
        self._kind: type[Any] = Struct
        self._columns: list[TextsBuilder | _NumbersBuilder | _RepeatedBuilder] = []
        self._others: dict[int, S] = {}
        self._count = 0

    def add(self, item: S) -> None:
        """Append a struct."""
        self._waiting.append(item)
        if len(self._waiting) == _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        items, self._waiting = self._waiting, []
        if items and not self._columns:
            self._kind = Counter(map(type, items)).most_common(1)[0][0]
            self._columns = _builders(self._kind)
            self._filler = next(item for item in items if type(item) is self._kind)
        for at, item in enumerate(items):
            if type(item) is not self._kind:
                self._others[self._count + at] = item
                items[at] = self._filler
        self._count += len(items)
        for column, values in zip(self._columns, zip(*map(_as_tuple, items), strict=True), strict=bool(items)):
            column.add(values)

    def done(self) -> Structs[S]:
        """Return the collected structs."""
        self._flush()
        return Structs(self._kind, [column.done() for column in self._columns], self._others)


class _NumbersBuilder:
    def __init__(self) -> None:
        self._values = array("q")

    def add(self, values: Sequence[int]) -> None:
        self._values.extend(values)

    def done(self) -> Numbers:
        return Numbers(np.asarray(self._values))


class _RepeatedBuilder:
    def __init__(self) -> None:
        self._codes = array("i")
        self._known: dict[Hashable, int] = {}

    def add(self, values: Sequence[Hashable]) -> None:
        known = self._known
        self._codes.extend([known.setdefault(value, len(known)) for value in values])

    def done(self) -> Repeated[Any]:
        return Repeated(np.asarray(self._codes), list(self._known))


def _builders(kind: type) -> list[TextsBuilder | _NumbersBuilder | _RepeatedBuilder]:
    few = getattr(kind, "FEW", ())
    return [
        TextsBuilder()
        if field.type is str and field.name not in few
        else _NumbersBuilder()
        if field.type is int
        else _RepeatedBuilder()
        for field in msgspec.structs.fields(kind)
    ]
