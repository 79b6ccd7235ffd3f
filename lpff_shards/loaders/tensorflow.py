"""A data loader for TensorFlow: `dataset`, a tf.data.Dataset over TFRecord shards, for GPUs and TPUs.

The order is computed before reading starts. An epoch is exact for any number of ranks and shards, and resumes without
reading skipped samples: by `start`, or by a tf.train.Checkpoint of its iterator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import available_cores
from lpff_shards.formats import tfrecord
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders.options import LoaderOptions, takes
from lpff_shards.loaders.ranks import rank_and_world_size
from lpff_shards.loaders.sampler import SampleOrder, refuse_below
from lpff_shards.loaders.source import ShardSource, kinds_of
from lpff_shards.loaders.stream_sampler import StreamSampler
from lpff_shards.loaders.tensorflow_records import Records, Steps, Tensors

BATCHES_AHEAD = 2
"""Batches requested ahead, with one request per record."""

Make = Callable[[Any, Any, Any], Any]
"""Creates a sample from its number, a bool for mirroring, and its record."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorflowOptions(LoaderOptions):
    """Options of `dataset`.

    Args:
        shuffle: shards have a new order in each epoch, and each sample moves by less than `shuffle` places, which needs
            no memory; 0 keeps the shards' order.
        start: number of batches to skip, because they were used before; the others are the same as without.
        parallel: samples read and decoded at once; by default tf.data tunes it.
        prefetch: batches prepared ahead; by default tf.data tunes it.
    """

    shuffle: int = 1000
    start: int = 0
    parallel: int | None = None
    prefetch: int | None = None

    def __post_init__(self) -> None:
        LoaderOptions.__post_init__(self)
        refuse_below("start", self.start, 0)


@takes(TensorflowOptions)
def dataset(options: TensorflowOptions) -> tf.data.Dataset:
    """Return the batches of one epoch of a `--format tfrecord` export.

    Batches are dicts: `index` int64 [n], the samples' numbers in `ShardSource`; `image` uint8 [n, height, width, 3];
    `camera` float32 [n, 25]; `landmarks` float32 [n, 68, 2]; and the requested fields, int64, bool, float32 or string
    [n]. With `equal`, shapes are static, as TPUs require; without it n is unknown, since the last batch may be short.

    Each rank reads its own part of the shuffled shards, cut inside shards if these are few. Under tf.distribute a rank
    is an input pipeline: in `strategy.distribute_datasets_from_function(lambda c: ...)` pass
    rank=c.input_pipeline_id, world_size=c.num_input_pipelines and the batch size of c.get_per_replica_batch_size. With
    JAX a rank is a process, also on TPU hosts: pass rank=jax.process_index() and world_size=jax.process_count().

    Raises:
        ShardsError: the export is missing or not of format tfrecord, an option is out of range, or only one of rank and
            world size is known.
        tf.errors.DataLossError: on iterating, a record is damaged.
        tf.errors.UnknownError: on iterating, a shard has changed, or a JPEG is damaged; in a bucket, a record is
            damaged or cannot be read. The text contains the reason.
        tf.errors.InvalidArgumentError: on iterating, a picture has another size than the first one, or a PNG or WebP
            cannot be decoded.
    """
    source = _source(options.path, options.split)
    order = options.sampler(StreamSampler, source, rank_and_world_size(options.rank, options.world_size, None))
    records = Records(
        layout=source.manifest.layout,
        image=source.manifest.options["image"],
        size=source[0]["image"].shape[:2],
        kinds=kinds_of(options.fields),
    )
    make = Steps(records, mirror=options.mirror, labels=options.labels)
    row = order.row(options.epoch, options.start)
    read = _of_bucket if source.remote else _of_files
    batches = read(source, row, options, make.sample)
    return batches.map(make.batch).prefetch(options.prefetch or tf.data.AUTOTUNE).with_options(_data_options(source))


def _source(path: str | Path, split: str | None) -> ShardSource:
    source = ShardSource(path, split)
    if "tensorflow" not in get_format(source.manifest.format).readers:
        raise ShardsError(
            f"{path} is of format {source.manifest.format}, which tf.data does not read",
            "Export with --format tfrecord, or read it with loaders.torch or ShardSource",
        )
    return source


def _data_options(source: ShardSource) -> tf.data.Options:
    options = tf.data.Options()
    # The rank's share is already cut.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # A checkpoint then holds the position and no pictures.
    options.experimental_symbolic_checkpoint = True
    # TensorFlow treats reading a record inside a map as state; it is not.
    options.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.IGNORE
    if source.remote:
        # Some threads only wait for the network.
        options.threading.private_threadpool_size = available_cores() + BATCHES_AHEAD
    return options


def _of_files(source: ShardSource, row: SampleOrder, options: TensorflowOptions, make: Make) -> tf.data.Dataset:
    """Return the samples of a row, in order and in batches; TensorFlow reads their files."""
    files = tuple(map(str, source.files))

    def sample(index: Any, flip: Any, shard: Any, offset: Any) -> Any:
        return make(index, flip, _read(files, shard, offset))

    places = tf.data.Dataset.from_tensor_slices((*row, *source.places(row.indices)))
    samples = places.map(sample, options.parallel or tf.data.AUTOTUNE, deterministic=True)
    batches = samples.batch(options.batch_size, drop_remainder=options.equal is not None)
    return batches.map(lambda samples, flips: (_checked(source, samples), flips))


def _checked(source: ShardSource, samples: Tensors) -> Tensors:
    """Return a batch after checking that its files are those that the source opened: TensorFlow opens them by name."""

    def check(numbers: NDArray[np.int64]) -> bool:
        source.check_files(numbers)
        return True

    with tf.control_dependencies([tf.numpy_function(check, [samples["index"]], tf.bool, stateful=True)]):
        # Every user of the batch needs the image, and the check is stateful: TensorFlow omits ops without an effect.
        return {**samples, "image": tf.identity(samples["image"])}


def _read(files: tuple[str, ...], shard: Any, offset: Any) -> Any:
    """Return the bytes of one record, with its checksums compared.

    Args:
        shard: int64, number of its file.
        offset: int64, its start in the file, bytes.
    """
    # Without a buffer only this record is read, and not copied.
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=tf.gather(tf.constant(files), shard), compression_type="", buffer_size=0, byte_offsets=offset
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1).get_single_element()


def _of_bucket(source: ShardSource, row: SampleOrder, options: TensorflowOptions, make: Make) -> tf.data.Dataset:
    """Return the samples of a row, in order and in batches; records are requested one batch at a time.

    TensorFlow cannot read S3 itself: that moved to tensorflow-io, which does not support new releases.
    """

    def fetched(indices: Any, flips: Any) -> Any:
        records = tf.numpy_function(lambda numbers: _records(source, numbers), [indices], tf.string, stateful=False)
        return indices, flips, tf.ensure_shape(records, [None])

    drawn = tf.data.Dataset.from_tensor_slices(tuple(row)).batch(options.batch_size)
    together = drawn.map(fetched, BATCHES_AHEAD, deterministic=True)
    single = together.unbatch().apply(tf.data.experimental.assert_cardinality(len(row.indices)))
    samples = single.map(make, options.parallel or tf.data.AUTOTUNE, deterministic=True)
    return samples.batch(options.batch_size, drop_remainder=options.equal is not None)


def _records(source: ShardSource, numbers: NDArray[np.int64]) -> NDArray[np.object_]:
    """Return the bytes of records, as objects [n], with their checksums compared.

    Raises:
        ShardsError: a record cannot be read, or is damaged.
    """
    contents = np.empty(len(numbers), object)
    for row, stored in enumerate(source.stored(numbers)):
        try:
            ((_, data),) = tfrecord.records(memoryview(stored))
        except (FormatError, ValueError) as error:
            raise source.damaged(numbers[row], error) from None
        contents[row] = bytes(data)
    return contents
