"""The StatefulDataLoader of both torch loaders, its checks of states, and batches as tensors."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torchdata.stateful_dataloader import StatefulDataLoader

from lpff_shards.formats.pictures.decoding import Pixels
from lpff_shards.loaders import ranks
from lpff_shards.loaders.batches import Batches, labeled
from lpff_shards.loaders.options import LoaderOptions
from lpff_shards.loaders.ranks import refuse_joined_since
from lpff_shards.loaders.sampler import SampleOrder
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.states import LoaderSettings
from lpff_shards.loaders.worker_defaults import context

_OF = "of"

Load = Callable[[SampleOrder], Any]
"""Loads a batch."""


class Pipeline(StatefulDataLoader[Any]):
    """Whole batches of a dataset; only a pipeline with the same batches can restore a state.

    Args:
        settings: that determine the batches.
        found: rank and world size, unless the user gave both; else None.
        adopts: whether a state's number of workers replaces this machine's default.
        given: see torch's DataLoader.
    """

    multiprocessing_context: Any

    def __init__(self, settings: LoaderSettings, found: tuple[int, int] | None, *, adopts: bool, **given: Any) -> None:
        super().__init__(**given, batch_size=None, collate_fn=_as_it_is)
        self._settings = settings
        self._found = found
        self._adopts = adopts

    def __iter__(self) -> Any:
        if self._found is not None:
            refuse_joined_since(self._found, joined())
        if self.num_workers:
            # The user can set the start method until the first pass.
            method = (self.multiprocessing_context or multiprocessing).get_start_method()
            self.multiprocessing_context = context(method)
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), _OF: self._settings.settings(self.num_workers)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict) if isinstance(state_dict, dict) else {}
        saved = rest.pop(_OF, None)
        workers = self._workers(saved)
        self._settings.refuse_other(saved, workers)
        self.num_workers = workers
        super().load_state_dict(rest)

    def _workers(self, saved: object) -> int:
        """Return the workers after restoring a state: torch's states and a stream's order depend on them."""
        old = saved.get("workers") if isinstance(saved, dict) else None
        own: int = self.num_workers
        return old if self._adopts and own > 0 and isinstance(old, int) and old > 0 else own


def _as_it_is(batch: Any) -> Any:
    return batch


def load_tensors(source: ShardSource, options: LoaderOptions) -> Load:
    """Return a function that loads batches of tensors, images [n, 3, height, width] channels-last. Picklable."""
    return partial(_load, Batches(source, options.fields, flip_picture), options.labels)


def _load(batches: Batches, labels: bool, order: SampleOrder) -> Any:
    batch = batches.load(order)
    return _tensors(labeled(batch, batches.fields) if labels else batch)


def _tensors(batch: Any) -> Any:
    """Return arrays as tensors that share their memory; other values are unchanged."""
    if isinstance(batch, tuple):
        return tuple(map(_tensors, batch))
    if isinstance(batch, dict):
        return {name: _tensors(value) for name, value in batch.items()}
    return torch.from_numpy(batch) if isinstance(batch, np.ndarray) else batch


def flip_picture(pixels: Pixels) -> None:
    """Mirror a picture [height, width, 3] in place, three times as fast as numpy."""
    picture = torch.from_numpy(pixels)
    picture.copy_(picture.flip(1))


def rank_and_world_size(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return rank and world size: as given, else torch.distributed's, a launcher's, or 0 of 1; see `loaders.ranks`."""
    return ranks.rank_and_world_size(rank, world_size, joined())


def joined() -> tuple[int, int] | None:
    """Return rank and world size of torch.distributed; None if it is not initialized."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if together else None
