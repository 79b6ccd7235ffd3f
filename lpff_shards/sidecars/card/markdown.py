"""Pieces of Markdown: tables and fenced code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


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


def listed(counts: Iterable[tuple[str, int]]) -> str:
    """Names with their counts, on one line."""
    return ", ".join(f"{name} {count:,}" for name, count in counts)
