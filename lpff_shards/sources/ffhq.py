"""FFHQ: 70,000 photos from Flickr, aligned as for StyleGAN (1024x1024), or as for EG3D (512x512) with their mirrors.

The photos before alignment, FFHQ in the wild, are to be cropped: their alignment is raw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.camera import mirror
from lpff_shards.schemas.columns import Structs, Texts
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.build import usable
from lpff_shards.sources.credits import read_records
from lpff_shards.sources.ffhq_checks import (
    ONLY_FFHQ,
    TO_EG3D,
    check_pairs,
    refuse_aligned,
    refuse_oblong,
    refuse_other_export,
    refuse_unmirrored,
)
from lpff_shards.sources.ffhq_labels import (
    CameraLabels,
    MatchedIds,
    Named,
    Number,
    Places,
    by_picture,
    first_with_ids,
    labels_inside,
    labels_near,
    match_by_cameras,
    numbered,
    read_labels,
)
from lpff_shards.sources.inventory import EG3D, Inventory, no_cameras
from lpff_shards.sources.io.tree import Tree, file_blob, only_folder, open_tree

PHOTOS = 70_000
"""Number of photos in FFHQ."""
FOLDERS = {"stylegan": "images1024x1024", "raw": "in-the-wild-images"}
_NO_CAMERAS = CameraLabels("", {}, no_cameras(), {})


@dataclass(frozen=True, eq=False)
class _Listed:
    """Pictures and their cameras.

    Attributes:
        named: the pictures, in the published order.
        cameras: by the pictures' names; anonymous: see `Inventory.anonymous_cameras`.
    """

    named: Sequence[Named]
    cameras: CameraLabels = _NO_CAMERAS
    places: Places = field(default_factory=lambda: ({}, 0))
    anonymous: NDArray[np.float64] = field(default_factory=no_cameras)
    used: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Ffhq:
    """FFHQ at a path; `cameras` (EG3D's dataset.json) and `metadata` (ffhq-dataset-v2.json) are files, or None.

    `exact` is whether landmarks keep the precision of their file, as crops need it.
    """

    path: str
    alignment: str
    cameras: str | None = None
    metadata: str | None = None
    unpack_to: str | None = None
    exact: bool = False

    def inventory(self) -> Inventory:
        metadata = file_blob("--ffhq-metadata", self.metadata) if self.metadata else None
        listed = self._eg3d() if self.alignment == EG3D else self._unpaired()
        numbers = [n for n, _, _ in listed.named]
        cameras, known, camera_file = listed.cameras.of([name for _, name, _ in listed.named])
        credits, points, faults, missing = read_records(metadata, numbers, self.alignment, self.exact)
        indices, counted_in = listed.places
        every = Inventory(
            source="ffhq",
            alignment=self.alignment,
            ids=Texts.of(n.id for n in numbers),
            blobs=Structs.of(blob for _, _, blob in listed.named),
            credits=credits,
            faces=np.ones(len(numbers), np.int32),
            is_mirror=np.array([n.is_mirror for n in numbers], bool),
            cameras=cameras,
            has_camera=known,
            own_camera=known & (self.alignment == EG3D),
            landmarks=points.numbers,
            landmark_rows=points.rows,
            landmark_sizes=points.sizes,
            places=np.array([indices.get(n.key, -1) for n in numbers], np.int64),
            places_of=counted_in,
            used=listed.used,
            notes=(*listed.notes, *self._notes(listed.named, metadata, missing)),
            anonymous_cameras=listed.anonymous,
        )
        found = usable(every, camera_file, faults)
        without = int((~found.has_camera).sum())
        if self.cameras and without and not len(listed.anonymous):
            note = f"{self.cameras}: {without} of {len(found)} pictures have no camera in it"
            return replace(found, notes=(*found.notes, note))
        return found

    def _eg3d(self) -> _Listed:
        given = [file_blob("--ffhq-cameras", self.cameras)] if self.cameras else []
        tree = only_folder(open_tree("--ffhq", self.path, self.unpack_to))
        refuse_other_export(self.path, tree, self.alignment)
        named, unknown = numbered(tree)
        if not named:
            raise ShardsError(
                f"--ffhq {self.path} contains no EG3D-aligned pictures",
                "Their names are 00000.png and 00000_mirror.png, or 00000/img00000000.png",
            )
        by_id = any(n.has_ffhq_id for n, _, _ in named)
        labels, ids = self._labels([*given, *labels_inside(tree)], tree, by_id)
        cameras = by_picture(labels, named)
        notes = [*check_pairs(self.path, named, cameras), *_note_unknown(tree, unknown)]
        listed = _Listed(named, cameras, cameras.places(), notes=notes)
        matched = None if by_id else self._match_ids(tree, named, cameras, ids)
        if matched is not None:
            notes.append(matched.note())
        if matched is None or not matched.is_enough:
            return listed
        renumbered = ((matched.numbers.get(name, n), name, blob) for n, name, blob in named)
        named = sorted(renumbered, key=lambda item: item[:2])
        used = {} if ids else {"ffhq_cameras": matched.ids.where}
        return replace(listed, named=named, places=matched.ids.places(), used=used)

    def _labels(self, files: Sequence[Blob], tree: Tree, by_id: bool) -> tuple[CameraLabels, CameraLabels | None]:
        """Return the pictures' cameras; for pictures named by position also cameras by FFHQ id, if there are any."""
        if not files:
            raise ShardsError(
                f"{tree.where}: no dataset.json or dataset-ffhq.json was found, and eg3d-aligned pictures need cameras",
                "Put dataset.json there, or give it with --ffhq-cameras",
            )
        first = read_labels(files[0])
        if by_id:
            return first, None
        if not first.has_ids:
            return first, first_with_ids(files[1:])
        for labels in map(read_labels, files[1:]):
            if not labels.has_ids:
                return labels, first
        raise ShardsError(
            f"{first.where} names pictures by FFHQ id, and those of --ffhq {self.path} are numbered by position",
            "Put the dataset.json that EG3D's dataset_tool.py wrote next to the pictures",
        )

    def _match_ids(
        self, tree: Tree, named: Sequence[Named], cameras: CameraLabels, ids: CameraLabels | None
    ) -> MatchedIds | None:
        """Return FFHQ's numbers of pictures that are named by position, if a file contains them."""
        names = [name for _, name, _ in named]
        if ids is None:
            known = {blob.where for blob in labels_inside(tree)} | {cameras.where}
            ids = first_with_ids(blob for blob in labels_near(self.cameras, self.path) if blob.where not in known)
            return match_by_cameras(cameras, names, ids) if ids else None
        matched = match_by_cameras(cameras, names, ids)
        if not matched.is_enough:
            raise ShardsError(matched.figure(), "Give the dataset.json of the final_crops that these pictures are from")
        return matched

    def _unpaired(self) -> _Listed:
        """List FFHQ's own download or StyleGAN's zip of it: no mirrors, and cameras only from another file."""
        outer, folder = open_tree("--ffhq", self.path, self.unpack_to), FOLDERS[self.alignment]
        tree = outer.sub(folder) or only_folder(outer)
        tree = tree.sub(folder) or tree
        every, unknown = numbered(tree)
        inside = labels_inside(outer, tree)
        named, others = self._originals(every)
        if not refuse_other_export(self.path, tree, self.alignment):
            self._refuse_eg3d(every, inside)
        if self.alignment == "raw":
            refuse_aligned(self.path, named)
        else:
            refuse_oblong(self.path, named, "StyleGAN")
        listed = self._borrow_cameras(named, inside)
        notes = [*_note_unknown(tree, unknown + others), *listed.notes]
        return replace(listed, cameras=by_picture(listed.cameras, named), notes=notes)

    def _originals(self, every: Sequence[Named]) -> tuple[list[Named], list[str]]:
        """Return the pictures with their FFHQ ids, and the ignored names.

        StyleGAN's dataset_tool.py counts in FFHQ's order, so the numbers of a complete set are FFHQ's.
        """
        by_id = [item for item in every if item[0].has_ffhq_id]
        if by_id:
            return by_id, [name for n, name, _ in every if not n.has_ffhq_id]
        if not every:
            kind = "pictures in the wild" if self.alignment == "raw" else "StyleGAN-aligned pictures"
            raise ShardsError(
                f"--ffhq {self.path} contains no {kind}",
                f"Their names are {FOLDERS[self.alignment]}/00000/00000.png, 00000/00000.png or 00000/img00000000.png",
            )
        if len(every) > PHOTOS:
            raise ShardsError(f"--ffhq {self.path} has {len(every)} pictures, and StyleGAN's FFHQ {PHOTOS}", TO_EG3D)
        is_whole = [n.position for n, _, _ in every] == list(range(PHOTOS))
        ids = (f"{n.position:05d}" if is_whole else f"img{n.position:08d}" for n, _, _ in every)
        items = zip(ids, every, strict=True)
        return [(Number(n.position, False, id, is_whole), name, blob) for id, (n, name, blob) in items], []

    def _refuse_eg3d(self, every: Sequence[Named], inside: Sequence[Blob]) -> None:
        """Refuse EG3D's pictures, which have mirrors, or cameras of the same file names."""
        mirrors = [name for n, name, _ in every if n.has_ffhq_id and n.is_mirror]
        if mirrors:
            raise ShardsError(f"--ffhq {self.path} is EG3D-aligned: it contains the mirror {mirrors[0]}", TO_EG3D)
        for blob in inside:
            try:
                labels = read_labels(blob)
            except ShardsError:
                # StyleGAN's own dataset.json has no labels.
                continue
            own = next((name for _, name, _ in every if name in labels.rows), None)
            if own is not None:
                raise ShardsError(f"--ffhq {self.path} is EG3D-aligned: {blob.where} has a camera of {own}", TO_EG3D)

    def _borrow_cameras(self, named: Sequence[Named], inside: Sequence[Blob]) -> _Listed:
        """Return EG3D's cameras of the same photos: by picture, or as poses only if no ids are available.

        A file that names pictures by position has no FFHQ ids. Another file of the same cameras may have them; it is
        searched in the set, next to it and next to the given file.
        """
        if self.cameras is None:
            return _Listed(named, notes=[f"--ffhq {self.path}: without --ffhq-cameras there are no cameras"])
        blob = file_blob("--ffhq-cameras", self.cameras)
        labels = read_labels(blob)
        if not any(n.has_ffhq_id for n, _, _ in named):
            return _anonymous(named, labels, "the pictures are")
        if labels.has_ids:
            return _Listed(named, _of_originals(labels), labels.places())
        near = (*inside, *labels_near(self.cameras, self.path))
        ids = first_with_ids(one for one in near if one.where != blob.where)
        matched = match_by_cameras(labels, list(labels.rows), ids) if ids else None
        notes = [matched.note()] if matched else []
        if matched and matched.is_enough:
            # As EG3D's final_crops name them.
            names = {f"{n.id}{'_mirror' * n.is_mirror}.png": label for label, n in matched.numbers.items()}
            return _Listed(named, _of_originals(labels.chosen(names)), matched.ids.places(), notes=notes)
        return _anonymous(named, labels, "it is", notes)

    def _notes(self, named: Sequence[Named], metadata: Blob | None, missing: Sequence[str]) -> Iterator[str]:
        """Yield what is unknown about the pictures, and why; `missing`: FFHQ ids without a record."""
        lost = "licenses and authors" if self.alignment == EG3D else "licenses, authors and landmarks"
        unknown = [name for n, name, _ in named if not n.has_ffhq_id]
        by_position = f"--ffhq {self.path}: {len(unknown)} pictures are numbered by position ({''.join(unknown[:1])})"
        if unknown and self.alignment != EG3D:
            those = f"so their ids, {lost} are unknown"
            folder = FOLDERS[self.alignment]
            yield f"{by_position} and are not all {PHOTOS}, {those}. Give {folder}, or a zip of all of it"
            return
        if metadata is None:
            yield f"--ffhq {self.path}: without --ffhq-metadata {lost} are unknown"
            return
        if unknown:
            yield (
                f"{by_position}, so {self.metadata} cannot be matched: their licenses and authors will be unknown. "
                "Give --ffhq-cameras the dataset.json of EG3D's final_crops (00000.png, 00000_mirror.png, ...)"
            )
        if missing and len(missing) == len({n.id for n, _, _ in named if n.has_ffhq_id}):
            message = f"--ffhq-metadata {metadata.where} has no record of any picture here, such as {missing[0]}"
            raise ShardsError(message, "Give FFHQ's ffhq-dataset-v2.json")
        if missing:
            photos = f"{len(missing)} photos, such as {missing[0]},"
            yield f"{metadata.where}: {photos} have no record: license and author unknown"


def _note_unknown(tree: Tree, names: list[str]) -> list[str]:
    return [f"{tree.where}: {len(names)} pictures are ignored: FFHQ has no names such as {names[0]}"] if names else []


def _of_originals(labels: CameraLabels) -> CameraLabels:
    return labels.chosen({label: label for label, n in labels.named.items() if n.has_ffhq_id and not n.is_mirror})


def _anonymous(named: Sequence[Named], labels: CameraLabels, what: str, notes: Sequence[str] = ()) -> _Listed:
    """Return cameras without their pictures, as the density of poses uses them.

    Args:
        what: subject of the note: the pictures or the file with numbers by position.
    """
    for label, reason in labels.faults.items():
        raise ShardsError(f"{labels.where}: {label}: {reason}", "Check that it is the published file")
    originals, mirrors = (
        {n.id: label for label, n in labels.named.items() if n.is_mirror == side} for side in (False, True)
    )
    lone = [label for id, label in originals.items() if id not in mirrors]
    if not originals or (lone and not labels.has_ids):
        reason = f"{lone[0]} has no mirror" if lone else "it has none of FFHQ's picture names"
        raise ShardsError(f"{labels.where}: {reason}, so these are not FFHQ's cameras", ONLY_FFHQ)
    both = [id for id in originals if id in mirrors]
    refuse_unmirrored(labels.where, [originals[id] for id in both], [mirrors[id] for id in both], labels)
    own = labels.numbers[labels.find(list(originals.values()))]
    why = (
        f"{labels.where}: {what} numbered by position (img%08d), so no picture of --ffhq has a camera; the density of "
        f"poses counts all {2 * len(own)} cameras, also those of pictures left out or in other splits"
    )
    return _Listed(named, anonymous=np.concatenate([own, mirror(own)]), notes=[*notes, why])
