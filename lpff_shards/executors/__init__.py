"""What runs an export's tasks: processes of this machine, or a Ray cluster. Bytes are the same.

An executor holds a bounded number of tasks at once, passes each result on as it comes, and repeats tasks where it can
lose them. It has no part in what a task does.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import ClassVar, Protocol

from lpff_shards.executors.processes import Done, LocalExecutor, OnProgress, Result, Task, Work, available_cores
from lpff_shards.executors.ray import RayExecutor, check
from lpff_shards.options.export import RunOptions


class Executor(Protocol):
    """Runs tasks somewhere.

    Attributes:
        elsewhere: whether other machines may do the work, which see other disks and have caches of their own.
    """

    elsewhere: ClassVar[bool]

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Done[Result]], None, None]:
        """Do every task, and yield each one's number and result as it is done; closing it stops what still runs.

        Args:
            work: picklable.
            tasks: may make each when it is asked for.

        Raises:
            ShardsError: a task failed, or what it ran on was lost for good; the other tasks are stopped.
        """


def get_executor(options: RunOptions, fork: bool) -> Executor:
    """Return the executor that the options name.

    Args:
        fork: whether processes of this machine may be forked.

    Raises:
        ShardsError: what it needs is not installed.
    """
    if options.engine == "ray":
        check()
        return RayExecutor(options.workers, options.ray_address)
    return LocalExecutor(options.workers or available_cores(), fork)
