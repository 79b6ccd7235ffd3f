"""FFHQ, StyleGAN-aligned (1024x1024): images1024x1024, or StyleGAN's zip of it; 70,000 pictures, no mirrors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.record import Blob
from lpff_shards.sources import ffhq_files
from lpff_shards.sources.build import build
from lpff_shards.sources.ffhq_checks import TO_EG3D, refuse_oblong, refuse_other_export
from lpff_shards.sources.ffhq_files import Metadata, Named, Number
from lpff_shards.sources.ffhq_labels import by_picture, labels_inside, read_labels
from lpff_shards.sources.ffhq_lent import lend
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.tree import only_folder, open_tree
from lpff_shards.sources.scanned_image import Found

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
        outer = open_tree("--ffhq", self.path)
        tree = outer.sub(FOLDER) or only_folder(outer)
        tree = tree.sub(FOLDER) or tree
        every, strangers = ffhq_files.numbered(tree)
        inside = labels_inside(outer, tree)
        named, others = self._originals(every)
        if not refuse_other_export(self.path, tree, "stylegan"):
            self._refuse_eg3d(every, inside)
        refuse_oblong(self.path, named, "StyleGAN")
        lent = lend(self.path, self.cameras, inside, any(n.has_ffhq_id for n, _, _ in named))
        found = [_picture(n, name, blob, metadata, lent.places.get(n)) for n, name, blob in named]
        notes = [*ffhq_files.note_strangers(tree, strangers + others), *lent.notes, *self._notes(named, metadata)]
        cameras = by_picture(lent.cameras, named)
        inventory = build("ffhq", "stylegan", found, cameras, notes, lent.places.of, own_cameras=False)
        without = int((~inventory.has_camera).sum())
        if self.cameras and without and not len(lent.anonymous):
            note = f"{self.cameras}: {without} of {len(inventory)} pictures have no camera there"
            inventory = replace(inventory, notes=(*inventory.notes, note))
        return replace(inventory, anonymous_cameras=lent.anonymous)

    def _originals(self, every: Sequence[Named]) -> tuple[list[Named], list[str]]:
        """The pictures with their FFHQ ids, and names that are passed over.

        StyleGAN's dataset_tool.py numbers in FFHQ's order, so the numbers of a whole set are FFHQ's.

        Raises:
            ShardsError: there are none, or more than FFHQ has.
        """
        by_id = [item for item in every if item[0].has_ffhq_id]
        by_position = [item for item in every if not item[0].has_ffhq_id]
        if by_id:
            return by_id, [name for _, name, _ in by_position]
        if not every:
            raise ShardsError(
                f"--ffhq {self.path} holds no StyleGAN-aligned pictures",
                f"They are named {FOLDER}/00000/00000.png, 00000/00000.png or 00000/img00000000.png",
            )
        if len(every) > ffhq_files.PHOTOS:
            raise ShardsError(
                f"--ffhq {self.path} holds {len(every)} pictures, and StyleGAN's FFHQ {ffhq_files.PHOTOS}", TO_EG3D
            )
        is_whole = [n.position for n, _, _ in every] == list(range(ffhq_files.PHOTOS))
        return [(_by_position(n, is_whole), name, blob) for n, name, blob in every], []

    def _refuse_eg3d(self, every: Sequence[Named], inside: Sequence[Blob]) -> None:
        """Refuses EG3D's pictures: files of mirrors, or cameras of these very files, which only EG3D's set holds.

        Raises:
            ShardsError: names what tells it.
        """
        mirrors = [name for n, name, _ in every if n.has_ffhq_id and n.is_mirror]
        if mirrors:
            raise ShardsError(f"--ffhq {self.path} is EG3D-aligned: it holds the mirror {mirrors[0]}", TO_EG3D)
        for blob in inside:
            try:
                labels = read_labels(blob)
            except ShardsError:
                # StyleGAN's own dataset.json has no labels.
                continue
            own = next((name for _, name, _ in every if name in labels.rows), None)
            if own is not None:
                raise ShardsError(f"--ffhq {self.path} is EG3D-aligned: {blob.where} has a camera of {own}", TO_EG3D)

    def _notes(self, named: Sequence[Named], metadata: Metadata | None) -> Iterator[str]:
        unknown = [name for n, name, _ in named if not n.has_ffhq_id]
        if unknown:
            yield (
                f"--ffhq {self.path}: {len(unknown)} pictures are numbered by position ({unknown[0]}) and are not all "
                f"{ffhq_files.PHOTOS}, so their ids, licenses, authors and landmarks are unknown. Give {FOLDER}, or a "
                "zip of it whole"
            )
        elif metadata is None:
            yield f"--ffhq {self.path}: without --ffhq-metadata licenses, authors and landmarks are unknown"
        else:
            yield from metadata.note_missing(n.id for n, _, _ in named)


def _by_position(n: Number, is_whole: bool) -> Number:
    id = f"{n.position:05d}" if is_whole else f"img{n.position:08d}"
    return Number(n.position, False, id, is_whole)


def _picture(n: Number, name: str, blob: Blob, metadata: Metadata | None, place: int) -> Found:
    if metadata is None:
        return Found(n.id, name, blob, 1, place=place)
    row = metadata.rows.get(n.id)
    points, size = (None, (0, 0)) if row is None else (metadata.points[row], metadata.sizes[row])
    return Found(n.id, name, blob, 1, False, points, *metadata.told(n.id), place, size)
