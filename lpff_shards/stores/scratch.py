"""Room on this machine's disk for what libraries write or read only as files."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lpff_shards.errors import ExportFailed

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes with the block.

    Raises:
        ExportFailed: its disk is full; that is no fault of what is read or written elsewhere.
        OSError: it cannot be made.
    """
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
