"""Formats and data sets that other packages add by entry points."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from lpff_shards.errors import ShardsError

UPDATE = "Update the package that adds it, or uninstall it"
"""The hint for a fault in what another package adds."""


def added(group: str) -> Mapping[str, str]:
    """Return the entry points of a group, name to `module:object`, without loading the objects."""
    if not _is_any_added():
        return {}
    from importlib.metadata import entry_points

    return {one.name: one.value for one in entry_points(group=group)}


def load(what: str, home: str) -> Any:
    """Load what an entry point `module:object` names; raise ShardsError, which says `what` it is, if that fails."""
    module, _, name = home.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:
        raise ShardsError(f"{what} cannot be loaded from {home}: {error}", UPDATE) from None


@cache
def _is_any_added() -> bool:
    """Return whether a package adds anything: importlib.metadata takes 30 ms to import and is rarely needed."""
    files = (path for folder in dict.fromkeys(sys.path) for path in Path(folder).glob("*-info/entry_points.txt"))
    with suppress(OSError):
        return any(b"[lpff_shards." in path.read_bytes() for path in files)
    return False
