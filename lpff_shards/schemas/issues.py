"""What `verify` finds wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong: in which shard, at which sample (its key, or its number where the key is lost), and what."""

    shard: str
    sample: str
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}: {self.sample}: {self.reason}" if self.sample else f"{self.shard}: {self.reason}"
