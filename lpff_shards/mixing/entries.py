"""Entries: the samples of a data set as columns over the rows of its inventories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.mix_options import TRAIN
from lpff_shards.schemas.keys import sample_key
from lpff_shards.schemas.record import Entry
from lpff_shards.sources.inventory import Inventory

COLUMNS = ("source", "row", "flip", "replica", "split", "density", "weight")


@dataclass(frozen=True, eq=False)
class Entries:
    """Samples in order, columns of length n.

    Attributes:
        inventories: that `source` points into.
        source: int16 [n], which inventory; row: int64 [n], which of its rows.
        flip: bool [n], mirror on writing; replica: int16 [n].
        split: int8 [n], which of `splits`.
        density: float32 [n], of the pose, per square radian, 0 where not computed.
        weight: float32 [n], for loaders that resample.
        splits: names of the splits, in the order in which they are written.
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
        """The entries in another order, or some of them."""
        return self._with({name: getattr(self, name)[order] for name in COLUMNS})

    def followed_by(self, others: Entries) -> Entries:
        """These entries, then others of the same inventories."""
        return self._with({name: np.concatenate([getattr(self, name), getattr(others, name)]) for name in COLUMNS})

    def _with(self, columns: dict[str, Any]) -> Entries:
        return replace(self, **columns)

    def keys(self) -> list[str]:
        """The key of each entry."""
        columns = (self.source.tolist(), self.row.tolist(), self.flip.tolist(), self.replica.tolist())
        names = [inventory.source for inventory in self.inventories]
        mirrored = [inventory.is_mirror.tolist() for inventory in self.inventories]
        return [
            sample_key(names[s], self.inventories[s].ids[row], mirrored[s][row] != flip, replica)
            for s, row, flip, replica in zip(*columns, strict=True)
        ]

    def mirrored(self) -> NDArray[np.bool_]:
        """Whether each entry's picture is a mirrored one, by the source or by us: bool [n]."""
        own = np.zeros(len(self), bool)
        for here, rows, inventory in self._by_source():
            own[here] = inventory.is_mirror[rows]
        return np.not_equal(own, self.flip)

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where each entry's camera stands, mirrored where it is flipped, float64 [n, 3]; and whether it is known."""
        centres, known = np.zeros((len(self), 3)), np.zeros(len(self), bool)
        for here, rows, inventory in self._by_source():
            centres[here] = inventory.cameras[:, [3, 7, 11]][rows]
            known[here] = inventory.has_camera[rows]
        centres[self.flip, 0] *= -1.0
        return centres, known

    def places(self) -> NDArray[np.int64]:
        """Each entry's index in EG3D's FFHQ, int64 [n], -1 where unknown; a mirror follows its original."""
        places = np.full(len(self), -1, np.int64)
        for here, rows, inventory in self._by_source():
            places[here] = inventory.places[rows]
        return np.where(self.flip & (places >= 0), places + 1, places)

    def entry(self, index: int, key: str) -> Entry:
        """One entry, self-contained."""
        return Entry(
            key=key,
            record=self.inventories[self.source[index]].record(int(self.row[index])),
            flip=bool(self.flip[index]),
            replica=int(self.replica[index]),
            split=self.splits[self.split[index]],
            density=float(self.density[index]),
            weight=float(self.weight[index]),
        )

    def _by_source(self) -> list[tuple[NDArray[np.bool_], NDArray[np.int64], Inventory]]:
        """For each inventory: which entries are its, their rows, and itself."""
        masks = [self.source == number for number in range(len(self.inventories))]
        return [(here, self.row[here], inventory) for here, inventory in zip(masks, self.inventories, strict=True)]
