"""Errors for users: the given value, what is allowed, what to do next."""

from __future__ import annotations

import errno
import os

EXIT_DAMAGED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


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
        hint = self.hint
        # It has the same fix everywhere.
        if os.strerror(errno.EMFILE) in self.message:
            import resource

            limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            hint = f"Use fewer --workers, or raise the limit of {limit} open files (ulimit -n)"
        return printable(f"{self.message}. {hint}" if hint else self.message)


def printable(text: str) -> str:
    """Return a text as one line; control characters and those that change the writing direction are escaped."""
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
