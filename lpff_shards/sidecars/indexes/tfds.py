"""TensorFlow Datasets' description of a folder of TFRecords, which `tfds.builder_from_directory` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from typing import Any

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import FIELDS, Kind
from lpff_shards.schemas.landmarks import LANDMARKS

VERSION = "1.0.0"
_CLASSES = "tensorflow_datasets.core.features."
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_TYPES: Mapping[Kind, str] = {"int": "int64", "bool": "int64", "float": "float32"}
_ENCODINGS = {"png": "png", "jpg": "jpeg"}


def dataset_info(manifest: Manifest) -> bytes:
    """`dataset_info.json`: splits and the samples of their shards."""
    splits = [
        {
            "name": split,
            "shardLengths": [str(shard.samples) for shard in manifest.shards if shard.split == split],
            "numBytes": str(sum(shard.bytes for shard in manifest.shards if shard.split == split)),
            "filepathTemplate": _TEMPLATE,
        }
        for split in manifest.splits
    ]
    content = {"name": manifest.name, "version": VERSION, "fileFormat": "tfrecord", "splits": splits}
    return json.dumps(content, indent=1).encode() + b"\n"


def features(manifest: Manifest, kinds: Set[str]) -> bytes:
    """`features.json`: name and type of each feature.

    Pictures of one kind that TFDS decodes are images; raw ones and others are the bytes as stored.

    Args:
        kinds: suffixes of the pictures.
    """
    found: dict[str, Any] = {f.name: _scalar(f.kind) for f in FIELDS}
    found["image"] = _image(kinds)
    if manifest.layout.raw:
        found["image/shape"] = _tensor("int64", 3)
    if manifest.layout.camera:
        found["camera"] = _tensor("float32", CAMERA_NUMBERS)
    if manifest.layout.landmarks:
        found["landmarks"] = _tensor("float32", LANDMARKS, 2)
    content = {
        "pythonClassName": f"{_CLASSES}features_dict.FeaturesDict",
        "featuresDict": {"features": dict(sorted(found.items()))},
    }
    return json.dumps(content, indent=1).encode() + b"\n"


def _image(kinds: Set[str]) -> dict[str, Any]:
    encoding = _ENCODINGS.get(next(iter(kinds))) if len(kinds) == 1 else None
    if encoding is None:
        return _scalar("str")
    shape = {"shape": {"dimensions": ["-1", "-1", "3"]}, "dtype": "uint8", "encodingFormat": encoding}
    return {"pythonClassName": f"{_CLASSES}image_feature.Image", "image": shape}


def _scalar(kind: Kind) -> dict[str, Any]:
    if kind == "str":
        return {"pythonClassName": f"{_CLASSES}text_feature.Text", "text": {}}
    tensor = {"shape": {}, "dtype": _TYPES[kind], "encoding": "none"}
    return {"pythonClassName": f"{_CLASSES}scalar.Scalar", "tensor": tensor}


def _tensor(dtype: str, *shape: int) -> dict[str, Any]:
    tensor = {"shape": {"dimensions": [str(side) for side in shape]}, "dtype": dtype, "encoding": "none"}
    return {"pythonClassName": f"{_CLASSES}tensor_feature.Tensor", "tensor": tensor}
