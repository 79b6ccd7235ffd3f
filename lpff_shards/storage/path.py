"""A path of the file system or of a bucket, and the questions that both answer; and temporary folders for copies."""

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
from lpff_shards.storage.full_reads import pread_fully

Place = Path | BucketPath

IN_MEMORY = 1 << 30
"""Bytes of the largest object that is fetched into memory whole."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP})
"""Errors that say that nothing is at a path. Any other says that it cannot be known."""


def place(given: str | os.PathLike[str] | BucketPath) -> Place:
    """The place that a text names.

    Raises:
        ShardsError: it is a URI without a bucket, or of no store that is known, or no path.
    """
    if isinstance(given, BucketPath):
        return given
    text = os.fspath(given)
    if "\0" in text:
        raise ShardsError(f"{text} is no path: it holds a null character", "Give it without")
    if isinstance(given, str) and of_no_store(text):
        raise ShardsError(f"{text} is not supported", "Use a local path, s3://... or gs://...")
    return BucketPath.parse(text) if is_uri(text) else Path(given)


def above(given: str, most: int) -> list[Place]:
    """The folders or prefixes above a path or URI, nearest first."""
    if not is_uri(given):
        return list(Path(given).absolute().parents[:most])
    found: list[Place] = []
    path = BucketPath.parse(given)
    while path.key and len(found) < most:
        path = path.parent
        found.append(path)
    return found


def exists(place: Place) -> bool:
    """Whether a file, a folder or anything else is there, or an object or any below it.

    Ask here and in `is_file` and `is_folder` where absence decides something: from Python 3.14 on `Path.exists` and the
    like answer False where rights or a disk keep them from knowing.

    Raises:
        OSError: it cannot be known.
    """
    return place.exists() if isinstance(place, BucketPath) else _kind(place) != 0


def is_file(place: Place) -> bool:
    """Whether a regular file or an object is there; raises what `exists` does."""
    return place.is_file() if isinstance(place, BucketPath) else stat.S_ISREG(_kind(place))


def is_folder(place: Place) -> bool:
    """Whether a folder is there, or an object below a prefix; raises what `exists` does."""
    return place.is_dir() if isinstance(place, BucketPath) else stat.S_ISDIR(_kind(place))


def _kind(path: Path) -> int:
    """The type of what is at a path, links followed; 0 where nothing is."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    except ValueError:  # a NUL, which no name has
        pass
    return 0


def whole(place: Place) -> memoryview:
    """All bytes of a file or object: mapped, or fetched, large ones to a file that nobody sees.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(place, BucketPath) and place.size() <= IN_MEMORY:
        return memoryview(place.read_bytes())
    # A pipe has no writer to wait for.
    with on_disk(place) as path, os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if found.st_size == 0:
            return memoryview(b"")
        # The mapping outlives the file's name, and goes when the last view of it does.
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def is_remote(place: Place) -> TypeGuard[BucketPath]:
    """Whether it is in a bucket: each request takes long, and is made by threads, which a forked process would lack."""
    return isinstance(place, BucketPath)


def absolute(place: Place) -> Place:
    """The place as seen from any folder."""
    return place if isinstance(place, BucketPath) else place.absolute()


def resolved(place: Place) -> Place:
    """The place without links, so that two can be compared."""
    return place if isinstance(place, BucketPath) else place.resolve()


def causes(place: Place) -> str:
    """What usually keeps one from reading or writing there, for errors."""
    return "bucket, endpoint, credentials" if isinstance(place, BucketPath) else "path, rights, free space"


def is_taken(place: Place) -> bool:
    """As `exists`, links that lead nowhere too."""
    return exists(place) or is_link(place)


def is_link(place: Place) -> bool:
    """Whether a symbolic link is there."""
    return isinstance(place, Path) and place.is_symlink()


def make_folder(place: Place) -> None:
    """Make a folder and those above it, where folders exist."""
    if isinstance(place, Path):
        place.mkdir(parents=True, exist_ok=True)


def replace_file(place: Place, data: bytes) -> None:
    """Write a small file or object, which appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
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


def contains(outer: Place, inner: Place) -> bool:
    """Whether a place is another one, or in it; raises what `exists` does."""
    if isinstance(inner, BucketPath) and isinstance(outer, BucketPath):
        return f"{inner}/".startswith(f"{str(outer).rstrip('/')}/")
    if isinstance(inner, BucketPath) or isinstance(outer, BucketPath) or not is_folder(outer):
        return False
    if Path(os.path.abspath(inner)).is_relative_to(os.path.abspath(outer)):  # noqa: PTH100  # links are not followed
        return True
    inner = inner.absolute()
    there = next(folder for folder in (inner, *inner.parents) if exists(folder)).resolve()
    # By the file system's own identity of folders: names may differ in case, or by links.
    return any(folder.samefile(outer) for folder in (there, *there.parents))


def free_bytes(disk: Path) -> int | None:
    """Bytes that are free where a folder is or is to be; None where the file system does not tell."""
    with suppress(OSError):
        usage = shutil.disk_usage(next(folder for folder in (disk, *disk.parents) if is_folder(folder)))
        return usage.free if usage.total else None
    return None


def read_at(place: Place, at: int, size: int) -> bytes:
    """Bytes of a file or object, fewer where it ends before.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(place, BucketPath):
        return place.read_at(at, size)
    with place.open("rb", buffering=0) as file:
        return pread_fully(file.fileno(), size, at)


def read_if_there(place: Place) -> bytes | None:
    """All bytes of a file or object; None where it is not there.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(place, BucketPath):
        try:
            return place.read_bytes()
        except FileNotFoundError:
            return None
    return place.read_bytes() if is_file(place) else None


def names_in(place: Place) -> tuple[str, ...]:
    """Names of what is directly in a folder, or of the objects directly below a prefix; none where it is not there.

    Raises:
        OSError: it cannot be listed.
    """
    if isinstance(place, BucketPath):
        return tuple(one.name for one in place.listed())
    return tuple(os.listdir(place)) if is_folder(place) else ()  # noqa: PTH208


def listed(place: Place) -> Mapping[str, Listed]:
    """The files directly in a folder or below a prefix by their names; none where it is not there.

    Raises:
        OSError: it cannot be listed.
    """
    if isinstance(place, BucketPath):
        return {one.name: one for one in place.listed()}
    if not is_folder(place):
        return {}
    with os.scandir(place) as entries:
        return {entry.name: Listed(entry.name, entry.stat().st_size, "") for entry in entries if entry.is_file()}


def remove(folder: Place, names: Sequence[str]) -> None:
    """Removes files of a folder, or objects below a prefix, that are there; names may lead into folders of it.

    Raises:
        OSError: one cannot be removed.
    """
    if isinstance(folder, BucketPath):
        wanted = {(folder / name).key for name in names}
        for below in {name.rpartition("/")[0] for name in names}:
            inner = folder / below
            inner.remove([name for name in names_in(inner) if (inner / name).key in wanted])
        return
    for name in names:
        with suppress(FileNotFoundError, NotADirectoryError):
            (folder / name).unlink()


@contextmanager
def on_disk(place: Place) -> Iterator[Path]:
    """A path at which libraries that read paths alone find a file: its own, or of a copy that goes with the block.

    Raises:
        OSError: it cannot be read.
        ExportFailed: there is no room for a copy.
    """
    if not isinstance(place, BucketPath):
        yield place
        return
    with scratch() as folder:
        path = folder / place.name
        place.fetch(path)
        yield path


_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes with the block.

    Raises:
        ShardsError: no folder takes temporary files.
        ExportFailed: its disk is full; that is no fault of what is read or written elsewhere.
        OSError: it cannot be made.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise no_place(str(error.strerror)) from None
    try:
        with tempfile.TemporaryDirectory(prefix="lpff-shards-") as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ExportFailed(
            f"{tempfile.gettempdir()}, where files are put together on their way, is full: {error.strerror}",
            "Free room there, or name a folder on a larger disk by TMPDIR",
        ) from None


def no_place(reason: str) -> ShardsError:
    """What is told where no temporary file can be written; nothing is wrong with what was to be read by it."""
    return ShardsError(f"temporary files cannot be written: {reason}", "Set TMPDIR to a folder that can be written")
