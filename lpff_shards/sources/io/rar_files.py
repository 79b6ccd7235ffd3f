"""RAR archives on disk: their listing, and their tree where all files are stored; others must be unpacked."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.columns import Repeated, Structs, Texts
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import RarBlob
from lpff_shards.sources.io.rar_unpacker import UNPACKED, PackedArchive, RarArchive, RarMember
from lpff_shards.sources.io.zip_tree import ZipTree, archive_tree
from lpff_shards.storage.path import is_folder

_BY_HAND = "Unpack it (unar, or unrar x), then give the folder"


@dataclass(frozen=True, eq=False)
class RarDirectory:
    """The files of an archive, all stored: columns of length n, see `RarMember`."""

    KIND: ClassVar[str] = "the RAR"

    names: Texts
    sizes: NDArray[np.int64]
    offsets: NDArray[np.int64]
    checksums: Texts

    @classmethod
    def of(cls, files: Mapping[str, RarMember]) -> RarDirectory:
        """Return the directory of files by name."""
        sizes = np.array([file.size for file in files.values()], np.int64)
        offsets = np.array([file.at for file in files.values()], np.int64)
        return cls(Texts.of(files), sizes, offsets, Texts.of(file.checksum for file in files.values()))

    def blobs(self, archive: str, rows: NDArray[np.int64]) -> Structs[Blob]:
        """Return the blobs of some files, by rows (int64)."""
        place = Repeated(np.zeros(len(rows), np.int32), [archive])
        numbers = (column[rows] for column in (self.sizes, self.offsets))
        return Structs(RarBlob, [place, self.names.take(rows), *numbers, self.checksums.take(rows)])


def rar_tree(option: str, given: str, unpack_to: str | None) -> ZipTree | Path:
    """Return the tree of a RAR archive, or the folder with its unpacked files.

    Args:
        unpack_to: folder of the folders of unpacked archives; None: that of the archive.

    Raises:
        PackedArchive: it must be unpacked first.
        ShardsError: it is damaged, encrypted or one of several volumes, or rarfile is not installed.
    """
    files = _listed(option, given)
    tree = archive_tree(given, RarDirectory.of(files))
    if all(file.at >= 0 for file in files.values()):
        return tree
    # Archives of different data sets have the same name, and may be unpacked into one folder.
    listing = "\n".join(f"{name}\0{file.size}\0{file.checksum}" for name, file in files.items())
    digest = blake2b(listing.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    parent = Path(given).parent if unpack_to is None else Path(unpack_to)
    archive = RarArchive(given, parent / f"{Path(given).stem}-{digest}{UNPACKED}", files)
    try:
        is_unpacked = is_folder(archive.folder)
    except OSError as error:
        raise ShardsError(f"{archive.folder} cannot be read: {error.strerror}", "Check its rights") from None
    if not is_unpacked:
        raise PackedArchive(archive)
    archive.refuse_changed()
    return archive.folder


def _listed(option: str, given: str) -> dict[str, RarMember]:
    """Return the files of an archive by name, in its order."""
    try:
        import rarfile
    except ImportError:
        raise ShardsError(f"{option} {given} needs rarfile", 'pip install "lpff-shards[rar]"') from None
    blocks: list[Any] = []
    try:
        with rarfile.RarFile(given, errors="strict", part_only=True, info_callback=blocks.append) as archive:
            entries, is_encrypted = archive.infolist(), archive.needs_password()
            # A file that is packed as the copy of another one has no data of its own.
            originals = [archive.getinfo_orig(entry) for entry in entries]
        size = Path(given).stat().st_size
    # rarfile raises many kinds of errors for damaged headers.
    except (rarfile.Error, OSError, ValueError, LookupError, TypeError, OverflowError, struct.error) as error:
        raise ShardsError(f"{option} {given} is not a readable RAR archive: {error}", "Download it again") from None
    if is_encrypted:
        raise ShardsError(f"{option} {given} is encrypted", _BY_HAND)
    if _has_volumes(blocks):
        hint = "Unpack the first one (unar, or unrar x), then give the folder"
        raise ShardsError(f"{option} {given} is one of several volumes", hint)
    end = max((block.data_offset + block.add_size for block in blocks), default=0)
    if not any(block.type == rarfile.RAR_BLOCK_ENDARC for block in blocks) or end > size:
        raise ShardsError(f"{option} {given} is a RAR archive that is cut short", "Download it again")
    files: dict[str, RarMember] = {}
    for entry, original in zip(entries, originals, strict=True):
        if entry.is_dir():
            continue
        where = f"{option} {given}:{entry.filename}"
        checksum = f"{original.CRC:08x}" if original.CRC is not None else (original.blake2sp_hash or b"").hex()
        if entry.is_symlink() or not checksum:
            reason = "is a link" if entry.is_symlink() else "has no checksum"
            raise ShardsError(f"{where} {reason}", _BY_HAND)
        if entry.filename in files:
            raise ShardsError(f"{where} is in the RAR twice", "Pack the RAR again with unique names")
        is_stored = original.compress_type == rarfile.RAR_M0 and original.compress_size == original.file_size
        files[entry.filename] = RarMember(original.file_size, checksum, original.data_offset if is_stored else -1)
    return files


def _has_volumes(blocks: list[Any]) -> bool:
    import rarfile

    of_file = rarfile.RAR_FILE_SPLIT_BEFORE | rarfile.RAR_FILE_SPLIT_AFTER
    flags = {rarfile.RAR_BLOCK_MAIN: rarfile.RAR_MAIN_VOLUME, rarfile.RAR_BLOCK_FILE: of_file}
    return any(block.flags & flags.get(block.type, 0) for block in blocks)
