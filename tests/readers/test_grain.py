"""Grain reads the TFRecords, and ArrayRecord files by their own index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from lpff_shards.formats.examples import decode_feature, features
from readers.expected import NAME, Truth, assert_same, pixels

grain = pytest.importorskip("grain", reason="Grain is not installed here")


def _sample(record: bytes) -> tuple[str, np.ndarray, np.ndarray]:
    view = memoryview(record)
    found = {name.decode(): decode_feature(view[start:end]) for name, start, end in features(record)}
    return found["key"][0].decode(), np.asarray(found["camera"]), pixels(found["image"][0])


def test_grain_reads_every_split_of_records(records: Path, split: str, expected: Mapping[str, Truth]) -> None:
    paths = sorted(map(str, records.glob(f"{NAME}-{split}.tfrecord-*")))
    found = (sample for path in paths for sample in grain.experimental.TFRecordIterDataset(path).map(_sample))
    assert_same(found, expected)


def test_grain_reads_every_split_of_arrayrecords(arrayrecords: Path, split: str, expected: Mapping[str, Truth]) -> None:
    paths = sorted(map(str, arrayrecords.glob(f"{NAME}-{split}.array_record-*")))
    source = grain.sources.ArrayRecordDataSource(paths)
    assert len(source) == len(expected)
    # In an order of its own: each record is found by itself.
    numbers = np.random.default_rng(1).permutation(len(source)).tolist()
    assert_same((_sample(source[number]) for number in numbers), expected)
