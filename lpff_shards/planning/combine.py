"""Combining sources and their mirrors in the published order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lpff_shards.planning.entries import Entries
from lpff_shards.sources.inventory import Inventory


def combine(inventories: Sequence[Inventory], mirror: bool) -> Entries:
    """One entry a picture, in the inventories' order; with `mirror` each picture's mirror next to it.

    A mirror that the source has itself is used, not made again; without `mirror` the sources' mirrors are left out.
    The published sets are ordered so: FFHQ's originals and mirrors in turn, then LPFF picture i and its mirror.
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
    """Rows of one inventory and whether each is flipped on writing."""
    originals = ~inventory.is_mirror
    if not mirror:
        rows = np.flatnonzero(originals).astype(np.int64)
        return rows, np.zeros(len(rows), bool)
    have = {id for id, own in zip(inventory.ids, inventory.is_mirror.tolist(), strict=True) if own}
    # A mirror that the source has and that is faulty is left out, not made up for.
    have |= inventory.lost_mirrors
    lacks = originals & np.array([id not in have for id in inventory.ids], bool)
    copies = 1 + lacks.astype(np.int64)
    rows = np.repeat(np.arange(len(inventory), dtype=np.int64), copies)
    flips = np.concatenate([np.zeros(1, bool), rows[1:] == rows[:-1]])[: len(rows)]
    return rows, flips
