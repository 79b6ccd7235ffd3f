"""The exact command that made a data set, from the options in its manifest."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
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
)
from lpff_shards.options.mix import DEFAULT_ALPHA, DEFAULT_MAX_REPLICAS, MixOptions
from lpff_shards.options.sources import ORIGIN, SourceOptions
from lpff_shards.schemas.sources import SPECS
from lpff_shards.schemas.text import format_exact_bytes

WIDTH = 100
_SOURCES = (*SPECS, *(file for spec in SPECS.values() for file in spec.files))
_OWN = tuple(name for name, one in declared(SourceOptions).items() if one.repeated)
_PATHS = (*file_options(SourceOptions), *file_options(MixOptions), "crop")
_GROUPS = (ExportOptions, SourceOptions, MixOptions, PictureOptions, ShardOptions, RunOptions)
_ORDER = (
    "format",
    *(*_SOURCES, *_OWN, "alignment", "crop", "from", "crop_quality", "mirror"),
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
        recorded: options of a manifest. Its paths are last components: the command runs in the folder with them.
        out: the output folder.
        skips: whether bad input was left out, which is not recorded.

    Returns:
        Lines of at most about 100 columns, joined by backslashes; an option and its value stay on one line.
    """
    options = (*_options(recorded), *([("--on-error", "skip")] if skips else []), ("--out", _path(out)))
    return _wrapped("lpff-shards export", options)


def conversions(recorded: Mapping[str, Any], out: str) -> tuple[Mapping[str, Any], str, str]:
    """Return the options of the first export, the folder that it wrote, and the commands that converted it since."""
    commands: list[str] = []
    while ORIGIN in recorded:
        origin = recorded[ORIGIN]
        words = (*((flag(name), str(value)) for name, value in origin["given"].items()), ("--out", _path(out)))
        commands.insert(0, _wrapped(f"lpff-shards convert {_quoted(_path(origin['path']))}", words))
        recorded, out = origin["options"], origin["path"]
    return recorded, out, "\n".join(commands)


def _wrapped(start: str, options: Iterable[tuple[str, ...]]) -> str:
    """Return a command line with options, as `command` does."""
    lines = [start]
    for words in options:
        part = " ".join(map(_quoted, words))
        # Two columns are kept for the backslash.
        if len(lines[-1]) + 1 + len(part) + 2 <= WIDTH:
            lines[-1] += f" {part}"
        else:
            lines.append(f"  {part}")
    return " \\\n".join(lines)


def _quoted(word: str) -> str:
    """Quote a word for a shell; control characters are escaped for bash and zsh."""
    if word.isprintable():
        return shlex.quote(word)

    def spelled(letter: str) -> str:
        if letter.isprintable() and letter not in "\\'":
            return letter
        return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))

    return f"$'{''.join(map(spelled, word))}'"


def _options(recorded: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    # The paths of data sets that other packages add, by name.
    others = {name: value for name, value in recorded.items() if name not in _ORDER and isinstance(value, str)}
    format = get_format(recorded["format"])
    defaults = {
        **_DEFAULTS,
        "name": _name_by_default(recorded, others),
        "alignment": recorded["alignment"] if "crop" in recorded else "eg3d",
        "mirror": recorded["alignment"] == "eg3d",
        "image": "png" if "crop" in recorded and format.image == "keep" else format.image,
        "quality": DEFAULT_JPEG_QUALITY if recorded["image"] == "jpeg" else None,
        "shuffle": not format.for_trainers,
    }
    behind = _ORDER.index("alignment")
    for name in (*_ORDER[:behind], *others, *_ORDER[behind:]):
        value = recorded.get(name)
        if value is None or value == () or value == [] or value == defaults.get(name):
            continue
        if isinstance(value, bool):
            yield (flag(name if value else f"no_{name}"),)
        elif name in _OWN:
            yield from ((flag(name), one) for one in value)
        elif name in _PATHS or name in others:
            yield flag(name), _path(value)
        elif name == "shard_size":
            yield flag(name), format_exact_bytes(value)
        else:
            yield flag(name), ",".join(value) if isinstance(value, list | tuple) else str(value)


def _path(name: str) -> str:
    """Return a path that an option accepts: not blank, and not starting like an option."""
    return name if name.strip() and not name.startswith("-") else f"./{name}"


def _name_by_default(recorded: Mapping[str, Any], others: Mapping[str, str]) -> str:
    named: dict[str, Any] = {name: recorded[name] for name in _SOURCES}
    paths = {name: _path(value) for name, value in named.items() if isinstance(value, str)}
    added = {name: _path(value) for name, value in others.items()}
    crop = {"crop": recorded["crop"], "from_": recorded["from"]} if "crop" in recorded else {}
    crops = {"alignment": recorded["alignment"], "mirror": recorded["mirror"], **crop}
    own = tuple(recorded.get("dataset", ()))
    sources = SourceOptions(**{**named, **paths}, others=added, dataset=own, **crops)
    mix = MixOptions(
        rebalance=recorded["rebalance"],
        as_=recorded["as"],
        num_replicas=recorded["num_replicas"] and _path(recorded["num_replicas"]),
        license=tuple(recorded["license"]),
        splits=recorded["splits"],
    )
    return ExportOptions(format=recorded["format"], out=".", sources=sources, mix=mix).dataset_name
