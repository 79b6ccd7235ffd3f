"""Formats and data sets that other packages add by entry points."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

_ANY = b"[lpff_shards."


def added(group: str) -> Mapping[str, str]:
    """Return the entry points of a group, name to `module:object`, without loading the objects."""
    if not _is_any_added():
        return {}
    from importlib.metadata import entry_points

    return {one.name: one.value for one in entry_points(group=group)}


@cache
def _is_any_added() -> bool:
    """Return whether a package adds anything: importlib.metadata takes 30 ms to import and is rarely needed."""
    files = (path for folder in dict.fromkeys(sys.path) for path in Path(folder).glob("*-info/entry_points.txt"))
    with suppress(OSError):
        return any(_ANY in path.read_bytes() for path in files)
    return False
