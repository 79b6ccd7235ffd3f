"""FFHQ, EG3D-aligned (512x512): pictures and their mirrors with dataset.json, in a folder or a zip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.record import Blob
from lpff_shards.sources import ffhq_files
from lpff_shards.sources.build import build
from lpff_shards.sources.cameras import Cameras
from lpff_shards.sources.ffhq_checks import check_pairs, refuse_other_export
from lpff_shards.sources.ffhq_files import Metadata, Named, Number
from lpff_shards.sources.ffhq_ids import Told, told_by_cameras
from lpff_shards.sources.ffhq_labels import (
    by_picture,
    first_with_ids,
    has_ids,
    labels_beside,
    labels_inside,
    places,
    read_labels,
)
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.tree import Tree, only_folder, open_tree
from lpff_shards.sources.scanned_image import Found


@dataclass(frozen=True)
class FfhqEg3d:
    """EG3D's FFHQ at a path; `cameras` and `metadata` are files beside it, or None."""

    path: str
    cameras: str | None = None
    metadata: str | None = None

    def inventory(self) -> Inventory:
        # The largest file first: its bytes are let go before anything else is held.
        metadata = ffhq_files.read_metadata(self.metadata, False) if self.metadata else None
        given = [ffhq_files.file_blob("--ffhq-cameras", self.cameras)] if self.cameras else []
        tree = only_folder(open_tree("--ffhq", self.path))
        refuse_other_export(self.path, tree, "eg3d")
        named, strangers = ffhq_files.numbered(tree)
        if not named:
            raise ShardsError(
                f"--ffhq {self.path} holds no EG3D-aligned pictures",
                "They are named 00000.png and 00000_mirror.png, or 00000/img00000000.png",
            )
        by_id = any(n.has_ffhq_id for n, _, _ in named)
        labels, ids = self._labels([*given, *labels_inside(tree)], tree, by_id)
        cameras = by_picture(labels, named)
        notes = [*check_pairs(self.path, named, cameras), *ffhq_files.note_strangers(tree, strangers)]
        own = places(cameras.rows, named)
        told = None if by_id else self._told(tree, named, cameras, ids)
        if told is not None:
            notes.append(told.note())
        if told is not None and told.is_enough:
            named = sorted(((told.numbers.get(name, n), name, blob) for n, name, blob in named), key=lambda i: i[:2])
            own = places(told.ids.rows)
        notes += self._notes(named, metadata)
        found = [_picture(*item, metadata, own.get(item[0])) for item in named]
        inventory = build("ffhq", "eg3d", found, cameras, notes, own.of)
        if told is not None and told.is_enough and ids is None:
            return replace(inventory, used={"ffhq_cameras": told.ids.where})
        return inventory

    def _labels(self, files: Sequence[Blob], tree: Tree, by_id: bool) -> tuple[Cameras, Cameras | None]:
        """The pictures' cameras; and where pictures are named by position, cameras by FFHQ id, if there are any."""
        if not files:
            raise ShardsError(
                f"{tree.where}: no dataset.json or dataset-ffhq.json was found, and eg3d-aligned pictures need cameras",
                "Put dataset.json there, or name it with --ffhq-cameras",
            )
        first = read_labels(files[0])
        if by_id:
            return first, None
        if not has_ids(first):
            return first, first_with_ids(files[1:])
        for labels in map(read_labels, files[1:]):
            if not has_ids(labels):
                return labels, first
        raise ShardsError(
            f"{first.where} names pictures by FFHQ id, and those of --ffhq {self.path} are numbered by position",
            "Put the dataset.json that EG3D's dataset_tool.py wrote beside the pictures",
        )

    def _told(self, tree: Tree, named: Sequence[Named], cameras: Cameras, ids: Cameras | None) -> Told | None:
        """FFHQ's numbers of pictures that are named by position, where a file tells them.

        Raises:
            ShardsError: the file is another set's, and was given or lies in the set.
        """
        names = [name for _, name, _ in named]
        if ids is not None:
            return told_by_cameras(cameras, names, ids).demand()
        known = {blob.where for blob in labels_inside(tree)} | {cameras.where}
        beside = first_with_ids(blob for blob in labels_beside(self.cameras, self.path) if blob.where not in known)
        return told_by_cameras(cameras, names, beside) if beside else None

    def _notes(self, named: Sequence[Named], metadata: Metadata | None) -> Iterator[str]:
        if metadata is None:
            yield f"--ffhq {self.path}: without --ffhq-metadata licenses and authors are unknown"
            return
        anonymous = [name for n, name, _ in named if not n.has_ffhq_id]
        if anonymous:
            yield (
                f"--ffhq {self.path}: {len(anonymous)} pictures are numbered by position ({anonymous[0]}), so "
                f"{self.metadata} cannot be matched: their licenses and authors will be unknown. Give --ffhq-cameras "
                "the dataset.json of EG3D's final_crops (00000.png, 00000_mirror.png, ...)"
            )
        yield from metadata.note_missing(n.id for n, _, _ in named if n.has_ffhq_id)


def _picture(n: Number, name: str, blob: Blob, metadata: Metadata | None, place: int) -> Found:
    if metadata is None or not n.has_ffhq_id:
        return Found(n.id, name, blob, 1, n.is_mirror, place=place)
    return Found(n.id, name, blob, 1, n.is_mirror, None, *metadata.told(n.id), place)
