"""The sampler of `loaders.torch.loader`: a new order for each pass, which goes on in the middle of one."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from torch.utils.data import Dataset, Sampler

from lpff_shards.loaders.sampler import Draw, Sampling
from lpff_shards.storage.prefetch import Threads

Load = Callable[[Draw], Any]


class Drawn(Dataset[Any]):
    """The batches of draws, as a map-style dataset: loaded when they are asked for, unless they are on their way."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def __getitem__(self, draw: Draw | Future[Any]) -> Any:
        return draw.result() if isinstance(draw, Future) else self._load(draw)


class Epochs(Sampler[Any]):
    """Draws, an epoch a pass.

    Args:
        sampling: of the rank.
        epoch: of the first pass.
        load: loads a draw.
        ahead: how many batches threads of this process load ahead; 0 where worker processes do, or nobody.
        threads: that load ahead.
    """

    def __init__(self, sampling: Sampling, epoch: int, load: Load, ahead: int, threads: int) -> None:
        self.sampling = sampling
        self.epoch = epoch
        self._load = load
        self._ahead = ahead
        self._threads = threads

    def __len__(self) -> int:
        return len(self.sampling)

    def __iter__(self) -> Iterator[Any]:
        return _Pass(self) if self._ahead == 0 else _PassAhead(self, self._load, self._ahead, self._threads)

    def begin(self) -> int:
        """The epoch of a pass that begins."""
        self.epoch += 1
        return self.epoch - 1


class _Pass(Iterator[Any]):
    """The draws of one epoch; its state is which of them comes next.

    It begins with its first draw: torch makes passes that it drops before.
    """

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs
        self._epoch: int | None = None
        self._number = 0

    def __next__(self) -> Any:
        if self._epoch is None:
            self._epoch = self._epochs.begin()
        if self._number >= len(self._epochs):
            raise StopIteration
        self._number += 1
        return self._next(self._epoch, self._number - 1)

    def _next(self, epoch: int, number: int) -> Any:
        return self._epochs.sampling.draw(epoch, number)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epochs.epoch if self._epoch is None else self._epoch, "number": self._number}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._epoch, self._number = state["epoch"], state["number"]
        self._epochs.epoch = self._epoch + 1


class _PassAhead(_Pass):
    """The same, each draw already being loaded by threads when it is handed out."""

    def __init__(self, epochs: Epochs, load: Load, ahead: int, threads: int) -> None:
        super().__init__(epochs)
        self._load = load
        self._most = ahead
        self._coming: deque[Future[Any]] = deque()
        self._pool = Threads(threads)
        # At the program's end too, while all that stopping needs is still there.
        weakref.finalize(self, self._pool.end, wait=False)

    def _next(self, epoch: int, number: int) -> Future[Any]:
        coming, end = self._coming, len(self._epochs)
        for ahead in range(number + len(coming), min(number + self._most + 1, end)):
            coming.append(self._pool.submit(self._load, self._epochs.sampling.draw(epoch, ahead)))
        if number + len(coming) == end:
            self._pool.close()
        return coming.popleft()
