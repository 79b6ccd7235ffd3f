"""The index that `wids` reads: the shards of a split with their samples, for random access over tars."""

from __future__ import annotations

import json

from lpff_shards.manifest import Manifest


def index(manifest: Manifest, split: str) -> bytes:
    """A split's shards; their names are relative to the index."""
    shards = [
        {"url": shard.file, "nsamples": shard.samples, "filesize": shard.bytes}
        for shard in manifest.shards
        if shard.split == split
    ]
    content = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": f"{manifest.name}-{split}",
        "shardlist": shards,
    }
    return json.dumps(content, indent=1).encode() + b"\n"
