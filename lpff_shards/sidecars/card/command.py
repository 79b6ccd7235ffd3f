"""The exact command that made a data set, from the options in its manifest."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from lpff_shards.formats.registry import get_format
from lpff_shards.options.declaration import declared, file_options, flag
from lpff_shards.options.export import (
    DEFAULT_JPEG_QUALITY,
    DEFAULT_SHARD_SIZE,
    ExportOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    SourceOptions,
)
from lpff_shards.options.mix import DEFAULT_ALPHA, DEFAULT_MAX_REPLICAS, MixOptions
from lpff_shards.schemas.sources import SPECS
from lpff_shards.schemas.text import format_exact_bytes

WIDTH = 100
_SOURCES = (*SPECS, *(file for spec in SPECS.values() for file in spec.files))
_PATHS = (*file_options(SourceOptions), *file_options(MixOptions))
_GROUPS = (ExportOptions, SourceOptions, MixOptions, PictureOptions, ShardOptions, RunOptions)
_ORDER = (
    "format",
    *(*_SOURCES, "alignment", "mirror"),
    *(name.rstrip("_") for name in declared(MixOptions)),
    *("name", "metadata", "zip_copies"),
    *(*declared(PictureOptions), *declared(ShardOptions)),
    "checksum",
)
"""Options in printed order: sources in the order in which they are combined, the data set's name after them."""
_DEFAULTS: Mapping[str, Any] = {
    **{name.rstrip("_"): one.default for kind in _GROUPS for name, one in declared(kind).items()},
    **{"alpha": DEFAULT_ALPHA, "max_replicas": DEFAULT_MAX_REPLICAS, "shard_size": DEFAULT_SHARD_SIZE, "seed": 0},
    "zip_copies": "files",
}
"""Recorded defaults of options that depend on no other option."""


def command(recorded: Mapping[str, Any], out: str, skips: bool = False) -> str:
    """Return the command, quoted for a shell, with only the options that differ from their defaults.

    Args:
        recorded: the result of `exporters.record_options.recorded`, or the options of a manifest. Its paths are last
            components, so the command runs in the folder that contains them.
        out: the output folder.
        skips: whether bad input was left out, which is not recorded.

    Returns:
        Lines of at most about 100 columns, joined by backslashes; an option and its value stay on one line.
    """
    words = [*_options(recorded), *([("--on-error", "skip")] if skips else []), ("--out", _path(out))]
    return _wrapped(["lpff-shards export", *(" ".join(map(_quoted, word)) for word in words)])


def _quoted(word: str) -> str:
    """Quote a word for a shell; control characters are escaped for bash and zsh."""
    if word.isprintable():
        return shlex.quote(word)
    spelled = (c if c.isprintable() and c not in "\\'" else _spelled(c) for c in word)
    return f"$'{''.join(spelled)}'"


def _spelled(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))


def _options(recorded: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    behind = _ORDER.index("alignment")
    for name in (*_ORDER[:behind], *_others(recorded), *_ORDER[behind:]):
        value = recorded.get(name)
        if value is None or value == () or value == [] or value == _default(name, recorded):
            continue
        if isinstance(value, bool):
            yield (flag(name if value else f"no_{name}"),)
        else:
            yield flag(name), _spelled_value(name, value)


def _others(recorded: Mapping[str, Any]) -> dict[str, str]:
    """The paths of data sets that other packages add, by name."""
    return {name: value for name, value in recorded.items() if name not in _ORDER and isinstance(value, str)}


def _spelled_value(name: str, value: Any) -> str:
    if name in _PATHS or name not in _ORDER:
        return _path(value)
    if name == "shard_size":
        return format_exact_bytes(value)
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def _default(name: str, recorded: Mapping[str, Any]) -> object:
    """Return the recorded default of an option."""
    if name == "name":
        return _name_by_default(recorded)
    if name == "mirror":
        return recorded["alignment"] == "eg3d"
    if name == "image":
        return get_format(recorded["format"]).image
    if name == "quality":
        return DEFAULT_JPEG_QUALITY if recorded["image"] == "jpeg" else None
    if name == "shuffle":
        return not get_format(recorded["format"]).for_trainers
    return _DEFAULTS.get(name)


def _path(name: str) -> str:
    """Return a path that an option accepts: not blank, and not starting like an option."""
    return name if name.strip() and not name.startswith("-") else f"./{name}"


def _name_by_default(recorded: Mapping[str, Any]) -> str:
    """Return the default name of the data set."""
    named: dict[str, Any] = {name: recorded[name] for name in _SOURCES}
    paths = {name: _path(value) for name, value in named.items() if isinstance(value, str)}
    others = {name: _path(value) for name, value in _others(recorded).items()}
    alignment, mirror = recorded["alignment"], recorded["mirror"]
    sources = SourceOptions(**{**named, **paths}, others=others, alignment=alignment, mirror=mirror)
    mix = MixOptions(
        rebalance=recorded["rebalance"],
        as_=recorded["as"],
        num_replicas=recorded["num_replicas"] and _path(recorded["num_replicas"]),
        license=tuple(recorded["license"]),
        splits=recorded["splits"],
    )
    return ExportOptions(format=recorded["format"], out=".", sources=sources, mix=mix).dataset_name


def _wrapped(parts: list[str]) -> str:
    lines = [parts[0]]
    for part in parts[1:]:
        # Two columns are kept for the backslash.
        if len(lines[-1]) + 1 + len(part) + 2 <= WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(f"  {part}")
    return " \\\n".join(lines)
