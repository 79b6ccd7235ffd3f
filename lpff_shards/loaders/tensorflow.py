"""A data loader for TensorFlow: `dataset`, a tf.data.Dataset of the batches of an epoch, for GPUs and TPUs.

`ShardSource` reads and decodes whole batches in TensorFlow's threads, as for PyTorch and JAX, and TensorFlow uses their
memory. The order is computed before reading starts. An epoch is exact for any number of ranks and shards, and resumes
without reading skipped samples: by `start`, or by a tf.train.Checkpoint of its iterator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import available_cores
from lpff_shards.loaders.batches import load_batch, map_parts
from lpff_shards.loaders.options import LoaderOptions, takes
from lpff_shards.loaders.ranks import rank_and_world_size
from lpff_shards.loaders.sampler import SampleOrder, Sampler, refuse_below
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.state import Position, Settings, loader_settings, restore_state, save_state
from lpff_shards.loaders.worker_defaults import FEW, MOST_THREADS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorflowOptions(LoaderOptions):
    """Options of `dataset`.

    Args:
        start: number of batches to skip, because they were used before; the others are the same as without.
        state: of any loader; return what it left of its epoch. Without `epoch` and `start`.
        parallel: batches loaded at once, each by a thread; by default 2 for raw pictures, else one per core, at most
            16, and for a bucket one more.
        prefetch: finished batches kept ready; by default tf.data tunes it.
    """

    shuffle: bool | int = 1000
    start: int = 0
    state: Mapping[str, Any] | None = None
    parallel: int | None = None
    prefetch: int | None = None

    def __post_init__(self) -> None:
        LoaderOptions.__post_init__(self)
        refuse_below("start", self.start, 0)
        if self.state is not None and (self.epoch or self.start):
            raise ShardsError("state was given with epoch or start", "Leave these out: the state says where to go on")
        refuse_below("parallel", 1 if self.parallel is None else self.parallel, 1)
        refuse_below("prefetch", 0 if self.prefetch is None else self.prefetch, 0)


@takes(TensorflowOptions)
def dataset(options: TensorflowOptions) -> tf.data.Dataset:
    """Return the batches of one epoch of an export.

    Batches are dicts: `index` int64 [n], the samples' numbers in `ShardSource`; `image` uint8 [n, height, width, 3];
    `camera` float32 [n, 25]; `landmarks` float32 [n, 68, 2]; and the requested fields, int64, bool, float32 or string
    [n]. With `equal`, shapes are static, as TPUs require; without it n is unknown, since the last batch may be short.

    Each rank reads its own part of the shuffled shards, cut inside shards if these are few. Under tf.distribute a rank
    is an input pipeline: in `strategy.distribute_datasets_from_function(lambda c: ...)` pass
    rank=c.input_pipeline_id, world_size=c.num_input_pipelines and the batch size of c.get_per_replica_batch_size. With
    JAX a rank is a process, also on TPU hosts: pass rank=jax.process_index() and world_size=jax.process_count().

    `dataset(...).state_dict(n)` is the state after n batches, for `state` here and for the loaders of torch and JAX.

    The batches are loaded by this process, so the dataset cannot be saved or sent to a tf.data service.

    Raises:
        ShardsError: the export is missing, its first sample is damaged, an option is out of range, or only one of rank
            and world size is known.
        tf.errors.UnknownError: on iterating, a sample is damaged, a shard has changed or cannot be read, or pictures
            differ in size; the text contains the reason.
    """
    source = ShardSource(options.path, options.split, channels=options.channels)
    order = options.sampler(source, rank_and_world_size(options.rank, options.world_size, None))
    settings = loader_settings(source, order)
    at = _first(options, order, settings)

    def load(drawn: SampleOrder) -> Any:
        return map_parts(_as_array, load_batch(source, drawn, options.fields, options.labels))

    like = load(SampleOrder(np.zeros(1, np.int64), np.zeros(1, np.bool_)))
    first: list[NDArray[Any]] = tf.nest.flatten(like)
    types = [tf.string if array.dtype == object else array.dtype for array in first]

    def numbered(number: NDArray[np.int64]) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = tf.nest.flatten(load(order.draw(at.epoch, int(number), at.before)))
        for array, other in zip(found, first, strict=True):
            if array.shape[1:] != other.shape[1:]:
                message = f"batch {number} has samples of shape {array.shape[1:]}, the first sample {other.shape[1:]}"
                raise ShardsError(message, "Batches need pictures of one size: export with --resolution")
        return found

    def batch(number: Any) -> Any:
        found = tf.numpy_function(numbered, [number], types, stateful=False)
        size = None if options.equal is None else options.batch_size
        shaped = [tf.ensure_shape(one, [size, *array.shape[1:]]) for one, array in zip(found, first, strict=True)]
        return tf.nest.pack_sequence_as(like, shaped)

    cores = available_cores()
    parallel = options.parallel or (min(cores + source.remote, MOST_THREADS) if source.decodes else FEW)
    numbers = tf.data.Dataset.range(at.number, order.batches(at.epoch, at.before))
    batches = numbers.map(batch, parallel, deterministic=True).prefetch(options.prefetch or tf.data.AUTOTUNE)
    # Loading occupies threads, which the model's operations and the user's maps must not wait for.
    made = batches.with_options(_traits(cores + parallel))
    made.state_dict = lambda batches: save_state(at._replace(number=at.number + batches), settings)
    return made


def _first(options: TensorflowOptions, order: Sampler, settings: Settings) -> Position:
    """Return the position of the first batch."""
    if options.state is not None:
        return restore_state(options.state, settings)
    if options.start > len(order):
        hint = f"It is from 0 to this rank's {len(order)} batches"
        raise ShardsError(f"start {options.start!r} is out of range", hint)
    return Position(options.epoch, options.start)


def _traits(threads: int) -> tf.data.Options:
    traits = tf.data.Options()
    # The rank's share is already cut.
    traits.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    # A checkpoint then holds the position and no pictures.
    traits.experimental_symbolic_checkpoint = True
    traits.threading.private_threadpool_size = threads
    return traits


def _as_array(part: Any) -> NDArray[Any]:
    """Return an array as it is; texts, and objects as JSON, as an array of bytes."""
    if isinstance(part, np.ndarray):
        return part
    texts = [value.encode() if isinstance(value, str) else msgspec.json.encode(value) for value in part]
    return np.array(texts, object)
