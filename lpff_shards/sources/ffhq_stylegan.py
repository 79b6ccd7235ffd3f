"""FFHQ, StyleGAN-aligned (1024x1024): images1024x1024 in folders of thousands, 70,000 pictures, no mirrors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources import ffhq_files
from lpff_shards.sources.build import build
from lpff_shards.sources.cameras import NO_CAMERAS, Cameras
from lpff_shards.sources.ffhq_files import Metadata, Named, Number, Places
from lpff_shards.sources.found import Found
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.tree import only_folder, open_tree

FOLDER = "images1024x1024"


@dataclass(frozen=True)
class FfhqStylegan:
    """FFHQ's own download at a path; `cameras` (EG3D's dataset.json) and `metadata` (v2) are files, or None."""

    path: str
    cameras: str | None = None
    metadata: str | None = None

    def inventory(self) -> Inventory:
        # The largest file first: its bytes are let go before anything else is held.
        metadata = ffhq_files.read_metadata(self.metadata, True) if self.metadata else None
        tree = open_tree("--ffhq", self.path)
        tree = tree.sub(FOLDER) or only_folder(tree)
        tree = tree.sub(FOLDER) or tree
        every, strangers = ffhq_files.numbered(tree)
        named = [item for item in every if item[0].has_ffhq_id and not item[0].is_mirror]
        strangers += [name for n, name, _ in every if not n.has_ffhq_id or n.is_mirror]
        if not named:
            raise ShardsError(
                f"--ffhq {self.path} holds no StyleGAN-aligned pictures",
                f"They are named {FOLDER}/00000/00000.png or 00000/00000.png; mirrors and img%08d names are EG3D's",
            )
        cameras, places = self._cameras()
        found = [_picture(n, blob, metadata, places.get(n)) for n, _, blob in named]
        notes = [*ffhq_files.note_strangers(tree, strangers), *self._notes(named, metadata)]
        inventory = build("ffhq", "stylegan", found, cameras, notes, places.of, own_cameras=False)
        without = int((~inventory.has_camera).sum())
        if self.cameras and without:
            note = f"{self.cameras}: {without} of {len(inventory)} pictures have no camera there"
            return replace(inventory, notes=(*inventory.notes, note))
        return inventory

    def _cameras(self) -> tuple[Cameras, Places]:
        """EG3D's cameras of the originals, by FFHQ id, and their indices there."""
        if self.cameras is None:
            return NO_CAMERAS, Places({})
        labels = ffhq_files.read_labels(ffhq_files.file_blob("--ffhq-cameras", self.cameras))
        numbers = {name: ffhq_files.number(name) for name in labels.rows}
        if not any(n and n.has_ffhq_id for n in numbers.values()):
            raise ShardsError(
                f"{self.cameras} names its pictures by index (img%08d), which tells no FFHQ id",
                "Give a dataset.json that names them 00000.png and 00000_mirror.png",
            )
        names = {n.id: name for name, n in numbers.items() if n and n.has_ffhq_id and not n.is_mirror}
        rows = {id: labels.rows[name] for id, name in names.items()}
        faults = {id: labels.faults[name] for id, name in names.items() if name in labels.faults}
        return Cameras(labels.where, rows, labels.numbers, faults), ffhq_files.places(labels.rows)

    def _notes(self, named: list[Named], metadata: Metadata | None) -> list[str]:
        notes = []
        if self.cameras is None:
            notes.append(f"--ffhq {self.path}: without --ffhq-cameras there are no cameras")
        if metadata is None:
            notes.append(f"--ffhq {self.path}: without --ffhq-metadata licences, authors and landmarks are unknown")
            return notes
        return notes + metadata.note_missing(n.id for n, _, _ in named)


def _picture(n: Number, blob: Blob, metadata: Metadata | None, place: int) -> Found:
    if metadata is None:
        return Found(n.id, n.id, blob, 1, place=place)
    fault = (metadata.where, metadata.faults[n.id]) if n.id in metadata.faults else None
    points = metadata.points[metadata.rows[n.id]] if n.id in metadata.rows else None
    return Found(n.id, n.id, blob, 1, False, points, metadata.credits.get(n.id, Credit()), fault, place)
