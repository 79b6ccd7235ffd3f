"""Pictures and samples that were left out of a data set."""

from __future__ import annotations

from msgspec import Struct

OF_MIRROR = " (its mirror)"
"""Suffix of the id of a picture that was left out, for the mirror of that id."""


class LeftOut(Struct, frozen=True):
    """A picture or sample that could not be used.

    Attributes:
        file: with the fault.
        id: of the picture in its source.
        reason: which rule it breaks.
        key: of the sample; empty if the picture was left out before planning.
    """

    file: str
    id: str
    reason: str
    key: str = ""


class Tombstone(Struct, frozen=True):
    """A sample that was removed after its shard had been written.

    Attributes:
        key: of the sample.
        file: the shard that held it; empty if its picture had been left out before.
        names: digests of all names of its picture, see `schemas.keys.mark`.
    """

    key: str
    file: str
    names: tuple[str, ...]
