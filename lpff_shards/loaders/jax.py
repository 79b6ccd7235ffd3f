"""A data loader for JAX: `loader`, a Grain dataset. With equal options it returns the same batches as torch's."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import grain
import jax
import numpy as np
from jax.sharding import Sharding
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.loaders import ranks
from lpff_shards.loaders.batches import map_arrays
from lpff_shards.loaders.feed import Feed, Loading, Pass
from lpff_shards.loaders.options import WorkerOptions, takes
from lpff_shards.loaders.sampler import refuse_below
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.state import Position, loader_settings, restore_state, save_state
from lpff_shards.loaders.worker_defaults import resolve_workers

MOST_WORKERS = 16
"""Most worker processes by default."""

_HINT = "Split only the first axis, as NamedSharding(mesh, PartitionSpec('data')) does"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JaxOptions(WorkerOptions):
    """Options of `loader`.

    Args:
        epochs: number of epochs, 1 for an evaluation; None for no end.
        sharding: return global `jax.Array`s [world_size * batch_size, ...] with this sharding of the first axis; each
            process loads its own rows. Needs `equal`, and sets rank and world size. Numbers have 32 bits at most unless
            jax_enable_x64 is set; lists of strings contain this process's rows only.
    """

    epochs: int | None = None
    sharding: Sharding | None = None

    def __post_init__(self) -> None:
        WorkerOptions.__post_init__(self)
        refuse_below("epochs", 1 if self.epochs is None else self.epochs, 1)


@takes(JaxOptions)
def loader(options: JaxOptions) -> Epochs:
    """Return the batches of an export in a fully shuffled order, as a `grain.IterDataset`.

    Batches are dicts of numpy arrays: `index` int64 [n], `image` uint8 [n, height, width, 3], `camera` float32 [n, 25],
    `landmarks` float32 [n, 68, 2], and the requested fields (int64, bool or float32 [n], or lists of n strings). Epochs
    follow one another, each complete and in its own order: `batches = iter(loader(...))`, then `next(batches)`. The
    loader's attribute `batches_per_epoch` is the length of an epoch.

    `batches.get_state()` returns a small dict, and `set_state` resumes from it. Another process may have other
    `workers`, `threads` and `prefetch`. Grain's checkpoint handler and Orbax accept the iterator directly.

    `workers` is at most `MOST_WORKERS` by default. Worker processes do not run your script again. JPEGs decode equally
    fast in threads.

    Raises:
        ShardsError: the export is missing, an option is out of range, or only one of rank and world size is known; on
            iterating, the process has joined others after the loader was made, and its rank changed.
    """
    return Epochs(options)


class Epochs(grain.IterDataset[Any]):
    """Batches of a rank, epoch after epoch; every iterator begins with the first epoch."""

    def __init__(self, options: JaxOptions) -> None:
        super().__init__()
        source = ShardSource(options.path, options.split, channels=options.channels)
        place = _rank_and_world_size(options)
        order = options.sampler(source, place)
        self.batches_per_epoch = len(order)
        self.settings = loader_settings(source, order)
        self.first = options.epoch
        self.stop = sys.maxsize if options.epochs is None else options.epoch + options.epochs
        self._sharding, self._rows = options.sharding, options.batch_size * place[1]
        if options.sharding is not None and options.equal is None:
            raise ShardsError("equal=None does not fill all batches of a sharding", "Use equal='pad' or 'drop'")
        if options.sharding is not None:
            try:
                options.sharding.shard_shape((self._rows,))
            except ValueError as error:
                samples = f"{place[1]} x {options.batch_size} samples"
                reason = f"{samples} cannot be divided among the sharding's devices: {error}"
                raise ShardsError(reason, "Use a batch_size that the devices divide") from None
        by = resolve_workers(source, options.workers, options.threads, options.prefetch, MOST_WORKERS)
        load = Loading(source=source, order=order, fields=options.fields, labels=options.labels)
        # JAX has threads, so its process must not be forked.
        self.feed = Feed(load=load, by=by, start="spawn")
        self._found = place if None in (options.rank, options.world_size) and options.sharding is None else None

    def __iter__(self) -> grain.DatasetIterator[Any]:
        ranks.refuse_joined_since(self._found, joined())
        return _JaxPass(self)

    def finish(self, batch: Any) -> Any:
        if self._sharding is None:
            return batch
        # This process's rows become its part of global arrays [rows, ...].
        make = partial(jax.make_array_from_process_local_data, self._sharding)
        return map_arrays(lambda own: make(_as_jax_takes(own), (self._rows, *own.shape[1:])), batch)

    def __str__(self) -> str:
        return f"Epochs(batches_per_epoch={self.batches_per_epoch})"


class _JaxPass(grain.DatasetIterator[Any]):
    """The batches in order."""

    def __init__(self, epochs: Epochs) -> None:
        super().__init__()
        self._epochs = epochs
        self._pass = Pass(epochs.feed, Position(epochs.first), epochs.stop)

    def __next__(self) -> Any:
        self._assert_not_closed()
        before = self._pass.at
        batch = self._pass.take()
        try:
            return self._epochs.finish(batch)
        except BaseException:
            # The batch must be tried again.
            self._pass.move(before)
            raise

    def get_state(self) -> dict[str, Any]:
        return save_state(self._epochs.feed.settled(self._pass.at), self._epochs.settings)

    def set_state(self, state: dict[str, Any]) -> None:
        self._pass.move(restore_state(state, self._epochs.settings))

    def start_prefetch(self) -> None:
        self._assert_not_closed()
        self._pass.start_prefetch()

    def close(self) -> None:
        self._pass.close()
        super().close()

    def __str__(self) -> str:
        return str(self._epochs)


def _rank_and_world_size(options: JaxOptions) -> ranks.Pair:
    """Return rank and world size: the sharding's, which given ones must equal; else see `ranks.rank_and_world_size`."""
    if options.sharding is None:
        return ranks.rank_and_world_size(options.rank, options.world_size, joined())
    own = _part(options.sharding)
    for name, value, needed in (("rank", options.rank, own[0]), ("world_size", options.world_size, own[1])):
        if value not in (None, needed):
            raise ShardsError(
                f"{name} {value} does not fit the sharding, in which this process has part {own[0]} of {own[1]}",
                "Leave rank and world_size out: the sharding sets them",
            )
    return own


def joined() -> ranks.Pair | None:
    """Return rank and world size of jax.distributed; None if it is not initialized."""
    return (jax.process_index(), jax.process_count()) if jax.distributed.is_initialized() else None


def _part(sharding: Sharding) -> ranks.Pair:
    """Return the part of a batch's rows that this process holds, and the number of parts.

    Processes that hold the same rows (those of one model spread over them) share a part.
    """
    count = len(sharding.device_set)
    try:
        indices = sharding.devices_indices_map((count,))
    except (ValueError, IndexError):
        raise ShardsError(f"{sharding} cannot split batches", _HINT) from None
    rows: dict[int, set[int]] = {}
    for device, index in indices.items():
        rows.setdefault(device.process_index, set()).update(range(count)[index[0]])
    parts = sorted({frozenset(held) for held in rows.values()}, key=min)
    mine = rows.get(jax.process_index())
    if mine is None or sum(map(len, parts)) != count or len({len(held) for held in parts}) > 1:
        raise ShardsError(f"{sharding} gives processes overlapping or uneven rows, or none", _HINT)
    return parts.index(frozenset(mine)), len(parts)


def _as_jax_takes(array: NDArray[Any]) -> NDArray[Any]:
    """Return integers in 32 bits, unless jax_enable_x64 is set."""
    if array.dtype not in (np.int64, np.uint64) or jax.config.jax_enable_x64:
        return np.asarray(array)
    narrow = array.astype(f"{array.dtype.kind}4")
    if (narrow != array).any():
        raise ShardsError("an integer needs more than 32 bits", "Set jax_enable_x64")
    return narrow
