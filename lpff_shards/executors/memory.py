"""The memory that a process of this package keeps."""

from __future__ import annotations

from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


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
