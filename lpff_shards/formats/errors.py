"""FormatError: bytes that break their format."""

from __future__ import annotations


class FormatError(Exception):
    """Bytes that break their format.

    Args:
        reason: the broken rule, with the number that broke it.
        offset: byte offset of the fault in the parsed buffer, -1 if unknown.
    """

    def __init__(self, reason: str, offset: int = -1) -> None:
        super().__init__(reason, offset)
        self.reason = reason
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.reason} (at byte {self.offset})" if self.offset >= 0 else self.reason
