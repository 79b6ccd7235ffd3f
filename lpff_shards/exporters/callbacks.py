"""Callbacks for the progress of an export."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from lpff_shards.executors.processes import Progress, ShardDone
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.receipt import ShardReceipt

Step = Literal["planning", "checking", "writing", "finishing", "reading"]
"""Steps of an export, in order. "checking" is of shards from an earlier run; "reading" is of a finished export."""


class ProgressCallback:
    """Receives the progress of an export; each method does nothing until a subclass overrides it.

    Attributes:
        notes: notes of the plan that were shown.
    """

    notes: Sequence[str] = ()

    def on_plan(self, plan: Plan, finished: int, others: int = 0) -> None:
        """The plan is made; `finished` of its shards already exist, `others` belong to other tasks of `--task`."""

    def on_progress(self, progress: Progress) -> None:
        """Samples were written."""

    def on_stage(self, step: Step) -> None:
        """A step starts; the previous one has ended."""

    def on_skipped_shards(self, receipts: Iterable[ShardReceipt]) -> None:
        """An earlier run finished these shards."""

    def on_shard(self, shard: ShardDone) -> None:
        """A shard was written."""

    def on_note(self, note: str) -> None:
        """A note about the export's folder for the user."""
