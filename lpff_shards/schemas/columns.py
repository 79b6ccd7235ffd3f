"""Columns of text and of structs: a million rows in a few blocks of memory, with objects created on access.

A million small objects take five times the memory and miss the CPU's caches. A forked process that reads them copies
them, since it counts references.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice, pairwise
from operator import eq
from typing import Any, Generic, TypeVar, overload

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

Rows = NDArray[np.int64]

T = TypeVar("T")
S = TypeVar("S")

_AT_ONCE = 4096
_GATHERED = 1 << 13
"""Texts whose bytes are collected at once."""
_as_tuple: Callable[[Any], tuple[Any, ...]] = structs.astuple


def chunks(items: Iterable[T], size: int = _AT_ONCE) -> Iterator[list[T]]:
    """Yield lists of `size` items, the last one may be shorter."""
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])


class Texts(Sequence[str]):
    """Strings in one block of UTF-8; file names that are not UTF-8 keep their surrogates.

    Args:
        block: their bytes; ends: int64 [n + 1], where the first begins, and where each ends.
    """

    __slots__ = ("_block", "_ends")

    def __init__(self, block: bytes, ends: Rows) -> None:
        self._block, self._ends = block, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Return the texts of an iterable, which may create them one by one."""
        return _joined([_packed(chunk) for chunk in chunks(texts)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Texts | list | tuple) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> Texts: ...

    def __getitem__(self, row: int | slice) -> str | Texts:
        chosen = range(len(self))[row]
        if isinstance(chosen, int):
            return _decoded(self._block[self._ends[chosen] : self._ends[chosen + 1]])
        if chosen.step == 1 and chosen:
            return Texts(self._block, self._ends[chosen.start : chosen.stop + 1])
        return self.take(np.array(chosen, np.int64))

    def __iter__(self) -> Iterator[str]:
        return _values(self)

    def tolist(self) -> list[str]:
        """Return the texts as Python strings."""
        first = int(self._ends[0])
        block, places = self._block[first : self._ends[-1]], (self._ends - first).tolist()
        if block.isascii():
            text = block.decode("ascii")
            return [text[a:b] for a, b in pairwise(places)]
        return [_decoded(block[a:b]) for a, b in pairwise(places)]

    def take(self, rows: Rows) -> Texts:
        """Return the texts of `rows` (int64), in that order."""
        data, starts = np.frombuffer(self._block, np.uint8), self._ends[rows]
        lengths = self._ends[rows + 1] - starts
        parts = []
        for at in range(0, len(rows), _GATHERED):
            sizes = lengths[at : at + _GATHERED]
            shifts = starts[at : at + _GATHERED] - (np.cumsum(sizes) - sizes)
            parts.append(data[np.repeat(shifts, sizes) + np.arange(int(sizes.sum()))].tobytes())
        return Texts(b"".join(parts), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))


def duplicates(parts: Sequence[Sequence[str]]) -> set[str]:
    """Return the texts that occur more than once in all parts together; for the others only hashes are kept."""
    hashes = [np.fromiter(map(hash, part), np.int64, len(part)) for part in parts]
    ordered = np.sort(np.concatenate([np.zeros(0, np.int64), *hashes]))
    # Different texts can have the same hash.
    suspects = set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())
    if not suspects:
        return set()
    times = Counter(text for part in parts for text in part if hash(text) in suspects)
    return {text for text, count in times.items() if count > 1}


def _packed(texts: Sequence[str]) -> tuple[bytes, Rows]:
    """Return the bytes of texts in one block, and the bytes of each, int64 [n]."""
    joined = "".join(texts)
    block = _encoded(joined)
    lengths = map(len, texts) if len(block) == len(joined) else (len(_encoded(text)) for text in texts)
    return block, np.fromiter(lengths, np.int64, len(texts))


def _joined(parts: Sequence[tuple[bytes, Rows]]) -> Texts:
    lengths = np.concatenate([np.zeros(1, np.int64), *(lengths for _, lengths in parts)])
    return Texts(b"".join(block for block, _ in parts), np.cumsum(lengths))


def _values(column: Texts | Repeated[Any]) -> Iterator[Any]:
    return chain.from_iterable(column[at : at + _AT_ONCE].tolist() for at in range(0, len(column), _AT_ONCE))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


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

    def __iter__(self) -> Iterator[T]:
        return _values(self)

    def __getitem__(self, rows: slice) -> Repeated[T]:
        return Repeated(self.codes[rows], self.values)

    def tolist(self) -> list[T]:
        return [self.values[code] for code in self.codes.tolist()]

    def met(self) -> list[T]:
        """Return the values that occur in a row."""
        return [self.values[code] for code in np.unique(self.codes).tolist()]

    def take(self, rows: Rows) -> Repeated[T]:
        return Repeated(self.codes[rows], self.values)


Column = Texts | NDArray[np.int64] | Repeated[Any]


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
        for chunk in chunks(items):
            builder.add(chunk)
        return builder.done()

    def __len__(self) -> int:
        return len(self._columns[0]) if self._columns else 0

    def __getitem__(self, row: int) -> S:
        row = range(len(self))[row]
        return self._others[row] if row in self._others else next(self._some(row, row + 1))

    def __iter__(self) -> Iterator[S]:
        items = chain.from_iterable(self._some(at, at + _AT_ONCE) for at in range(0, len(self), _AT_ONCE))
        return map(self._others.get, count(), items) if self._others else items

    def _some(self, start: int, stop: int) -> Iterator[S]:
        return map(self._kind, *[column[start:stop].tolist() for column in self._columns])

    def take(self, rows: Rows) -> Structs[S]:
        """Return the structs of `rows` (int64), in that order."""
        others = self._others
        if others:
            others = {at: others[row] for at, row in enumerate(rows.tolist()) if row in others}
        return Structs(self._kind, [column.take(rows) for column in self._columns], others)

    def column(self, *names: str) -> Column:
        """Return the first of these fields or properties that the structs have; every class must have the last one."""
        fields = () if self._others else getattr(self._kind, "__struct_fields__", ())
        for name in names:
            if name in fields:
                return self._columns[fields.index(name)]
        values = _ColumnBuilder(object)
        values.add([getattr(item, names[-1]) for item in self])
        return values.done()

    def numbers(self, name: str) -> Rows:
        """Return a field or property of integers, int64 [n]."""
        column = self.column(name)
        return column if isinstance(column, np.ndarray) else np.array(column.tolist(), np.int64)


class StructsBuilder(Generic[S]):
    """Collect structs; the most common class of the first ones is the one with columns."""

    def __init__(self) -> None:
        self._kind: type[Any] = Struct
        self._columns: list[_ColumnBuilder] = []
        self._others: dict[int, S] = {}
        self._count = 0

    def add(self, items: list[S]) -> None:
        """Append structs, at least one; the list is overwritten."""
        if not self._columns:
            self._kind = Counter(map(type, items)).most_common(1)[0][0]
            few = getattr(self._kind, "FEW", ())
            kinds = (object if field.name in few else field.type for field in structs.fields(self._kind))
            self._columns = list(map(_ColumnBuilder, kinds))
            self._filler = next(item for item in items if type(item) is self._kind)
        for at, item in enumerate(items):
            if type(item) is not self._kind:
                self._others[self._count + at] = item
                items[at] = self._filler
        self._count += len(items)
        for column, values in zip(self._columns, zip(*map(_as_tuple, items), strict=True), strict=True):
            column.add(values)

    def done(self) -> Structs[S]:
        """Return the collected structs."""
        return Structs(self._kind, [column.done() for column in self._columns], self._others)


class _ColumnBuilder:
    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._parts: list[Any] = []
        self._known: dict[Hashable, int] = {}

    def add(self, values: Sequence[Any]) -> None:
        if self._kind is str:
            self._parts.append(_packed(values))
        elif self._kind is int:
            self._parts.append(np.array(values, np.int64))
        else:
            known = self._known
            self._parts.append(np.array([known.setdefault(value, len(known)) for value in values], np.int32))

    def done(self) -> Column:
        if self._kind is str:
            return _joined(self._parts)
        numbers = np.concatenate(self._parts)
        return numbers if self._kind is int else Repeated(numbers, list(self._known))
