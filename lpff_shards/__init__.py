"""lpff-shards: face crops with cameras and licenses as WebDataset tar or TFRecord shards, or as trainers' zips.

The public names are imported when they are first used, so that `import lpff_shards` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpff_shards._version import __version__

if TYPE_CHECKING:
    from lpff_shards.api import compare_rules, convert_export, export, export_share, plan_export
    from lpff_shards.errors import ShardsError
    from lpff_shards.exporters.attach import attach_channels
    from lpff_shards.exporters.finish import index_export
    from lpff_shards.manifest import Manifest, read_manifest
    from lpff_shards.options.declaration import Share
    from lpff_shards.options.export import ExportOptions, PictureOptions, RunOptions, ShardOptions
    from lpff_shards.options.mix import MixOptions
    from lpff_shards.options.sources import SourceOptions
    from lpff_shards.sidecars.trace import trace_export
    from lpff_shards.verify import verify_export

__all__ = [
    "ExportOptions",
    "Manifest",
    "MixOptions",
    "PictureOptions",
    "RunOptions",
    "ShardOptions",
    "ShardsError",
    "Share",
    "SourceOptions",
    "__version__",
    "attach_channels",
    "compare_rules",
    "convert_export",
    "export",
    "export_share",
    "index_export",
    "plan_export",
    "read_manifest",
    "trace_export",
    "verify_export",
]


def __getattr__(name: str) -> object:
    import importlib

    homes = {"Manifest": "manifest", "MixOptions": "options.mix", "ShardsError": "errors",
             "attach_channels": "exporters.attach", "Share": "options.declaration", "compare_rules": "api",
             "convert_export": "api", "export": "api", "export_share": "api",
             "SourceOptions": "options.sources", "index_export": "exporters.finish", "plan_export": "api",
             "read_manifest": "manifest", "trace_export": "sidecars.trace", "verify_export": "verify"}  # fmt: skip
    if name not in __all__:
        raise AttributeError(f"module 'lpff_shards' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lpff_shards.{homes.get(name, 'options.export')}"), name)
