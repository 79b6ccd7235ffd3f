"""Errors for users: the given value, what is allowed, what to do next."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from types import MappingProxyType

EXIT_DONE = 0
EXIT_DAMAGED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

EXIT_STATUSES: Mapping[int, str] = MappingProxyType(
    {
        EXIT_DONE: "done",
        EXIT_DAMAGED: "`verify` found damage, `trace` found nothing, a loader failed in `bench`, or the export could "
        "not be finished (disk full, a killed worker)",
        EXIT_BAD_INPUT: "bad input or options, or `verify` or `trace` could not run (disk full, a killed worker)",
        EXIT_INTERRUPTED: "stopped by Ctrl-C or SIGTERM; finished shards are kept",
    }
)
"""All exit statuses with their meanings, as in the documentation's table."""


class ShardsError(Exception):
    """An error that the user can fix.

    Args:
        message: the given value and what is wrong with it, without a full stop.
        hint: what is allowed or what to do next; may be empty.
    """

    exit_status = EXIT_BAD_INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        # Exception receives both, so that the error can be pickled between processes.
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the error as one line; control characters of file names and records are escaped."""
        # "Too many open files" has the same fix everywhere.
        hint = _more_files() if os.strerror(errno.EMFILE) in self.message else self.hint
        return printable(f"{self.message}. {hint}" if hint else self.message)


def _more_files() -> str:
    """Return the hint for a process that has reached its limit of open files."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"Use fewer --workers, or raise the limit of {limit} open files (ulimit -n)"


def printable(text: str) -> str:
    """Return a text as one line that is safe to print.

    Control characters and those that change the writing direction are escaped.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class BadInput(ShardsError):
    """One picture or record that cannot be used: `--on-error skip` leaves it out.

    Args:
        file: the faulty file (or `archive.zip:member`).
        id: the source id of the picture.
        reason: the broken rule, with the number that breaks it.
        more: number of other faulty pictures.
    """

    def __init__(self, file: str, id: str, reason: str, more: int = 0) -> None:
        others = f" ({more} more have a fault too)" if more else ""
        super().__init__(f"{file}: {id}: {reason}{others}", "Fix it, or leave such pictures out with --on-error skip")
        self.args = (file, id, reason, more)
        self.file = file
        self.id = id
        self.reason = reason
        self.more = more


class ExportFailed(ShardsError):
    """The export failed for a reason outside its input: a full disk, a killed worker."""

    exit_status = EXIT_DAMAGED


class Damaged(ShardsError):
    """A file of an export was changed after it was written."""

    exit_status = EXIT_DAMAGED


class NotFound(ShardsError):
    """Nothing in the export matches the searched name."""

    exit_status = EXIT_DAMAGED


class Interrupted(ShardsError):
    """Ctrl-C or SIGTERM; finished shards are kept, and the same command resumes."""

    exit_status = EXIT_INTERRUPTED
