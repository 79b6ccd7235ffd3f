"""Index files that other readers need once per data set; `Format.indexes` makes those of each shard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np

from lpff_shards.formats.base import ARRAY_SHAPES
from lpff_shards.formats.registry import get_format, wids_name
from lpff_shards.manifest import Manifest, Shard
from lpff_shards.schemas.fields import Kind
from lpff_shards.schemas.filenames import ENERGON, TFDS


def data_set_indexes(manifest: Manifest, kinds: Set[str]) -> Mapping[str, bytes]:
    """Return the index files of a whole data set by name; `kinds` are the suffixes of its pictures."""
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


_ENERGON_SAMPLES = "sample_type:\n  __module__: megatron.energon\n  __class__: ImageClassificationSample\n"
_ENERGON_CRUDE = "__module__: megatron.energon\n__class__: CrudeWebdataset\n"


def _energon(manifest: Manifest, kinds: Set[str]) -> Iterator[tuple[str, str]]:
    """Return `.nv-meta` of Megatron Energon: shards, splits, fields of a sample.

    Energon reads a crude data set only with a user's cooker, and `energon lint` has none. So the samples have a
    built-in type: the camera is the label, as in the archives of StyleGAN and EG3D, and all other fields are its
    name. `crude.yaml` is for users with a cooker. No built-in type fits all channels, so attached ones are crude.
    """
    info = {"energon_version": "7.0.0", "shard_counts": {shard.file: shard.samples for shard in manifest.shards}}
    # Energon requires three splits, even if empty. Only `shards` lists a split with all samples left out.
    names = dict.fromkeys(("train", "val", "test", *manifest.splits, *(shard.split for shard in manifest.shards)))
    splits = [f"  {name}: {json.dumps([shard.file for shard in _shards_of(manifest, name)])}\n" for name in names]
    packed = manifest.layout.packed
    fields = {"image": ",".join(sorted(kinds))}
    if manifest.layout.camera:
        fields["label"] = "mp[camera]" if packed else "camera.npy"
    fields["label_name"] = "mp" if packed else "json"
    typed = f"{_ENERGON_SAMPLES}field_map:\n" + "".join(f"  {name}: {member}\n" for name, member in fields.items())
    texts = (
        _json(info),
        f"split_parts:\n{''.join(splits)}exclude: []\n",
        _ENERGON_CRUDE if manifest.layout.attached else typed,
        _ENERGON_CRUDE,
    )
    return zip(ENERGON, texts, strict=True)


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
    info = {"name": manifest.name, "version": "1.0.0", "fileFormat": "tfrecord", "splits": splits}
    features = dict(sorted(_tfds_features(manifest, kinds).items()))
    contents = (info, _feature("features_dict.FeaturesDict", featuresDict={"features": features}))
    return zip(TFDS, map(_json, contents), strict=True)


def _tfds_features(manifest: Manifest, kinds: Set[str]) -> dict[str, Any]:
    """Return the features: pictures are images if all have one kind that TFDS decodes, else the stored bytes."""
    text = _feature("text_feature.Text", text={})
    found = {
        f.name: text if f.kind == "str" else _feature("scalar.Scalar", tensor=_tensor(_TFDS_TYPES[f.kind]))
        for f in manifest.layout.fields
    }
    encoding = _TFDS_ENCODINGS.get(next(iter(kinds))) if len(kinds) == 1 else None
    image = {"shape": {"dimensions": ["-1", "-1", "3"]}, "dtype": "uint8", "encodingFormat": encoding}
    if not manifest.layout.attached:
        found["image"] = _feature("image_feature.Image", image=image) if encoding else text
    shapes = {name: _tensor("float32", *ARRAY_SHAPES[name]) for name in manifest.layout.arrays}
    if manifest.layout.raw:
        shapes["image/shape"] = _tensor("int64", 3)
    for channel in manifest.layout.channels or ():
        # TFDS would turn indices of palettes into colors, so it returns the files of PNGs.
        found[channel.name] = text
        if channel.kind == "npy":
            tensor = _tensor(np.dtype(channel.arrays[0].dtype).name, *channel.arrays[0].shape)
            shapes[channel.name] = {**tensor, "encoding": "bytes"}
    return found | {name: _feature("tensor_feature.Tensor", tensor=tensor) for name, tensor in shapes.items()}


def _feature(kind: str, **content: Any) -> dict[str, Any]:
    return {"pythonClassName": f"tensorflow_datasets.core.features.{kind}", **content}


def _tensor(dtype: str, *shape: int) -> dict[str, Any]:
    return {"shape": {"dimensions": list(map(str, shape))} if shape else {}, "dtype": dtype, "encoding": "none"}
