"""Entries: the samples of a data set as columns over the rows of its inventories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.options.mix import TRAIN
from lpff_shards.schemas.camera import centers
from lpff_shards.schemas.columns import Texts
from lpff_shards.schemas.keys import sample_key
from lpff_shards.schemas.record import Entry
from lpff_shards.sources.inventory import Inventory

_AT_ONCE = 1 << 14
COLUMNS = ("source", "row", "flip", "replica", "split", "density", "weight")


@dataclass(frozen=True, eq=False)
class Entries:
    """Samples in order, columns of length n.

    Attributes:
        source: index of the inventory; row: row in it.
        flip: mirror on writing.
        split: index into `splits`, the names in written order.
        density: density of the pose per square radian, 0 if not computed.
        weight: for loaders that resample.
    """

    inventories: Sequence[Inventory]
    source: NDArray[np.int16]
    row: NDArray[np.int64]
    flip: NDArray[np.bool_]
    replica: NDArray[np.int16]
    split: NDArray[np.int8]
    density: NDArray[np.float32]
    weight: NDArray[np.float32]
    splits: tuple[str, ...] = (TRAIN,)

    def __len__(self) -> int:
        return len(self.row)

    def take(self, order: NDArray[np.int64] | NDArray[np.bool_]) -> Entries:
        """Return entries by index or mask."""
        columns: dict[str, Any] = {name: getattr(self, name)[order] for name in COLUMNS}
        return replace(self, **columns)

    def copied(self, times: NDArray[np.int64]) -> Entries:
        """Repeat each entry by its number (int64 [n]), split by split; copies follow their original, numbered."""
        order = np.argsort(self.split, kind="stable")
        times = times[order]
        rows = np.repeat(order, times)
        replica = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
        return replace(self.take(rows), replica=replica.astype(np.int16))

    def keys(self) -> Texts:
        """Return the key of each entry."""
        mirrored, names = self.mirrored(), [inventory.source for inventory in self.inventories]

        def some(start: int) -> Iterator[str]:
            here = slice(start, start + _AT_ONCE)
            source, rows = self.source[here], self.row[here]
            ids = np.empty(len(rows), object)
            for number in np.unique(source).tolist():
                own = source == number
                ids[own] = list(self.inventories[number].ids.take(rows[own]))
            columns = (source.tolist(), ids.tolist(), mirrored[here].tolist(), self.replica[here].tolist())
            return (sample_key(names[s], id, mirror, replica) for s, id, mirror, replica in zip(*columns, strict=True))

        return Texts.of(chain.from_iterable(map(some, range(0, len(self), _AT_ONCE))))

    def mirrored(self) -> NDArray[np.bool_]:
        """Return whether each entry's picture is mirrored, by the source or on writing: bool [n]."""
        own: NDArray[np.bool_] = self.gather([inventory.is_mirror for inventory in self.inventories])
        return np.not_equal(own, self.flip)

    def centers(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return each entry's camera center, mirrored if flipped, float64 [n, 3]; and whether it is known, bool [n]."""
        found = self.gather([centers(inventory.cameras) for inventory in self.inventories])
        found[self.flip, 0] *= -1.0
        return found, self.gather([inventory.has_camera for inventory in self.inventories])

    def entry(self, index: int, key: str) -> Entry:
        """Return one entry, self-contained."""
        return next(self.some(range(index, index + 1), [key]))

    def some(self, rows: range, keys: Iterable[str]) -> Iterator[Entry]:
        """Yield consecutive entries, which have these keys, self-contained."""
        here = slice(rows.start, rows.stop)
        source, row = self.source[here], self.row[here]
        records = [one.records(row[source == number]) for number, one in enumerate(self.inventories)]
        columns = (self.source, self.flip, self.replica, self.split, self.density, self.weight, self._both)
        listed = zip(keys, *(column[here].tolist() for column in columns), strict=True)
        for key, number, flip, replica, split, density, weight, both in listed:
            yield Entry(key, next(records[number]), flip, replica, self.splits[split], density, weight, both)

    @cached_property
    def _both(self) -> NDArray[np.bool_]:
        """Whether the same picture is also written mirrored, bool [n]."""
        flipped = [np.zeros(len(inventory), bool) for inventory in self.inventories]
        for number, found in enumerate(flipped):
            found[self.row[self.flip & (self.source == number)]] = True
        return self.gather(flipped) if flipped else np.zeros(0, bool)

    def gather(self, columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Gather a column of each inventory's pictures into one column of the entries."""
        gathered = np.zeros((len(self), *columns[0].shape[1:]), columns[0].dtype)
        for number, column in enumerate(columns):
            here = self.source == number
            gathered[here] = column[self.row[here]]
        return gathered


def combine(inventories: Sequence[Inventory]) -> Entries:
    """Return one entry per picture, in the inventories' order, each picture's mirror after it, as in published sets.

    A source's own mirror is used, not made again.
    """
    parts = []
    for number, inventory in enumerate(inventories):
        have = {id for id, is_mirror in zip(inventory.ids, inventory.is_mirror.tolist(), strict=True) if is_mirror}
        # A source's faulty mirror is left out, not replaced.
        have |= inventory.lost_mirrors
        lacks = ~inventory.is_mirror & np.array([id not in have for id in inventory.ids], bool)
        rows = np.repeat(np.arange(len(inventory)), 1 + lacks)
        parts.append((np.full(len(rows), number, np.int16), rows, np.diff(rows, prepend=-1) == 0))
    source, row, flip = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    zeros = np.zeros(len(row), np.int16)
    density, weight = np.zeros(len(row), np.float32), np.ones(len(row), np.float32)
    return Entries(inventories, source, row, flip, zeros, zeros.astype(np.int8), density, weight)
