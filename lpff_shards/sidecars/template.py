"""Filling in the templates of the card and the attribution; Markdown tables and code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from string import Template


def render(template: str, values: Mapping[str, object]) -> str:
    """Fill in a template.

    `$name` stands for a value. Lines between `%if name` and `%end` are kept where the value is true, those behind
    `%else` where it is not. `%if one !other` asks for several: the first true, the second not.

    Raises:
        KeyError: the template names a value that is not there.
    """
    kept: list[str] = []
    shown = [True]
    for line in template.splitlines(keepends=True):
        word, *names = line.split() or [""]
        if word == "%if":
            shown.append(shown[-1] and all(bool(values[name.lstrip("!")]) != (name[0] == "!") for name in names))
        elif word == "%else":
            shown[-1] = shown[-2] and not shown[-1]
        elif word == "%end":
            shown.pop()
        elif shown[-1]:
            kept.append(line)
    return Template("".join(kept)).substitute(values)


def table_rows(cells: Iterable[Iterable[object]]) -> str:
    """The rows of a table, of cells of Markdown."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in cells)


def fenced(code: str, language: str) -> str:
    """Code that nothing inside it can end: the fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"
