"""The layout that LPFF and Unsplash-Pexels share: crop folders, camera_parameters.json, info.json, landmark files."""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources.blobs import path_blob
from lpff_shards.sources.build import Found, build
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.jsonfiles import NO_CAMERAS, Cameras, Table, parse_cameras, read_points, read_table
from lpff_shards.sources.tree import Tree, is_picture, only_folder, open_tree, pictures

CAMERAS = "camera_parameters.json"
INFO = "info.json"
LANDMARKS = {"raw": "raw_lm.json", "realign2400": "realign2400_lm.json"}
METADATA = (CAMERAS, INFO, *LANDMARKS.values())
FOLDERS = {"eg3d": "crop/eg3d", "stylegan": "crop/stylegan", "realign2400": "realign2400", "raw": "raw"}

_PREVIEW = re.compile(r"(.+)_(eg3d|stylegan)")
_FACE = re.compile(r"(.+)_(\d\d)")

ReadCredit = Callable[[Table, str], Credit]


@dataclass(frozen=True)
class Place:
    """Where a data set's parts were found: its pictures and metadata files by name, and files that are neither."""

    pictures: Mapping[str, Blob]
    where: str
    metadata: Mapping[str, Blob]
    strangers: Sequence[str]


def photo_and_face(id: str) -> tuple[str, int]:
    """The photo's name and the face's number that an id ends in, 0 where it ends in none."""
    match = _FACE.fullmatch(id)
    return (match[1], int(match[2])) if match else (id, 0)


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
    cameras = _cameras(place, alignment)
    info = _table(place, INFO, "credits by id")
    points = _table(place, LANDMARKS.get(alignment, ""), "68 landmarks by id")
    files = _faces(place, cameras, info, points) if alignment == "raw" else _crops(place, alignment)
    if not files:
        raise ShardsError(f"{option} {given} holds no {alignment} pictures", "Name another --alignment or another path")
    found = [_picture(id, blob, info, points, read_credit) for id, blob in sorted(files, key=lambda item: item[0])]
    if INFO in place.metadata:
        without = sum(id not in info.rows for id, _ in files)
        if without:
            notes.append(f"{info.where}: {without} of {len(files)} pictures have no credit: licence and author unknown")
    return build(source, alignment, found, cameras, notes)


def locate(option: str, given: str, alignment: str) -> Place:
    """Finds the pictures of an alignment: in the published folders, or flat as the archives unpack."""
    tree = open_tree(option, given)
    for root in (tree, only_folder(tree)):
        for name in (FOLDERS[alignment], posixpath.basename(FOLDERS[alignment]), "."):
            folder = root.sub(name) if name != "." else root
            for place in (folder, only_folder(folder)) if folder else ():
                if inside := pictures(place):
                    _refuse_other_alignment(option, given, name, alignment)
                    return Place(inside, place.where, _metadata(root, tree, given), _strangers(place))
    raise ShardsError(
        f"{option} {given} holds neither {FOLDERS[alignment]}/ nor pictures of its own",
        f"Give the data set's folder, or the folder or zip of its {alignment} pictures",
    )


def _metadata(root: Tree, tree: Tree, given: str) -> dict[str, Blob]:
    """The metadata files by name; they lie together, beside the pictures or above them.

    Looked for in the data set's folder, then in the two folders above the path that was given: crop/eg3d lies two below
    its metadata, a zip beside it.
    """
    for files in (root.files(), tree.files(), *map(_metadata_above, list(Path(given).absolute().parents)[:2])):
        found = {name: files[name] for name in METADATA if name in files}
        if found:
            return found
    return {}


def _metadata_above(folder: Path) -> dict[str, Blob]:
    # A folder above may be anyone's: it is not listed, only asked for these names, and counts if it has the cameras.
    if not (folder / CAMERAS).is_file():
        return {}
    paths = [path for name in METADATA if os.path.lexists(path := folder / name)]
    return {path.name: path_blob(str(path)) for path in paths}


def _refuse_other_alignment(option: str, given: str, name: str, alignment: str) -> None:
    """A folder of crops that was given itself may tell by its name that it is another alignment's."""
    own = Path(given).stem
    if name == "." and own in FOLDERS and own != alignment:
        raise ShardsError(
            f"{option} {given} holds {own} pictures by its name, not {alignment}",
            f"Use --alignment {own}, or rename it",
        )


def _strangers(folder: Tree) -> list[str]:
    return [name for name in folder.files() if not is_picture(name) and not name.endswith((".json", ".txt", ".md"))]


def _missing(place: Place, alignment: str) -> Iterator[str]:
    lost = {INFO: "licences and authors are unknown"}
    if alignment in LANDMARKS:
        lost[LANDMARKS[alignment]] = "there are no landmarks"
    if alignment != "eg3d":
        lost[CAMERAS] = "there are no cameras"
    if place.strangers:
        names = f"{len(place.strangers)} files, such as {place.strangers[0]},"
        yield f"{place.where}: {names} are not PNG, JPEG or WebP by name and are passed over"
    for name, consequence in lost.items():
        if name not in place.metadata:
            yield f"{place.where}: {name} was not found, so {consequence}"


def _cameras(place: Place, alignment: str) -> Cameras:
    if CAMERAS not in place.metadata:
        if alignment == "eg3d":
            raise ShardsError(
                f"{place.where}: {CAMERAS} was not found, and eg3d-aligned pictures need their cameras",
                f"Put {CAMERAS} into the data set's folder",
            )
        return NO_CAMERAS
    table = _table(place, CAMERAS, "25 numbers by id")
    return parse_cameras(table.where, list(table.rows.items()), table.twice)


def _table(place: Place, name: str, expected: str) -> Table:
    return read_table(place.metadata[name], expected) if name in place.metadata else Table("", {})


def _crops(place: Place, alignment: str) -> list[tuple[str, Blob]]:
    """Id and blob of each crop; a preview's `_eg3d` or `_stylegan` is no part of its id and tells its alignment."""
    found = []
    for name, blob in place.pictures.items():
        stem = name[: name.rfind(".")]
        preview = _PREVIEW.fullmatch(stem)
        if preview is None:
            found.append((stem, blob))
        elif preview[2] == alignment:
            found.append((preview[1], blob))
    return found


def _faces(place: Place, *tables: Cameras | Table) -> list[tuple[str, Blob]]:
    """Id and blob of each face of each photo: the ids that the tables know, told from the photos' names."""
    faces: dict[str, set[str]] = defaultdict(set)
    for table in tables:
        for id in table.rows:
            faces[photo_and_face(id)[0]].add(id)
    photos = ((posixpath.splitext(name)[0], blob) for name, blob in place.pictures.items())
    # A photo that no table knows stays one picture under its own name, so that it is not lost silently.
    return [(id, blob) for photo, blob in photos for id in faces.get(photo, {photo})]


def _picture(id: str, blob: Blob, info: Table, points: Table, read_credit: ReadCredit) -> Found:
    fault = None
    landmarks, credit = None, Credit()
    try:
        where = points.where
        landmarks = read_points(points, id)
        where = info.where
        credit = read_credit(info, id)
    except ValueError as error:
        fault = (where, str(error))
    return Found(id, id, blob, photo_and_face(id)[1], False, landmarks, credit, fault)
