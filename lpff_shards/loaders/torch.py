"""Data loaders for PyTorch: `loader`, fully shuffled over ShardSource, and `stream`, shard after shard by webdataset.

Both return torchdata's StatefulDataLoader over whole batches. Each pass is an epoch with its own order. `state_dict`
and `load_state_dict` resume in the middle of an epoch, also in another process.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, Sampler, get_worker_info
from torchdata.stateful_dataloader import StatefulDataLoader

from lpff_shards.formats.pictures.decoding import Pixels
from lpff_shards.loaders.batches import load_batch, map_arrays
from lpff_shards.loaders.options import LoaderOptions, S, ShuffledOptions, loader_settings, refuse_other_state, takes
from lpff_shards.loaders.ranks import rank_and_world_size, refuse_joined_since
from lpff_shards.loaders.sampler import EpochSampler, SampleOrder, StreamSampler
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.worker_defaults import Workers, context, resolve_workers
from lpff_shards.storage.prefetch import prefetch

Load = Callable[[SampleOrder], Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchOptions(ShuffledOptions):
    """Options of `loader`.

    Args:
        pin_memory: see torch's DataLoader.
    """

    pin_memory: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamOptions(LoaderOptions):
    """Options of `stream`.

    Args:
        shuffle: size of webdataset's shuffle buffer, samples; 0 keeps the shards' order.
        workers: worker processes. The order depends on their number; by default a restored state sets it. For a bucket
            each epoch spawns new ones.
        prefetch: batches loaded ahead, per worker or, for a bucket, by threads of this process; by default 2.
        pin_memory: see torch's DataLoader.
    """

    shuffle: int = 1000
    workers: int | None = None
    prefetch: int | None = None
    pin_memory: bool = False


@takes(TorchOptions)
def loader(options: TorchOptions) -> StatefulDataLoader[Any]:
    """Return the batches of an export in a fully shuffled order.

    Batches are dicts: `index` int64 [n], `image` uint8 [n, 3, height, width] in channels-last memory, `camera` float32
    [n, 25], `landmarks` float32 [n, 68, 2], and the requested fields as tensors or lists of strings. Worker processes
    do not run your script again, so it needs no `if __name__ == "__main__":`.

    Raises:
        ShardsError: the export is missing, an option is out of range, or only one of rank and world size is known; on
            iterating, the process has joined others after the loader was made, and its rank changed.
    """
    source, order, load = _opened(options, EpochSampler)
    by = resolve_workers(source, options.workers, options.threads, options.prefetch)
    sampler = _Epochs(order, options.epoch, None if by.workers else load, by)
    return Pipeline(options, source, order, by, _Batches(load), sampler)


@takes(StreamOptions)
def stream(options: StreamOptions) -> StatefulDataLoader[Any]:
    """Return the batches of an export, shard after shard, for storage with slow random reads.

    Each rank and worker reads its own part of the shuffled shards, cut inside shards if these are few. So an epoch is
    exact for any number of ranks and workers. Batches have the form of those of `loader`.

    Raises:
        ShardsError: the export is missing, an option is out of range, or only one of rank and world size is known; on
            iterating, the process has joined others after the loader was made, and its rank changed.
    """
    source, order, load = _opened(options, StreamSampler)
    by = resolve_workers(source, options.workers, None, options.prefetch)
    # The system reads a folder's shards ahead, but does not decode.
    ahead = by.prefetch if (source.remote or source.decodes) and not by.workers else 0
    return _StreamLoader(options, source, order, by, _Stream(order, load, options.epoch, ahead))


def _opened(options: LoaderOptions, kind: type[S]) -> tuple[ShardSource, S, Load]:
    """Return the source of a loader, its order, and a function that loads batches."""
    source = ShardSource(options.path, options.split, channels=options.channels, order="first")
    order = options.sampler(kind, source, rank_and_world_size(options.rank, options.world_size, _joined()))
    return source, order, partial(load_batch, source, fields=options.fields, labels=options.labels, flip=_flip_picture)


def _flip_picture(pixels: Pixels) -> None:
    """Mirror a picture [height, width, 3] in place, three times as fast as numpy."""
    picture = torch.from_numpy(pixels)
    picture.copy_(picture.flip(1))


def _joined() -> tuple[int, int] | None:
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if together else None


class Pipeline(StatefulDataLoader[Any]):
    """Whole batches of a dataset; only a pipeline with the same batches can restore a state."""

    multiprocessing_context: Any
    num_workers: int

    def __init__(
        self,
        options: TorchOptions | StreamOptions,
        source: ShardSource,
        order: EpochSampler | StreamSampler,
        by: Workers,
        dataset: Dataset[Any],
        sampler: Sampler[Any] | None = None,
    ) -> None:
        super().__init__(
            dataset,
            sampler=sampler,
            batch_size=None,
            collate_fn=partial(map_arrays, torch.from_numpy),
            num_workers=by.workers,
            prefetch_factor=by.prefetch if by.workers else None,
            # Forked processes cannot read a bucket.
            multiprocessing_context="spawn" if by.workers and source.remote else None,
            # Fresh processes take seconds to start. Those of a stream have the epoch, so they are not kept.
            persistent_workers=by.workers > 0 and source.remote and sampler is not None,
            pin_memory=options.pin_memory,
        )
        self._settings = loader_settings(source, order)
        self._found = (order.rank, order.world_size) if None in (options.rank, options.world_size) else None
        self._adopts = options.workers is None

    def __iter__(self) -> Any:
        refuse_joined_since(self._found, _joined())
        if self.num_workers:
            # The user can set the start method until the first pass.
            method = (self.multiprocessing_context or multiprocessing).get_start_method()
            self.multiprocessing_context = context(method)
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "of": {**self._settings, "workers": self.num_workers}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict) if isinstance(state_dict, dict) else {}
        saved, workers = rest.pop("of", None), self.num_workers
        old = saved.get("workers") if isinstance(saved, dict) else None
        # Torch's states and a stream's order depend on the workers, so theirs replace this machine's default.
        if self._adopts and workers > 0 and isinstance(old, int) and old > 0:
            workers = old
        refuse_other_state(saved, {**self._settings, "workers": workers})
        self.num_workers = workers
        super().load_state_dict(rest)


class _Batches(Dataset[Any]):
    """The batches of a sampler, as a map-style dataset: workers load them; without workers they are loaded already."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def __getitem__(self, order: Any) -> Any:
        return self._load(order) if isinstance(order, SampleOrder) else order


class _Epochs(Sampler[Any]):
    """A rank's batches (their orders without `load`, for worker processes); each pass is an epoch."""

    def __init__(self, order: EpochSampler, epoch: int, load: Load | None, by: Workers) -> None:
        self._order = order
        self.epoch = epoch
        self._load = load
        self._by = by

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Any]:
        return _Pass(self)

    def batches(self, epoch: int, number: int) -> Iterator[Any]:
        orders = (self._order.draw(epoch, batch) for batch in range(number, len(self)))
        if self._load is None:
            return orders
        by = self._by
        return prefetch(self._load, orders, by.threads, by.prefetch) if by.prefetch else map(self._load, orders)


class _Stream(IterableDataset[Any]):
    """Whole batches of a worker's part of an epoch, shuffled by webdataset; `ahead` batches are loaded by threads."""

    def __init__(self, order: StreamSampler, load: Load, epoch: int, ahead: int) -> None:
        import webdataset  # noqa: F401  # if it is missing, an error here and not in a worker

        self._order = order
        self._load = load
        self._ahead = ahead
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Any]:
        return _Pass(self)

    def batches(self, epoch: int, number: int) -> Iterator[Any]:
        orders = (self._order.of(numbers, epoch) for numbers in islice(self._drawn(epoch), number, None))
        return prefetch(self._load, orders, self._ahead) if self._ahead else map(self._load, orders)

    def _drawn(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        import webdataset as wds

        order, info = self._order, get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        numbers = iter(order.stretch(epoch, worker, workers).tolist())
        if order.shuffle > 1:
            # States depend on this text.
            reader = f"Reader(rank={order.rank}, world_size={order.world_size}, worker={worker}, workers={workers})"
            rng = random.Random(f"{order.seed} {epoch} {reader}")
            numbers = wds.shuffle(order.shuffle, initial=order.shuffle, rng=rng)(numbers)
        while batch := list(islice(numbers, order.batch_size)):
            yield np.array(batch, np.int64)


class _Pass(Iterator[Any]):
    """Batches of an epoch; the state is the number of the next batch.

    A pass over `_Epochs` is counted as an epoch at its first batch: torch also creates passes that it does not use.
    """

    def __init__(self, data: _Epochs | _Stream) -> None:
        self._data = data
        self._epoch = None if isinstance(data, _Epochs) else data.epoch
        self._number = 0
        self._batches: Iterator[Any] | None = None

    def __next__(self) -> Any:
        if self._epoch is None:
            self.load_state_dict(self.state_dict())
        if self._batches is None:
            self._batches = self._data.batches(**self.state_dict())
        try:
            batch = next(self._batches)
        except StopIteration:
            raise
        except BaseException:
            # Try the failed batch again.
            self._batches = None
            raise
        self._number += 1
        return batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._data.epoch if self._epoch is None else self._epoch, "number": self._number}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._epoch, self._number = state["epoch"], state["number"]
        if isinstance(self._data, _Epochs):
            self._data.epoch = self._epoch + 1
        self._batches = None


class _StreamLoader(Pipeline):
    """A pipeline over a stream; each pass is the next epoch."""

    dataset: _Stream
    _began = False

    def __iter__(self) -> Any:
        # Workers start with the current epoch of the stream.
        batches = super().__iter__()
        self.dataset.epoch += 1
        self._began = True
        return batches

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        running = self._began and not state["_iterator_finished"]
        return {**state, "epoch": self.dataset.epoch - running}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "epoch"})
        self.dataset.epoch = state_dict["epoch"]
        self._began = False
