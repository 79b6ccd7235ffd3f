"""tf.data reads the TFRecords."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from readers.expected import NAME, Truth, assert_same


def test_tf_data_reads_every_split(tf: ModuleType, records: Path, split: str, expected: Mapping[str, Truth]) -> None:
    features = {
        "key": tf.io.FixedLenFeature([], tf.string),
        "camera": tf.io.FixedLenFeature([25], tf.float32),
        "image": tf.io.FixedLenFeature([], tf.string),
    }
    files = tf.data.Dataset.list_files(f"{records}/{NAME}-{split}.tfrecord-*")
    samples = [tf.io.parse_single_example(record, features) for record in tf.data.TFRecordDataset(files)]
    found = [(s["key"].numpy().decode(), s["camera"].numpy(), tf.io.decode_png(s["image"]).numpy()) for s in samples]
    assert_same(found, expected)
