"""A zip, on disk or in a bucket, seen as folders, listed once, in columns."""

from __future__ import annotations

import os
from array import array
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import eq
from pathlib import Path

import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.columns.structs import Structs
from lpff_shards.schemas.columns.texts import Rows, Texts
from lpff_shards.schemas.columns.values import Column, Numbers, Repeated
from lpff_shards.schemas.record import Blob
from lpff_shards.schemas.uris import is_uri
from lpff_shards.sources.io.blobs import ZipBlob
from lpff_shards.sources.io.files import NO_FILES, Files
from lpff_shards.sources.io.objects import ObjectMember, read_range
from lpff_shards.sources.io.zip_directory import DEFLATED, ENCRYPTED, STORED, Directory, ZipError, read_directory
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.full_reads import pread_fully

_DEEPEST = 64
"""Parts of a name, each folder of which is listed; no layout reaches a tenth of it."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """Names of the folders directly in one, and which of the archive's members are its files."""

    folders: list[str] = field(default_factory=list)
    rows: array[int] = field(default_factory=lambda: array("q"))


@dataclass(frozen=True)
class ZipTree:
    """A folder inside a zip; its listing is read once, for the whole archive."""

    archive: str
    inside: str
    directory: Directory = field(repr=False)
    listing: dict[str, _Folder] = field(repr=False)

    @property
    def path(self) -> None:
        """Nothing in a zip has a place of its own."""

    @property
    def where(self) -> str:
        return f"{self.archive}:{self.inside}" if self.inside else self.archive

    def folders(self) -> list[str]:
        return sorted(self.listing[self.inside].folders)

    def files(self) -> Files:
        return self._files

    @cached_property
    def _files(self) -> Files:
        rows = np.frombuffer(self.listing[self.inside].rows, np.int64)
        if not len(rows):
            return NO_FILES
        names = [name.rpartition("/")[2] for name in self.directory.names.take(rows)]
        order = sorted(range(len(names)), key=names.__getitem__)
        names = [names[at] for at in order]
        for twin in (name for name, same in zip(names, map(eq, names, names[1:]), strict=False) if same):
            where = f"{self.inside}/{twin}" if self.inside else twin
            raise ShardsError(f"{self.archive}:{where} stands in the zip twice", "Pack the zip again with unique names")
        return Files(Texts.of(names), self._blobs(rows[np.array(order, np.int64)]))

    def _blobs(self, rows: Rows) -> Structs[Blob]:
        found = self.directory
        numbers = (Numbers(column[rows]) for column in (found.size, found.header, found.packed, found.crc))
        archive = Repeated(np.zeros(len(rows), np.int32), [self.archive])
        method = Repeated((found.method[rows] == DEFLATED).astype(np.int32), ["stored", "deflated"])
        columns: list[Column] = [archive, found.names.take(rows), *numbers, method]
        blobs: Structs[Blob] = Structs.from_columns(ObjectMember if is_uri(self.archive) else ZipBlob, columns)
        return blobs

    def sub(self, name: str) -> ZipTree | None:
        inside = f"{self.inside}/{name}" if self.inside else name
        return ZipTree(self.archive, inside, self.directory, self.listing) if inside in self.listing else None


def zip_tree(option: str, given: str) -> ZipTree | None:
    """The tree of a zip; None where the file is none.

    Raises:
        ShardsError: it is damaged, or holds what cannot be read in place.
    """
    try:
        directory = _directory(given)
    except (ZipError, OSError) as error:
        reason = error.strerror if is_uri(given) and isinstance(error, OSError) else error
        raise ShardsError(f"{option} {given} is not a readable zip: {reason}", "Download or pack it again") from None
    if directory is None:
        return None
    listing = {"": _Folder()}
    for row, name in enumerate(directory.names):
        folder, _, own = name.rpartition("/")
        # A folder that is known by now was looked at when it was met first.
        if folder and folder in listing and own and own[0] != "." and "\\" not in own:
            listing[folder].rows.append(row)
        else:
            _add_member(given, row, name, listing)
    _refuse_packed(given, directory, listing)
    return ZipTree(given, "", directory, listing)


def _directory(given: str) -> Directory | None:
    if is_uri(given):
        path = BucketPath.parse(given)
        return read_directory(partial(read_range, path), path.size())
    with Path(given).open("rb", buffering=0) as file:
        fd = file.fileno()
        return read_directory(lambda at, size: pread_fully(fd, size, at), os.fstat(fd).st_size)


def _add_member(archive: str, row: int, filename: str, listing: dict[str, _Folder]) -> None:
    name = filename.rstrip("/")
    parts = name.split("/")
    if filename.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise ShardsError(
            f"{archive}:{filename} points outside its archive or is no plain path",
            "Pack the zip again without such names",
        )
    if parts[-1].startswith(".") or parts[0] == "__MACOSX" or len(parts) > _DEEPEST:
        return
    is_folder = filename.endswith("/")
    folder = "/".join(parts) if is_folder else "/".join(parts[:-1])
    _add_folder(folder, listing)
    if not is_folder:
        listing[folder].rows.append(row)


def _add_folder(folder: str, listing: dict[str, _Folder]) -> None:
    """Lists a folder and those above it that are not listed yet; the root always is."""
    missing = []
    while folder not in listing:
        missing.append(folder)
        folder = folder.rpartition("/")[0]
    for path in reversed(missing):
        parent, _, name = path.rpartition("/")
        listing[path] = _Folder()
        listing[parent].folders.append(name)


def _refuse_packed(archive: str, directory: Directory, listing: dict[str, _Folder]) -> None:
    """Refuses an archive with a file that cannot be read in place."""
    odd = (directory.flags & ENCRYPTED).astype(bool) | ~np.isin(directory.method, (STORED, DEFLATED))
    if not odd.any():
        return
    for row in sorted(row for folder in listing.values() for row in folder.rows if odd[row]):
        name = directory.names[row]
        if directory.flags[row] & ENCRYPTED:
            raise ShardsError(f"{archive}:{name} is encrypted", "Pack the zip again without a password")
        raise ShardsError(
            f"{archive}:{name} is packed with method {directory.method[row]}",
            "Pack the zip again, stored (zip -0) or deflated",
        )
