"""A pipeline for TensorFlow: `dataset`, a tf.data.Dataset over TFRecord shards, for GPUs and TPUs.

What it reads and when is decided before it starts, so an epoch is exact for any number of ranks and shards, and goes on
anywhere at no cost: by `start`, or by a tf.train.Checkpoint of its iterator.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import available_cores
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders.ranks import placed
from lpff_shards.loaders.sampler import Equal, refuse_below
from lpff_shards.loaders.source import ShardSource, kinds_of
from lpff_shards.loaders.stream_sampler import Rows

if TYPE_CHECKING:
    import tensorflow as tf


def dataset(
    path: str | Path,
    batch_size: int,
    *,
    split: str | None = "train",
    shuffle: int = 1000,
    seed: int = 0,
    epoch: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
    equal: Equal | None = None,
    mirror: bool = False,
    labels: bool = False,
    weights: bool = False,
    fields: Sequence[str] = (),
    start: int = 0,
    parallel: int | None = None,
    prefetch: int | None = None,
) -> tf.data.Dataset:
    """One epoch's batches of a `--format tfrecord` export.

    Batches are dicts: `index` int64 [n], the samples' numbers in `ShardSource`; `image` uint8 [n, height, width, 3];
    `camera` float32 [n, 25]; `landmarks` float32 [n, 68, 2]; and the asked-for fields, int64, bool, float32 or string
    [n]. Shapes are static, as TPUs want them, where `equal` is given; else n is unknown, as the last batch is short.

    Ranks read stretches of their own of the shuffled shards, cut inside shards where these are few; a rank is whatever
    reads by itself. Under tf.distribute it is an input pipeline: in `strategy.distribute_datasets_from_function(lambda
    c: ...)` give rank=c.input_pipeline_id, world_size=c.num_input_pipelines and the batch size that
    c.get_per_replica_batch_size tells. With JAX it is a process: give rank=jax.process_index() and
    world_size=jax.process_count(), on TPU hosts too.

    Args:
        path: the folder that an export wrote, or its URI.
        batch_size: of one rank.
        split: whose samples; None for all.
        shuffle: shards come in a new order each epoch, and samples less than so many places from where shards have
            them, which takes no memory; 0 keeps the shards' order.
        seed: of shuffling, mirroring and weighing.
        epoch: which; each has an order, mirrors and draws of its own.
        rank, world_size: of this process; by default those of torchrun, Lightning, mpirun or srun, else 0 of 1. Both
            come from one source, or from you.
        equal: None gives every sample exactly once, so that the last batch is short and ranks may differ by one sample;
            `pad` repeats samples and `drop` leaves some out, so that all ranks have equally many batches, all full.
        mirror: flip picture, camera and landmarks together, with probability 1/2.
        labels: give pairs (image, conditioning vector float32 [n, 25], or [n, 0] where the data set has no cameras);
            with `fields` triples, whose third part is a dict of these.
        weights: samples come in proportion to their `weight`, rounded up or down at random, in epochs as long as
            without. The weights of all samples are read first.
        fields: metadata fields that batches hold.
        start: batches of the epoch to leave out because they were used already; the rest is as it would have been.
        parallel: samples that are read and decoded at once; by default tf.data tunes it.
        prefetch: batches that are made ahead; by default tf.data tunes it.

    Raises:
        ShardsError: there is no such export, it is not of TFRecords, an option is out of range, or rank and world size
            are not known both.
        tf.errors.DataLossError: on iterating, a record is damaged.
        tf.errors.UnknownError: on iterating, a shard has changed since, or a JPEG is damaged; over a bucket, a record
            is damaged or cannot be read. Its text tells which.
        tf.errors.InvalidArgumentError: on iterating, a picture is not of the first one's size, or a PNG or WebP does
            not decode.
    """
    import tensorflow as tf

    from lpff_shards.loaders.tensorflow_reading import batches
    from lpff_shards.loaders.tensorflow_records import Records, Steps

    source = _source(path, split)
    rank, world_size = placed(rank, world_size, None)
    rows = Rows(
        counts=[shard.samples for shard in source.shards],
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        rank=rank,
        world_size=world_size,
        equal=equal,
        mirror=mirror,
        weights=source.column("weight") if weights else None,
    )
    refuse_below("epoch", epoch, 0)
    refuse_below("start", start, 0)
    row = rows.row(epoch, start)
    records = Records(
        layout=source.manifest.layout,
        image=source.manifest.options["image"],
        size=source[0]["image"].shape[:2],
        kinds=kinds_of(fields),
    )
    make = Steps(records, mirror=mirror, labels=labels)
    found = (
        batches(source, row, batch_size, equal is not None, make.sample, parallel or tf.data.AUTOTUNE)
        .map(make.batch)
        .prefetch(prefetch or tf.data.AUTOTUNE)
    )
    return found.with_options(_options(source.remote))


def _source(path: str | Path, split: str | None) -> ShardSource:
    source = ShardSource(path, split)
    if get_format(source.manifest.format).container != "records":
        raise ShardsError(
            f"{path} is of format {source.manifest.format}, which tf.data does not read",
            "Export with --format tfrecord, or read it with loaders.torch or ShardSource",
        )
    return source


def _options(remote: bool) -> Any:
    import tensorflow as tf

    from lpff_shards.loaders.tensorflow_reading import BATCHES_AHEAD

    options = tf.data.Options()
    # Its share is this rank's already.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # A checkpoint then holds how far it has come, and no pictures.
    options.experimental_symbolic_checkpoint = True
    # TensorFlow takes a record that is read inside a map for state; there is none.
    options.experimental_external_state_policy = tf.data.experimental.ExternalStatePolicy.IGNORE
    if remote:
        # Threads that wait for the network are none that decode.
        options.threading.private_threadpool_size = available_cores() + BATCHES_AHEAD
    return options
