"""Data loaders for PyTorch: `loader`, fully shuffled over ShardSource, and `stream`, shard after shard by webdataset.

Both return torchdata's StatefulDataLoader over whole batches. Each pass is an epoch with its own order. `state_dict`
and `load_state_dict` resume in the middle of an epoch, also in another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset, Sampler

from lpff_shards.loaders.options import LoaderOptions, ShuffledOptions, takes
from lpff_shards.loaders.sampler import EpochSampler, SampleOrder
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.states import LoaderSettings
from lpff_shards.loaders.stream_sampler import StreamSampler
from lpff_shards.loaders.torch_pipeline import Load, Pipeline, load_tensors, rank_and_world_size
from lpff_shards.loaders.worker_defaults import Workers, processes, resolve_workers
from lpff_shards.storage.prefetch import prefetch

if TYPE_CHECKING:
    from torchdata.stateful_dataloader import StatefulDataLoader


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
    source = ShardSource(options.path, options.split, channels="first")
    place = rank_and_world_size(options.rank, options.world_size)
    order = options.sampler(EpochSampler, source, place)
    load = load_tensors(source, options)
    by = resolve_workers(source, options.workers, options.threads, options.prefetch)
    return Pipeline(
        LoaderSettings(source, order),
        None if options.placed else place,
        adopts=options.workers is None,
        dataset=_Batches(load),
        sampler=_Epochs(order, options.epoch, None if by.workers else load, by),
        prefetch_factor=by.prefetch if by.workers else None,
        # Fresh processes take seconds to start, and their dataset has no state.
        persistent_workers=by.workers > 0 and source.remote,
        pin_memory=options.pin_memory,
        **processes(source, by.workers),
    )


@takes(StreamOptions)
def stream(options: StreamOptions) -> StatefulDataLoader[Any]:
    """Return the batches of an export, shard after shard, for storage with slow random reads.

    Each rank and worker reads its own part of the shuffled shards, cut inside shards if these are few. So an epoch is
    exact for any number of ranks and workers. Batches have the form of those of `loader`.

    Raises:
        ShardsError: the export is missing, an option is out of range, or only one of rank and world size is known; on
            iterating, the process has joined others after the loader was made, and its rank changed.
    """
    from lpff_shards.loaders.torch_stream import Stream, StreamLoader

    source = ShardSource(options.path, options.split, channels="first")
    place = rank_and_world_size(options.rank, options.world_size)
    order = options.sampler(StreamSampler, source, place)
    by = resolve_workers(source, options.workers, None, options.prefetch)
    # The system reads a folder's shards ahead.
    coming = by.prefetch if source.remote and not by.workers else 0
    return StreamLoader(
        LoaderSettings(source, order),
        None if options.placed else place,
        adopts=options.workers is None,
        dataset=Stream(order, load_tensors(source, options), options.epoch, coming),
        prefetch_factor=by.prefetch if by.workers else None,
        pin_memory=options.pin_memory,
        **processes(source, by.workers),
    )


class _Batches(Dataset[Any]):
    """The batches of a sampler, as a map-style dataset: workers load them; without workers they are loaded already."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def __getitem__(self, order: Any) -> Any:
        return self._load(order) if isinstance(order, SampleOrder) else order


class _Epochs(Sampler[Any]):
    """The orders of batches; each pass is an epoch.

    Args:
        order: of the rank.
        epoch: of the first pass.
        load: loads a batch in this process; None with worker processes.
        by: threads, and batches loaded ahead.
    """

    def __init__(self, order: EpochSampler, epoch: int, load: Load | None, by: Workers) -> None:
        self._order = order
        self.epoch = epoch
        self._load = load
        self._by = by

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Any]:
        return _TorchPass(self)

    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        """Return an epoch's batches from batch `first` on; with worker processes only their orders."""
        orders = (self._order.draw(epoch, number) for number in range(first, len(self)))
        if self._load is None:
            return orders
        by = self._by
        return prefetch(self._load, orders, by.threads, by.prefetch) if by.prefetch else map(self._load, orders)


class _TorchPass(Iterator[Any]):
    """One epoch; its state is the number of the next batch.

    The epoch is counted at its first batch: torch also creates passes that it does not use.
    """

    def __init__(self, epochs: _Epochs) -> None:
        self._epochs = epochs
        self._epoch: int | None = None
        self._number = 0
        self._batches: Iterator[Any] | None = None

    def __next__(self) -> Any:
        if self._epoch is None:
            self._epoch = self._epochs.epoch
            self._epochs.epoch += 1
        if self._batches is None:
            self._batches = self._epochs.batches(self._epoch, self._number)
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
        return {"epoch": self._epochs.epoch if self._epoch is None else self._epoch, "number": self._number}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._epoch, self._number = state["epoch"], state["number"]
        self._epochs.epoch = self._epoch + 1
        self._batches = None
