"""Which index files belong to a data set: some beside each shard, some once for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lpff_shards.exporters.indexes import dali, energon, tfds, wids
from lpff_shards.manifest import Manifest, Outlined
from lpff_shards.options import PART

ZIP = ".zip"
DALI = "dali"
"""Folder of the indexes of TFRecords: beside the shards their names would match the shards' own patterns."""

ONCE = (
    *(f"{energon.FOLDER}/{name}" for name in (".info.json", "split.yaml", "dataset.yaml")),
    *("dataset_info.json", "features.json"),
)
"""Names of the files that stand once in a data set, whatever its format, but for those of wids."""


def names(file: str) -> tuple[str, ...]:
    """Names of the index files of a shard; a zip has its own inside."""
    if file.endswith(ZIP):
        return ()
    if file.endswith(".tar"):
        return f"{file.removesuffix('.tar')}.idx", f"{file}.idx"
    return (f"{DALI}/{file.replace('.tfrecord-', '-')}.idx",)


def of_shard(shard: Outlined) -> Mapping[str, bytes]:
    """The index files of a shard by name; none of a zip, nor of its parts."""
    if shard.file.endswith((ZIP, PART)):
        return {}
    makers = (dali.of_tar, energon.of_tar) if shard.file.endswith(".tar") else (dali.of_records,)
    return {name: make(shard) for name, make in zip(names(shard.file), makers, strict=True)}


def wids_name(file: str) -> str:
    """Name of the wids index of the split that a tar belongs to."""
    return f"{file[: file.rfind('-')]}.wids.json"


def of_data_set(manifest: Manifest, shards: Sequence[Outlined]) -> Mapping[str, bytes]:
    """The index files of a whole data set by name."""
    if manifest.format == "zip":
        return {}
    if manifest.format == "wds":
        tars = {shard.split: shard.file for shard in manifest.shards}
        indexes = {wids_name(tar): wids.index(manifest, split) for split, tar in tars.items()}
        return {**indexes, **energon.metadata(manifest)}
    kinds = {suffixes[0] for shard in shards for suffixes in shard.suffixes}
    return {"dataset_info.json": tfds.dataset_info(manifest), "features.json": tfds.features(manifest, kinds)}
