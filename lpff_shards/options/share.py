"""A share of an export's tasks, for batch systems: each of N processes writes its own, on whatever machine."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lpff_shards.errors import ShardsError

MOST = 100_000


@dataclass(frozen=True, slots=True)
class Share:
    """The I-th of N shares.

    Attributes:
        number: from 1.
        of: how many there are.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not (type(self.number) is type(self.of) is int and 1 <= self.number <= self.of <= MOST):
            raise ShardsError(
                f"--task {self.number}/{self.of} is no share", f"It is I/N, from 1/N to N/N, N up to {MOST:,}: 2/4"
            )

    @classmethod
    def parse(cls, text: str) -> Share:
        """The share that a text such as 2/4 names.

        Raises:
            ShardsError: it names none.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if match is None:
            raise ShardsError(f"--task {text!r} is no share", "It is I/N, from 1/N to N/N: 2/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def tasks(self, count: int) -> range:
        """Which of so many tasks are this share's: every N-th, so that all shares are alike."""
        return range(self.number - 1, count, self.of)
