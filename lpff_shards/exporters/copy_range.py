"""Copying bytes between files in the kernel, or with reads and writes where the kernel cannot."""

from __future__ import annotations

import errno
import os

from lpff_shards.storage.full_reads import pread_fully

BLOCK = 1 << 20
_REFUSALS = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY})


def copy(source: int, target: int, start: int, size: int) -> None:
    """Copy bytes of one file to the current position of another.

    Args:
        source, target: file descriptors.
        start, size: byte range of the source.

    Raises:
        OSError: a file cannot be read or written, or the source ends early.
    """
    done = _by_kernel(source, target, start, size) if hasattr(os, "copy_file_range") else 0
    while done < size:
        data = read(source, start + done, min(BLOCK, size - done))
        write(target, data)
        done += len(data)


def read(source: int, start: int, size: int) -> bytes:
    """Return `size` bytes of an open file.

    Raises:
        OSError: the file cannot be read or ends early.
    """
    data = pread_fully(source, size, start)
    if len(data) < size:
        raise OSError(errno.EIO, "a part ends early")
    return data


def write(target: int, data: bytes) -> None:
    """Write all bytes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]


def _by_kernel(source: int, target: int, start: int, size: int) -> int:
    """Return how many bytes the kernel copied before it refused."""
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
