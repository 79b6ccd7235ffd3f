"""Columns of whole numbers, and of values that many rows share."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas.columns.texts import Rows

T = TypeVar("T")

_AT_ONCE = 4096


class Column(Protocol):
    """Values in order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, row: int, /) -> Any: ...

    def take(self, rows: Rows) -> Column:
        """Some of the values, in the order of `rows` (int64)."""


class Gathering(Protocol):
    """A column that grows."""

    def add(self, values: Sequence[Any], /) -> None:
        """Adds some values, thousands at a time."""

    def done(self) -> Column:
        """All of them."""


class Numbers(Sequence[int]):
    """Whole numbers, int64 [n]."""

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
        """Some of the numbers, in the order of `rows` (int64)."""
        return Numbers(self.values[rows])


class Repeated(Sequence[T], Generic[T]):
    """Values of which many rows have the same.

    Attributes:
        codes: int32 [n], which of `values` a row has.
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
        """The values that a row has."""
        return [self.values[code] for code in np.unique(self.codes).tolist()]

    def take(self, rows: Rows) -> Repeated[T]:
        """Some of the values, in the order of `rows` (int64)."""
        return Repeated(self.codes[rows], self.values)


class GatheringNumbers:
    """Whole numbers as they come."""

    def __init__(self) -> None:
        self._parts = [np.zeros(0, np.int64)]

    def add(self, values: Sequence[int]) -> None:
        self._parts.append(np.array(values, np.int64))

    def done(self) -> Numbers:
        return Numbers(np.concatenate(self._parts))


class GatheringRepeated:
    """Values as they come, which are hashable."""

    def __init__(self) -> None:
        self._parts = [np.zeros(0, np.int32)]
        self._known: dict[Hashable, int] = {}

    def add(self, values: Sequence[Hashable]) -> None:
        known = self._known
        self._parts.append(np.array([known.setdefault(value, len(known)) for value in values], np.int32))

    def done(self) -> Repeated[Any]:
        return Repeated(np.concatenate(self._parts), list(self._known))
