"""The layout of LPFF and Unsplash-Pexels: crop folders, camera_parameters.json, info.json, landmark files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.files import Files, is_picture
from lpff_shards.sources.io.tree import Tree, archive_in, blob_at, only_folder, open_tree
from lpff_shards.storage.path import StoragePath, is_file, parents

CAMERAS = "camera_parameters.json"
INFO = "info.json"
LANDMARKS = {"raw": "raw_lm.json", "realign2400": "realign2400_lm.json"}
METADATA = (CAMERAS, INFO, *LANDMARKS.values())
FOLDERS = {"eg3d": "crop/eg3d", "stylegan": "crop/stylegan", "realign2400": "realign2400", "raw": "raw"}


@dataclass(frozen=True)
class Located:
    """The location of a data set's parts.

    Attributes:
        pictures: by name; where: their folder or zip.
        metadata: files by name; unknown_files: other files next to the pictures.
        unread: the same pictures' zip, if their folder is read.
    """

    pictures: Files
    where: str
    metadata: Mapping[str, Blob]
    unknown_files: Sequence[str]
    unread: Sequence[str] = ()


def locate(option: str, given: str, alignment: str) -> Located:
    """Find the pictures of an alignment: in the published folders or zips, or flat as in unpacked archives.

    Raises:
        ShardsError: there are no such pictures.
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
                        return Located(inside, place.where, _metadata(root, tree, given), _unknown_files(place), unread)
    raise ShardsError(
        f"{option} {given} contains neither {FOLDERS[alignment]}/ nor pictures",
        _packed(only_folder(tree), alignment)
        or f"Give the data set's folder, or the folder or zip of its {alignment} pictures",
    )


def _folders(option: str, root: Tree, name: str) -> list[Tree]:
    """Return the folder and the zip of that name, if they exist."""
    found = (root, None) if name == "." else (root.sub(name), archive_in(option, root, f"{name}.zip"))
    return [tree for tree in found if tree is not None]


def _packed(root: Tree, alignment: str) -> str:
    """Return a hint about an archive that cannot be read in place, or an empty text."""
    folder, _, base = FOLDERS[alignment].rpartition("/")
    parent = root.sub(folder) if folder else root
    name = next(
        (f"{base}{suffix}" for suffix in (".rar", ".7z", ".tar") if parent and f"{base}{suffix}" in parent.files()), ""
    )
    return f"Unpack {posixpath.join(folder, name)} there first" if name else ""


def _metadata(root: Tree, tree: Tree, given: str) -> dict[str, Blob]:
    """Return the metadata files by name, which are together in one folder.

    Searches the data set's folder, then the two folders above the given path: crop/eg3d is two levels below its
    metadata, a zip is next to it.
    """
    places: Iterable[Files | dict[str, Blob]] = (root.files(), tree.files(), *map(_metadata_above, parents(given, 2)))
    for files in places:
        found = {name: files[name] for name in METADATA if name in files}
        if found:
            return found
    return {}


def _metadata_above(folder: StoragePath) -> dict[str, Blob]:
    # A folder above may be unrelated: it is not listed, and is used only if it contains the cameras.
    try:
        return _metadata_in(folder) if is_file(folder / CAMERAS) else {}
    except PermissionError:
        # The user may have access to the data set's own folder only.
        return {}
    except OSError as error:
        raise ShardsError(f"{folder} cannot be read: {error.strerror}", "Check the disk or the network") from None


def _metadata_in(folder: StoragePath) -> dict[str, Blob]:
    found = {name: blob_at(folder / name) for name in METADATA}
    return {name: blob for name, blob in found.items() if blob is not None}


def _refuse_other_alignment(option: str, given: str, name: str, alignment: str) -> None:
    """Refuse a given folder of crops, or one in a zip, that has the name of another alignment."""
    # A folder in a zip follows a colon.
    actual = Path(given.rpartition(":")[2]).stem
    if name == "." and actual in FOLDERS and actual != alignment:
        raise ShardsError(
            f"{option} {given} has the name of {actual} pictures, not {alignment}",
            f"Use --alignment {actual}, or rename it",
        )


def _unknown_files(folder: Tree) -> list[str]:
    return [name for name in folder.files() if not is_picture(name) and not name.endswith((".json", ".txt", ".md"))]


def missing(place: Located, alignment: str) -> Iterator[str]:
    """Yield notes about missing and ignored files.

    Raises:
        ShardsError: a required file is missing.
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
    if place.unknown_files:
        names = f"{len(place.unknown_files)} files, such as {place.unknown_files[0]},"
        yield f"{place.where}: {names} are ignored: their names are not those of PNG, JPEG or WebP files"
    for archive in place.unread:
        yield f"{place.where} is read, {archive} is not: both exist"
    for name, consequence in lost.items():
        if name not in place.metadata:
            yield f"{place.where}: {name} was not found, so {consequence}"
