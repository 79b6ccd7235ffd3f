"""Ctrl-C and SIGTERM: the first one stops a command, which cleans up; a later one ends the process."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType

from lpff_shards.errors import Interrupted

LATER = 0.01
"""Seconds after which a signal is delivered again if it could not be raised."""
CLEANING = 5.0
"""Seconds after a signal in which further ones are ignored, for cleaning up."""


class _Stopped(KeyboardInterrupt):
    """A signal to stop; Python would die of a KeyboardInterrupt itself that passes an `exec`, as in dataclasses."""


def hear() -> None:
    """Raise a KeyboardInterrupt on the first Ctrl-C or SIGTERM; end the process on one that comes `CLEANING` later."""
    stopped: list[float] = []

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if not stopped:
            stopped.append(time.monotonic())
            raise _Stopped
        if time.monotonic() - stopped[0] > CLEANING:
            os._exit(Interrupted.exit_status)

    def again(lost: sys.UnraisableHookArgs) -> None:
        # Stop a moment later if Python could not raise it, as in the callbacks of an import.
        if not isinstance(lost.exc_value, _Stopped):
            sys.__unraisablehook__(lost)
            return
        stopped.clear()
        signal.setitimer(signal.ITIMER_REAL, LATER)

    sys.unraisablehook = again
    signal.signal(signal.SIGALRM, stop)
    signal.signal(signal.SIGTERM, stop)
    # Ignored where a shell started this in the background.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)
