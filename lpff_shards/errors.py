"""The one family of errors that users see: what was given, what is allowed, what to do next."""

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
        EXIT_BAD_INPUT: "bad input or options, or `verify` or `trace` could not look (disk full, a killed worker)",
        EXIT_INTERRUPTED: "stopped by Ctrl-C or SIGTERM; finished shards are kept",
    }
)
"""All statuses with which commands end, and what each means: the documentation's table."""


class ShardsError(Exception):
    """Something the user can mend.

    Args:
        message: what was given and what is wrong with it, without a full stop.
        hint: what is allowed or what to do next; may be empty.
    """

    exit_status = EXIT_BAD_INPUT

    def __init__(self, message: str, hint: str = "") -> None:
        # Both go to Exception so that the error survives pickling between processes.
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """One line, whatever a file name or a record holds: control characters are escaped."""
        # Wherever it was met, this one has one remedy.
        hint = _more_files() if os.strerror(errno.EMFILE) in self.message else self.hint
        return printable(f"{self.message}. {hint}" if hint else self.message)


def _more_files() -> str:
    """What to do where a process has as many open files as the system allows."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"Use fewer --workers, or raise the limit of {limit} open files (ulimit -n)"


def printable(text: str) -> str:
    """Return a text for a terminal, as one line that does nothing to it.

    Control characters are escaped, and so are those that turn the direction of writing.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class BadInput(ShardsError):
    """One picture or record that cannot be used: `--on-error skip` leaves it out.

    Args:
        file: the file (or `archive.zip:member`) that holds the fault.
        id: the source id of the picture.
        reason: which rule it broke, with the number that broke it.
        more: how many other pictures have a fault too.
    """

    def __init__(self, file: str, id: str, reason: str, more: int = 0) -> None:
        others = f" ({more} more have a fault too)" if more else ""
        super().__init__(f"{file}: {id}: {reason}{others}", "Mend it, or leave such pictures out with --on-error skip")
        self.args = (file, id, reason, more)
        self.file = file
        self.id = id
        self.reason = reason
        self.more = more


class ExportFailed(ShardsError):
    """The export could not finish for a reason outside its input: a full disk, a dead worker."""

    exit_status = EXIT_DAMAGED


class Damaged(ShardsError):
    """A file that an export wrote was changed since."""

    exit_status = EXIT_DAMAGED


class NotFound(ShardsError):
    """An export knows nothing by the name that was looked for."""

    exit_status = EXIT_DAMAGED


class Interrupted(ShardsError):
    """Ctrl-C or SIGTERM; what is finished stays and the same command goes on."""

    exit_status = EXIT_INTERRUPTED
