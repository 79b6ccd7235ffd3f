"""Filling in the templates of the card and the attribution; Markdown tables and code blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from string import Template


def render(template: str, values: Mapping[str, object]) -> str:
    """Fill in a template.

    `$name` is replaced by a value. Lines from `%if name` to `%end` are kept if the value is true, those after `%else`
    if it is false. `%if one !other` requires several: the first true, the second false.

    Raises:
        KeyError: the template names a missing value.
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
    """Return the rows of a table from cells of Markdown."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in cells)


def fenced(code: str, language: str) -> str:
    """Return a code block whose fence is longer than any run of backticks in the code."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code.rstrip()}\n{fence}"
