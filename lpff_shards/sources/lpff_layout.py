"""The layout that LPFF and Unsplash-Pexels share: crop folders, camera_parameters.json, info.json, landmark files."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.columns.structs import take
from lpff_shards.schemas.columns.texts import Texts
from lpff_shards.schemas.crops import SIDES
from lpff_shards.schemas.keys import nfc, photo_and_face
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.build import join
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.bucket_tree import blob_at
from lpff_shards.sources.io.files import Files, is_picture
from lpff_shards.sources.io.json_files import Table, read_table
from lpff_shards.sources.io.tree import Tree, archive_in, only_folder, open_tree
from lpff_shards.sources.join_metadata import ReadCredit, join_cameras, join_credits, join_points
from lpff_shards.sources.lpff_crops import MEASURED, describe
from lpff_shards.sources.scanned_image import Pictures
from lpff_shards.storage.path import Place, above, is_file

CAMERAS = "camera_parameters.json"
INFO = "info.json"
LANDMARKS = {"raw": "raw_lm.json", "realign2400": "realign2400_lm.json"}
METADATA = (CAMERAS, INFO, *LANDMARKS.values())
FOLDERS = {"eg3d": "crop/eg3d", "stylegan": "crop/stylegan", "realign2400": "realign2400", "raw": "raw"}

_PREVIEWS = ("_eg3d", "_stylegan")
_PREVIEW = re.compile(r"(.+)_(eg3d|stylegan)")


@dataclass(frozen=True)
class Located:
    """Where a data set's parts were found.

    Attributes:
        pictures: by name; where: they are.
        metadata: files by name; strangers: files beside the pictures that are neither.
        unread: the same pictures' zip, where their folder is read.
    """

    pictures: Files
    where: str
    metadata: Mapping[str, Blob]
    strangers: Sequence[str]
    unread: Sequence[str] = ()


def read(option: str, source: str, given: str, alignment: str, read_credit: ReadCredit) -> Inventory:
    """The inventory of a data set in this layout.

    Args:
        option: that named the place, for errors.
        source: name of the source.
        given: the path: the data set's folder, a flat folder of crops, or a zip of either.
        alignment: eg3d, stylegan, realign2400 or raw.
        read_credit: makes an id's credit out of the info table.

    Raises:
        ShardsError: there are no such pictures, or a metadata file cannot be read.
    """
    place = locate(option, given, alignment)
    notes = list(_missing(place, alignment))
    ids, files = _faces(place) if alignment == "raw" else _crops(place.pictures, alignment)
    if not ids:
        raise ShardsError(f"{option} {given} holds no {alignment} pictures", "Name another --alignment or another path")
    blobs = take(place.pictures.blobs, files)
    rows = {id: row for row, id in enumerate(dict.fromkeys(ids))}
    cameras = join_cameras(_tables(place, CAMERAS, "25 numbers by id"), rows)
    points = join_points(_tables(place, LANDMARKS.get(alignment, ""), "68 landmarks by id"), rows)
    realigned = points
    if alignment != "realign2400":
        realigned = join_points(_tables(place, LANDMARKS["realign2400"], "68 landmarks by id"), rows)
    hidden = (points if alignment in MEASURED else realigned).faults
    credits = join_credits(_tables(place, INFO, "credits by id"), rows, read_credit, hidden)
    if len(rows) < len(ids):
        # Pictures of one id are set aside, each with what is told of it.
        at = np.array([rows[id] for id in ids])
        cameras, points, credits = cameras.spread(at), points.spread(at), credits.spread(at)
        realigned = realigned.spread(at)
    del rows
    known = describe(alignment, blobs, cameras, points, realigned)
    notes += known.notes
    texts = Texts.of(ids)
    if INFO in place.metadata and credits.without:
        told = f"{credits.without} of {len(ids)} pictures have no author or license record"
        notes.append(f"{place.metadata[INFO].where}: {told}: license and author unknown")
    found = Pictures(
        ids=texts,
        camera_ids=texts,
        blobs=blobs,
        credits=credits.credits,
        faces=np.fromiter((photo_and_face(id)[1] for id in ids), np.int32, len(ids)),
        is_mirror=np.zeros(len(ids), bool),
        landmarks=known.points.numbers,
        landmark_rows=known.points.rows,
        landmark_sizes=known.point_sizes,
        places=np.full(len(ids), -1),
        faults={**credits.faults, **known.points.faults},
    )
    made = "published" if alignment in MEASURED else "computed"
    inventory = join(source, alignment, found, known.cameras, known.own, notes, landmarks_source=made)
    return replace(inventory, notes=(*inventory.notes, *_odd_size(place, alignment, inventory.typical_size)))


def locate(option: str, given: str, alignment: str) -> Located:
    """Finds the pictures of an alignment: in the published folders or zips, or flat as the archives unpack.

    Raises:
        ShardsError: there are none.
    """
    tree = open_tree(option, given)
    for root in (tree, only_folder(tree)):
        for name in (FOLDERS[alignment], posixpath.basename(FOLDERS[alignment]), "."):
            folders = _folders(option, root, name)
            for folder in folders:
                for place in (folder, only_folder(folder)):
                    if inside := place.files().pictures():
                        _refuse_other_alignment(option, given, name, alignment)
                        if place is not folder:
                            _refuse_other_alignment(option, place.where, ".", alignment)
                        unread = tuple(other.where for other in folders if other is not folder)
                        return Located(inside, place.where, _metadata(root, tree, given), _strangers(place), unread)
    raise ShardsError(
        f"{option} {given} holds neither {FOLDERS[alignment]}/ nor pictures of its own",
        _packed(only_folder(tree), alignment)
        or f"Give the data set's folder, or the folder or zip of its {alignment} pictures",
    )


def _folders(option: str, root: Tree, name: str) -> list[Tree]:
    """The folder of that name and the zip of that name, those of them that are there."""
    found = (root, None) if name == "." else (root.sub(name), archive_in(option, root, f"{name}.zip"))
    return [tree for tree in found if tree is not None]


def _packed(root: Tree, alignment: str) -> str:
    """What to do with an archive that cannot be read in place."""
    folder, _, own = FOLDERS[alignment].rpartition("/")
    parent = root.sub(folder) if folder else root
    name = next(
        (f"{own}{suffix}" for suffix in (".rar", ".7z", ".tar") if parent and f"{own}{suffix}" in parent.files()), ""
    )
    return f"Unpack {posixpath.join(folder, name)} there first" if name else ""


def _metadata(root: Tree, tree: Tree, given: str) -> dict[str, Blob]:
    """The metadata files by name; they lie together, beside the pictures or above them.

    Looked for in the data set's folder, then in the two folders above the path that was given: crop/eg3d lies two below
    its metadata, a zip beside it.
    """
    places: Iterable[Files | dict[str, Blob]] = (root.files(), tree.files(), *map(_metadata_above, above(given, 2)))
    for files in places:
        found = {name: files[name] for name in METADATA if name in files}
        if found:
            return found
    return {}


def _metadata_above(folder: Place) -> dict[str, Blob]:
    # A folder above may be anyone's: it is not listed, only asked for these names, and counts if it has the cameras.
    try:
        return _metadata_in(folder) if is_file(folder / CAMERAS) else {}
    except PermissionError:
        # One may have been let into the data set's own folder alone.
        return {}
    except OSError as error:
        raise ShardsError(f"{folder} cannot be read: {error.strerror}", "Check the disk or the network") from None


def _metadata_in(folder: Place) -> dict[str, Blob]:
    found = {name: blob_at(folder / name) for name in METADATA}
    return {name: blob for name, blob in found.items() if blob is not None}


def _refuse_other_alignment(option: str, given: str, name: str, alignment: str) -> None:
    """A folder of crops that was given itself, or lies in a zip, may be another alignment's by its name."""
    # Behind a colon is a folder in a zip.
    own = Path(given.rpartition(":")[2]).stem
    if name == "." and own in FOLDERS and own != alignment:
        raise ShardsError(
            f"{option} {given} holds {own} pictures by its name, not {alignment}",
            f"Use --alignment {own}, or rename it",
        )


def _strangers(folder: Tree) -> list[str]:
    return [name for name in folder.files() if not is_picture(name) and not name.endswith((".json", ".txt", ".md"))]


def _missing(place: Located, alignment: str) -> Iterator[str]:
    """Notes of what is not there.

    Raises:
        ShardsError: it cannot be done without.
    """
    if CAMERAS not in place.metadata and alignment == "eg3d":
        raise ShardsError(
            f"{place.where}: {CAMERAS} was not found, and eg3d-aligned pictures need their cameras",
            f"Put {CAMERAS} into the data set's folder",
        )
    lost = {INFO: "licenses and authors are unknown"}
    if alignment in LANDMARKS:
        lost[LANDMARKS[alignment]] = "there are no landmarks"
    elsewhere = "cameras are those of the EG3D crops"
    if alignment != "eg3d":
        lost[LANDMARKS["realign2400"]] = elsewhere if alignment == "raw" else f"there are no landmarks, and {elsewhere}"
    if alignment != "eg3d":
        lost[CAMERAS] = "there are no cameras"
    if place.strangers:
        names = f"{len(place.strangers)} files, such as {place.strangers[0]},"
        yield f"{place.where}: {names} are not PNG, JPEG or WebP by name and are passed over"
    for archive in place.unread:
        yield f"{place.where} is read, and {archive} is not: both are there"
    for name, consequence in lost.items():
        if name not in place.metadata:
            yield f"{place.where}: {name} was not found, so {consequence}"


def _odd_size(place: Located, alignment: str, size: tuple[int, int]) -> Iterator[str]:
    """The note of crops of the size that another alignment's are published in."""
    others = [other for other, side in SIDES.items() if size == (side, side) and other != alignment]
    if others and alignment not in MEASURED:
        yield (
            f"{place.where}: its pictures are {size[0]}x{size[1]}, as {others[0]} crops are published; "
            f"--alignment is {alignment}"
        )


def _tables(place: Located, name: str, expected: str) -> Iterator[Table]:
    """A metadata file; nothing where it is missing."""
    if name in place.metadata:
        yield read_table(place.metadata[name], expected)


def _crops(pictures: Files, alignment: str) -> tuple[list[str], NDArray[np.int64]]:
    """Ids of the crops, sorted, and which of the pictures each is.

    A preview's `_eg3d` or `_stylegan` is no part of its id and tells its alignment.
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


def _faces(place: Located) -> tuple[list[str], NDArray[np.int64]]:
    """Ids of the faces of photos, sorted, and which of the pictures each is in.

    The metadata tell which faces there are; a face's photo is told from its id.
    """
    faces: dict[str, set[str]] = defaultdict(set)
    for name in (CAMERAS, INFO, LANDMARKS["raw"]):
        for table in _tables(place, name, "records by id"):
            for id in table.rows:
                faces[photo_and_face(id)[0]].add(id)
    ids: list[str] = []
    rows: list[int] = []
    for row, name in enumerate(place.pictures.names):
        photo = nfc(posixpath.splitext(name)[0])
        # A photo that no table knows stays one picture under its own name, so that it is not lost silently.
        own = faces.get(photo, {photo})
        ids += own
        rows += [row] * len(own)
    return _in_order(ids, rows)


def _in_order(ids: list[str], rows: list[int]) -> tuple[list[str], NDArray[np.int64]]:
    """Ids sorted, and the rows that go with them."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return [ids[at] for at in order], np.array(rows, np.int64)[order]
