"""Examples of the readers of TFRecords."""

from __future__ import annotations

from collections.abc import Iterator

from lpff_shards.sidecars.card.names import Example, Names


def examples(names: Names) -> Iterator[Example]:
    """tf.data, TensorFlow Datasets and DALI."""
    yield Example("tf.data, without lpff-shards", _tf_data(names))
    yield Example("TensorFlow Datasets", _tfds(names))
    yield Example("NVIDIA DALI", _dali(names))


def _tf_data(names: Names) -> str:
    lines = ['"key": tf.io.FixedLenFeature([], tf.string),', '"image": tf.io.FixedLenFeature([], tf.string),']
    if names.raw:
        lines.append('"image/shape": tf.io.FixedLenFeature([3], tf.int64),')
    if names.camera:
        lines.append('"camera": tf.io.FixedLenFeature([25], tf.float32),')
    features = "\n    ".join(lines)
    decoded = (
        'tf.reshape(tf.io.decode_raw(sample["image"], tf.uint8), sample["image/shape"])'
        if names.raw
        else 'tf.io.decode_image(sample["image"])'
    )
    return f"""import tensorflow as tf

features = {{
    {features}
}}
files = tf.data.Dataset.list_files("{names.name}-{names.split}.tfrecord-*")
for record in tf.data.TFRecordDataset(files):
    sample = tf.io.parse_single_example(record, features)
    picture = {decoded}
    print(sample["key"].numpy().decode(), picture.shape)
"""


def _tfds(names: Names) -> str:
    return f"""import tensorflow_datasets as tfds

builder = tfds.builder_from_directory(".")
for sample in builder.as_dataset(split="{names.split}"):
    print(sample["key"].numpy().decode(), sample["image"].shape)
"""


def _dali(names: Names) -> str:
    camera = '\n            "camera": tfrec.FixedLenFeature([25], tfrec.float32, 0.0),' if names.camera else ""
    shape = '\n            "image/shape": tfrec.FixedLenFeature([3], tfrec.int64, 0),' if names.raw else ""
    decoded = (
        'fn.reshape(features["image"], shape=fn.cast(features["image/shape"], dtype=types.INT32))'
        if names.raw
        else 'fn.decoders.image(features["image"], device="cpu")'
    )
    return f"""from glob import glob

from nvidia.dali import fn, pipeline_def{", types" if names.raw else ""}
from nvidia.dali import tfrecord as tfrec


@pipeline_def(batch_size={names.batch}, num_threads=2, device_id=None)
def pipeline():
    features = fn.readers.tfrecord(
        path=sorted(glob("{names.name}-{names.split}.tfrecord-*")),
        index_path=sorted(glob("dali/{names.name}-{names.split}-*.idx")),
        features={{
            "image": tfrec.FixedLenFeature((), tfrec.string, ""),{shape}{camera}
        }},
    )
    return {decoded}{', features["camera"]' if names.camera else ""}


running = pipeline()
running.build()
pictures{", cameras" if names.camera else ","} = running.run()
print(pictures[0].shape())
"""
