"""Who is told how an export goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from lpff_shards.executors.processes import Progress, ShardDone
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.receipt import ShardReceipt

Step = Literal["planning", "checking", "writing", "finishing", "reading"]
"""What an export does, one after the other; checking is of what an earlier run left. Reading is of a whole export."""


class Observer(Protocol):
    """Told how an export goes on."""

    notes: Sequence[str]

    def planned(self, plan: Plan, finished: int, others: int = 0) -> None:
        """The plan is made; `finished` of its shards are there already, `others` are those of other shares."""

    def wrote(self, progress: Progress) -> None:
        """Samples were written."""

    def entered(self, step: Step) -> None:
        """A step of the export begins; the one before it is over."""

    def kept(self, receipts: Iterable[ShardReceipt]) -> None:
        """These shards are there already from an earlier run, whole."""

    def shard_done(self, shard: ShardDone) -> None:
        """A shard was written."""

    def noted(self, note: str) -> None:
        """The user should know this of the export's folder."""


class Silent:
    """An observer that says nothing.

    Attributes:
        notes: of the plan, as far as they were shown.
    """

    notes: Sequence[str] = ()

    def planned(self, plan: Plan, finished: int, others: int = 0) -> None: ...

    def wrote(self, progress: Progress) -> None: ...

    def entered(self, step: Step) -> None: ...

    def kept(self, receipts: Iterable[ShardReceipt]) -> None: ...

    def shard_done(self, shard: ShardDone) -> None: ...

    def noted(self, note: str) -> None: ...
