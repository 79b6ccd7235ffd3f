"""Room on this machine's disk for what libraries write or read only as files."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lpff_shards.errors import ExportFailed, ShardsError

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
