"""Executors of an export's tasks: processes of this machine, or a Ray cluster. The bytes of shards are the same.

An executor holds a bounded number of tasks at once, returns each result when its task is done, and repeats lost tasks.
It does not depend on the work of a task. `elsewhere` is whether other machines may run tasks, with other disks.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import LocalExecutor, available_cores
from lpff_shards.options.export import RunOptions

if TYPE_CHECKING:
    from lpff_shards.executors.ray import RayExecutor

Executor: TypeAlias = "LocalExecutor | RayExecutor"


def get_executor(options: RunOptions, fork: bool) -> Executor:
    """Return the executor of the options, which may `fork` this process; raise ShardsError if Ray is missing."""
    if options.engine == "ray":
        from lpff_shards.executors.ray import RayExecutor

        if find_spec("ray") is None:
            raise ShardsError("--engine ray needs Ray", 'Install it: pip install "lpff-shards[ray]"')
        return RayExecutor(options.workers, options.ray_address)
    return LocalExecutor(options.workers or available_cores(), fork)
