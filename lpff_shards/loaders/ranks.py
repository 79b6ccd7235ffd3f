"""Which rank of how many a process is."""

from __future__ import annotations

import os


def placed(rank: int | None, world_size: int | None, joined: tuple[int, int] | None) -> tuple[int, int]:
    """Rank and world size of this process.

    Args:
        rank, world_size: as the user gave them.
        joined: those of the processes that a framework has joined, None where it has joined none.

    Returns:
        What was given, else `joined`, else what torchrun tells in the environment, else 0 of 1.
    """
    if rank is not None or world_size is not None:
        return rank or 0, world_size or 1
    return joined or (int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))
