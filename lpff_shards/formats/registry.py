"""Look up formats by name and by the names of their files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.filenames import ONCE
from lpff_shards.schemas.plugins import UPDATE, added, load

if TYPE_CHECKING:
    from lpff_shards.formats.base import Format
    from lpff_shards.schemas.receipt import ShardReceipt

GROUP = "lpff_shards.formats"
"""The entry points by which other packages add formats: a name, and a subclass of `formats.base.Format`."""

_OWN: Mapping[str, str] = {
    "wds": "lpff_shards.formats.wds:WebDataset",
    "tfrecord": "lpff_shards.formats.tfrecord:TfRecord",
    "zip": "lpff_shards.formats.zip:TrainersZip",
    "parquet": "lpff_shards.formats.parquet:Parquet",
    "arrayrecord": "lpff_shards.formats.arrayrecord:ArrayRecord",
}
_HOMES: Mapping[str, str] = {**_OWN, **added(GROUP), **_OWN}
NAMES = tuple(_HOMES)


@cache
def get_format(name: str) -> Format:
    """Return the format of that name.

    Raises:
        ShardsError: there is no such format, or the package that adds it is broken.
    """
    if name not in _HOMES:
        raise ShardsError(f"unknown format {name!r}", f"Use one of: {', '.join(NAMES)}")
    kind = load(f"the format {name}", _HOMES[name])
    if name not in _OWN and (fault := _fault(kind, name)):
        raise ShardsError(f"the format {name} of {_HOMES[name]} {fault}", UPDATE)
    found: Format = kind()
    return found


def _fault(kind: Any, name: str) -> str:
    """Return what keeps a class of another package from being the format of a name; empty if nothing does."""
    from lpff_shards.formats.base import Format

    if not (isinstance(kind, type) and issubclass(kind, Format)):
        return "is not a class of formats.base.Format"
    named = ("name", "title", "tag", "pattern", "glob")
    if missing := [*sorted(kind.__abstractmethods__), *(one for one in named if not hasattr(kind, one))]:
        return f"lacks {', '.join(missing)}"
    if kind.name != name:
        return f"has the name {kind.name}"
    file = kind().filename("set-train", 0, 1)
    fits = kind.joining is not None or re.fullmatch(rf"set-train{kind.pattern}", file)
    return "" if fits else f"names a file {file}, which does not match its pattern"


def installed_format(name: str) -> Format:
    """Return the format of that name if its library is installed.

    Raises:
        ShardsError: the library is not installed.
    """
    format = get_format(name)
    if format.needs and find_spec(format.needs[0]) is None:
        module, extra = format.needs
        raise ShardsError(f"--format {name} needs {module}", f'Install it: pip install "lpff-shards[{extra}]"')
    return format


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    """Return the patterns of the names of finished files by format, without formats of broken packages."""
    found = {}
    for name in NAMES:
        with suppress(ShardsError):
            found[name] = re.compile(rf"[a-z][a-z0-9_]*-[a-z][a-z0-9]*{get_format(name).pattern}")
    return found


def format_of(file: str) -> Format | None:
    """Return the format of a finished file from its name; None if no format matches."""
    return next((get_format(name) for name, pattern in _patterns().items() if pattern.fullmatch(file)), None)


def is_shard_name(file: str, format: str | None = None) -> bool:
    """Return whether a name is that of a finished file, of one format or of any."""
    if format is None:
        return format_of(file) is not None
    return _patterns()[get_format(format).name].fullmatch(file) is not None


def index_names(file: str) -> tuple[str, ...]:
    """Return the names of a finished file's index files; empty for other files."""
    format = format_of(file)
    return format.index_names(file) if format else ()


def index_files(shard: ShardReceipt) -> Mapping[str, bytes]:
    """Return the index files of a shard by name; empty for a zip and its parts."""
    format = format_of(shard.file)
    return dict(zip(format.index_names(shard.file), format.indexes(shard), strict=True)) if format else {}


def beside_names(shards: Iterable[str]) -> set[str]:
    """Return the names of all files that an export may write next to its shards, except the manifest."""
    return {*ONCE, *(name for shard in shards for name in (*index_names(shard), wids_name(shard)))}


def wids_name(file: str) -> str:
    """Return the name of the wids index of a tar's split."""
    return f"{file[: file.rfind('-')]}.wids.json"
