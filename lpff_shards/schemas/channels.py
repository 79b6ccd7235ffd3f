"""Channels: files that belong to pictures: masks, captions, latents; in the samples, or in shards of their own.

A channel has one file per picture. In a tar it is the member `KEY.NAME.KIND`, elsewhere a feature or column `NAME`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from lpff_shards.errors import ShardsError

ChannelKind = Literal["png", "txt", "npy", "npz", "json"]
"""A picture (labels or levels), a text, an array, several arrays, or a row of a table."""
Mirror = Literal["flip", "same", "flip-last-axis", "own"]
"""How the file of a mirror follows from its picture's: `own` if it cannot, and must be given."""


class ArraySpec(Struct, frozen=True):
    """An array that every file of a channel has: its name in an NPZ (empty for NPY), numpy's type string, its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Channel(Struct, frozen=True):
    """One channel of a data set.

    Attributes:
        name: of the member, feature or column.
        optional: whether pictures may lack it: their files are empty (zeros), and the field `has_NAME` is false.
        arrays: of an NPY (one) or NPZ.
        mode: Pillow's mode of the first PNG, which empty ones have.
    """

    name: str
    kind: ChannelKind
    mirror: Mirror
    optional: bool = False
    arrays: tuple[ArraySpec, ...] = ()
    mode: str = ""

    @property
    def suffix(self) -> str:
        """Suffix of its members."""
        return f"{self.name}.{self.kind}"


_MOST = 100
"""Most characters of the name of a member of a tar."""


def refuse_long_names(keys: Iterable[str], channels: Sequence[Channel]) -> None:
    """Raise ShardsError if the name of a channel is too long for the keys of samples."""
    longest = max(keys, key=len, default="") if channels else ""
    for channel in channels:
        over = len(f"{longest}.{channel.suffix}") - _MOST
        if over > 0:
            message = (
                f"the name of the channel {channel.name} is too long for a member of a tar, with keys like {longest}"
            )
            raise ShardsError(message, f"Shorten it by {over}")
