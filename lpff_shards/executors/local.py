"""The engine of one machine: processes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from lpff_shards.executors import processes
from lpff_shards.executors.processes import OnProgress, Result, Task, Work


@dataclass(frozen=True, slots=True)
class Local:
    """Processes of this machine, see `executors.processes.run`.

    Attributes:
        workers: the most processes.
        fork: start them by forking.
    """

    workers: int
    fork: bool

    @property
    def elsewhere(self) -> bool:
        """No: all is this machine's."""
        return False

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Result], None, None]:
        """Does every task, see `Engine.run`."""
        return processes.run(work, tasks, min(self.workers, len(tasks)), self.fork, on_progress)
