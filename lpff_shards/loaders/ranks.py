"""Which rank a process is, where its framework does not tell."""

from __future__ import annotations

import os


def of_environment() -> tuple[int, int]:
    """Rank and world size that torchrun and its like tell in RANK and WORLD_SIZE, else 0 of 1."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
