"""Editing the sealed files of an export as its writer would, so that what is read next to the seal is tested too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lpff_shards.manifest import to_json


def edit_sealed(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, receipt or plan.json in place, and seal it again."""
    value = json.loads(path.read_bytes())
    del value["seal"]
    change(value)
    path.write_bytes(to_json(value))


def flipped(data: bytes, at: int, bit: int) -> bytes:
    """The same bytes, but for one bit."""
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    return bytes(changed)
