"""Modules planted in the current folder, which tell when they run, and commands whose own folder is another."""

from __future__ import annotations

import sys
from pathlib import Path

NAMES = ("lpff_shards", "numpy", "blake3", "json", "struct", "pickle", "msgspec", "multiprocessing")


def plant(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    """Fill a folder with modules that tell when they run; returns the file in which they do."""
    told = folder.parent / "ran"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.py").write_text(f"open({str(told)!r}, 'a').write('{name} ')\nraise SystemExit(3)\n")
    return told


def installed(folder: Path, code: str, *arguments: str) -> list[str]:
    """Return a command as a console script runs it: its folder, not the current one, is the first of sys.path."""
    folder.mkdir()
    (folder / "beside.py").write_text("")
    (folder / "command").write_text(code)
    return [sys.executable, str(folder / "command"), *arguments]
