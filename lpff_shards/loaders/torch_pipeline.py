"""The StatefulDataLoader of both pipelines, which knows its own states from those of others."""

from __future__ import annotations

import multiprocessing
from typing import Any

from torchdata.stateful_dataloader import StatefulDataLoader

from lpff_shards.loaders.ranks import refuse_joined_since
from lpff_shards.loaders.states import Drawing
from lpff_shards.loaders.torch_tensors import joined
from lpff_shards.loaders.worker_defaults import context

_OF = "of"


class Pipeline(StatefulDataLoader[Any]):
    """Whole batches of a dataset; a state goes on only in a pipeline that draws the same ones.

    Args:
        drawing: what decides the batches.
        found: rank and world size, where the user has not given both; None where both were given.
        adopts: the number of workers was left open, so that a state's own number replaces this machine's.
        given: see torch's DataLoader.
    """

    multiprocessing_context: Any

    def __init__(self, drawing: Drawing, found: tuple[int, int] | None, *, adopts: bool, **given: Any) -> None:
        super().__init__(**given, batch_size=None, collate_fn=_as_it_is)
        self._drawing = drawing
        self._found = found
        self._adopts = adopts

    def __iter__(self) -> Any:
        if self._found is not None:
            refuse_joined_since(self._found, joined())
        if self.num_workers:
            # The user may choose how processes start until now.
            method = (self.multiprocessing_context or multiprocessing).get_start_method()
            self.multiprocessing_context = context(method)
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), _OF: self._drawing.settings(self.num_workers)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict) if isinstance(state_dict, dict) else {}
        saved = rest.pop(_OF, None)
        workers = self._workers(saved)
        self._drawing.refuse_other(saved, workers)
        self.num_workers = workers
        super().load_state_dict(rest)

    def _workers(self, saved: object) -> int:
        """The workers with which to go on from a state: torch's states, and a stream's order, depend on them."""
        theirs = saved.get("workers") if isinstance(saved, dict) else None
        mine: int = self.num_workers
        return theirs if self._adopts and mine > 0 and isinstance(theirs, int) and theirs > 0 else mine


def _as_it_is(batch: Any) -> Any:
    return batch
