"""The options that an export publishes, without the user's own folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lpff_shards.options.declaration import declared, file_options
from lpff_shards.options.export import DEFAULT_SHARD_SIZE, ExportOptions
from lpff_shards.options.mix import DEFAULT_ALPHA, DEFAULT_MAX_REPLICAS, DEGREE_TABLE
from lpff_shards.options.sources import MIRRORED
from lpff_shards.schemas.uris import is_uri
from lpff_shards.storage.path import parents as folders_above
from lpff_shards.storage.path import place


def recorded(options: ExportOptions) -> dict[str, Any]:
    """Return the options that determine the output, as in the manifest.

    Paths are reduced to their last component, defaults are filled in. `out`, `workers` and `overwrite` have no effect
    on the output; `on_error` is left out too, since a run that stopped at a bad picture may resume with `skip`.
    """
    parts = (options.sources, options.mix, options.resolved_picture, options.resolved_shards)
    found: dict[str, Any] = {"format": options.format, "name": options.dataset_name, "metadata": options.metadata}
    for part in parts:
        decisive = ((name, getattr(part, name), one) for name, one in declared(part).items() if one.decides)
        found |= {name.rstrip("_"): value for name, value, one in decisive if value != one.default or not one.sparse}
    found["mirror"] = options.sources.mirrors
    found |= {name: last_component(path) for name, path in {**options.sources.paths, **_mix_paths(options)}.items()}
    if options.mix.degree_table is not None:
        found["rebalance"] = f"{DEGREE_TABLE}:{last_component(options.mix.degree_table)}"
    if channels := options.sources.channels:
        found["channel"] = [f"{one.name}={last_component(one.path)}{one.words}" for one in channels]
    if options.sources.crop:
        found["crop"] = last_component(options.sources.crop)
    if own := options.sources.own:
        found["dataset"] = [f"{one.name}={last_component(one.path)}{MIRRORED * one.mirrored}" for one in own]
    if with_terms := [one for one in own if one.terms]:
        found["terms_of"] = [f"{one.name}={last_component(one.terms)}" for one in with_terms]
    if options.mix.rebalance == "uniform":
        found["alpha"] = DEFAULT_ALPHA if options.mix.alpha is None else float(options.mix.alpha)
        found["max_replicas"] = options.mix.max_replicas or DEFAULT_MAX_REPLICAS
    found["shuffle"] = options.resolved_shards.shuffles
    found["seed"] = (options.shards.seed or 0) if options.seeded else None
    if not options.traits.for_trainers and not (options.shards.samples_per_shard or options.shards.shards):
        found["shard_size"] = options.shards.shard_size or DEFAULT_SHARD_SIZE
    found["checksum"] = options.run.checksum
    return found | ({"zip_copies": options.zip_copies or "files"} if options.traits.for_trainers else {})


def last_component(path: str) -> str:
    """Return the recorded part of a path or URI: a data set should not publish a user's folders and buckets."""
    if is_uri(path):
        # A bucket's own name is not recorded.
        return place(path).name or "."
    return Path(path).name or path


def published_names(options: ExportOptions) -> tuple[tuple[str, str], ...]:
    """Return pairs of a user's path and its published name, the last component; longer paths first.

    The parent folders of the given paths, which are searched for metadata, come last.
    """
    given: dict[str, str] = {}
    parents: dict[str, str] = {}
    for path in given_paths(options).values():
        spellings = [place(path)] if is_uri(path) else [Path(path), Path(path).absolute()]
        given |= dict.fromkeys((path.rstrip("/"), *map(str, spellings)), last_component(path))
        parents |= {str(folder): last_component(str(folder)) for folder in folders_above(path, 2)}
    if (folder := options.sources.unpack_to) is not None:
        given |= dict.fromkeys((folder.rstrip("/"), str(Path(folder)), str(Path(folder).absolute())), "unpacked")
    ordered = [sorted(names.items(), key=lambda item: (-len(item[0]), item)) for names in (given, parents)]
    return tuple(item for names in ordered for item in names if item[0] not in ("", ".", "/"))


def redact_paths(text: str, names: tuple[tuple[str, str], ...]) -> str:
    """Return a text with the user's paths replaced as in `published_names`, also as parents of other paths."""
    for path, name in names:
        text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", name.replace("\\", r"\\"), text)
    return text


def given_paths(options: ExportOptions) -> dict[str, str]:
    """Return the paths and URIs of data sets and of their metadata files, by option name, or by `dataset NAME`."""
    own = options.sources.own
    sets = {f"dataset {one.name}": one.path for one in own} | {f"terms_of {one.name}": one.terms for one in own}
    sets |= {f"channel {one.name}": one.path for one in options.sources.channels}
    sets |= {f"rebalance {DEGREE_TABLE}": options.mix.degree_table or "", "crop": options.sources.crop_file or ""}
    return {**options.sources.paths, **_mix_paths(options), **{name: path for name, path in sets.items() if path}}


def _mix_paths(options: ExportOptions) -> dict[str, str]:
    files = ((name, getattr(options.mix, name)) for name in file_options(options.mix))
    return {name: path for name, path in files if path is not None}
