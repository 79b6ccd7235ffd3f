"""What was left out of a data set, and why."""

from __future__ import annotations

from msgspec import Struct

OF_MIRROR = " (its mirror)"
"""What the id of a picture that was left out ends in, where it is the mirror of that id."""


class LeftOut(Struct, frozen=True):
    """A picture or sample that could not be used.

    Attributes:
        file: that holds the fault.
        id: of the picture in its source.
        reason: which rule it breaks.
        key: of the sample, empty where the picture was left out before planning.
    """

    file: str
    id: str
    reason: str
    key: str = ""


class Tombstone(Struct, frozen=True):
    """A sample that was taken out after its shard had been written.

    Attributes:
        key: of the sample; file: the shard that held it, empty where its picture could not be used anyway.
        names: digests of all that its picture is called, see `schemas.keys.mark`.
    """

    key: str
    file: str
    names: tuple[str, ...]
