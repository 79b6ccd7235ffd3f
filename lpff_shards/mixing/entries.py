"""Entries: the samples of a data set as columns over the rows of its inventories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas.keys import sample_key
from lpff_shards.schemas.record import Entry
from lpff_shards.sources.inventory import Inventory


@dataclass(frozen=True, eq=False)
class Entries:
    """Samples in order, columns of length n.

    Attributes:
        inventories: that `source` points into.
        source: int16 [n], which inventory; row: int64 [n], which of its rows.
        flip: bool [n], mirror on writing; replica: int16 [n].
    """

    inventories: Sequence[Inventory]
    source: NDArray[np.int16]
    row: NDArray[np.int64]
    flip: NDArray[np.bool_]
    replica: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, order: NDArray[np.int64]) -> Entries:
        """The entries in another order, or some of them."""
        return Entries(self.inventories, self.source[order], self.row[order], self.flip[order], self.replica[order])

    def keys(self) -> list[str]:
        """The key of each entry."""
        columns = (self.source.tolist(), self.row.tolist(), self.flip.tolist(), self.replica.tolist())
        names = [inventory.source for inventory in self.inventories]
        mirrored = [inventory.is_mirror.tolist() for inventory in self.inventories]
        return [
            sample_key(names[s], self.inventories[s].ids[row], mirrored[s][row] != flip, replica)
            for s, row, flip, replica in zip(*columns, strict=True)
        ]

    def entry(self, index: int, key: str) -> Entry:
        """One entry, self-contained."""
        record = self.inventories[self.source[index]].record(int(self.row[index]))
        return Entry(key, record, bool(self.flip[index]), int(self.replica[index]))
