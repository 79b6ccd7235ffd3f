"""Drawn batches as tensors, and which rank a process is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lpff_shards.formats.pictures.decoding import Pixels
from lpff_shards.loaders import ranks
from lpff_shards.loaders.batches import Batches, labelled
from lpff_shards.loaders.sampler import Draw


class Tensors:
    """Loads draws as torch takes them. Picklable.

    Args:
        batches: of which source.
        labels: give what `labelled` makes of batches, not dicts.
    """

    def __init__(self, batches: Batches, labels: bool) -> None:
        self._batches = batches
        self._labels = labels

    def __call__(self, draw: Draw) -> Any:
        """The draw's batch, its images [n, 3, height, width] in channels-last memory."""
        batch = self._batches.load(draw)
        return _tensors(labelled(batch, self._batches.fields) if self._labels else batch)


def _tensors(batch: Any) -> Any:
    """Arrays as tensors that share their memory; all else stays as it is."""
    if isinstance(batch, tuple):
        return tuple(map(_tensors, batch))
    if isinstance(batch, dict):
        return {name: _tensors(value) for name, value in batch.items()}
    return torch.from_numpy(batch) if isinstance(batch, np.ndarray) else batch


def flip_picture(pixels: Pixels) -> None:
    """Mirrors a picture [height, width, 3] in place, in a third of the time that numpy takes."""
    picture = torch.from_numpy(pixels)
    picture.copy_(picture.flip(1))


def placed(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and world size: as given, else torch.distributed's, else a launcher's, else 0 of 1; see `ranks.placed`."""
    return ranks.placed(rank, world_size, joined())


def joined() -> tuple[int, int] | None:
    """Rank and world size of the processes that torch.distributed has joined; None where it has joined none."""
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if together else None
