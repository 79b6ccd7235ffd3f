"""A prefix of a bucket as a folder, and single objects by URI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.filenames import STATE_FOLDER
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import BrokenBlob, path_blob
from lpff_shards.sources.io.files import Files, is_picture
from lpff_shards.sources.io.objects import ObjectBlob
from lpff_shards.storage.bucket import NO_PATH, BucketPath, Listed, is_odd
from lpff_shards.storage.path import StoragePath, is_remote
from lpff_shards.storage.prefetch import prefetch

_RIGHTS = "Check the URI, your rights and the network"


@dataclass(frozen=True)
class BucketTree:
    """A prefix of a bucket, listed once."""

    path: BucketPath

    @property
    def where(self) -> str:
        return str(self.path)

    def folders(self) -> list[str]:
        return self._folders

    @cached_property
    def _folders(self) -> list[str]:
        # The output of an export may be next to the pictures, and is not a source.
        names = [name for name in self._listing[1] if not is_picture(name)]
        with _listing(self.path), closing(prefetch(self._is_export, names)) as exports:
            return [name for name, is_export in zip(names, exports, strict=True) if not is_export]

    def _is_export(self, name: str) -> bool:
        return (self.path / name / STATE_FOLDER).is_dir()

    def files(self) -> Files:
        return self._files

    @cached_property
    def _files(self) -> Files:
        objects, folders = self._listing
        found: dict[str, Blob] = {one.name: _blob(self.path / one.name, one) for one in objects}
        for name in filter(is_picture, folders):
            found.setdefault(name, BrokenBlob(str(self.path / name), "is not a regular file"))
        return Files.of(sorted(found.items()))

    def sub(self, name: str) -> BucketTree | None:
        tree = BucketTree(self.path / name)
        return None if tree.is_empty else tree

    @property
    def is_empty(self) -> bool:
        """Whether the prefix has no objects."""
        return not any(self._listing)

    @cached_property
    def _listing(self) -> tuple[list[Listed], list[str]]:
        with _listing(self.path):
            objects, folders = self.path.listing()
        visible = [one for one in objects if not one.name.startswith(".")]
        return visible, [name for name in folders if not name.startswith(".")]


def open_prefix(option: str, given: str) -> BucketTree | None:
    """Return the tree of a URI that the user gave, or None if it is an object.

    Raises:
        ShardsError: it does not exist, or cannot be read.
    """
    path = BucketPath.parse(given)
    with reading(option, given):
        found = path.stat()
        # Some tools create an empty object with the prefix's name as a folder.
        if found is None or found.size == 0:
            tree = BucketTree(path)
            if not tree.is_empty:
                return tree
    if found is None:
        hint = "Give a prefix with the layout of the data set's folder, or a zip"
        raise ShardsError(f"{option} {given} does not exist", hint)
    return None


def named_object(option: str, given: str) -> Blob:
    """Return the blob of an object that the user gave.

    Raises:
        ShardsError: it does not exist, or cannot be read.
    """
    with reading(option, given):
        blob = blob_at(BucketPath.parse(given))
    if blob is None:
        raise ShardsError(f"{option} {given} does not exist", "Give the object itself")
    return blob


def blob_at(place: StoragePath) -> Blob | None:
    """Return the blob of a file or object, or None if it does not exist.

    Raises:
        OSError: a bucket cannot be read.
    """
    if is_remote(place):
        found = place.stat()
        return None if found is None else _blob(place, found)
    return path_blob(str(place)) if os.path.lexists(str(place)) else None


def _blob(path: BucketPath, found: Listed) -> Blob:
    if is_odd(found.name):
        return BrokenBlob(str(path), "its name is not a valid path")
    return ObjectBlob(str(path), found.size, found.etag)


@contextmanager
def reading(option: str, given: str) -> Iterator[None]:
    """Add the option and the URI to errors of the block.

    Raises:
        ShardsError: the error.
    """
    try:
        yield
    except OSError as error:
        raise _unreadable(f"{option} {given} cannot be read", error) from None
    except ShardsError as error:
        message = error.message if error.message.startswith(given.rstrip("/")) else f"{given}: {error.message}"
        raise ShardsError(f"{option} {message}", error.hint) from None


@contextmanager
def _listing(path: BucketPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(f"{path} cannot be listed", error) from None


def _unreadable(what: str, error: OSError) -> ShardsError:
    reason = str(error.strerror)
    if reason.startswith(NO_PATH):
        message = f"{what}: an object below it has an invalid name ({reason.removeprefix(NO_PATH)})"
        return ShardsError(message, "Rename or remove that object, or copy the data set to a prefix without it")
    return ShardsError(f"{what}: {reason}", _RIGHTS)
