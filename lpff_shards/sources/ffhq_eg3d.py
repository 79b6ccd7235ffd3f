"""FFHQ, EG3D-aligned (512x512): pictures and their mirrors with dataset.json, in a folder or a zip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources import ffhq_files
from lpff_shards.sources.build import build
from lpff_shards.sources.ffhq_files import Metadata, Named, Number
from lpff_shards.sources.found import Found
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.tree import Tree, only_folder, open_tree


@dataclass(frozen=True)
class FfhqEg3d:
    """EG3D's FFHQ at a path; `cameras` and `metadata` are files beside it, or None."""

    path: str
    cameras: str | None = None
    metadata: str | None = None

    def inventory(self) -> Inventory:
        # The largest file first: its bytes are let go before anything else is held.
        metadata = ffhq_files.read_metadata(self.metadata, False) if self.metadata else None
        tree = only_folder(open_tree("--ffhq", self.path))
        cameras = ffhq_files.read_labels(self._labels(tree))
        named, strangers = ffhq_files.numbered(tree)
        if not named:
            raise ShardsError(
                f"--ffhq {self.path} holds no EG3D-aligned pictures",
                "They are named 00000.png and 00000_mirror.png, or 00000/img00000000.png",
            )
        notes = [*ffhq_files.note_strangers(tree, strangers), *self._notes(named, metadata)]
        places = ffhq_files.places(cameras.rows)
        found = [_picture(*item, metadata, places.get(item[0])) for item in named]
        return build("ffhq", "eg3d", found, cameras, notes, places.of)

    def _labels(self, tree: Tree) -> Blob:
        if self.cameras is not None:
            return ffhq_files.file_blob("--ffhq-cameras", self.cameras)
        files = tree.files()
        for name in ffhq_files.LABELS:
            if name in files:
                return files[name]
        raise ShardsError(
            f"{tree.where}: no dataset.json or dataset-ffhq.json was found, and eg3d-aligned pictures need cameras",
            "Put dataset.json there, or name it with --ffhq-cameras",
        )

    def _notes(self, named: Sequence[Named], metadata: Metadata | None) -> list[str]:
        if metadata is None:
            return [f"--ffhq {self.path}: without --ffhq-metadata licences and authors are unknown"]
        anonymous = sum(not n.has_ffhq_id for n, _, _ in named)
        if anonymous:
            return [
                f"--ffhq {self.path}: {anonymous} pictures are named by index, not by FFHQ id, so their records in "
                f"{self.metadata} cannot be told: licences and authors are unknown"
            ]
        return metadata.note_missing(n.id for n, _, _ in named)


def _picture(n: Number, name: str, blob: Blob, metadata: Metadata | None, place: int) -> Found:
    if metadata is None or not n.has_ffhq_id:
        return Found(n.id, name, blob, 1, n.is_mirror, place=place)
    fault = (metadata.where, metadata.faults[n.id]) if n.id in metadata.faults else None
    return Found(n.id, name, blob, 1, n.is_mirror, None, metadata.credits.get(n.id, Credit()), fault, place)
