"""Copying bytes from file to file inside the system's kernel, or by hand where it does not do that."""

from __future__ import annotations

import errno
import os

from lpff_shards.storage.full_reads import pread_fully

BLOCK = 1 << 20
_REFUSALS = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY})


def copy(source: int, target: int, start: int, size: int) -> None:
    """Appends bytes of one file at another's position.

    Args:
        source, target: open files.
        start, size: which bytes.

    Raises:
        OSError: one cannot be read or the other written, or the source ends early.
    """
    done = _by_kernel(source, target, start, size) if hasattr(os, "copy_file_range") else 0
    while done < size:
        data = read(source, start + done, min(BLOCK, size - done))
        write(target, data)
        done += len(data)


def read(source: int, start: int, size: int) -> bytes:
    """Return bytes of an open file.

    Raises:
        OSError: it cannot be read, or ends before them.
    """
    data = pread_fully(source, size, start)
    if len(data) < size:
        raise OSError(errno.EIO, "a part ends early")
    return data


def write(target: int, data: bytes) -> None:
    """Writes all of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]


def _by_kernel(source: int, target: int, start: int, size: int) -> int:
    """How many of the bytes the system copied before it would not go on."""
    done = 0
    while done < size:
        try:
            copied = os.copy_file_range(source, target, size - done, start + done)
        except OSError as error:
            if error.errno in _REFUSALS:
                break
            raise
        if not copied:
            break
        done += copied
    return done
