"""What the processes of this package do first."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def begin_worker(inherited: Sequence[Connection]) -> None:
    """Set up a worker process; `inherited` pipes, which a forked one has of others, are closed."""
    keep_freed_memory()
    # Ctrl-C reaches the whole process group; only the parent handles it. It may have handlers of its own for others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    for other in inherited:
        other.close()


def keep_freed_memory() -> None:
    """Let this process keep up to 64 MiB of freed memory, and take blocks of up to 32 MiB from it.

    glibc would return the memory of each picture to the system: decoding PNGs and WebPs then takes 1.4 times as long.
    For processes of this package only. Source: mallopt(3); systems without it stay as they are.
    """
    import ctypes

    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
