"""The floors of the package, and what its modules import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import lpff_shards

PACKAGE = Path(lpff_shards.__file__).parent
ROOT = PACKAGE.name

FLOORS = (
    ("__main__",),
    ("cli", ""),
    ("api", "commandline", "report"),
    ("exporters", "loaders", "verify"),
    ("planning", "sidecars"),
    ("executors", "manifest", "sources"),
    ("options",),
    ("formats", "storage"),
    ("schemas",),
    ("_version", "errors"),
)
"""From the top down the parts of each floor, which import only parts of lower ones; "" is the root package."""


def floor(part: str) -> int:
    """The floor of a part, 1 at the bottom."""
    return next(number for number, parts in enumerate(reversed(FLOORS), 1) if part in parts)


def part(module: str) -> str:
    """The part of the package that a module belongs to."""
    return module.partition(".")[0]


@cache
def imports() -> dict[str, set[str]]:
    """Of each module, by its name below the root, the modules that it imports anywhere: in functions, for types too."""
    paths = {_name(path): path for path in PACKAGE.rglob("*.py")}
    return {name: {one for one in _imported(path, set(paths)) if one != name} for name, path in paths.items()}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def _imported(path: Path, known: set[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by dots"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name == ROOT or name.startswith(f"{ROOT}."):
                yield next(one for one in _containing(name) if one in known)


def _containing(name: str) -> Iterator[str]:
    """A name below the root, and the modules that may hold it, the innermost first."""
    below = name.partition(".")[2]
    while below:
        yield below
        below = below.rpartition(".")[0]
    yield ""


def drawn() -> str:
    """The floors as docs/architecture.md shows them."""
    rows = [(floor(parts[0]), "  ".join(name or "__init__" for name in parts)) for parts in FLOORS]
    return "\n".join(f"{number:2}  {names}" for number, names in rows)
