"""Strings in one block of bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from operator import eq
from typing import overload

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

_AT_ONCE = 4096
_GATHERED = 1 << 13
"""Texts whose bytes are collected at once."""


class Texts(Sequence[str]):
    """Strings in one block of UTF-8; file names that are not UTF-8 keep their surrogates.

    Args:
        block: their bytes; ends: int64 [n + 1], the start of each, and the end of the last one.
    """

    __slots__ = ("_block", "_ends")

    def __init__(self, block: bytes, ends: Rows) -> None:
        self._block, self._ends = block, ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Return the texts of an iterable, which may create them one by one."""
        builder = TextsBuilder()
        rest = iter(texts)
        while chunk := list(islice(rest, _AT_ONCE)):
            builder.add(chunk)
        return builder.done()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Texts | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> Texts: ...

    def __getitem__(self, row: int | slice) -> str | Texts:
        if isinstance(row, slice):
            rows = range(len(self))[row]
            if rows.step == 1:
                return Texts(self._block, self._ends[rows.start : max(rows.start, rows.stop) + 1])
            return self.take(np.array(rows, np.int64))
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
        return Texts(b"".join(parts), _ends(lengths))


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


class TextsBuilder:
    """Collect texts, thousands at a time."""

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
        return Texts(b"".join(self._blocks), _ends(lengths))


def _ends(lengths: Rows) -> Rows:
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
