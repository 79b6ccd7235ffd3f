"""TensorFlow Datasets read the folder of TFRecords as a data set of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
from truth import SPLITS, Truth, assert_same


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
