"""Where `tensorflow.dataset` has its records from: files that TensorFlow reads, or ranges of objects that we ask for.

TensorFlow itself reads no S3: that went to tensorflow-io, which new releases do not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lpff_shards.formats.containers import tfrecord
from lpff_shards.formats.errors import FormatError
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.stream_sampler import Row
from lpff_shards.loaders.tensorflow_records import Tensors

BATCHES_AHEAD = 2
"""Batches whose records are asked for at once, each record by a request of its own."""

Make = Callable[[Any, Any, Any], Any]
"""Makes a sample of its number, whether it is mirrored, and its record."""


def batches(source: ShardSource, row: Row, batch_size: int, full: bool, make: Make, calls: int) -> tf.data.Dataset:
    """The samples of a row, in order and in batches.

    Args:
        full: leave out a batch that is short.
        calls: how many samples are made at once.
    """
    if source.remote:
        return _of_bucket(source, row, batch_size, make, calls).batch(batch_size, drop_remainder=full)
    read = _of_files(source, row, make, calls).batch(batch_size, drop_remainder=full)
    return read.map(lambda samples, flips: (_checked(source, samples), flips))


def _checked(source: ShardSource, samples: Tensors) -> Tensors:
    """A batch whose files are those that the source opened: TensorFlow opens them by name."""

    def check(numbers: NDArray[np.int64]) -> bool:
        source.check_files(numbers)
        return True

    with tf.control_dependencies([tf.numpy_function(check, [samples["index"]], tf.bool, stateful=True)]):
        # Behind what every user of the batch needs, and stateful: TensorFlow leaves out what it thinks has no effect.
        return {**samples, "image": tf.identity(samples["image"])}


def _of_files(source: ShardSource, row: Row, make: Make, calls: int) -> tf.data.Dataset:
    files = tuple(map(str, source.files))

    def sample(index: Any, flip: Any, shard: Any, offset: Any) -> Any:
        return make(index, flip, _read(files, shard, offset))

    places = tf.data.Dataset.from_tensor_slices((*row, *source.places(row.indices)))
    return places.map(sample, calls, deterministic=True)


def _read(files: tuple[str, ...], shard: Any, offset: Any) -> Any:
    """The bytes of one record, its checksums compared.

    Args:
        shard: int64, number of its file.
        offset: int64, the byte of the file at which it starts.
    """
    # Without a buffer a record is read to where it stays, and nothing behind it.
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=tf.gather(tf.constant(files), shard), compression_type="", buffer_size=0, byte_offsets=offset
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1).get_single_element()


def _of_bucket(source: ShardSource, row: Row, batch_size: int, make: Make, calls: int) -> tf.data.Dataset:
    def fetched(indices: Any, flips: Any) -> Any:
        records = tf.numpy_function(lambda numbers: _records(source, numbers), [indices], tf.string, stateful=False)
        return indices, flips, tf.ensure_shape(records, [None])

    drawn = tf.data.Dataset.from_tensor_slices(tuple(row)).batch(batch_size)
    together = drawn.map(fetched, BATCHES_AHEAD, deterministic=True)
    found = together.unbatch().apply(tf.data.experimental.assert_cardinality(len(row.indices)))
    return found.map(make, calls, deterministic=True)


def _records(source: ShardSource, numbers: NDArray[np.int64]) -> NDArray[np.object_]:
    """The bytes of some records, as objects [n], their checksums compared.

    Raises:
        ShardsError: one cannot be read, or is damaged.
    """
    found = np.empty(len(numbers), object)
    for row, stored in enumerate(source.stored(numbers)):
        try:
            ((_, data),) = tfrecord.records(memoryview(stored))
        except (FormatError, ValueError) as error:
            raise source.damaged(numbers[row], error) from None
        found[row] = bytes(data)
    return found
