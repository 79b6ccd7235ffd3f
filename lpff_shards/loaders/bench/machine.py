"""What the processes of a session take from the machine, and memory that holds no shards or is limited."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import control_groups
from lpff_shards.storage.path import StoragePath


def session_usage() -> tuple[float, int, int]:
    """Return CPU seconds and bytes read from storage of this process's session, and its memory now in bytes.

    A page of memory that n processes share counts 1/n in each (PSS). Ended children count in the first two. Without
    Linux's /proc all are 0.
    """
    ticks = read = pages = 0
    for folder in Path("/proc").glob("[0-9]*"):
        # Processes end meanwhile.
        with suppress(OSError):
            if os.getsid(int(folder.name)) == os.getsid(0):
                # The program's name, in parentheses, may contain spaces.
                ticks += sum(map(int, (folder / "stat").read_text().rpartition(")")[2].split()[11:15]))
                read += _number(folder / "io", "read_bytes")
                pages += _number(folder / "smaps_rollup", "Pss")
    return ticks / os.sysconf("SC_CLK_TCK"), read, pages * 1024


def _number(file: Path, name: str) -> int:
    return sum(map(int, re.findall(rf"^{name}:\s+(\d+)", file.read_text(), re.MULTILINE)))


def drop_page_cache(places: Sequence[StoragePath]) -> None:
    """Ask the system to remove files from its page cache; it may not do so, and reports no error."""
    for path in places:
        # Systems other than Linux may lack these functions.
        with suppress(OSError, AttributeError), Path(str(path)).open("rb") as file:
            # Only pages that are on the disk can be removed.
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """Make a control group with a memory limit in bytes, remove it at the end; raise ShardsError if not allowed.

    The limit counts pages of the page cache that a process of the group is the first to read.
    """
    # A group of version 2 that has processes cannot limit those below it, but the one above it may.
    groups = [above / f"lpff-shards-bench-{os.getpid()}" for above in reversed(control_groups("memory"))]
    group = next((group for group in groups if _limited(group, limit)), None)
    if group is None:
        own = f"`systemd-run --user --scope -p MemoryMax={limit} lpff-shards bench PATH --cold`"
        raise ShardsError("--memory needs a control group, and none can be made here", f"Run as root, or {own}")
    try:
        yield group
    finally:
        # Killed processes take a moment to leave it.
        for _ in range(100):
            with suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.02)


def _limited(group: Path, limit: int) -> bool:
    """Make a control group with a memory limit, by the file of version 2 or 1; return whether that is possible."""
    with suppress(OSError):
        group.mkdir()
        for name in ("memory.max", "memory.limit_in_bytes"):
            # Never create it: the folder may be no control group.
            with suppress(OSError), (group / name).open("r+b", buffering=0) as file:
                return file.write(b"%d" % limit) > 0
        group.rmdir()
    return False
