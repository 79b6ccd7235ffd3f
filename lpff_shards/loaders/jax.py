"""A data loader for JAX: `loader`, fully shuffled over ShardSource, loaded ahead by Grain.

With equal options it returns the same batches as `loaders.torch.loader`.
"""

from __future__ import annotations

import sys
import weakref
from dataclasses import dataclass
from typing import Any

import grain
from absl import flags
from jax.sharding import Sharding

from lpff_shards.loaders.batches import Batches, labeled
from lpff_shards.loaders.jax_arrays import GlobalArrays, joined, rank_and_world_size
from lpff_shards.loaders.options import ShuffledOptions, takes
from lpff_shards.loaders.ranks import refuse_joined_since
from lpff_shards.loaders.sampler import EpochSampler, refuse_below
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.states import LoaderSettings
from lpff_shards.loaders.worker_defaults import Workers, guard_spawn, resolve_workers

MOST_WORKERS = 16
"""Most worker processes by default: each takes one second of a core to start and about 200 MB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JaxOptions(ShuffledOptions):
    """Options of `loader`.

    Args:
        epochs: number of epochs, 1 for an evaluation; None for no end.
        sharding: return global `jax.Array`s [world_size * batch_size, ...] with this sharding of the first axis; each
            process loads its own rows. Needs `equal`, and sets rank and world size. Integers have 32 bits unless
            jax_enable_x64 is set; lists of strings contain this process's rows only.
    """

    epochs: int | None = None
    sharding: Sharding | None = None

    def __post_init__(self) -> None:
        ShuffledOptions.__post_init__(self)
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

    `workers` is at most `MOST_WORKERS` by default. Workers are spawned, so the script needs
    `if __name__ == "__main__":`. JPEGs decode equally fast in threads.

    Raises:
        ShardsError: the export is missing, an option is out of range, or only one of rank and world size is known; on
            iterating, the process has joined others after the loader was made, and its rank changed.
    """
    return Epochs(options)


class _Drawn:
    """A rank's batches by number, from the batch `first`: a data source of Grain. Picklable.

    Args:
        batches: of the source.
        order: of the rank.
        labels: return tuples of `labeled`, not dicts.
        first, stop: the first batch, and the one after the last, counted from the start of epoch 0.
    """

    def __init__(self, batches: Batches, order: EpochSampler, labels: bool, first: int, stop: int) -> None:
        self._batches = batches
        self._order = order
        self._labels = labels
        self._first, self._stop = first, stop

    def __len__(self) -> int:
        return max(0, self._stop - self._first)

    def __getitem__(self, index: int) -> Any:
        batch = self._batches.load(self._order.draw(*divmod(self._first + index, len(self._order))))
        return labeled(batch, self._batches.fields) if self._labels else batch


class Epochs(grain.IterDataset[Any]):
    """Batches of a rank, epoch after epoch; every iterator begins with the first epoch.

    Args:
        options: of `loader`.

    Attributes:
        batches_per_epoch: of this rank.
    """

    def __init__(self, options: JaxOptions) -> None:
        super().__init__()
        source = ShardSource(options.path, options.split)
        place = rank_and_world_size(options.rank, options.world_size, options.sharding)
        order = options.sampler(EpochSampler, source, place)
        self.batches_per_epoch = len(order)
        self.settings = LoaderSettings(source, order)
        self.first = options.epoch * self.batches_per_epoch
        self._global = (
            None
            if options.sharding is None
            else GlobalArrays(options.sharding, options.batch_size, place[1], options.equal)
        )
        self._by: Workers = resolve_workers(source, options.workers, options.threads, options.prefetch, MOST_WORKERS)
        self._stop = (
            sys.maxsize if options.epochs is None else (options.epoch + options.epochs) * self.batches_per_epoch
        )
        self._drawn = (Batches(source, options.fields), order, options.labels)
        self._found = None if options.placed or options.sharding is not None else place

    def __iter__(self) -> grain.DatasetIterator[Any]:
        if self._found is not None:
            refuse_joined_since(self._found, joined())
        return _JaxPass(self)

    def load(self, first: int) -> grain.DatasetIterator[Any]:
        """Return an iterator of loaded batches that begins with batch `first`."""
        source, by = _Drawn(*self._drawn, first, self._stop), self._by
        threads = 0 if by.workers else min(by.threads, by.prefetch)
        reading = grain.ReadOptions(threads, by.prefetch if threads else 0)
        loaded = grain.MapDataset.source(source).to_iter_dataset(reading)
        if by.workers:
            _let_flag_be_read()
            # Grain starts them later, in its own threads.
            guard_spawn()
        return iter(loaded.mp_prefetch(grain.MultiprocessingOptions(by.workers, max(1, by.prefetch))))

    def finish(self, batch: Any) -> Any:
        """Return a loaded batch, as global arrays with a sharding; called in the user's thread."""
        return batch if self._global is None else self._global(batch)

    def __str__(self) -> str:
        return f"Epochs(batches_per_epoch={self.batches_per_epoch})"


def _let_flag_be_read() -> None:
    # Grain 0.2.18 reads this flag also without absl's app.run, which absl forbids (google/grain issue 1355).
    name = "grain_enable_multiprocess_worker_profiling"
    if name in flags.FLAGS and not flags.FLAGS.is_parsed():
        flags.FLAGS[name].present = 1


class _JaxPass(grain.DatasetIterator[Any]):
    """The batches in order; the state is the number of the next batch."""

    def __init__(self, epochs: Epochs) -> None:
        super().__init__()
        self._epochs = epochs
        self._next = epochs.first
        self._coming: list[grain.DatasetIterator[Any]] = []
        # At exit too: Grain's own cleanup runs too late then, and Python prints errors.
        weakref.finalize(self, _close_all, self._coming)

    def __next__(self) -> Any:
        try:
            batch = self._epochs.finish(next(self._loading()))
        except StopIteration:
            raise
        except BaseException:
            # The loading iterators may be past the failed batch, which must be tried again.
            _close_all(self._coming)
            raise
        self._next += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        epoch, number = divmod(self._next, self._epochs.batches_per_epoch)
        return {"epoch": epoch, "number": number, "of": self._epochs.settings.settings(None)}

    def set_state(self, state: dict[str, Any]) -> None:
        self._epochs.settings.refuse_other(state.get("of"), None)
        _close_all(self._coming)
        self._next = int(state["epoch"]) * self._epochs.batches_per_epoch + int(state["number"])

    def start_prefetch(self) -> None:
        self._loading().start_prefetch()

    def close(self) -> None:
        _close_all(self._coming)
        super().close()

    def __str__(self) -> str:
        return str(self._epochs)

    def _loading(self) -> grain.DatasetIterator[Any]:
        self._assert_not_closed()
        if not self._coming:
            self._coming.append(self._epochs.load(self._next))
        return self._coming[0]


def _close_all(iterators: list[grain.DatasetIterator[Any]]) -> None:
    while iterators:
        iterators.pop().close()
