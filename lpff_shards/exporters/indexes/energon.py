"""Megatron Energon's files: the offsets of each tar's samples, and `.nv-meta`, which tells shards and splits."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from lpff_shards.manifest import Manifest, Outlined

FOLDER = ".nv-meta"
VERSION = "7.0.0"
_EXPECTED = ("train", "val", "test")
_DATA_SET = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"


def of_tar(shard: Outlined) -> bytes:
    """Where each sample's first header is and where the last sample ends, little-endian unsigned 64-bit numbers."""
    return struct.pack(f"<{len(shard.offsets)}Q", *shard.offsets)


def metadata(manifest: Manifest) -> Mapping[str, bytes]:
    """The files of `.nv-meta`. Energon expects the splits train, val and test, empty where there are none."""
    info = {"energon_version": VERSION, "shard_counts": {shard.file: shard.samples for shard in manifest.shards}}
    parts: dict[str, list[str]] = {split: [] for split in (*_EXPECTED, *manifest.splits)}
    for shard in manifest.shards:
        parts[shard.split].append(shard.file)
    lines = [f"  {part}: {json.dumps(files)}\n" for part, files in parts.items()]
    return {
        f"{FOLDER}/.info.json": json.dumps(info, indent=1).encode() + b"\n",
        f"{FOLDER}/split.yaml": f"split_parts:\n{''.join(lines)}exclude: []\n".encode(),
        f"{FOLDER}/dataset.yaml": _DATA_SET.encode(),
    }
