"""LPFF (19,590 large-pose portraits from Flickr) and Unsplash-Pexels (19,321), published in one layout."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.options.declaration import flag
from lpff_shards.schemas.columns import Texts
from lpff_shards.schemas.crops import SIDES
from lpff_shards.schemas.keys import nfc, photo_and_face
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.build import usable
from lpff_shards.sources.credits import read_info, read_url
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.files import Files, is_picture
from lpff_shards.sources.io.json_files import (
    NO_TABLE,
    JsonTable,
    ReadCredit,
    join_credits,
    join_points,
    read_cameras,
    read_table,
)
from lpff_shards.sources.io.tree import FolderTree, Tree, archive_in, blob_at, only_folder, open_tree
from lpff_shards.sources.lpff_crops import MEASURED, describe
from lpff_shards.storage.path import is_file, is_remote, parents

CAMERAS = "camera_parameters.json"
INFO = "info.json"
LANDMARKS = {"raw": "raw_lm.json", "realign2400": "realign2400_lm.json"}
METADATA = (CAMERAS, INFO, *LANDMARKS.values())
FOLDERS = {"eg3d": "crop/eg3d", "stylegan": "crop/stylegan", "realign2400": "realign2400", "raw": "raw"}
_PREVIEWS = ("_eg3d", "_stylegan")
_PREVIEW = re.compile(r"(.+)_(eg3d|stylegan)")


@dataclass(frozen=True)
class Lpff:
    """LPFF at a path, in one alignment; ids are <user_id>_<photo_id>_<face>.

    `exact` is whether landmarks keep the precision of their file, as crops need it.
    """

    path: str
    alignment: str
    unpack_to: str | None = None
    exact: bool = False

    def inventory(self) -> Inventory:
        return _read("lpff", self.path, self.alignment, read_info, self.unpack_to, self.exact)


@dataclass(frozen=True)
class UnsplashPexels:
    """Unsplash-Pexels at a path, as LPFF; ids are <slug>_<face>, info.json maps them to the photo's URL."""

    path: str
    alignment: str
    unpack_to: str | None = None
    exact: bool = False

    def inventory(self) -> Inventory:
        return _read("unsplash_pexels", self.path, self.alignment, read_url, self.unpack_to, self.exact)


def _read(
    source: str, given: str, alignment: str, read_credit: ReadCredit, unpack_to: str | None, exact: bool
) -> Inventory:
    """Build the inventory of a data set's folder, a flat folder of crops, or an archive of either."""
    option = flag(source)
    place = _locate(option, given, alignment, unpack_to)
    notes = list(place.notes)
    tables: dict[str, JsonTable] = {}
    if alignment == "raw":
        # The metadata list the faces, so three of the files are decoded before.
        tables = {name: _table(place, name, "records by id") for name in (CAMERAS, INFO, LANDMARKS["raw"])}
    ids, files = _faces(place.pictures, tables) if tables else _crops(place.pictures, alignment)
    if not ids:
        raise ShardsError(f"{option} {given} contains no {alignment} pictures", "Give another --alignment or path")
    blobs = place.pictures.blobs.take(files)

    def table(name: str, expected: str) -> JsonTable:
        return tables.pop(name) if name in tables else _table(place, name, expected)

    cameras, known, camera_file = read_cameras(table(CAMERAS, "25 numbers by id")).of(ids)
    points = join_points(table(LANDMARKS.get(alignment, ""), "68 landmarks by id"), ids, exact=exact)
    realigned = points
    if alignment != "realign2400":
        realigned = join_points(table(LANDMARKS["realign2400"], "68 landmarks by id"), ids)
    hidden = (points if alignment in MEASURED else realigned).faults
    credits, faults, lacking = join_credits(table(INFO, "credits by id"), ids, read_credit, hidden)
    cameras, own, points, lost = describe(alignment, blobs, cameras, known, points, realigned)
    notes += lost
    if INFO in place.metadata and lacking:
        text = f"{len(lacking)} of {len(ids)} pictures have no author or license record"
        notes.append(f"{place.metadata[INFO].where}: {text}: license and author unknown")
    every = Inventory(
        source=source,
        alignment=alignment,
        ids=Texts.of(ids),
        blobs=blobs,
        credits=credits,
        faces=np.fromiter((photo_and_face(id)[1] for id in ids), np.int32, len(ids)),
        is_mirror=np.zeros(len(ids), bool),
        cameras=cameras,
        has_camera=known,
        own_camera=own,
        landmarks=points.numbers,
        landmark_rows=points.rows,
        landmark_sizes=points.sizes,
        places=np.full(len(ids), -1),
        landmarks_source="published" if alignment in MEASURED else "computed",
        notes=tuple(notes),
    )
    inventory = usable(every, camera_file, {**faults, **points.faults})
    size = inventory.typical_size
    others = [other for other, side in SIDES.items() if size == (side, side) and other != alignment]
    if not others or alignment in MEASURED:
        return inventory
    note = (
        f"{place.where}: its pictures are {size[0]}x{size[1]}, as {others[0]} crops are published; "
        f"--alignment is {alignment}"
    )
    return replace(inventory, notes=(*inventory.notes, note))


def _table(place: _Located, name: str, expected: str) -> JsonTable:
    return read_table(place.metadata[name], expected) if name in place.metadata else NO_TABLE


def _crops(pictures: Files, alignment: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the crops' ids, sorted, and the picture's row of each.

    The suffix `_eg3d` or `_stylegan` of a preview is its alignment, and not part of its id.
    """
    ids: list[str] = []
    rows: list[int] = []
    for row, name in enumerate(pictures.names):
        stem = name[: name.rfind(".")]
        preview = _PREVIEW.fullmatch(stem) if stem.endswith(_PREVIEWS) else None
        if preview is None or preview[2] == alignment:
            ids.append(nfc(preview[1] if preview else stem))
            rows.append(row)
    return _in_order(ids, rows)


def _faces(pictures: Files, tables: Mapping[str, JsonTable]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the ids of faces, sorted, and the picture's row of each; a face's id contains its photo's."""
    faces: dict[str, set[str]] = defaultdict(set)
    for id in chain.from_iterable(table.rows for table in tables.values()):
        faces[photo_and_face(id)[0]].add(id)
    ids: list[str] = []
    rows: list[int] = []
    for row, name in enumerate(pictures.names):
        photo = nfc(posixpath.splitext(name)[0])
        # A photo without metadata stays one picture under its own name, so that it is not lost silently.
        own = faces.get(photo, {photo})
        ids += own
        rows += [row] * len(own)
    return _in_order(ids, rows)


def _in_order(ids: list[str], rows: list[int]) -> tuple[list[str], NDArray[np.int64]]:
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return [ids[at] for at in order], np.array(rows, np.int64)[order]


@dataclass(frozen=True)
class _Located:
    """The location of a data set's parts: pictures, their folder or archive, and metadata files by name."""

    pictures: Files
    where: str
    metadata: Mapping[str, Blob]
    notes: Sequence[str]


def _locate(option: str, given: str, alignment: str, unpack_to: str | None) -> _Located:
    """Find the pictures of an alignment: in the published folders or archives, or flat as in unpacked archives."""
    tree = open_tree(option, given, unpack_to)
    for root, name, trees in _candidates(option, tree, alignment, unpack_to):
        for outer, place in ((one, inner) for one in trees for inner in (one, only_folder(one))):
            if inside := place.files().pictures():
                if name == ".":
                    _refuse_other_alignment(option, given, alignment)
                if place is not outer:
                    _refuse_other_alignment(option, place.where, alignment)
                metadata = _metadata(root, tree, given)
                unread = [other.where for other in trees if other is not outer]
                return _Located(inside, place.where, metadata, list(_notes(place, metadata, unread, alignment)))
    folder, _, base = FOLDERS[alignment].rpartition("/")
    root = only_folder(tree)
    parent = root.sub(folder) if folder else root
    listed = parent.files() if parent else ()
    packed = next((f"{base}{end}" for end in (".rar", ".7z", ".tar") if f"{base}{end}" in listed), "")
    raise ShardsError(
        f"{option} {given} contains neither {FOLDERS[alignment]}/ nor pictures",
        f"Unpack {posixpath.join(folder, packed)} there first"
        if packed
        else f"Give the data set's folder, or the folder or zip of its {alignment} pictures",
    )


def _candidates(
    option: str, tree: Tree, alignment: str, unpack_to: str | None
) -> Iterator[tuple[Tree, str, Sequence[Tree]]]:
    """Yield each root and name with the folders and zips there; RAR archives come last: they may need unpacking."""
    roots, names = (tree, only_folder(tree)), (FOLDERS[alignment], posixpath.basename(FOLDERS[alignment]))
    for root in roots:
        for name in names:
            both = (root.sub(name), archive_in(option, root, f"{name}.zip"))
            yield root, name, [one for one in both if one is not None]
        yield root, ".", [root]
    for root in roots:
        if isinstance(root, FolderTree) and not is_remote(root.path):
            rars = ((name, archive_in(option, root, f"{name}.rar", unpack_to)) for name in names)
            yield from ((root, name, [rar]) for name, rar in rars if rar is not None)


def _metadata(root: Tree, tree: Tree, given: str) -> Mapping[str, Blob]:
    """Return the metadata files by name, which are together in one folder.

    Searches the data set's folder, then the two folders above the given path: crop/eg3d is two levels below its
    metadata, a zip is next to it.
    """
    for files in (root.files(), tree.files()):
        if found := {name: files[name] for name in METADATA if name in files}:
            return found
    for folder in parents(given, 2):
        try:
            # A folder above may be unrelated: it is not listed, and is used only if it contains the cameras.
            if is_file(folder / CAMERAS):
                blobs = {name: blob_at(folder / name) for name in METADATA}
                return {name: blob for name, blob in blobs.items() if blob is not None}
        except PermissionError:
            # The user may have access to the data set's own folder only.
            continue
        except OSError as error:
            raise ShardsError(f"{folder} cannot be read: {error.strerror}", "Check the disk or the network") from None
    return {}


def _refuse_other_alignment(option: str, given: str, alignment: str) -> None:
    """Refuse a folder of crops, or one in a zip, that has the name of another alignment."""
    # A folder in a zip follows a colon.
    actual = Path(given.rpartition(":")[2]).stem
    if actual in FOLDERS and actual != alignment:
        raise ShardsError(
            f"{option} {given} has the name of {actual} pictures, not {alignment}",
            f"Use --alignment {actual}, or rename it",
        )


def _notes(place: Tree, metadata: Mapping[str, Blob], unread: Sequence[str], alignment: str) -> Iterator[str]:
    """Yield notes about missing and ignored files; raise a ShardsError if a required one is missing."""
    if CAMERAS not in metadata and alignment == "eg3d":
        raise ShardsError(
            f"{place.where}: {CAMERAS} was not found, and eg3d-aligned pictures need their cameras",
            f"Put {CAMERAS} into the data set's folder",
        )
    others = [name for name in place.files() if not is_picture(name) and not name.endswith((".json", ".txt", ".md"))]
    if others:
        names = f"{len(others)} files, such as {others[0]},"
        yield f"{place.where}: {names} are ignored: their names are not those of PNG, JPEG or WebP files"
    for archive in unread:
        yield f"{place.where} is read, {archive} is not: both exist"
    lost = {INFO: "licenses and authors are unknown"}
    if alignment in LANDMARKS:
        lost[LANDMARKS[alignment]] = "there are no landmarks"
    if alignment != "eg3d":
        own = "cameras are those of the EG3D crops"
        lost[LANDMARKS["realign2400"]] = own if alignment == "raw" else f"there are no landmarks, and {own}"
        lost[CAMERAS] = "there are no cameras"
    for name, consequence in lost.items():
        if name not in metadata:
            yield f"{place.where}: {name} was not found, so {consequence}"
