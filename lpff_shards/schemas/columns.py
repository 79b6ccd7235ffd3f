"""Columns of text and of structs: a million rows in a few blocks of memory, with objects created on access.

A million small objects take five times the memory and miss the CPU's caches. A forked process that reads them copies
them, since it counts references.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, pairwise
from operator import eq
from typing import Any, Generic, TypeVar, overload

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Rows = NDArray[np.int64]

T = TypeVar("T")
S = TypeVar("S")

_AT_ONCE = 4096
_GATHERED = 1 << 13
"""Texts whose bytes are collected at once."""
_as_tuple: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple


class Texts(Sequence[str]):
    """Strings in one block of UTF-8; file names that are not UTF-8 keep their surrogates.

    Args:
        block: their bytes; lengths: int64 [n], bytes of each.
    """

    __slots__ = ("_block", "_ends")

    def __init__(self, block: bytes, lengths: Rows) -> None:
        self._block, self._ends = block, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Return the texts of an iterable, which may create them one by one."""
        builder = _TextsBuilder()
        rest = iter(texts)
        while chunk := list(islice(rest, _AT_ONCE)):
            builder.add(chunk)
        return builder.done()

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
        if isinstance(row, slice):
            return self.take(np.array(range(len(self))[row], np.int64))
        row = range(len(self))[row]
        return _decoded(self._block[self._ends[row] : self._ends[row + 1]])

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            ends = self._ends[start : start + _AT_ONCE + 1]
            first = int(ends[0])
            block, places = self._block[first : ends[-1]], (ends - first).tolist()
            if block.isascii():
                text = block.decode("ascii")
                yield from [text[a:b] for a, b in pairwise(places)]
            else:
                yield from [_decoded(block[a:b]) for a, b in pairwise(places)]

    def take(self, rows: Rows) -> Texts:
        """Return the texts of `rows` (int64), in that order."""
        data, starts = np.frombuffer(self._block, np.uint8), self._ends[rows]
        lengths = self._ends[rows + 1] - starts
        parts = []
        for at in range(0, len(rows), _GATHERED):
            sizes = lengths[at : at + _GATHERED]
            shifts = starts[at : at + _GATHERED] - (np.cumsum(sizes) - sizes)
            parts.append(data[np.repeat(shifts, sizes) + np.arange(int(sizes.sum()))].tobytes())
        return Texts(b"".join(parts), lengths)


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


class _TextsBuilder:
    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._lengths: list[Rows] = []

    def add(self, texts: Sequence[str]) -> None:
        joined = "".join(texts)
        block = _encoded(joined)
        lengths = map(len, texts) if len(block) == len(joined) else (len(_encoded(text)) for text in texts)
        self._blocks.append(block)
        self._lengths.append(np.fromiter(lengths, np.int64, len(texts)))

    def done(self) -> Texts:
        lengths = np.concatenate([np.zeros(0, np.int64), *self._lengths])
        return Texts(b"".join(self._blocks), lengths)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


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
        self._columns: list[_TextsBuilder | _NumbersBuilder | _RepeatedBuilder] = []
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


def _builders(kind: type) -> list[_TextsBuilder | _NumbersBuilder | _RepeatedBuilder]:
    few = getattr(kind, "FEW", ())
    return [
        _TextsBuilder()
        if field.type is str and field.name not in few
        else _NumbersBuilder()
        if field.type is int
        else _RepeatedBuilder()
        for field in msgspec.structs.fields(kind)
    ]
