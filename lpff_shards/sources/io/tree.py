"""One interface for a folder, an archive or a prefix of a bucket: names of files, each with its blob."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.columns import Structs, Texts
from lpff_shards.schemas.filenames import STATE_FOLDER
from lpff_shards.schemas.record import Blob
from lpff_shards.schemas.uris import is_uri
from lpff_shards.sources.io.blobs import (
    MAX_BYTES,
    BlobError,
    BrokenBlob,
    FileBlob,
    ObjectBlob,
    RarBlob,
    ZipBlob,
    path_blob,
)
from lpff_shards.sources.io.files import Files, is_picture
from lpff_shards.sources.io.rar_files import rar_tree
from lpff_shards.sources.io.rar_unpacker import is_unpacked
from lpff_shards.sources.io.zip_tree import ZipTree, zip_tree
from lpff_shards.storage.bucket import NO_PATH, BucketPath, Listed, is_odd
from lpff_shards.storage.path import StoragePath, is_folder, is_remote
from lpff_shards.storage.prefetch import prefetch

MAX_WRAPPERS = 4
DEEPEST = 32
_RIGHTS = "Check the URI, your rights and the network"


@dataclass(frozen=True)
class FolderTree:
    """A folder on disk or a prefix of a bucket, listed once."""

    path: StoragePath

    @property
    def where(self) -> str:
        return str(self.path)

    def folders(self) -> list[str]:
        """Return the names of the folders directly in it, sorted."""
        return self._folders

    @cached_property
    def _folders(self) -> list[str]:
        # The output of an export may be next to the pictures, and is not a source.
        # Nor are the unpacked files of an archive, which is a source of its own.
        names = [name for name in self._listed[0] if not is_unpacked(name)]
        if not is_remote(self.path):
            return [name for name in names if not self._is_export(name)]
        with closing(prefetch(self._is_export, names)) as exports:
            return [name for name, is_export in zip(names, exports, strict=True) if not is_export]

    def _is_export(self, name: str) -> bool:
        try:
            return is_folder(self.path / name / STATE_FOLDER)
        except OSError as error:
            if isinstance(error, PermissionError) and not is_remote(self.path):
                # It may be unneeded, like lost+found; reading it raises an error.
                return False
            raise _unlisted(self.path if is_remote(self.path) else self.path / name, error) from None

    def files(self) -> Files:
        """Return the files directly in it, sorted by name."""
        return self._files

    @cached_property
    def _files(self) -> Files:
        files = self._listed[1]
        blobs: Iterator[Blob]
        if is_remote(self.path):
            place = self.path
            blobs = (_object_blob(place / name, found) for name, found in files.items())
        else:
            # A Path of each would take longer than the system call.
            blobs = (path_blob(os.path.join(self.where, name)) for name in files)  # noqa: PTH118
        return Files(Texts.of(files), Structs.of(blobs))

    def sub(self, name: str) -> FolderTree | None:
        """Return the folder of that relative path, or None."""
        tree = FolderTree(self.path / name)
        return tree if tree.exists else None

    @property
    def exists(self) -> bool:
        if is_remote(self.path):
            return any(self._listed)
        try:
            return is_folder(self.path)
        except OSError as error:
            raise _unlisted(self.path, error) from None

    @cached_property
    def _listed(self) -> tuple[list[str], dict[str, Listed | None]]:
        """Names of the folders, and of all else, sorted, with the entries of objects.

        A folder named like a picture is among the files.
        """
        folders: list[str] = []
        files: dict[str, Listed | None] = {}
        try:
            if is_remote(self.path):
                objects, names = self.path.listing()
                for name in names:
                    if is_picture(name):
                        files[name] = None
                    else:
                        folders.append(name)
                files |= {one.name: one for one in objects}
            else:
                with os.scandir(self.where) as entries:
                    for entry in entries:
                        if is_picture(entry.name) or not _leads_to_folder(entry):
                            files[entry.name] = None
                        else:
                            folders.append(entry.name)
        except OSError as error:
            raise _unlisted(self.path, error) from None
        visible = sorted(name for name in files if not name.startswith("."))
        return sorted(name for name in folders if not name.startswith(".")), {name: files[name] for name in visible}


Tree = FolderTree | ZipTree


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a looping link
        return False


def _unlisted(path: StoragePath, error: OSError) -> ShardsError:
    hint = _RIGHTS if is_remote(path) else "Check the path and its rights"
    return _unreadable(f"{path} cannot be listed", error, hint)


def _unreadable(what: str, error: OSError, hint: str) -> ShardsError:
    reason = str(error.strerror)
    if reason.startswith(NO_PATH):
        message = f"{what}: an object below it has an invalid name ({reason.removeprefix(NO_PATH)})"
        return ShardsError(message, "Rename or remove that object, or copy the data set to a prefix without it")
    return ShardsError(f"{what}: {reason}", hint)


@contextmanager
def _reading(option: str, given: str) -> Iterator[None]:
    """Add the option and the URI to errors of the block."""
    try:
        yield
    except OSError as error:
        raise _unreadable(f"{option} {given} cannot be read", error, _RIGHTS) from None
    except ShardsError as error:
        message = error.message if error.message.startswith(given.rstrip("/")) else f"{given}: {error.message}"
        raise ShardsError(f"{option} {message}", error.hint) from None


def open_tree(option: str, given: str, unpack_to: str | None = None) -> Tree:
    """Return the tree of a folder, zip, RAR, or prefix or zip of a bucket that the user gave; `option` is for errors.

    Raises:
        PackedArchive: it is a RAR archive that must be unpacked first, into the folder `unpack_to` or beside it.
        ShardsError: the path does not exist, or is neither.
    """
    tree = _open_prefix(option, given) if is_uri(given) else _open_folder(option, given)
    if tree is not None:
        return tree
    kind, suffix = "prefix" if is_uri(given) else "folder", PurePath(given).suffix.lower()
    if suffix == ".rar":
        if is_uri(given):
            hint = "Unpack it first, and give its prefix"
            raise ShardsError(f"{option} {given} is a RAR archive, which cannot be read in place", hint)
        rar = rar_tree(option, given, unpack_to)
        return rar if isinstance(rar, ZipTree) else FolderTree(rar)
    found = zip_tree(option, str(BucketPath.parse(given)) if is_uri(given) else given)
    if found is None:
        what = "a zip that is cut short or damaged" if suffix == ".zip" else f"neither a {kind} nor a zip"
        raise ShardsError(f"{option} {given} is {what}", f"Give a {kind} or a whole zip")
    return found


def _open_prefix(option: str, given: str) -> FolderTree | None:
    path = BucketPath.parse(given)
    with _reading(option, given):
        found = path.stat()
        # Some tools create an empty object with the prefix's name as a folder.
        if (found is None or found.size == 0) and (tree := FolderTree(path)).exists:
            return tree
    if found is None:
        hint = "Give a prefix with the layout of the data set's folder, or a zip"
        raise ShardsError(f"{option} {given} does not exist", hint)
    return None


def _open_folder(option: str, given: str) -> FolderTree | None:
    tree, blob, hint = FolderTree(Path(given)), path_blob(given), "Give a folder or a zip"
    if tree.exists:
        return tree
    if not os.path.lexists(given):
        raise ShardsError(f"{option} {given} does not exist", hint)
    if isinstance(blob, BrokenBlob) or not os.access(given, os.R_OK):
        reason = blob.reason if isinstance(blob, BrokenBlob) else "cannot be read: permission denied"
        raise ShardsError(f"{option} {given} {reason}", hint)
    return None


def file_blob(option: str, given: str) -> Blob:
    """Return the blob of a file or object that the user gave.

    Raises:
        ShardsError: the file does not exist, or its bucket cannot be read.
    """
    if is_uri(given):
        with _reading(option, given):
            found = blob_at(BucketPath.parse(given))
        if found is None:
            raise ShardsError(f"{option} {given} does not exist", "Give the object itself")
        return found
    blob = path_blob(given)
    if isinstance(blob, BrokenBlob):
        raise ShardsError(f"{option} {given} {blob.reason}", "Give the file itself")
    return blob


def blob_at(place: StoragePath) -> Blob | None:
    """Return the blob of a file or object, or None if it does not exist.

    Raises:
        OSError: a bucket cannot be read.
    """
    if is_remote(place):
        found = place.stat()
        return None if found is None else _object_blob(place, found)
    return path_blob(str(place)) if os.path.lexists(str(place)) else None


def _object_blob(path: BucketPath, found: Listed | None) -> ObjectBlob | BrokenBlob:
    if found is None:
        return BrokenBlob(str(path), "is not a regular file")
    if is_odd(found.name):
        return BrokenBlob(str(path), "its name is not a valid path")
    return ObjectBlob(str(path), found.size, found.etag)


def archive_in(option: str, tree: Tree, name: str, unpack_to: str | None = None) -> Tree | None:
    """Return the zip or RAR of that relative path in a folder or prefix, or None if it is missing.

    Raises:
        ShardsError: it is damaged, or is in a zip.
    """
    folder, _, base = name.rpartition("/")
    parent = tree.sub(folder) if folder else tree
    if parent is None or base not in parent.files():
        return None
    if isinstance(parent, FolderTree):
        return open_tree(option, str(parent.path / base), unpack_to)
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


def walk(tree: Tree, folder: str = "") -> Iterator[tuple[str, Tree]]:
    """Yield a tree and the trees of all folders in it, each with the prefix of the names in it."""
    if folder.count("/") > DEEPEST:
        raise ShardsError(f"{tree.where} is {DEEPEST} folders deep", "Does a link lead back to a folder above it?")
    yield folder, tree
    for name, inner in subs(tree, tree.folders()):
        yield from walk(inner, f"{folder}{name}/")


def subs(tree: Tree, names: Sequence[str]) -> Iterator[tuple[str, Tree]]:
    """Yield the folders of these names directly in a tree, in order; those of a bucket are listed concurrently."""
    folders: Sequence[Tree | None]
    if isinstance(tree, FolderTree) and is_remote(tree.path):
        with closing(prefetch(tree.sub, names)) as found:
            folders = list(found)
    else:
        folders = [tree.sub(name) for name in names]
    for name, folder in zip(names, folders, strict=True):
        if folder is not None:
            yield name, folder


def read_whole(blob: Blob, most: int = MAX_BYTES) -> bytes:
    """Return the bytes of a metadata file, at most `most`.

    Raises:
        ShardsError: it cannot be read, or is too large.
    """
    try:
        return blob.read(most) if isinstance(blob, FileBlob | ZipBlob | RarBlob | ObjectBlob) else blob.read()
    except BlobError as error:
        raise ShardsError(f"{blob.where} {error}", "Check the file") from None
