"""TensorFlow Datasets read the folder of TFRecords as a data set of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lpff_shards import ExportOptions, PictureOptions, SourceOptions, export
from lpff_shards.options.export import ImageKind
from readers.expected import SPLITS, Truth, assert_same


@pytest.fixture(scope="module")
def tfds(tf: ModuleType) -> ModuleType:
    """The package, on a TensorFlow that has been silenced."""
    return pytest.importorskip("tensorflow_datasets", reason="TensorFlow Datasets are not installed here")


def test_builder_from_directory_reads_every_split(
    tfds: ModuleType, records: Path, truths: Mapping[str, Mapping[str, Truth]]
) -> None:
    builder = tfds.builder_from_directory(str(records))
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        split: len(truths[split]) for split in SPLITS
    }
    for split in SPLITS:
        samples = tfds.as_numpy(builder.as_dataset(split=split))
        assert_same(((s["key"].decode(), s["camera"], s["image"]) for s in samples), truths[split])


@pytest.mark.parametrize(("image", "decoded"), [("jpeg", True), ("webp", False), ("raw", False)])
def test_pictures_that_tfds_cannot_decode_are_bytes(
    tfds: ModuleType, image: ImageKind, decoded: bool, tmp_path: Path
) -> None:
    sources, picture = SourceOptions(demo=3), PictureOptions(image=image, resolution=32)
    export(ExportOptions(format="tfrecord", out=str(tmp_path), sources=sources, picture=picture))
    samples = list(tfds.as_numpy(tfds.builder_from_directory(str(tmp_path)).as_dataset(split="train")))
    assert len(samples) == 6
    assert {type(sample["image"]) for sample in samples} == {np.ndarray if decoded else bytes}
