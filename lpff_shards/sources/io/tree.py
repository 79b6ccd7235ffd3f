"""One interface for a folder, a zip or a prefix of a bucket: names of files, each with its blob."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Protocol

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.columns.structs import Structs
from lpff_shards.schemas.columns.texts import Texts
from lpff_shards.schemas.filenames import STATE_FOLDER
from lpff_shards.schemas.record import Blob
from lpff_shards.schemas.uris import is_uri
from lpff_shards.sources.io.blobs import MAX_BYTES, BlobError, BrokenBlob, FileBlob, ZipBlob, path_blob
from lpff_shards.sources.io.bucket_tree import named_object, open_prefix
from lpff_shards.sources.io.files import Files, is_picture
from lpff_shards.sources.io.objects import ObjectBlob
from lpff_shards.sources.io.zip_tree import zip_tree
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.path import StoragePath, is_folder, is_remote
from lpff_shards.storage.prefetch import prefetch

MAX_WRAPPERS = 4


class Tree(Protocol):
    """A folder, on disk, in a zip or in a bucket."""

    @property
    def where(self) -> str:
        """Its name in errors."""

    @property
    def path(self) -> StoragePath | None:
        """Its path; None inside a zip."""

    def folders(self) -> list[str]:
        """Return the names of the folders directly in it, sorted."""

    def files(self) -> Files:
        """Return the files directly in it by name, sorted."""

    def sub(self, name: str) -> Tree | None:
        """Return the folder of that relative path, or None."""


@dataclass(frozen=True)
class FolderTree:
    """A folder on disk, listed once."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    def folders(self) -> list[str]:
        # The output of an export may be next to the pictures, and is not a source.
        return sorted(name for name in self._listed[0] if not self._is_export(name))

    def _is_export(self, name: str) -> bool:
        try:
            return is_folder(self.path / name / STATE_FOLDER)
        except PermissionError:
            # It may be unneeded, like lost+found; reading it raises an error.
            return False
        except OSError as error:
            raise _unlisted(self.path / name, error) from None

    def files(self) -> Files:
        return self._files

    @cached_property
    def _files(self) -> Files:
        names = self._listed[1]
        # A Path of each would take longer than the system call.
        return Files(Texts.of(names), Structs.of(path_blob(os.path.join(self.path, name)) for name in names))  # noqa: PTH118

    def sub(self, name: str) -> Tree | None:
        path = self.path / name
        return FolderTree(path) if _is_folder(path) else None

    @cached_property
    def _listed(self) -> tuple[list[str], list[str]]:
        """Names of the folders, and of all else, sorted; a folder named like a picture is among the files."""
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        (files if is_picture(entry.name) or not _leads_to_folder(entry) else folders).append(entry.name)
        except OSError as error:
            raise _unlisted(self.path, error) from None
        return folders, sorted(files)


def _unlisted(path: Path, error: OSError) -> ShardsError:
    return ShardsError(f"{path} cannot be listed: {error.strerror}", "Check the path and its rights")


def _is_folder(path: Path) -> bool:
    try:
        return is_folder(path)
    except OSError as error:
        raise _unlisted(path, error) from None


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a looping link
        return False


def open_tree(option: str, given: str) -> Tree:
    """Return the tree of a path or URI that the user gave.

    Args:
        option: name of the option, for errors.
        given: a folder or a zip, or a prefix or a zip of a bucket.

    Raises:
        ShardsError: the path does not exist, or is neither.
    """
    tree = open_prefix(option, given) if is_uri(given) else _open_folder(option, given)
    if tree is not None:
        return tree
    kind, suffix = "prefix" if is_uri(given) else "folder", PurePath(given).suffix.lower()
    if suffix == ".rar":
        folder = given[: -len(suffix)]
        hint = f"Unpack it first (unar -o {folder} {given}, or unrar x {given} {folder}/), then give {folder}"
        if is_uri(given):
            hint = "Unpack it first, and give its prefix"
        raise ShardsError(f"{option} {given} is a RAR archive, which cannot be read in place", hint)
    found = zip_tree(option, str(BucketPath.parse(given)) if is_uri(given) else given)
    if found is None:
        what = "a zip that is cut short or damaged" if suffix == ".zip" else f"neither a {kind} nor a zip"
        raise ShardsError(f"{option} {given} is {what}", f"Give a {kind} or a whole zip")
    return found


def _open_folder(option: str, given: str) -> FolderTree | None:
    """Return the tree of a path, or None if it is a file."""
    path, hint = Path(given), "Give a folder or a zip"
    blob = path_blob(given)
    if _is_folder(path):
        return FolderTree(path)
    if not os.path.lexists(path):
        raise ShardsError(f"{option} {given} does not exist", hint)
    if isinstance(blob, BrokenBlob) or not os.access(path, os.R_OK):
        reason = blob.reason if isinstance(blob, BrokenBlob) else "cannot be read: permission denied"
        raise ShardsError(f"{option} {given} {reason}", hint)
    return None


def file_blob(option: str, given: str) -> Blob:
    """Return the blob of a file that the user gave.

    Raises:
        ShardsError: the file does not exist.
    """
    if is_uri(given):
        return named_object(option, given)
    blob = path_blob(given)
    if isinstance(blob, BrokenBlob):
        raise ShardsError(f"{option} {given} {blob.reason}", "Give the file itself")
    return blob


def archive_in(option: str, tree: Tree, name: str) -> Tree | None:
    """Return the zip of that relative path in a folder or prefix, or None if it is missing.

    Raises:
        ShardsError: it is damaged, or is in a zip.
    """
    folder, _, base = name.rpartition("/")
    parent = tree.sub(folder) if folder else tree
    if parent is None or base not in parent.files():
        return None
    if parent.path is not None:
        return open_tree(option, str(parent.path / base))
    raise ShardsError(f"{option} {parent.where}/{base} is a zip in a zip", "Unpack the outer one, and give its folder")


def only_folder(tree: Tree) -> Tree:
    """Return the tree, or the single folder with all its data: archives often wrap their files in a folder.

    A number is not a wrapper but a folder of thousands. Files next to a wrapper may be notes, not pictures or tables.
    """
    for _ in range(MAX_WRAPPERS):
        folders = tree.folders()
        if len(folders) != 1 or folders[0].isdigit():
            break
        if any(is_picture(name) or name.endswith(".json") for name in tree.files()):
            break
        tree = tree.sub(folders[0]) or tree
    return tree


def subs(tree: Tree, names: Sequence[str]) -> Iterator[tuple[str, Tree]]:
    """Yield the folders of these names directly in a tree, in order; those of a bucket are listed concurrently."""
    if tree.path is not None and is_remote(tree.path):
        with closing(prefetch(tree.sub, names)) as found:
            folders: list[Tree | None] = list(found)
    else:
        folders = list(map(tree.sub, names))
    for name, folder in zip(names, folders, strict=True):
        if folder is not None:
            yield name, folder


def read_whole(blob: Blob, most: int = MAX_BYTES) -> bytes:
    """Return the bytes of a metadata file, at most `most`.

    Raises:
        ShardsError: it cannot be read, or is too large.
    """
    try:
        return blob.whole(most) if isinstance(blob, FileBlob | ZipBlob | ObjectBlob) else blob.read()
    except BlobError as error:
        raise ShardsError(f"{blob.where} {error}", "Check the file") from None
