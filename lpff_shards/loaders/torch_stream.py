"""The dataset of `loaders.torch.stream`: shards from one end to the other, by webdataset's pipeline."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import webdataset as wds
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info
from torchdata.stateful_dataloader import StatefulDataLoader

from lpff_shards.loaders.draws import Draw, Equal, coin_flips, shuffled
from lpff_shards.loaders.pieces import Piece, Reader, batches, pieces
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.torch_epochs import Load


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """How a stream reads; see `loaders.torch.stream`."""

    batch_size: int
    shuffle: int
    seed: int
    rank: int
    world_size: int
    equal: Equal | None
    mirror: bool


class Stream(IterableDataset[Any]):
    """Whole batches of a worker's part of an epoch.

    Attributes:
        epoch: of the next pass.
    """

    def __init__(self, source: ShardSource, load: Load, options: StreamOptions, epoch: int) -> None:
        self._source = source
        self._load = load
        self.options = options
        self.epoch = epoch
        len(self)  # refuses options that leave nothing, here and not in a worker

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        o = self.options
        return batches(len(self._source), o.batch_size, o.equal, Reader(o.rank, o.world_size))

    def __iter__(self) -> Iterator[Any]:
        return _Pass(self, self.epoch)

    def load(self, epoch: int, first: int) -> Iterator[Any]:
        """The batches of an epoch from one of them on; those before it are drawn, not read."""
        for number, indices in enumerate(self._indices(epoch)):
            if number >= first:
                flips = (
                    coin_flips(indices, self.options.seed, epoch)
                    if self.options.mirror
                    else np.zeros(len(indices), bool)
                )
                yield self._load(Draw(epoch, number, indices, flips))

    def _indices(self, epoch: int) -> Iterable[NDArray[np.int64]]:
        """The sample numbers of each batch."""
        o, counts = self.options, [shard.samples for shard in self._source.shards]
        info = get_worker_info()
        reader = Reader(o.rank, o.world_size, *((info.id, info.num_workers) if info else (0, 1)))
        order = shuffled(len(counts), o.seed, epoch).tolist() if o.shuffle else range(len(counts))
        stages = [partial(iter, pieces(counts, order, o.batch_size, o.equal, reader)), self._numbers]
        if o.shuffle > 1:
            rng = random.Random(f"{o.seed} {epoch} {reader}")
            stages.append(wds.shuffle(o.shuffle, initial=o.shuffle, rng=rng))
        found: Iterable[NDArray[np.int64]] = wds.DataPipeline(
            *stages, wds.batched(o.batch_size, collation_fn=_array, partial=True)
        )
        return found

    def _numbers(self, stretches: Iterable[Piece]) -> Iterator[int]:
        for piece in stretches:
            first = self._source.first_of(piece.shard)
            yield from range(first + piece.start, first + piece.stop)


def _array(numbers: list[int]) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


class _Pass(Iterator[Any]):
    """An epoch's batches of one worker; its state is which of them comes next."""

    def __init__(self, stream: Stream, epoch: int) -> None:
        self._stream = stream
        self._epoch, self._number = epoch, 0
        self._batches = stream.load(epoch, 0)

    def __next__(self) -> Any:
        batch = next(self._batches)
        self._number += 1
        return batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "number": self._number}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._epoch, self._number = state["epoch"], state["number"]
        self._batches = self._stream.load(self._epoch, self._number)


class StreamLoader(StatefulDataLoader[Any]):
    """A StatefulDataLoader whose every pass is the next epoch of its stream."""

    dataset: Stream
    _began = False

    def __iter__(self) -> Any:
        # Workers are born with the epoch that the stream tells now.
        batches = super().__iter__()
        self.dataset.epoch += 1
        self._began = True
        return batches

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        running = self._began and not state["_iterator_finished"]
        return {**state, "epoch": self.dataset.epoch - running}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict)
        self.dataset.epoch = rest.pop("epoch")
        self._began = False
        super().load_state_dict(rest)
