"""FormatError: bytes that break their format."""

from __future__ import annotations


class FormatError(Exception):
    """Bytes that break their format: the broken rule, and the offset of the fault in the buffer, -1 if unknown.

    The reader of a shard sets `key`, that of the sample, if it is known.
    """

    key = ""

    def __init__(self, reason: str, offset: int = -1) -> None:
        super().__init__(reason, offset)
        self.reason, self.offset = reason, offset

    def __str__(self) -> str:
        return f"{self.reason} (at byte {self.offset})" if self.offset >= 0 else self.reason
