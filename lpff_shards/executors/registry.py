"""Which engine runs an export."""

from __future__ import annotations

from lpff_shards.executors.base import Engine
from lpff_shards.executors.local import Local
from lpff_shards.executors.processes import available_cores
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
