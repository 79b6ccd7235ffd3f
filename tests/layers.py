"""The layers of the package as docs/architecture.md draws them: a line for the parts that import only lines above."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set
from functools import cache


def drawn(allowed: Mapping[str, Set[str]]) -> str:
    """The drawing: each part one line below the lowest of those that it may import.

    Args:
        allowed: the parts that each part may import.
    """

    @cache
    def depth(part: str) -> int:
        return 1 + max((depth(other) for other in allowed[part] if other != part), default=-1)

    lines: dict[int, list[str]] = defaultdict(list)
    for part in allowed:
        lines[depth(part)].append(part)
    return "\n".join(f"{number:2}  {'  '.join(sorted(parts))}" for number, parts in sorted(lines.items()))
