"""Callbacks for the progress of an export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from lpff_shards.executors.processes import Progress, ShardDone
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.receipt import ShardReceipt

Step = Literal["planning", "checking", "writing", "finishing", "reading"]
"""Steps of an export, in order. "checking" is of shards from an earlier run; "reading" is of a finished export."""


class Observer(Protocol):
    """Receives the progress of an export."""

    notes: Sequence[str]

    def planned(self, plan: Plan, finished: int, others: int = 0) -> None:
        """The plan is made; `finished` of its shards already exist, `others` belong to other tasks of `--task`."""

    def wrote(self, progress: Progress) -> None:
        """Samples were written."""

    def entered(self, step: Step) -> None:
        """A step starts; the previous one has ended."""

    def kept(self, receipts: Iterable[ShardReceipt]) -> None:
        """An earlier run finished these shards."""

    def shard_done(self, shard: ShardDone) -> None:
        """A shard was written."""

    def noted(self, note: str) -> None:
        """A note about the export's folder for the user."""


class Silent:
    """An observer that prints nothing.

    Attributes:
        notes: notes of the plan that were shown.
    """

    notes: Sequence[str] = ()

    def planned(self, plan: Plan, finished: int, others: int = 0) -> None: ...

    def wrote(self, progress: Progress) -> None: ...

    def entered(self, step: Step) -> None: ...

    def kept(self, receipts: Iterable[ShardReceipt]) -> None: ...

    def shard_done(self, shard: ShardDone) -> None: ...

    def noted(self, note: str) -> None: ...
