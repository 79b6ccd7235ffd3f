"""Megatron Energon's files: the offsets of each tar's samples, and `.nv-meta`: shards, splits, what is in a sample."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Set

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.filenames import ENERGON
from lpff_shards.schemas.receipt import ShardReceipt

VERSION = "7.0.0"
_EXPECTED = ("train", "val", "test")
_SAMPLES = "sample_type:\n  __module__: megatron.energon\n  __class__: ImageClassificationSample\n"
_CRUDE = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"


def of_tar(shard: ShardReceipt) -> bytes:
    """Where each sample's first header is and where the last sample ends, little-endian unsigned 64-bit numbers."""
    return struct.pack(f"<{len(shard.offsets)}Q", *shard.offsets)


def metadata(manifest: Manifest, kinds: Set[str]) -> Mapping[str, bytes]:
    """The files of `.nv-meta`.

    Args:
        kinds: suffixes of the pictures.
    """
    info = {"energon_version": VERSION, "shard_counts": {shard.file: shard.samples for shard in manifest.shards}}
    contents = (json.dumps(info, indent=1) + "\n", _splits(manifest), _data_set(manifest, kinds), _CRUDE)
    return {name: content.encode() for name, content in zip(ENERGON, contents, strict=True)}


def _splits(manifest: Manifest) -> str:
    """The shards of each split. Energon expects the splits train, val and test, empty where there are none."""
    parts: dict[str, list[str]] = {split: [] for split in (*_EXPECTED, *manifest.splits)}
    for shard in manifest.shards:
        # A split of which every sample was left out is none of the manifest's.
        parts.setdefault(shard.split, []).append(shard.file)
    lines = [f"  {part}: {json.dumps(files)}\n" for part, files in parts.items()]
    return f"split_parts:\n{''.join(lines)}exclude: []\n"


def _data_set(manifest: Manifest, kinds: Set[str]) -> str:
    """What a sample is made of.

    A crude data set is read only by those who write a cooker: without one Energon refuses it, and `energon lint` has
    none. So this one is of a type that Energon knows: the camera is the label, as in the archives of StyleGAN and
    EG3D, and all other fields are what names it. `crude.yaml` is for those who cook.
    """
    fields = {"image": ",".join(sorted(kinds))}
    if manifest.layout.camera:
        fields["label"] = "mp[camera]" if manifest.layout.packed else "camera.npy"
    fields["label_name"] = "mp" if manifest.layout.packed else "json"
    return f"{_SAMPLES}field_map:\n" + "".join(f"  {name}: {member}\n" for name, member in fields.items())
