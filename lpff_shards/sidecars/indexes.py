"""Index files that other readers need once per data set; `Format.indexes` makes those of each shard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from typing import Any

from lpff_shards.formats.base import ARRAY_SHAPES
from lpff_shards.formats.registry import get_format, wids_name
from lpff_shards.manifest import Manifest, Shard
from lpff_shards.schemas.fields import FIELDS, Kind
from lpff_shards.schemas.filenames import ENERGON, TFDS


def data_set_indexes(manifest: Manifest, kinds: Set[str]) -> Mapping[str, bytes]:
    """Return the index files of a whole data set by name.

    Args:
        kinds: suffixes of its pictures.
    """
    readers = get_format(manifest.format).readers
    makers = {"wids": _wids, "energon": _energon, "tfds": _tfds}
    return {name: text.encode() for one in readers if one in makers for name, text in makers[one](manifest, kinds)}


def _shards_of(manifest: Manifest, split: str) -> list[Shard]:
    return [shard for shard in manifest.shards if shard.split == split]


def _json(content: object) -> str:
    return json.dumps(content, indent=1) + "\n"


def _wids(manifest: Manifest, kinds: Set[str]) -> Iterator[tuple[str, str]]:  # noqa: ARG001  # members have any name
    """Yield each split's shard list for random access over tars; names are relative to the index."""
    for split in dict.fromkeys(shard.split for shard in manifest.shards):
        shards = _shards_of(manifest, split)
        content = {
            "__kind__": "wids-shard-index-v1",
            "wids_version": 1,
            "name": f"{manifest.name}-{split}",
            "shardlist": [{"url": one.file, "nsamples": one.samples, "filesize": one.bytes} for one in shards],
        }
        yield wids_name(shards[0].file), _json(content)


_ENERGON_VERSION = "7.0.0"
_ENERGON_SPLITS = ("train", "val", "test")
_ENERGON_SAMPLES = "sample_type:\n  __module__: megatron.energon\n  __class__: ImageClassificationSample\n"
_ENERGON_CRUDE = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"


def _energon(manifest: Manifest, kinds: Set[str]) -> Iterator[tuple[str, str]]:
    """Return `.nv-meta` of Megatron Energon: shards, splits, fields of a sample.

    Energon reads a crude data set only with a user's cooker, and `energon lint` has none. So the samples have a
    built-in type: the camera is the label, as in the archives of StyleGAN and EG3D, and all other fields are its
    name. `crude.yaml` is for users with a cooker.
    """
    counts = {shard.file: shard.samples for shard in manifest.shards}
    info = _json({"energon_version": _ENERGON_VERSION, "shard_counts": counts})
    # Energon requires three splits, even if empty. Only `shards` lists a split with all samples left out.
    names = dict.fromkeys((*_ENERGON_SPLITS, *manifest.splits, *(shard.split for shard in manifest.shards)))
    splits = [f"  {name}: {json.dumps([shard.file for shard in _shards_of(manifest, name)])}\n" for name in names]
    packed = manifest.layout.packed
    fields = {"image": ",".join(sorted(kinds))}
    if manifest.layout.camera:
        fields["label"] = "mp[camera]" if packed else "camera.npy"
    fields["label_name"] = "mp" if packed else "json"
    texts = (
        info,
        f"split_parts:\n{''.join(splits)}exclude: []\n",
        f"{_ENERGON_SAMPLES}field_map:\n" + "".join(f"  {name}: {member}\n" for name, member in fields.items()),
        _ENERGON_CRUDE,
    )
    return zip(ENERGON, texts, strict=True)


_TFDS_VERSION = "1.0.0"
_TFDS_CLASSES = "tensorflow_datasets.core.features."
_TFDS_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_TFDS_TYPES: Mapping[Kind, str] = {"int": "int64", "bool": "int64", "float": "float32"}
_TFDS_ENCODINGS = {"png": "png", "jpg": "jpeg"}


def _tfds(manifest: Manifest, kinds: Set[str]) -> Iterator[tuple[str, str]]:
    """Return the files of `tfds.builder_from_directory`: shards and samples of splits, names and types of features."""
    splits = [
        {
            "name": split,
            "shardLengths": [str(shard.samples) for shard in _shards_of(manifest, split)],
            "numBytes": str(sum(shard.bytes for shard in _shards_of(manifest, split))),
            "filepathTemplate": _TFDS_TEMPLATE,
        }
        for split in manifest.splits
    ]
    info = {"name": manifest.name, "version": _TFDS_VERSION, "fileFormat": "tfrecord", "splits": splits}
    features = {
        "pythonClassName": f"{_TFDS_CLASSES}features_dict.FeaturesDict",
        "featuresDict": {"features": dict(sorted(_tfds_features(manifest, kinds).items()))},
    }
    return zip(TFDS, map(_json, (info, features)), strict=True)


def _tfds_features(manifest: Manifest, kinds: Set[str]) -> dict[str, Any]:
    """Return the features: pictures are images if all have one kind that TFDS decodes, else the stored bytes."""
    found = {f.name: _tfds_scalar(f.kind) for f in FIELDS}
    encoding = _TFDS_ENCODINGS.get(next(iter(kinds))) if len(kinds) == 1 else None
    if encoding is None:
        found["image"] = _tfds_scalar("str")
    else:
        shape = {"shape": {"dimensions": ["-1", "-1", "3"]}, "dtype": "uint8", "encodingFormat": encoding}
        found["image"] = {"pythonClassName": f"{_TFDS_CLASSES}image_feature.Image", "image": shape}
    if manifest.layout.raw:
        found["image/shape"] = _tfds_tensor("int64", 3)
    return found | {name: _tfds_tensor("float32", *ARRAY_SHAPES[name]) for name in manifest.layout.arrays}


def _tfds_scalar(kind: Kind) -> dict[str, Any]:
    if kind == "str":
        return {"pythonClassName": f"{_TFDS_CLASSES}text_feature.Text", "text": {}}
    tensor = {"shape": {}, "dtype": _TFDS_TYPES[kind], "encoding": "none"}
    return {"pythonClassName": f"{_TFDS_CLASSES}scalar.Scalar", "tensor": tensor}


def _tfds_tensor(dtype: str, *shape: int) -> dict[str, Any]:
    tensor = {"shape": {"dimensions": [str(side) for side in shape]}, "dtype": dtype, "encoding": "none"}
    return {"pythonClassName": f"{_TFDS_CLASSES}tensor_feature.Tensor", "tensor": tensor}
