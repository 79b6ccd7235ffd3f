"""What is where in a shard."""

from __future__ import annotations

from typing import Annotated, Protocol

from msgspec import Meta, Struct

Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A number of bytes or samples."""


class Outlined(Protocol):
    """What is where in a shard, as its receipt or the shard itself tells: see `manifest.ShardReceipt`."""

    @property
    def file(self) -> str: ...

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def offsets(self) -> tuple[int, ...]: ...

    @property
    def suffixes(self) -> tuple[tuple[str, ...], ...]: ...

    @property
    def members(self) -> tuple[tuple[int, ...], ...]: ...


class Outline(Struct, frozen=True):
    """What is where in a shard, read off the shard itself; fields as in `manifest.ShardReceipt`."""

    file: str
    keys: tuple[str, ...]
    offsets: tuple[Natural, ...]
    suffixes: tuple[tuple[str, ...], ...]
    members: tuple[tuple[Natural, ...], ...]
