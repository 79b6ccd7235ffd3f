"""A prefix of a bucket as a folder, and objects that a URI names."""

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
from lpff_shards.storage.path import Place, is_remote
from lpff_shards.storage.prefetch import ahead

_RIGHTS = "Check the URI, your rights and the network"


@dataclass(frozen=True)
class BucketTree:
    """A prefix of a bucket; it is listed once, however often it is asked."""

    path: BucketPath

    @property
    def where(self) -> str:
        return str(self.path)

    def folders(self) -> list[str]:
        return self._folders

    @cached_property
    def _folders(self) -> list[str]:
        # An export's own output may lie beside the pictures, and is none of them.
        names = [name for name in self._listing[1] if not is_picture(name)]
        with _listing(self.path), closing(ahead(self._is_export, names)) as exports:
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
        """Whether nothing lies below the prefix."""
        return not any(self._listing)

    @cached_property
    def _listing(self) -> tuple[list[Listed], list[str]]:
        with _listing(self.path):
            objects, folders = self.path.listing()
        seen = [one for one in objects if not one.name.startswith(".")]
        return seen, [name for name in folders if not name.startswith(".")]


def open_prefix(option: str, given: str) -> BucketTree | None:
    """The tree of a URI that the user gave; None where an object is there instead.

    Raises:
        ShardsError: nothing is there, or the store does not tell.
    """
    path = BucketPath.parse(given)
    with reading(option, given):
        found = path.stat()
        # An empty object of the prefix's own name is a folder to some tools.
        if found is None or found.size == 0:
            tree = BucketTree(path)
            if not tree.is_empty:
                return tree
    if found is None:
        hint = "Give a prefix that is laid out like the data set's folder, or a zip"
        raise ShardsError(f"{option} {given} does not exist", hint)
    return None


def named_object(option: str, given: str) -> Blob:
    """The blob of an object that the user named.

    Raises:
        ShardsError: it is not there, or the store does not tell.
    """
    with reading(option, given):
        blob = blob_at(BucketPath.parse(given))
    if blob is None:
        raise ShardsError(f"{option} {given} does not exist", "Give the object itself")
    return blob


def blob_at(place: Place) -> Blob | None:
    """The blob of a file or object; None where nothing is there.

    Raises:
        OSError: a store does not tell.
    """
    if is_remote(place):
        found = place.stat()
        return None if found is None else _blob(place, found)
    return path_blob(str(place)) if os.path.lexists(str(place)) else None


def _blob(path: BucketPath, found: Listed) -> Blob:
    if is_odd(found.name):
        return BrokenBlob(str(path), "its name is no path")
    return ObjectBlob(str(path), found.size, found.etag)


@contextmanager
def reading(option: str, given: str) -> Iterator[None]:
    """Names the option and the URI in whatever goes wrong in the block.

    Raises:
        ShardsError: what went wrong.
    """
    try:
        yield
    except OSError as error:
        raise _unreadable(f"{option} {given} cannot be read", error) from None
    except ShardsError as error:
        told = error.message if error.message.startswith(given.rstrip("/")) else f"{given}: {error.message}"
        raise ShardsError(f"{option} {told}", error.hint) from None


@contextmanager
def _listing(path: BucketPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(f"{path} cannot be listed", error) from None


def _unreadable(what: str, error: OSError) -> ShardsError:
    reason = str(error.strerror)
    if reason.startswith(NO_PATH):
        told = f"{what}: an object below it has a name that is no path ({reason.removeprefix(NO_PATH)})"
        return ShardsError(told, "Rename or remove that object, or copy the data set to a prefix without it")
    return ShardsError(f"{what}: {reason}", _RIGHTS)
