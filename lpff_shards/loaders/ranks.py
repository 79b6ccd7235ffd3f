"""Which rank of how many a process is."""

from __future__ import annotations

import os

from lpff_shards.errors import ShardsError


def placed(rank: int | None, world_size: int | None, joined: tuple[int, int] | None) -> tuple[int, int]:
    """Rank and world size of this process.

    Args:
        rank, world_size: as the user gave them.
        joined: those of the processes that a framework has joined, None where it has joined none.

    Returns:
        What was given, else `joined`, else what torchrun tells in the environment, else 0 of 1.

    Raises:
        ShardsError: the environment tells no numbers.
    """
    if rank is not None or world_size is not None:
        return rank or 0, world_size or 1
    return joined or (_told("RANK", "0"), _told("WORLD_SIZE", "1"))


def _told(name: str, default: str) -> int:
    """A number of the environment."""
    text = os.environ.get(name, default)
    if not text.isdecimal():
        raise ShardsError(f"{name} is {text!r} in the environment", "It is a whole number; or give rank and world_size")
    return int(text)
