"""Which index files belong to a data set: some beside each shard, some once for all."""

from __future__ import annotations

from collections.abc import Mapping, Set

from lpff_shards.manifest import Manifest
from lpff_shards.options.export import PART
from lpff_shards.schemas.filenames import TFDS, ZIP, index_names, wids_name
from lpff_shards.schemas.outline import Outlined
from lpff_shards.sidecars.indexes import dali, energon, tfds, wids


def of_shard(shard: Outlined) -> Mapping[str, bytes]:
    """The index files of a shard by name; none of a zip, nor of its parts."""
    if shard.file.endswith((ZIP, PART)):
        return {}
    makers = (dali.of_tar, energon.of_tar) if shard.file.endswith(".tar") else (dali.of_records,)
    return {name: make(shard) for name, make in zip(index_names(shard.file), makers, strict=True)}


def of_data_set(manifest: Manifest, kinds: Set[str]) -> Mapping[str, bytes]:
    """The index files of a whole data set by name.

    Args:
        kinds: suffixes of its pictures.
    """
    if manifest.format == "zip":
        return {}
    if manifest.format == "wds":
        tars = {shard.split: shard.file for shard in manifest.shards}
        indexes = {wids_name(tar): wids.index(manifest, split) for split, tar in tars.items()}
        return {**indexes, **energon.metadata(manifest, kinds)}
    return dict(zip(TFDS, (tfds.dataset_info(manifest), tfds.features(manifest, kinds)), strict=True))
