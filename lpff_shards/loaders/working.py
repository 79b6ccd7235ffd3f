"""Who loads batches where the user leaves it open: worker processes, or threads of the training process."""

from __future__ import annotations

from multiprocessing import current_process
from typing import Any, NamedTuple

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.source import ShardSource
from lpff_shards.processes import available_cores

FEW = 2
"""Threads, and batches ahead, where nothing takes long."""

MOST_THREADS = 16
"""Threads that decode, unless more are asked for: beyond, Python itself is what they wait for."""

_BY_THREADS = ("jpeg", "webp")
"""Pictures whose decoders let go of Python meanwhile; libspng, for PNGs, does not."""


class Working(NamedTuple):
    """Who loads, and how far ahead.

    Attributes:
        workers: processes; 0 for threads of this one.
        threads: of this process, where there are no workers.
        prefetch: batches that are loaded ahead, by each worker or by all threads together.
    """

    workers: int
    threads: int
    prefetch: int


def working(
    source: ShardSource, workers: int | None, threads: int | None, prefetch: int | None, most: int | None = None
) -> Working:
    """What the user asked for, None replaced.

    Raw pictures and stored PNGs are left to threads, and so are JPEGs and WebPs of a bucket, for which fresh processes
    would be spawned; others to a process a core.

    Args:
        most: processes, unless more are asked for.
    """
    cores = available_cores()
    decoding = source.remote and source.manifest.options.get("image") in _BY_THREADS
    if workers is None:
        workers = 0 if decoding or not source.decodes else min(cores, most or cores)
    if threads is None:
        # One waits for the network while the others decode.
        threads = min(cores + 1, MOST_THREADS) if decoding else FEW
    return Working(workers, threads, max(FEW, 0 if workers else threads) if prefetch is None else prefetch)


def processes(source: ShardSource, workers: int) -> dict[str, Any]:
    """How torch's DataLoader is told to start worker processes for a source: afresh, where a fork could not read it.

    Raises:
        ShardsError: one of them is being started, and runs a script that is not meant for it.
    """
    if not workers or not source.remote:
        return {"num_workers": workers}
    # Set while a spawned process imports the script that it was spawned by.
    if getattr(current_process(), "_inheriting", False):
        raise ShardsError(
            "a worker process that starts would run the whole script",
            'Put its main part under if __name__ == "__main__":, or give workers=0',
        )
    return {"num_workers": workers, "multiprocessing_context": "spawn"}
