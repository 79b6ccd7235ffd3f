"""Loaders for PyTorch: `loader`, fully shuffled over ShardSource, and `stream`, shard after shard by webdataset.

Both give torchdata's StatefulDataLoader over whole batches. Each pass over one is an epoch, in an order of its own;
`state_dict` and `load_state_dict` go on in the middle of an epoch, in another process too.
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
from lpff_shards.loaders.torch_pipeline import Load, Pipeline, load_tensors, placed
from lpff_shards.loaders.worker_defaults import Workers, processes, resolve_workers
from lpff_shards.storage.prefetch import ahead

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
        shuffle: samples among which the next one is drawn, as in webdataset; 0 keeps the shards' order.
        workers: processes that load; the order depends on their number, which a state keeps where it is left open. Of a
            bucket's, each epoch spawns its own.
        prefetch: batches that are loaded ahead, by each worker or, of a bucket, by threads of this process; by
            default 2.
        pin_memory: see torch's DataLoader.
    """

    shuffle: int = 1000
    workers: int | None = None
    prefetch: int | None = None
    pin_memory: bool = False


@takes(TorchOptions)
def loader(options: TorchOptions) -> StatefulDataLoader[Any]:
    """Batches of an export in a fully shuffled order, read at their recorded offsets.

    Batches are dicts: `index` int64 [n], `image` uint8 [n, 3, height, width] in channels-last memory, `camera` float32
    [n, 25], `landmarks` float32 [n, 68, 2], and the asked-for fields as tensors or lists of strings. Worker processes
    never run your script again, which needs no main guard.

    Raises:
        ShardsError: there is no such export, an option is out of range, or rank and world size are not known both; on
            iterating, the process has joined others since and has another rank now.
    """
    source = ShardSource(options.path, options.split, channels="first")
    place = placed(options.rank, options.world_size)
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
    """Batches of an export, shard after shard, for storage with slow random reads.

    Ranks and workers read stretches of their own of the shuffled shards, cut inside shards where these are few, so an
    epoch is exact for any number of them. Batches are those of `loader`.

    Raises:
        ShardsError: there is no such export, an option is out of range, or rank and world size are not known both; on
            iterating, the process has joined others since and has another rank now.
    """
    from lpff_shards.loaders.torch_stream import Stream, StreamLoader

    source = ShardSource(options.path, options.split, channels="first")
    place = placed(options.rank, options.world_size)
    order = options.sampler(StreamSampler, source, place)
    by = resolve_workers(source, options.workers, None, options.prefetch)
    # A folder's shards are read ahead by the system.
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
    """The batches of a sampler, as a map-style dataset: worker processes load them, all others are loaded already."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def __getitem__(self, order: Any) -> Any:
        return self._load(order) if isinstance(order, SampleOrder) else order


class _Epochs(Sampler[Any]):
    """The orders of batches, an epoch a pass.

    Args:
        order: of the rank.
        epoch: of the first pass.
        load: loads a batch, where this process does and not worker processes.
        by: threads, and batches that they load ahead.
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
        """An epoch's batches from one of them on; only their orders where worker processes load them."""
        orders = (self._order.draw(epoch, number) for number in range(first, len(self)))
        if self._load is None:
            return orders
        by = self._by
        return ahead(self._load, orders, by.threads, by.prefetch) if by.prefetch else map(self._load, orders)


class _TorchPass(Iterator[Any]):
    """One epoch; its state is which batch comes next.

    It begins with its first batch: torch makes passes that it drops before.
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
            # The batch that failed is the one to try again.
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
