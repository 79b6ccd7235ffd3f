"""How much a command says: --quiet, --verbose, or neither."""

from __future__ import annotations

from enum import Enum

from lpff_shards.errors import ShardsError


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
            raise ShardsError("--quiet and --verbose exclude one another", "Give one of them")
        return Loudness.QUIET if quiet else Loudness.VERBOSE if verbose else Loudness.NORMAL
