"""NVIDIA DALI reads both formats on the CPU, through its index files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from readers.expected import NAME, Truth, assert_same

dali = pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed here")
fn = pytest.importorskip("nvidia.dali.fn")
tfrec = pytest.importorskip("nvidia.dali.tfrecord")


def _samples(define: Any) -> Iterator[list[np.ndarray]]:
    """What a pipeline yields in its first epoch, sample by sample."""
    pipeline = dali.pipeline_def(define, batch_size=1, num_threads=1, device_id=None)()
    pipeline.build()
    (reader,) = pipeline.reader_meta().values()
    for _ in range(reader["epoch_size"]):
        yield [np.asarray(output[0]) for output in pipeline.run()]


def test_dali_reads_every_split_of_tars(tars: Path, split: str, expected: Mapping[str, Truth]) -> None:
    paths = sorted(tars.glob(f"{NAME}-{split}-*.tar"))

    def define() -> Any:
        picture, camera, fields = fn.readers.webdataset(
            paths=list(map(str, paths)),
            index_paths=[str(path.with_suffix(".idx")) for path in paths],
            ext=["png", "camera.npy", "json"],
            missing_component_behavior="error",
        )
        return fields, fn.decoders.numpy(camera), fn.decoders.image(picture, device="cpu")

    found = ((json.loads(fields.tobytes())["key"], camera, picture) for fields, camera, picture in _samples(define))
    assert_same(found, expected)


def test_dali_reads_every_split_of_records(records: Path, split: str, expected: Mapping[str, Truth]) -> None:
    paths = sorted(records.glob(f"{NAME}-{split}.tfrecord-*"))

    def define() -> Any:
        features = fn.readers.tfrecord(
            path=list(map(str, paths)),
            index_path=[str(records / "dali" / f"{path.name.replace('.tfrecord-', '-')}.idx") for path in paths],
            features={
                "key": tfrec.FixedLenFeature((), tfrec.string, ""),
                "camera": tfrec.FixedLenFeature([25], tfrec.float32, 0.0),
                "image": tfrec.FixedLenFeature((), tfrec.string, ""),
            },
        )
        return features["key"], features["camera"], fn.decoders.image(features["image"], device="cpu")

    found = ((key.tobytes().decode(), camera, picture) for key, camera, picture in _samples(define))
    assert_same(found, expected)
