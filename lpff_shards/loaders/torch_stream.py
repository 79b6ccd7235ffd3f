"""The dataset of `loaders.torch.stream`: sequential reads of shards, shuffled by webdataset."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import webdataset as wds
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from lpff_shards.loaders.stream_sampler import Reader, StreamSampler, batches
from lpff_shards.loaders.torch_pipeline import Load, Pipeline
from lpff_shards.storage.prefetch import prefetch


class Stream(IterableDataset[Any]):
    """Whole batches of a worker's part of an epoch.

    Args:
        rows: sampler of the rank.
        load: loads a batch.
        ahead: batches that threads of this process load ahead.

    Attributes:
        epoch: of the next pass.
    """

    def __init__(self, rows: StreamSampler, load: Load, epoch: int, prefetch: int = 0) -> None:
        self._rows = rows
        self._load = load
        self._ahead = prefetch
        self.epoch = epoch
        len(self)  # refuses options without a batch here, not in a worker

    def __len__(self) -> int:
        """Return the number of batches of this rank in an epoch."""
        rows = self._rows
        return batches(sum(rows.counts), rows.batch_size, rows.equal, Reader(rows.rank, rows.world_size))

    def __iter__(self) -> Iterator[Any]:
        return _StreamPass(self, self.epoch)

    def load(self, epoch: int, first: int) -> Iterator[Any]:
        """Return the batches of an epoch from batch `first` on, without reading those before."""
        orders = (self._rows.of(ids, epoch) for ids in islice(self._drawn(epoch), first, None))
        return prefetch(self._load, orders, self._ahead) if self._ahead else map(self._load, orders)

    def _drawn(self, epoch: int) -> Iterable[NDArray[np.int64]]:
        """Return the numbers of each batch's samples."""
        rows, info = self._rows, get_worker_info()
        reader = Reader(rows.rank, rows.world_size, *((info.id, info.num_workers) if info else (0, 1)))
        stages = [partial(iter, rows.stretch(epoch, reader).tolist())]
        if rows.shuffle > 1:
            rng = random.Random(f"{rows.seed} {epoch} {reader}")
            stages.append(wds.shuffle(rows.shuffle, initial=rows.shuffle, rng=rng))
        numbers: Iterable[NDArray[np.int64]] = wds.DataPipeline(
            *stages, wds.batched(rows.batch_size, collation_fn=_array, partial=True)
        )
        return numbers


def _array(numbers: list[int]) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


class _StreamPass(Iterator[Any]):
    """An epoch's batches of one worker; its state is the number of the next batch."""

    def __init__(self, stream: Stream, epoch: int) -> None:
        self._stream = stream
        self._epoch, self._number = epoch, 0
        self._batches: Iterator[Any] | None = None

    def __next__(self) -> Any:
        if self._batches is None:
            self._batches = self._stream.load(self._epoch, self._number)
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
        return {"epoch": self._epoch, "number": self._number}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._epoch, self._number = state["epoch"], state["number"]
        self._batches = None


class StreamLoader(Pipeline):
    """A pipeline over a stream; each pass is the next epoch."""

    dataset: Stream
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
