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
        inventories: indexed by `source`.
        source: int16 [n], index of the inventory; row: int64 [n], row in it.
        flip: bool [n], mirror on writing; replica: int16 [n].
        split: int8 [n], index into `splits`.
        density: float32 [n], density of the pose per square radian, 0 if not computed.
        weight: float32 [n], for loaders that resample.
        splits: names of the splits, in written order.
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
        return self._with({name: getattr(self, name)[order] for name in COLUMNS})

    def followed_by(self, others: Entries) -> Entries:
        """Append other entries of the same inventories."""
        return self._with({name: np.concatenate([getattr(self, name), getattr(others, name)]) for name in COLUMNS})

    def once(self) -> Entries:
        """Return each picture once, without its copies."""
        return self.take(self.replica == 0)

    def counts(self) -> NDArray[np.int16]:
        """Return the number of copies of each entry of `once`, int16."""
        return np.diff(np.append(np.flatnonzero(self.replica == 0), len(self))).astype(np.int16)

    def _with(self, columns: dict[str, Any]) -> Entries:
        return replace(self, **columns)

    def keys(self) -> Texts:
        """Return the key of each entry."""
        mirrored = self.mirrored()
        return Texts.of(chain.from_iterable(self._keys(start, mirrored) for start in range(0, len(self), _AT_ONCE)))

    def _keys(self, start: int, mirrored: NDArray[np.bool_]) -> Iterator[str]:
        """Return the keys of `_AT_ONCE` entries."""
        some = slice(start, start + _AT_ONCE)
        source, rows = self.source[some], self.row[some]
        ids = np.empty(len(rows), object)
        for number in np.unique(source).tolist():
            here = source == number
            ids[here] = list(self.inventories[number].ids.take(rows[here]))
        names = [inventory.source for inventory in self.inventories]
        columns = (source.tolist(), ids.tolist(), mirrored[some].tolist(), self.replica[some].tolist())
        return (sample_key(names[s], id, mirror, replica) for s, id, mirror, replica in zip(*columns, strict=True))

    def mirrored(self) -> NDArray[np.bool_]:
        """Return whether each entry's picture is mirrored, by the source or on writing: bool [n]."""
        own: NDArray[np.bool_] = self.gather([inventory.is_mirror for inventory in self.inventories])
        return np.not_equal(own, self.flip)

    def centers(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return each entry's camera center, mirrored if flipped, float64 [n, 3]; and whether it is known, bool [n]."""
        found = self.gather([centers(inventory.cameras) for inventory in self.inventories])
        found[self.flip, 0] *= -1.0
        return found, self.gather([inventory.has_camera for inventory in self.inventories])

    def places(self) -> NDArray[np.int64]:
        """Return each entry's index in EG3D's FFHQ, int64 [n], -1 if unknown; a mirror follows its original."""
        places = self.gather([inventory.places for inventory in self.inventories])
        return np.where(self.flip & (places >= 0), places + 1, places)

    def entry(self, index: int, key: str) -> Entry:
        """Return one entry, self-contained."""
        return next(self.some(range(index, index + 1), [key]))

    def some(self, rows: range, keys: Iterable[str]) -> Iterator[Entry]:
        """Yield consecutive entries, self-contained.

        Args:
            keys: keys of these entries.
        """
        here = slice(rows.start, rows.stop)
        source, row = self.source[here], self.row[here]
        records = {
            number: self.inventories[number].records(row[source == number]) for number in np.unique(source).tolist()
        }
        columns = (
            *(source, self.flip[here], self.replica[here], self.split[here], self.density[here], self.weight[here]),
            self._both[here],
        )
        listed = zip(keys, *(column.tolist() for column in columns), strict=True)
        for key, number, flip, replica, split, density, weight, both in listed:
            yield Entry(
                key=key,
                record=next(records[number]),
                flip=flip,
                replica=replica,
                split=self.splits[split],
                density=density,
                weight=weight,
                must_decode=both,
            )

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


def combine(inventories: Sequence[Inventory], mirror: bool) -> Entries:
    """Return one entry per picture, in the inventories' order; with `mirror` each picture's mirror after it.

    A source's own mirror is used, not made again; without `mirror` the sources' mirrors are left out. The published
    sets have this order: FFHQ's originals and mirrors alternate, then LPFF picture i and its mirror.
    """
    parts = [_rows(inventory, mirror) for inventory in inventories]
    source = [np.full(len(rows), number, np.int16) for number, (rows, _) in enumerate(parts)]
    row = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in parts)])
    flip = np.concatenate([np.zeros(0, bool), *(flips for _, flips in parts)])
    count = len(row)
    return Entries(
        inventories=inventories,
        source=np.concatenate([np.zeros(0, np.int16), *source]),
        row=row,
        flip=flip,
        replica=np.zeros(count, np.int16),
        split=np.zeros(count, np.int8),
        density=np.zeros(count, np.float32),
        weight=np.ones(count, np.float32),
    )


def _rows(inventory: Inventory, mirror: bool) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return rows of one inventory and whether each is flipped on writing."""
    originals = ~inventory.is_mirror
    if not mirror:
        rows = np.flatnonzero(originals).astype(np.int64)
        return rows, np.zeros(len(rows), bool)
    have = {id for id, own in zip(inventory.ids, inventory.is_mirror.tolist(), strict=True) if own}
    # A source's faulty mirror is left out, not replaced.
    have |= inventory.lost_mirrors
    lacks = originals & np.array([id not in have for id in inventory.ids], bool)
    copies = 1 + lacks.astype(np.int64)
    rows = np.repeat(np.arange(len(inventory), dtype=np.int64), copies)
    flips = np.concatenate([np.zeros(1, bool), rows[1:] == rows[:-1]])[: len(rows)]
    return rows, flips
