"""The options and the plan of a conversion: what is read of the finished export before its shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lpff_shards.errors import Damaged, ShardsError
from lpff_shards.exporters.preflight import refuse_sources
from lpff_shards.exporters.record_options import given_paths, last_component, published_names, recorded
from lpff_shards.formats.registry import installed_format
from lpff_shards.manifest import file_digest, read_manifest
from lpff_shards.options.export import ExportOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.options.sources import SourceOptions
from lpff_shards.planning.convert import COLUMNS, FinishedExport, plan_conversion
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.uris import is_uri
from lpff_shards.sidecars.attached import attached_channels
from lpff_shards.sidecars.sample_index import SampleIndex
from lpff_shards.storage.path import is_remote, place, read_whole


def conversion_options(path: str, out: str, format: str | None, **options: Any) -> ExportOptions:
    """Return the options of a conversion, see `api.convert_export`; `export` and `export_share` carry them out."""
    sources = SourceOptions(export=path)
    return ExportOptions(format=format or read_manifest(path).format, out=out, sources=sources, **options)


def planned_conversion(options: ExportOptions, path: str) -> Plan:
    """Return the plan of the conversion of an export."""
    others: dict[str, Any] = {"sources": SourceOptions(export=path), "mix": MixOptions(), "zip_copies": None}
    order, run = replace(options.shards, shuffle=None, seed=None), replace(options.run, update=False)
    if replace(options, **others, shards=order, run=run) != options:
        hint = "Leave out other sources, mix, zip_copies, shuffle, seed and update"
        raise ShardsError("a conversion keeps samples and order", hint)
    refuse_sources(place(options.out), given_paths(options))
    return plan_conversion(options, _finished(path), recorded(options), published_names(options))


def _finished(path: str) -> FinishedExport:
    """Return a finished export to convert: what its manifest and samples.sqlite say; shards are not read.

    Raises:
        ShardsError: it is unfinished or cannot be converted; samples.sqlite is missing or damaged.
    """
    root = place(path) if is_uri(path) else Path(path).absolute()
    manifest = read_manifest(root)
    format = installed_format(manifest.format)
    if format.joining and is_remote(root):
        raise ShardsError(f"{path} is a zip in a bucket, which cannot be read in parts", "Copy it to a disk first")
    if next(iter(manifest.lists.values()), 0) > manifest.samples:
        message = f"the copies of {path} are names in lists (--zip-copies list), which only a zip has"
        raise ShardsError(message, "Convert an export with its copies as samples")
    with SampleIndex.open(root, manifest) as index:
        columns, poses = {name: index.column(name) for name in COLUMNS}, tuple(index.pool() or ())
        listed = {"dataset": manifest.sources, "split": manifest.splits, "shard": range(len(manifest.shards))}
        known = all(set(columns[name].tolist()) <= set(names) for name, names in listed.items())
        if not known or file_digest(read_whole(index.path)) != manifest.files.get(index.path.name):
            raise Damaged(f"{index.path} is not what was written", f"Recreate it: lpff-shards index {root}")
    attached = ", ".join(attached_channels(root))
    note = f"attached channels are not converted: run lpff-shards attach on the new export ({attached})"
    return FinishedExport(root, last_component(path), manifest, columns, poses, (note,) * bool(attached))
