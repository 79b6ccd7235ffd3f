"""Executors of an export's tasks: processes of this machine, or a Ray cluster. The bytes of shards are the same.

An executor holds a bounded number of tasks at once, returns each result when its task is done, and repeats lost tasks.
It does not depend on the work of a task.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import ClassVar, Protocol

from lpff_shards.executors.processes import Done, LocalExecutor, OnProgress, Result, Task, Work, available_cores
from lpff_shards.options.export import RunOptions


class Executor(Protocol):
    """Runs tasks.

    Attributes:
        elsewhere: whether other machines may run tasks, with other disks and caches.
    """

    elsewhere: ClassVar[bool]

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Done[Result]], None, None]:
        """Run every task; yield each number and result when it is done; closing the generator stops running tasks.

        Args:
            work: picklable.
            tasks: may create each task on access.

        Raises:
            ShardsError: a task failed, or its worker was lost too often; the other tasks are stopped.
        """


def get_executor(options: RunOptions, fork: bool) -> Executor:
    """Return the executor of the options.

    Args:
        fork: whether processes of this machine may be forked.

    Raises:
        ShardsError: Ray is required but not installed.
    """
    if options.engine == "ray":
        from lpff_shards.executors.ray import RayExecutor, check

        check()
        return RayExecutor(options.workers, options.ray_address)
    return LocalExecutor(options.workers or available_cores(), fork)
