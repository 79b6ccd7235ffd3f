"""A folder or a zip seen alike: names of files below it, each with the blob that reads it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from lpff_shards.errors import ShardsError
from lpff_shards.options import STATE_FOLDER
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.blobs import BlobError, BrokenBlob, ZipBlob, path_blob

MAX_WRAPPERS = 4
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class Tree(Protocol):
    """A folder, on disk or in a zip."""

    @property
    def where(self) -> str:
        """How errors name it."""

    def folders(self) -> list[str]:
        """Names of the folders directly in it, sorted."""

    def files(self) -> dict[str, Blob]:
        """Files directly in it by name, sorted."""

    def sub(self, name: str) -> Tree | None:
        """The folder of that relative path in it, or None."""


@dataclass(frozen=True)
class FolderTree:
    """A folder on disk; it is listed once, however often it is asked."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    def folders(self) -> list[str]:
        # An export's own output may lie beside the pictures, and is none of them.
        folders = (e.name for e in self._entries if not is_picture(e.name) and _is_folder(e))
        return sorted(name for name in folders if not (self.path / name / STATE_FOLDER).is_dir())

    def files(self) -> dict[str, Blob]:
        return self._files

    @cached_property
    def _files(self) -> dict[str, Blob]:
        found = (e for e in self._entries if is_picture(e.name) or not _is_folder(e))
        return {e.name: path_blob(e.path) for e in sorted(found, key=lambda e: e.name)}

    def sub(self, name: str) -> Tree | None:
        path = self.path / name
        return FolderTree(path) if path.is_dir() else None

    @cached_property
    def _entries(self) -> Iterable[os.DirEntry[str]]:
        try:
            with os.scandir(self.path) as entries:
                return [e for e in entries if not e.name.startswith(".")]
        except OSError as error:
            raise ShardsError(
                f"{self.path} cannot be listed: {error.strerror}", "Check the path and its rights"
            ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


@dataclass(frozen=True)
class ZipTree:
    """A folder inside a zip; its listing is read once, for the whole archive."""

    archive: str
    inside: str
    listing: dict[str, tuple[list[str], dict[str, Blob]]] = field(repr=False)

    @property
    def where(self) -> str:
        return f"{self.archive}:{self.inside}" if self.inside else self.archive

    def folders(self) -> list[str]:
        return sorted(self.listing[self.inside][0])

    def files(self) -> dict[str, Blob]:
        return dict(sorted(self.listing[self.inside][1].items()))

    def sub(self, name: str) -> Tree | None:
        inside = f"{self.inside}/{name}" if self.inside else name
        return ZipTree(self.archive, inside, self.listing) if inside in self.listing else None


def open_tree(option: str, given: str) -> Tree:
    """The tree of a path that the user gave.

    Args:
        option: for the error: which option the path was given to.
        given: a folder or a zip.

    Raises:
        ShardsError: there is no such path, or it is neither.
    """
    path = Path(given)
    blob = path_blob(given)
    if path.is_dir():
        return FolderTree(path)
    if not os.path.lexists(path):
        raise ShardsError(f"{option} {given} does not exist", "Give a folder or a zip")
    if isinstance(blob, BrokenBlob) or not os.access(path, os.R_OK):
        reason = blob.reason if isinstance(blob, BrokenBlob) else "cannot be read: permission denied"
        raise ShardsError(f"{option} {given} {reason}", "Give a folder or a zip")
    if path.suffix.lower() == ".rar":
        folder = path.with_suffix("")
        raise ShardsError(
            f"{option} {given} is a RAR archive, which cannot be read in place",
            f"Unpack it first (unar -o {folder} {given}, or unrar x {given} {folder}/), then give {folder}",
        )
    if not zipfile.is_zipfile(path):
        what = "a zip that is cut short or damaged" if path.suffix.lower() == ".zip" else "neither a folder nor a zip"
        raise ShardsError(f"{option} {given} is {what}", "Give a folder or a whole zip")
    return _zip_tree(option, given)


def _zip_tree(option: str, given: str) -> ZipTree:
    listing: dict[str, tuple[list[str], dict[str, Blob]]] = {"": ([], {})}
    try:
        with zipfile.ZipFile(given) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise ShardsError(f"{option} {given} is not a readable zip: {error}", "Download or pack it again") from None
    for info in members:
        _add_member(given, info, listing)
    return ZipTree(given, "", listing)


def _add_member(archive: str, info: zipfile.ZipInfo, listing: dict[str, tuple[list[str], dict[str, Blob]]]) -> None:
    name = info.filename.rstrip("/")
    parts = name.split("/")
    if info.filename.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise ShardsError(
            f"{archive}:{info.filename} points outside its archive or is no plain path",
            "Pack the zip again without such names",
        )
    if parts[-1].startswith(".") or parts[0] == "__MACOSX":
        return
    folder = "/".join(parts) if info.is_dir() else "/".join(parts[:-1])
    _add_folder(folder, listing)
    if info.is_dir():
        return
    files = listing[folder][1]
    if parts[-1] in files:
        raise ShardsError(f"{archive}:{name} stands in the zip twice", "Pack the zip again with unique names")
    files[parts[-1]] = _zip_blob(archive, name, info)


def _add_folder(folder: str, listing: dict[str, tuple[list[str], dict[str, Blob]]]) -> None:
    """Lists a folder and those above it that are not listed yet; the root always is."""
    missing = []
    while folder not in listing:
        missing.append(folder)
        folder = folder.rpartition("/")[0]
    for path in reversed(missing):
        parent, _, name = path.rpartition("/")
        listing[path] = ([], {})
        listing[parent][0].append(name)


def _zip_blob(archive: str, name: str, info: zipfile.ZipInfo) -> ZipBlob:
    if info.flag_bits & 1:
        raise ShardsError(f"{archive}:{name} is encrypted", "Pack the zip again without a password")
    place = (archive, name, info.file_size, info.header_offset, info.compress_size, info.CRC)
    if info.compress_type == zipfile.ZIP_STORED:
        return ZipBlob(*place, "stored")
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return ZipBlob(*place, "deflated")
    raise ShardsError(
        f"{archive}:{name} is packed with method {info.compress_type}",
        "Pack the zip again, stored (zip -0) or deflated",
    )


def only_folder(tree: Tree) -> Tree:
    """The tree itself, or the one folder that holds all its data: archives often wrap what they pack in a folder.

    A number is never such a wrapper: it is a folder of thousands. Files beside it may be notes, not pictures or tables.
    """
    for _ in range(MAX_WRAPPERS):
        folders = tree.folders()
        if len(folders) != 1 or folders[0].isdigit() or any(is_picture(f) or f.endswith(".json") for f in tree.files()):
            break
        tree = tree.sub(folders[0]) or tree
    return tree


def pictures(tree: Tree) -> dict[str, Blob]:
    """The pictures directly in a tree by file name, sorted."""
    return {name: blob for name, blob in tree.files().items() if is_picture(name)}


def is_picture(name: str) -> bool:
    """Whether a file name is a picture's."""
    return name.lower().endswith(PICTURE_SUFFIXES)


def read_whole(blob: Blob) -> bytes:
    """The bytes of a metadata file.

    Raises:
        ShardsError: it cannot be read.
    """
    try:
        return blob.read()
    except BlobError as error:
        raise ShardsError(f"{blob.where} {error}", "Check the file") from None
