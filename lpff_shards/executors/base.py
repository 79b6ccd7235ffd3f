"""What every engine does: runs tasks that it knows nothing of, and hands on each result as it comes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from lpff_shards.executors.processes import OnProgress, Result, Task, Work


class Engine(Protocol):
    """Runs tasks somewhere."""

    @property
    def elsewhere(self) -> bool:
        """Whether other machines may do the work, which see other disks and have caches of their own."""

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Result], None, None]:
        """Does every task, and yields each one's number and result as it is done; closing it stops what still runs.

        Args:
            work: picklable.
            tasks: may make each when it is asked for; a bounded number of them exists at once.

        Raises:
            ShardsError: a task failed, or what it ran on was lost for good; the other tasks are stopped.
        """
