"""The StatefulDataLoader of both pipelines, which knows its own states from those of others."""

from __future__ import annotations

from typing import Any

from torchdata.stateful_dataloader import StatefulDataLoader

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.ranks import refuse_joined_since
from lpff_shards.loaders.torch_tensors import joined

_OF = "of"


class Pipeline(StatefulDataLoader[Any]):
    """Whole batches of a dataset; a state goes on only in a pipeline that draws the same ones.

    Args:
        signature: tells what decides the batches, and who loads them.
        found: rank and world size, where the user has not given both; None where both were given.
        given: see torch's DataLoader.
    """

    def __init__(self, signature: str, found: tuple[int, int] | None, **given: Any) -> None:
        super().__init__(**given, batch_size=None, collate_fn=_as_it_is)
        self._signature = signature
        self._found = found

    def __iter__(self) -> Any:
        if self._found is not None:
            refuse_joined_since(self._found, joined())
        return super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), _OF: self._signature}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rest = dict(state_dict)
        if rest.pop(_OF, None) != self._signature:
            raise ShardsError(
                "the state is of another pipeline",
                "Restore it with the same data set and options, workers and world_size among them, rank by rank",
            )
        super().load_state_dict(rest)


def _as_it_is(batch: Any) -> Any:
    return batch
