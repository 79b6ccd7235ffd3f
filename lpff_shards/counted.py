"""Numbers of things, and how fast they pass, in words."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """A number of things: 1 shard, 1,024 shards."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
