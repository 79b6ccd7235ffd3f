"""Pieces of Markdown: tables, fenced code, and text of the user's as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&#$])")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; its cells are Markdown."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "".join(f"{line}\n" for line in lines)


def fenced(code: str, language: str) -> str:
    """Code that nothing inside it can end: the fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}\n"


def plain(text: str) -> str:
    """Text of the user's, such as a file's name, so that it is shown as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join("".join(c if c.isprintable() else " " for c in text).split()))


def listed(counts: Iterable[tuple[str, int]]) -> str:
    """Names with their counts, on one line."""
    return ", ".join(f"{name} {count:,}" for name, count in counts)
