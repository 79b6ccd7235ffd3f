"""Reading data sets as inventories, and comparing these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layouts import write_lpff, write_unsplash_pexels

from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.lpff import Lpff
from lpff_shards.sources.unsplash_pexels import UnsplashPexels


def publish(name: str, root: Path) -> Path:
    """Writes the tiny `lpff` or `unsplash_pexels`."""
    return write_lpff(root) if name == "lpff" else write_unsplash_pexels(root)


def read(name: str, path: Path, alignment: str = "eg3d") -> Inventory:
    """The inventory of `lpff` or `unsplash_pexels` at a path."""
    source = Lpff if name == "lpff" else UnsplashPexels
    return source(str(path), alignment).inventory()


def clean(inventory: Inventory) -> Inventory:
    """An inventory that has nothing to complain of."""
    assert inventory.problems == () and inventory.notes == ()
    return inventory


def contents(inventory: Inventory) -> list[tuple[Any, ...]]:
    """All that an inventory says of its pictures but where they are, with their bytes, to compare."""
    records = [inventory.record(row) for row in range(len(inventory))]
    return [
        (
            (r.source, r.alignment, r.id, r.face, r.is_mirror, r.credit),
            None if r.camera is None else r.camera.numbers.tolist(),
            None if r.landmarks is None else r.landmarks.tolist(),
            r.blob.read(),
        )
        for r in records
    ]
