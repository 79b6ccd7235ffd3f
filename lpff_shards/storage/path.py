"""Paths of the file system or of a bucket, their common functions, and temporary folders for copies.

All functions raise OSError if a place cannot be read or written, or missing rights or a disk error hide it.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeGuard

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.schemas.filenames import unfinished
from lpff_shards.schemas.uris import is_uri, of_no_store
from lpff_shards.storage.bucket import BucketPath, Listed
from lpff_shards.storage.file_io import pread_fully

StoragePath = Path | BucketPath

IN_MEMORY = 1 << 30
"""Bytes of the largest object that is fetched into memory."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP})
"""Errors that mean that a path does not exist. Any other error leaves it open."""


def place(given: str | os.PathLike[str] | BucketPath) -> StoragePath:
    """Return the place of a path or URI.

    Raises:
        ShardsError: the URI has no bucket or an unsupported scheme, or the text is not a path.
    """
    if isinstance(given, BucketPath):
        return given
    text = os.fspath(given)
    if "\0" in text:
        raise ShardsError(f"{text} is not a path: it contains a null character", "Remove the null character")
    if isinstance(given, str) and of_no_store(text):
        raise ShardsError(f"{text} is not supported", "Use a local path, s3://... or gs://...")
    return BucketPath.parse(text) if is_uri(text) else Path(given)


def parents(given: str, most: int) -> list[StoragePath]:
    """Return the folders or prefixes above a path or URI, nearest first."""
    if not is_uri(given):
        return list(Path(given).absolute().parents[:most])
    found: list[StoragePath] = []
    path = BucketPath.parse(given)
    while path.key and len(found) < most:
        path = path.parent
        found.append(path)
    return found


def exists(place: StoragePath) -> bool:
    """Return whether a path exists; in a bucket: an object of this key or any below it.

    Use this function, `is_file` and `is_folder` if absence matters: from Python 3.14 on `Path.exists` and similar
    methods return False if missing rights or a disk error hide the path.
    """
    if isinstance(place, BucketPath):
        return place.is_file() or place.is_dir()
    return _kind(place) != 0


def is_file(place: StoragePath) -> bool:
    """Return whether the place is a regular file or an object."""
    return place.is_file() if isinstance(place, BucketPath) else stat.S_ISREG(_kind(place))


def is_folder(place: StoragePath) -> bool:
    """Return whether the place is a folder, or a prefix with an object below it."""
    return place.is_dir() if isinstance(place, BucketPath) else stat.S_ISDIR(_kind(place))


def _kind(path: Path) -> int:
    """Return the file type of a path, with links followed; 0 if it does not exist."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    except ValueError:  # a NUL in the path
        pass
    return 0


def read_whole(place: StoragePath) -> memoryview:
    """Return all bytes of a file or object: mapped, or fetched, a large object to a temporary file."""
    if isinstance(place, BucketPath) and place.size() <= IN_MEMORY:
        return memoryview(place.read_bytes())
    # Do not wait for the writer of a pipe.
    with on_disk(place) as path, os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if found.st_size == 0:
            return memoryview(b"")
        # The mapping outlives the file's name, until its last view is deleted.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def is_remote(place: StoragePath) -> TypeGuard[BucketPath]:
    """Return whether a place is in a bucket: requests are slow, and need threads that a forked process lacks."""
    return isinstance(place, BucketPath)


def causes(place: StoragePath, *, writing: bool = True) -> str:
    """The usual causes of a failed write, or read, for errors."""
    if isinstance(place, BucketPath):
        return "bucket, endpoint, credentials"
    return "path, rights, free space" if writing else "path, rights"


def replace_file(place: StoragePath, data: bytes) -> None:
    """Write a small file or object atomically."""
    if isinstance(place, BucketPath):
        place.replace(data)
        return
    temporary = place.with_name(unfinished(place.name))
    try:
        temporary.write_bytes(data)
        temporary.replace(place)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def contains(outer: StoragePath, inner: StoragePath) -> bool:
    """Return whether `inner` is `outer` or in it."""
    if isinstance(inner, BucketPath) and isinstance(outer, BucketPath):
        return f"{inner}/".startswith(f"{str(outer).rstrip('/')}/")
    if isinstance(inner, BucketPath) or isinstance(outer, BucketPath) or not is_folder(outer):
        return False
    if Path(os.path.abspath(inner)).is_relative_to(os.path.abspath(outer)):  # noqa: PTH100  # links are not followed
        return True
    inner = inner.absolute()
    there = next(folder for folder in (inner, *inner.parents) if exists(folder)).resolve()
    # Compare the identity of folders: names may differ in case, or by links.
    return any(folder.samefile(outer) for folder in (there, *there.parents))


def free_space(place: StoragePath) -> tuple[Path, int | None]:
    """Return the folder of a place's unfinished files, existing or not, and its free bytes; None if unknown."""
    disk = Path(tempfile.gettempdir()) if isinstance(place, BucketPath) else place.absolute()
    with suppress(OSError):
        usage = shutil.disk_usage(next(folder for folder in (disk, *disk.parents) if is_folder(folder)))
        return disk, usage.free if usage.total else None
    return disk, None


def read_at(place: StoragePath, at: int, size: int) -> bytes:
    """Return bytes of a file or object, fewer at its end."""
    if isinstance(place, BucketPath):
        return place.read_at(at, size)
    with place.open("rb", buffering=0) as file:
        return pread_fully(file.fileno(), size, at)


def read_if_there(place: StoragePath) -> bytes | None:
    """Return all bytes of a file or object; None if it does not exist."""
    if isinstance(place, BucketPath):
        try:
            return place.read_bytes()
        except FileNotFoundError:
            return None
    return place.read_bytes() if is_file(place) else None


def names_in(place: StoragePath) -> tuple[str, ...]:
    """Return the names directly in a folder, or of the objects directly below a prefix; empty if it does not exist."""
    if isinstance(place, BucketPath):
        return tuple(one.name for one in place.listing()[0])
    return tuple(os.listdir(place)) if is_folder(place) else ()  # noqa: PTH208


def listed(place: StoragePath) -> Mapping[str, Listed]:
    """Return the files directly in a folder or below a prefix, by name; empty if it does not exist."""
    if isinstance(place, BucketPath):
        return {one.name: one for one in place.listing()[0]}
    if not is_folder(place):
        return {}
    with os.scandir(place) as entries:
        return {entry.name: Listed(entry.name, entry.stat().st_size, "") for entry in entries if entry.is_file()}


def remove(folder: StoragePath, names: Sequence[str]) -> None:
    """Remove existing files of a folder, or objects below a prefix; names may contain subfolders."""
    if isinstance(folder, BucketPath):
        wanted = {(folder / name).key for name in names}
        for below in {name.rpartition("/")[0] for name in names}:
            inner = folder / below
            inner.remove([name for name in names_in(inner) if (inner / name).key in wanted])
        return
    for name in names:
        with suppress(FileNotFoundError, NotADirectoryError):
            (folder / name).unlink()


def remove_tree(place: StoragePath) -> None:
    """Remove a folder with its contents, or the objects below a prefix; a missing one is no error."""
    if isinstance(place, BucketPath):
        place.remove_all()
    else:
        shutil.rmtree(place, ignore_errors=True)


def remove_empty(place: StoragePath) -> None:
    """Remove a folder if it is empty; a bucket has no folders."""
    with suppress(OSError):
        if isinstance(place, Path):
            place.rmdir()


@contextmanager
def on_disk(place: StoragePath) -> Iterator[Path]:
    """Yield a path for libraries that read only paths: of the file, or of a copy in a `scratch` folder."""
    if not isinstance(place, BucketPath):
        yield place
        return
    with scratch() as folder:
        path = folder / place.name
        place.fetch(path)
        yield path


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a temporary folder; the end of the block removes it.

    Raises:
        ShardsError: no folder for temporary files is writable.
        ExportFailed: its disk is full; sources and output are not at fault.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise no_place(str(error.strerror)) from None
    try:
        with tempfile.TemporaryDirectory(prefix="lpff-shards-") as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ExportFailed(
            f"{tempfile.gettempdir()}, the folder for temporary files, is full: {error.strerror}",
            "Free some space, or set TMPDIR to a folder on a larger disk",
        ) from None


def no_place(reason: str) -> ShardsError:
    """Return the error for unwritable temporary files; the file to read is not at fault."""
    return ShardsError(f"temporary files cannot be written: {reason}", "Set TMPDIR to a writable folder")
