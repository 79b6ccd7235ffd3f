"""Data loaders for PyTorch: `loader`, fully shuffled, and `stream`, nearly in the order of the shards.

Both are DataLoaders over whole batches. Each pass is an epoch with its own order. `state_dict` and `load_state_dict`
resume in the middle of an epoch, also in other processes, in other numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from lpff_shards.loaders.batches import map_arrays
from lpff_shards.loaders.feed import Feed, Loading, Pass
from lpff_shards.loaders.options import WorkerOptions, takes
from lpff_shards.loaders.ranks import rank_and_world_size, refuse_joined_since
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.state import Position, Settings, loader_settings, restore_state, save_state
from lpff_shards.loaders.worker_defaults import refuse_inner_start, resolve_workers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchOptions(WorkerOptions):
    """Options of `loader`.

    Args:
        pin_memory: return tensors in page-locked memory, copied there by a thread.
    """

    pin_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamOptions(TorchOptions):
    """Options of `stream`: those of `loader`."""

    shuffle: bool | int = 1000


@takes(TorchOptions)
def loader(options: TorchOptions) -> Pipeline:
    """Return the batches of an export in a fully shuffled order.

    Batches are dicts: `index` int64 [n], `image` uint8 [n, 3, height, width] in channels-last memory, `camera` float32
    [n, 25], `landmarks` float32 [n, 68, 2], and the requested fields as tensors or lists of strings. Worker processes
    do not run your script again, so it needs no `if __name__ == "__main__":`.

    Raises:
        ShardsError: the export is missing, an option is out of range, or only one of rank and world size is known; on
            iterating, the process has joined others after the loader was made, and its rank changed.
    """
    return Pipeline(options)


@takes(StreamOptions)
def stream(options: StreamOptions) -> Pipeline:
    """Return the batches of an export nearly in the order of its shards, for storage with slow random reads.

    It is `loader` with another default of `shuffle`.

    Raises:
        ShardsError: as `loader`.
    """
    return Pipeline(options)


class Pipeline(DataLoader[Any]):
    """Whole batches of a rank; a pipeline of the same samples can restore its state, whatever its workers and ranks."""

    dataset: _Epochs

    def __init__(self, options: TorchOptions) -> None:
        source = ShardSource(options.path, options.split, channels=options.channels, order="first")
        order = options.sampler(source, rank_and_world_size(options.rank, options.world_size, _joined()))
        feed = Feed(
            load=Loading(source=source, order=order, fields=options.fields, labels=options.labels),
            by=resolve_workers(source, options.workers, options.threads, options.prefetch),
            # Forked processes cannot read a bucket.
            start="spawn" if source.remote else None,
            finish=partial(map_arrays, _pinned) if options.pin_memory and _accelerated() else None,
        )
        epochs = _Epochs(feed, Position(options.epoch), loader_settings(source, order))
        super().__init__(epochs, batch_size=None, collate_fn=partial(map_arrays, torch.from_numpy))
        self._found = (order.rank, order.world_size) if None in (options.rank, options.world_size) else None

    def __iter__(self) -> Any:
        refuse_joined_since(self._found, _joined())
        if self.dataset.feed.by.workers:
            refuse_inner_start()
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values, the same on every rank after the same number of batches."""
        return self.dataset.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have the next pass read what was left of the state's epoch; raise ShardsError for one of other samples."""
        self.dataset.load_state_dict(state_dict)


class _Epochs(IterableDataset[Any]):
    """A rank's batches; each pass is an epoch, or the rest of one."""

    def __init__(self, feed: Feed, first: Position, settings: Settings) -> None:
        self.feed = feed
        self._settings = settings
        self._next = first
        self._running: Pass | None = None

    def __len__(self) -> int:
        return len(self.feed.load.order)

    def __iter__(self) -> Iterator[Any]:
        return _Pass(self)

    # Libraries that make a loader of their own from the data set look for these two.
    def state_dict(self) -> dict[str, Any]:
        return save_state(self._at, self._settings)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._start(restore_state(state_dict, self._settings))

    def begin(self) -> Pass:
        """Start a pass; one that was left counts as an epoch."""
        if self._running is not None:
            self._next = Position(self._at.epoch + 1)
        self._running = Pass(self.feed, self._next, self._next.epoch + 1)
        return self._running

    def end(self, ended: Pass) -> None:
        if self._running is ended:
            self._start(Position(ended.at.epoch + 1))

    @property
    def _at(self) -> Position:
        """The next batch of the last pass that has begun, or of the next one if it has ended."""
        return self._next if self._running is None else self._running.at

    def _start(self, at: Position) -> None:
        self._next, self._running = at, None


class _Pass(Iterator[Any]):
    """A pass begins with its first batch: libraries also create some that they do not use."""

    def __init__(self, data: _Epochs) -> None:
        self._data = data
        self._pass: Pass | None = None

    def __next__(self) -> Any:
        if self._pass is None:
            self._pass = self._data.begin()
        try:
            return self._pass.take()
        except StopIteration:
            self._data.end(self._pass)
            raise


def _accelerated() -> bool:
    # The first is new in torch 2.6.
    found = bool(getattr(torch, "accelerator", torch.cuda).is_available())
    if not found:
        warnings.warn("pin_memory has no effect: torch finds no accelerator", stacklevel=2)
    return found


def _pinned(array: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(array).pin_memory()


def _joined() -> tuple[int, int] | None:
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if together else None
