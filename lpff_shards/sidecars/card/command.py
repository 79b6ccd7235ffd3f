"""How a data set was made: the exact command, from the options in its manifest, and the versions."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.options.export import (
    DEFAULT_JPEG_QUALITY,
    DEFAULT_SHARD_SIZE,
    SOURCE_FILES,
    SOURCES,
    ExportOptions,
    SourceOptions,
)
from lpff_shards.options.mix import DEFAULT_ALPHA, DEFAULT_MAX_REPLICAS, TRAIN, MixOptions
from lpff_shards.schemas.escaping import markdown
from lpff_shards.schemas.units import exact_size
from lpff_shards.sidecars.card.names import fenced, table

WIDTH = 100
_PATHS = (*(name for name in SOURCES if name != "demo"), *SOURCE_FILES, "num_replicas", "exclude")

Words = tuple[str, ...]


def command(recorded: Mapping[str, Any], out: str, skips: bool = False) -> str:
    """The command, quoted for a shell, with all that differs from the defaults and nothing else.

    Args:
        recorded: what `exporters.record_options.recorded` gave, fresh or as a manifest holds it. Its paths are last
            components, so the command is meant for the folder that holds them.
        out: the folder to write.
        skips: whether bad input was left out, which is not recorded.

    Returns:
        Lines of about 100 columns at most, joined by backslashes; an option and its value stay on one line.
    """
    words = [*_options(recorded), *([("--on-error", "skip")] if skips else []), ("--out", _path(out))]
    return _wrapped(["lpff-shards export", *(" ".join(map(_quoted, word)) for word in words)])


def _quoted(word: str) -> str:
    """A word for a shell; what terminals obey is spelled, as bash and zsh read it."""
    if word.isprintable():
        return shlex.quote(word)
    spelled = (c if c.isprintable() and c not in "\\'" else _spelled(c) for c in word)
    return f"$'{''.join(spelled)}'"


def _spelled(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))


def _options(recorded: Mapping[str, Any]) -> Iterator[Words]:
    yield "--format", recorded["format"]
    yield from _sources(recorded)
    yield from _mix(recorded)
    if recorded["name"] != _name_by_default(recorded):
        yield "--name", recorded["name"]
    yield from _unless(recorded, "metadata", "json")
    yield from _unless(recorded, "zip_copies", "files")
    yield from _picture(recorded)
    yield from _shards(recorded)
    yield from _unless(recorded, "checksum", "blake3")


def _sources(recorded: Mapping[str, Any]) -> Iterator[Words]:
    for name in (*SOURCES, *SOURCE_FILES):
        yield from _unless(recorded, name, None)
    yield from _unless(recorded, "alignment", "eg3d")
    if recorded["mirror"] != (recorded["alignment"] == "eg3d"):
        yield ("--mirror" if recorded["mirror"] else "--no-mirror",)


def _mix(recorded: Mapping[str, Any]) -> Iterator[Words]:
    yield from _unless(recorded, "rebalance", "none")
    yield from _unless(recorded, "as", "replicas")
    yield from _unless(recorded, "num_replicas", None)
    yield from _unless(recorded, "alpha", DEFAULT_ALPHA)
    yield from _unless(recorded, "max_replicas", DEFAULT_MAX_REPLICAS)
    yield from _unless(recorded, "target_size", None)
    if recorded["license"]:
        yield "--license", ",".join(recorded["license"])
    yield from _unless(recorded, "exclude", None)
    yield from _unless(recorded, "splits", TRAIN)


def _picture(recorded: Mapping[str, Any]) -> Iterator[Words]:
    yield from _unless(recorded, "image", get_format(recorded["format"]).image)
    yield from _unless(recorded, "resolution", None)
    yield from _unless(recorded, "quality", DEFAULT_JPEG_QUALITY if recorded["image"] == "jpeg" else None)


def _shards(recorded: Mapping[str, Any]) -> Iterator[Words]:
    if recorded["shard_size"] not in (None, DEFAULT_SHARD_SIZE):
        yield "--shard-size", exact_size(recorded["shard_size"])
    yield from _unless(recorded, "samples_per_shard", None)
    yield from _unless(recorded, "shards", None)
    if not recorded["shuffle"] and not get_format(recorded["format"]).for_trainers:
        yield ("--no-shuffle",)
    yield from _unless(recorded, "seed", 0)


def _unless(recorded: Mapping[str, Any], name: str, default: object) -> Iterator[Words]:
    """The option with its value, where it has one that is not the default."""
    value = recorded.get(name)
    if value is not None and value != default:
        yield f"--{name.replace('_', '-')}", _path(value) if name in _PATHS else str(value)


def _path(name: str) -> str:
    """A path as an option takes it: neither of blanks alone, as an unset variable is, nor like an option."""
    return name if name.strip() and not name.startswith("-") else f"./{name}"


def _name_by_default(recorded: Mapping[str, Any]) -> str:
    """The data set's name where the user gives none."""
    named: dict[str, Any] = {name: recorded[name] for name in (*SOURCES, *SOURCE_FILES)}
    paths = {name: _path(value) for name, value in named.items() if isinstance(value, str)}
    sources = SourceOptions(**{**named, **paths}, alignment=recorded["alignment"], mirror=recorded["mirror"])
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


def making(manifest: Manifest) -> str:
    """The command and the versions."""
    skips = bool(manifest.counts.skipped or manifest.counts.left_out)
    line = command(manifest.options, out=manifest.name, skips=skips)
    rows = (
        ("written by", manifest.generator),
        ("plan", f"`{manifest.plan}`"),
        ("schema of the fields", f"version {manifest.schema}"),
        ("checksums", f"{manifest.checksum}, in `manifest.json`; checked by `lpff-shards verify`"),
    )
    return (
        f"## How it was made\n\n{fenced(line, 'sh')}\n"
        "What is not named had its default. Of paths only the last part is recorded, and of `--out` nothing. The same "
        f"sources, options and version give the same bytes.\n{_update(manifest)}\n{table(('', ''), rows)}"
    )


def _update(manifest: Manifest) -> str:
    """How withdrawn pictures were taken out, where some were."""
    if not manifest.tombstones:
        return ""
    count, exclude = len(manifest.tombstones), markdown(str(manifest.options.get("exclude")))
    return (
        f"\nThen the same command with `--update` took out {count:,} samples that {exclude} names since: their shards "
        "were written again without them, the others stayed as they were. `manifest.json` lists them as `tombstones`.\n"
    )
