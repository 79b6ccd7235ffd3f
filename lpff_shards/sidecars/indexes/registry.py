"""Which index files belong to a data set: some beside each shard, some once for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from lpff_shards.formats.registry import format_of, get_format, wids_name
from lpff_shards.manifest import Manifest
from lpff_shards.schemas.filenames import TFDS
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.indexes import dali, energon, tfds, wids


def of_shard(shard: ShardReceipt) -> Mapping[str, bytes]:
    """The index files of a shard by name; none of a zip, nor of its parts."""
    format = format_of(shard.file)
    if format is None:
        return {}
    makers = _OF_SHARD.get(format.container, ())
    return {name: make(shard) for name, make in zip(format.index_names(shard.file), makers, strict=True)}


def of_data_set(manifest: Manifest, kinds: Set[str]) -> Mapping[str, bytes]:
    """The index files of a whole data set by name.

    Args:
        kinds: suffixes of its pictures.
    """
    make = _OF_DATA_SET.get(get_format(manifest.format).container)
    return {} if make is None else make(manifest, kinds)


def _of_tars(manifest: Manifest, kinds: Set[str]) -> Mapping[str, bytes]:
    tars = {shard.split: shard.file for shard in manifest.shards}
    indexes = {wids_name(tar): wids.index(manifest, split) for split, tar in tars.items()}
    return {**indexes, **energon.metadata(manifest, kinds)}


def _of_records(manifest: Manifest, kinds: Set[str]) -> Mapping[str, bytes]:
    return dict(zip(TFDS, (tfds.dataset_info(manifest), tfds.features(manifest, kinds)), strict=True))


_OF_SHARD: Mapping[str, tuple[Callable[[ShardReceipt], bytes], ...]] = {
    "tar": (dali.of_tar, energon.of_tar),
    "records": (dali.of_records,),
}
_OF_DATA_SET = {"tar": _of_tars, "records": _of_records}
"""By the container of samples, see `formats.base.Format`."""
