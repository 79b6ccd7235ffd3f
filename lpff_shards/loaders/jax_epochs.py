"""The dataset of `loaders.jax.loader`: whole batches, epoch after epoch, loaded ahead by Grain."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grain
from absl import flags

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.batches import Batches, labeled
from lpff_shards.loaders.jax_arrays import joined
from lpff_shards.loaders.ranks import refuse_joined_since
from lpff_shards.loaders.sampler import Sampling
from lpff_shards.loaders.states import Drawing
from lpff_shards.loaders.worker_defaults import guard_spawn

Finish = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Who loads how far ahead.

    Attributes:
        workers: processes that load; 0 for threads of this one.
        threads: of this process, where there are no workers.
        prefetch: batches that are loaded ahead, by each worker or by all threads together; 0 loads each batch when it
            is asked for.
    """

    workers: int
    threads: int
    prefetch: int

    def __post_init__(self) -> None:
        for name, value, least in (
            ("workers", self.workers, 0),
            ("threads", self.threads, 1),
            ("prefetch", self.prefetch, 0),
        ):
            if not isinstance(value, int) or value < least:
                raise ShardsError(f"{name} {value!r} is out of range", f"It is a whole number from {least}")


class Drawn:
    """A rank's batches from one of them on, by number: a data source of Grain. Picklable.

    Args:
        batches: of which source.
        sampling: of the rank.
        labels: give what `labeled` makes of batches, not dicts.
        first, stop: the first batch, and the one behind the last, counted from the start of epoch 0.
    """

    def __init__(self, batches: Batches, sampling: Sampling, labels: bool, first: int, stop: int) -> None:
        self._batches = batches
        self._sampling = sampling
        self._labels = labels
        self._first, self._stop = first, stop

    def __len__(self) -> int:
        return max(0, self._stop - self._first)

    def __getitem__(self, index: int) -> Any:
        batch = self._batches.load(self._sampling.draw(*divmod(self._first + index, len(self._sampling))))
        return labeled(batch, self._batches.fields) if self._labels else batch


class Epochs(grain.IterDataset[Any]):
    """Batches of a rank, epoch after epoch; every iterator begins at the first epoch.

    Args:
        batches, sampling, labels: see `Drawn`.
        found: rank and world size, where the user has not given both; None where both were given.
        epoch: the first one.
        epochs: how many there are; None for no end.
        ahead: who loads.
        finish: makes of a loaded batch what the user gets, in the user's thread.

    Attributes:
        batches_per_epoch: of this rank.
        drawing: what decides the batches.
    """

    def __init__(
        self,
        batches: Batches,
        sampling: Sampling,
        labels: bool,
        *,
        found: tuple[int, int] | None,
        epoch: int,
        epochs: int | None,
        ahead: Ahead,
        finish: Finish,
    ) -> None:
        super().__init__()
        self.batches_per_epoch = len(sampling)
        self.drawing = Drawing(batches.source, sampling)
        self.first = epoch * self.batches_per_epoch
        self.finish = finish
        self._stop = sys.maxsize if epochs is None else (epoch + epochs) * self.batches_per_epoch
        self._drawn = (batches, sampling, labels)
        self._ahead = ahead
        self._found = found

    def __iter__(self) -> grain.DatasetIterator[Any]:
        if self._found is not None:
            refuse_joined_since(self._found, joined())
        return _Pass(self)

    def load(self, first: int) -> grain.DatasetIterator[Any]:
        """The loaded batches from one of them on."""
        source, ahead = Drawn(*self._drawn, first, self._stop), self._ahead
        threads = 0 if ahead.workers else min(ahead.threads, ahead.prefetch)
        reading = grain.ReadOptions(threads, ahead.prefetch if threads else 0)
        loaded = grain.MapDataset.source(source).to_iter_dataset(reading)
        if ahead.workers:
            _let_flag_be_read()
            # Grain's own threads start them, whenever it likes.
            guard_spawn()
        return iter(loaded.mp_prefetch(grain.MultiprocessingOptions(ahead.workers, max(1, ahead.prefetch))))

    def __str__(self) -> str:
        return f"Epochs(batches_per_epoch={self.batches_per_epoch})"


def _let_flag_be_read() -> None:
    # Grain 0.2.18 reads this flag in programs without absl's app.run too, which absl forbids (google/grain issue 1355).
    name = "grain_enable_multiprocess_worker_profiling"
    if name in flags.FLAGS and not flags.FLAGS.is_parsed():
        flags.FLAGS[name].present = 1


class _Pass(grain.DatasetIterator[Any]):
    """The batches in order; the state is which of them comes next, whoever loads them."""

    def __init__(self, epochs: Epochs) -> None:
        super().__init__()
        self._epochs = epochs
        self._next = epochs.first
        self._coming: list[grain.DatasetIterator[Any]] = []
        # At the program's end too: Grain's own cleaning comes too late then, and Python complains of it.
        weakref.finalize(self, _close_all, self._coming)

    def __next__(self) -> Any:
        try:
            batch = self._epochs.finish(next(self._loading()))
        except StopIteration:
            raise
        except BaseException:
            # What loads ahead may be past the batch that failed, which is the one to try again.
            _close_all(self._coming)
            raise
        self._next += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        epoch, number = divmod(self._next, self._epochs.batches_per_epoch)
        return {"epoch": epoch, "number": number, "of": self._epochs.drawing.settings(None)}

    def set_state(self, state: dict[str, Any]) -> None:
        self._epochs.drawing.refuse_other(state.get("of"), None)
        _close_all(self._coming)
        self._next = int(state["epoch"]) * self._epochs.batches_per_epoch + int(state["number"])

    def start_prefetch(self) -> None:
        self._loading().start_prefetch()

    def close(self) -> None:
        _close_all(self._coming)
        super().close()

    def __str__(self) -> str:
        return str(self._epochs)

    def _loading(self) -> grain.DatasetIterator[Any]:
        self._assert_not_closed()
        if not self._coming:
            self._coming.append(self._epochs.load(self._next))
        return self._coming[0]


def _close_all(iterators: list[grain.DatasetIterator[Any]]) -> None:
    while iterators:
        iterators.pop().close()
