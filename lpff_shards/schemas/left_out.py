"""What was left out of a data set, and why."""

from __future__ import annotations

from msgspec import Struct


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
    """A sample that was taken out after its shard had been written: its key, and the shard that held it."""

    key: str
    file: str
