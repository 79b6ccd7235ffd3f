"""The executor interface, and the executors there are: processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lpff_shards.executors import processes
from lpff_shards.executors.processes import OnProgress, Result, Task, Work, available_cores
from lpff_shards.executors.ray import OnRay, check
from lpff_shards.options.export import RunOptions


def chosen(options: RunOptions, fork: bool) -> Engine:
    """The engine that the options name.

    Args:
        fork: whether processes of this machine may be forked.

    Raises:
        ShardsError: what it needs is not installed.
    """
    if options.engine == "ray":
        check()
        return OnRay(options.workers, options.ray_address)
    return Local(options.workers or available_cores(), fork)


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
