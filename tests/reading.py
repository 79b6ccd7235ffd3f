"""Shards read back by readers that others wrote: webdataset, TensorFlow with its CRC check, and zipfile."""

from __future__ import annotations

import json
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lpff_shards.schemas.fields import FIELDS


@dataclass
class Read:
    """A sample as a foreign reader sees it."""

    picture: bytes
    kind: str
    camera: np.ndarray | None
    landmarks: np.ndarray | None
    fields: dict[str, Any]
    shape: tuple[int, ...] | None = None


def read_wds(folder: Path) -> dict[str, Read]:
    """Every sample of a folder of tars, by key, through webdataset's own decoders."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset

        shards = sorted(map(str, folder.glob("*.tar")))
        samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode())
    found = {}
    for sample in samples:
        found[sample["__key__"]] = _wds_sample({k: v for k, v in sample.items() if not k.startswith("__")})
    assert len(found) == len(samples)
    return found


def _wds_sample(parts: dict[str, Any]) -> Read:
    packed = dict(parts.pop("mp", {}))
    fields = parts.pop("json", None) or {f.name: packed.pop(f.name) for f in FIELDS}
    arrays = {}
    for name in ("camera", "landmarks"):
        array = parts.pop(f"{name}.npy", None)
        arrays[name] = np.array(packed.pop(name), np.float32) if name in packed else array
    assert not packed
    ((kind, picture),) = parts.items()
    if kind == "image.npy":
        return Read(picture.tobytes(), "raw", **arrays, fields=fields, shape=picture.shape)
    return Read(picture, {"jpg": "jpeg"}.get(kind, kind), **arrays, fields=fields)


def read_tfrecord(folder: Path, tf: ModuleType) -> dict[str, Read]:
    """Every sample of a folder of TFRecords, by key; tf.data raises where a CRC does not match."""
    found: dict[str, Read] = {}
    for path in sorted(folder.glob("*.tfrecord-*")):
        for record in tf.data.TFRecordDataset([str(path)]).as_numpy_iterator():
            features = dict(tf.train.Example.FromString(record).features.feature)
            sample = _tf_sample(features)
            assert sample.fields["key"] not in found
            found[sample.fields["key"]] = sample
    return found


def _tf_sample(features: dict[str, Any]) -> Read:
    picture = features.pop("image").bytes_list.value[0]
    shape = tuple(features.pop("image/shape").int64_list.value) if "image/shape" in features else None
    kinds = {b"\x89PNG": "png", b"\xff\xd8\xff\xe0": "jpeg", b"\xff\xd8\xff\xe1": "jpeg", b"RIFF": "webp"}
    kind = "raw" if shape else kinds[picture[:4]]
    arrays: dict[str, np.ndarray | None] = {"camera": None, "landmarks": None}
    for name, form in (("camera", (25,)), ("landmarks", (68, 2))):
        if name in features:
            arrays[name] = np.array(features.pop(name).float_list.value, np.float32).reshape(form)
    fields: dict[str, Any] = {}
    for f in FIELDS:
        value = features.pop(f.name)
        if f.kind == "str":
            fields[f.name] = value.bytes_list.value[0].decode()
        elif f.kind == "float":
            fields[f.name] = value.float_list.value[0]
        else:
            fields[f.name] = bool(value.int64_list.value[0]) if f.kind == "bool" else value.int64_list.value[0]
    assert not features
    return Read(picture, kind, **arrays, fields=fields, shape=shape)


def read_zip(folder: Path) -> dict[str, Read]:
    """Every sample of a folder of zips, by key."""
    found: dict[str, Read] = {}
    for path in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            labels = dict(json.loads(archive.read("dataset.json"))["labels"] or [])
            for line in archive.read("samples.jsonl").splitlines():
                fields = json.loads(line)
                name, points = fields.pop("name"), fields.pop("landmarks", None)
                camera = np.array(labels[name], np.float32) if labels else None
                landmarks = None if points is None else np.array(points, np.float32)
                kind = {"jpg": "jpeg"}.get(name[-3:], name.rpartition(".")[2])
                assert fields["key"] not in found
                found[fields["key"]] = Read(archive.read(name), kind, camera, landmarks, fields)
    return found
