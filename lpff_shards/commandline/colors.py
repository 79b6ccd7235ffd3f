"""Colors on a terminal, and how much a command prints: --quiet, --verbose or neither."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TextIO

import click

from lpff_shards.errors import ShardsError


@dataclass(frozen=True, slots=True)
class Colors:
    """How parts of a text are marked; where they are off, every text stays as it is."""

    on: bool = False

    def error(self, text: str) -> str:
        """What went wrong: red."""
        return click.style(text, fg="red", bold=True) if self.on else text

    def ok(self, text: str) -> str:
        """What is well: green."""
        return click.style(text, fg="green") if self.on else text

    def head(self, text: str) -> str:
        """The head of a section: bold."""
        return click.style(text, bold=True) if self.on else text


PLAIN = Colors()


def colors_of(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Colors:
    """The colors for a stream: on for a terminal that knows them, unless NO_COLOR or CLICOLOR=0 says otherwise.

    NO_COLOR counts where it is set and not empty, as https://no-color.org has it.
    """
    refused = environ.get("NO_COLOR") or environ.get("CLICOLOR") == "0" or environ.get("TERM") == "dumb"
    return Colors(is_terminal(stream) and not refused)


def is_terminal(stream: TextIO) -> bool:
    """Whether people look at a stream; one that is closed has no onlookers."""
    try:
        return stream.isatty()
    except ValueError:
        return False


class Loudness(Enum):
    """How much a command tells of its work on stderr, and whether it says on stdout that it is done."""

    QUIET = "quiet"
    NORMAL = "normal"
    VERBOSE = "verbose"

    @staticmethod
    def asked(quiet: bool, verbose: bool) -> Loudness:
        """What --quiet and --verbose ask for.

        Raises:
            ShardsError: both are given.
        """
        if quiet and verbose:
            raise ShardsError("--quiet and --verbose cannot be used together", "Give one of them")
        return Loudness.QUIET if quiet else Loudness.VERBOSE if verbose else Loudness.NORMAL
