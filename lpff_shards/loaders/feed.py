"""The batches of a rank from any position on, loaded ahead by threads or by worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from lpff_shards.loaders.batches import load_batch
from lpff_shards.loaders.recycler import Take
from lpff_shards.loaders.sampler import Sampler
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.state import Position
from lpff_shards.loaders.worker_defaults import Workers
from lpff_shards.loaders.worker_pool import WorkerPool
from lpff_shards.storage.prefetch import Threads, prefetch


@dataclass(frozen=True, kw_only=True, eq=False)
class Loading:
    """Loads the batch of a position; picklable, and safe in threads. For its attributes see `load_batch`."""

    source: ShardSource
    order: Sampler
    fields: Sequence[str] = ()
    labels: bool = False

    def __call__(self, at: Position, take: Take | None = None) -> Any:
        samples = self.order.draw(*at)
        return load_batch(self.source, samples, self.fields, self.labels, take)


@dataclass(frozen=True, kw_only=True, eq=False)
class Feed:
    """Loads batches ahead.

    Attributes:
        start: start method of worker processes; None for the one of multiprocessing.
        finish: is applied to each loaded batch, by a thread.
    """

    load: Loading
    by: Workers
    start: str | None = None
    finish: Callable[[Any], Any] | None = None
    _idle: list[WorkerPool] = field(default_factory=list, init=False)

    def after(self, at: Position, epochs: int) -> Generator[tuple[Position, Any], None, None]:
        """Yield each batch from a position on, and the position after it, to the end of the epoch before `epochs`."""
        loaded = self._loaded(self._positions(at, epochs))
        if self.finish is not None:
            loaded = prefetch(self.finish, loaded, 1)
        try:
            for one in self._positions(at, epochs):
                yield one._replace(number=one.number + 1), next(loaded)
        finally:
            loaded.close()

    def settled(self, at: Position) -> Position:
        """Return the start of the next epoch for the end of one, else the position."""
        return at if at.number < self.load.order.batches(at.epoch, at.before) else Position(at.epoch + 1)

    def _positions(self, at: Position, epochs: int) -> Iterator[Position]:
        while at.epoch < epochs:
            for number in range(at.number, self.load.order.batches(at.epoch, at.before)):
                yield at._replace(number=number)
            at = Position(at.epoch + 1)

    def _loaded(self, positions: Iterator[Position]) -> Generator[Any, None, None]:
        by = self.by
        if by.workers:
            start = self.start or multiprocessing.get_start_method()
            pool = self._idle.pop() if self._idle else WorkerPool(self.load, by.workers, start)
            try:
                yield from pool.map(positions, by.prefetch)
            finally:
                # Fresh processes take seconds to start.
                if pool.usable:
                    self._idle.append(pool)
        elif by.prefetch:
            yield from prefetch(self.load, positions, min(by.threads, by.prefetch), by.prefetch)
        else:
            yield from map(self.load, positions)


class Pass:
    """A pass over batches that can be tried again after an error; `at` is the position of the next batch."""

    def __init__(self, feed: Feed, at: Position, epochs: int) -> None:
        self.at = at
        self._feed, self._epochs = feed, epochs
        self._coming: Generator[tuple[Position, Any], None, None] | None = None
        self._first: Future[tuple[Position, Any]] | None = None

    def take(self) -> Any:
        """Return the next batch; raise StopIteration at the end."""
        first, self._first = self._first, None
        try:
            at, batch = next(self._begun()) if first is None else first.result()
        except BaseException:
            # What is loaded ahead may be past the failed batch, which must be tried again.
            self.close()
            raise
        self.at = at
        return batch

    def start_prefetch(self) -> None:
        """Start to load, unless it has started."""
        if self._coming is None:
            self._first = Threads(1).submit(next, self._begun())

    def _begun(self) -> Generator[tuple[Position, Any], None, None]:
        if self._coming is None:
            self._coming = self._feed.after(self.at, self._epochs)
        return self._coming

    def move(self, at: Position) -> None:
        self.close()
        self.at = at

    def close(self) -> None:
        if self._first is not None:
            self._first.exception()  # after which no thread uses the generator
        if self._coming is not None:
            self._coming.close()
        self._coming = self._first = None
