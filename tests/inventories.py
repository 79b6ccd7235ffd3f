"""Reading data sets as inventories, and comparing these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataset_factories import v2_record, write_lpff, write_unsplash_pexels

from lpff_shards.schemas.license import License
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.ffhq import Ffhq
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.lpff import Lpff, UnsplashPexels

SHORT = ("CC-BY-2.0", "CC-BY-SA-2.0", "CC-BY-NC-2.0")


def publish(name: str, root: Path) -> Path:
    """Writes the tiny `lpff` or `unsplash_pexels`."""
    return write_lpff(root) if name == "lpff" else write_unsplash_pexels(root)


def read(name: str, path: Path, alignment: str = "eg3d") -> Inventory:
    """The inventory of `lpff` or `unsplash_pexels` at a path."""
    source = Lpff if name == "lpff" else UnsplashPexels
    return source(str(path), alignment).inventory()


def eg3d(root: Path, cameras: Path | None = None, metadata: Path | None = None) -> Inventory:
    """The inventory of EG3D's FFHQ."""
    return _ffhq(root, "eg3d", cameras, metadata)


def stylegan(root: Path, cameras: Path | None = None, metadata: Path | None = None) -> Inventory:
    """The inventory of FFHQ's own download."""
    return _ffhq(root, "stylegan", cameras, metadata)


def _ffhq(root: Path, alignment: str, *files: Path | None) -> Inventory:
    return Ffhq(str(root), alignment, *(str(file) if file else None for file in files)).inventory()


def ffhq_credit(index: int) -> Credit:
    """The credit that a written ffhq-dataset-v2.json gives."""
    record = v2_record(index)
    meta = record["metadata"]
    return Credit(
        photo_id=str(1133484654 + index),
        author=meta["author"],
        author_id=f"frumkin{index}",
        title=meta["photo_title"],
        source_url=meta["photo_url"],
        license=License(SHORT[index % 3], meta["license_url"], meta["license"]),
        category=record["category"],
    )


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
            None if r.camera is None else r.camera.tolist(),
            None if r.landmarks is None else r.landmarks.tolist(),
            r.blob.read(),
        )
        for r in records
    ]
