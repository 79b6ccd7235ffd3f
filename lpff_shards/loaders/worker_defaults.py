"""Default workers of the loaders: processes, or threads of the training process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from multiprocessing import current_process, get_context, resource_tracker, spawn
from multiprocessing.context import BaseContext, ForkServerProcess, SpawnProcess
from multiprocessing.process import BaseProcess
from threading import Lock
from typing import Any, NamedTuple

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import available_cores
from lpff_shards.loaders.sampler import refuse_below
from lpff_shards.loaders.source import ShardSource

FEW = 2
"""Threads and prefetched batches for cheap loading."""

MOST_THREADS = 16
"""Most decoding threads by default: more would wait for Python's lock."""

_SAFE_PATH = "PYTHONSAFEPATH"

_BY_THREADS = ("jpeg", "webp")
"""Picture types whose decoders release Python's lock; libspng for PNGs does not."""


class Workers(NamedTuple):
    """Processes of a loader, threads if there are none, and batches that each process or all threads load ahead."""

    workers: int
    threads: int
    prefetch: int


def resolve_workers(
    source: ShardSource, workers: int | None, threads: int | None, prefetch: int | None, most: int | None = None
) -> Workers:
    """Return the loader's options with defaults resolved, see `options.ShuffledOptions`, at most `most` workers.

    Raises:
        ShardsError: a number is out of range.
    """
    cores = available_cores()
    decoding = source.remote and source.manifest.options.get("image") in _BY_THREADS
    if workers is None:
        workers = 0 if decoding or not source.decodes else min(cores, most or cores)
    if threads is None:
        # One waits for the network while the others decode.
        threads = min(cores + 1, MOST_THREADS) if decoding else FEW
    refuse_below("workers", workers, 0)
    refuse_below("threads", threads, 1)
    if prefetch is None:
        prefetch = FEW if workers else max(FEW, threads)
    refuse_below("prefetch", prefetch, 1 if workers else 0)
    return Workers(workers, threads, prefetch)


def context(method: str) -> BaseContext:
    """Return multiprocessing's context of a start method, with processes that do not run the user's script.

    Multiprocessing starts an interpreter by `-c`, which imports from the current folder first until it gets its
    parent's sys.path. Then it runs the parent's script again, which loader workers do not need.

    Raises:
        ShardsError: see `refuse_inner_start`.
    """
    refuse_inner_start()
    if method == "fork":
        return get_context(method)
    with _safe_start():
        # It is an interpreter too, and would otherwise start with the first queue.
        resource_tracker.ensure_running()
    made = copy(get_context(method))
    made.Process = _Spawned if method == "spawn" else _ForkServed  # type: ignore[attr-defined]
    return made


def refuse_inner_start() -> None:
    """Raise ShardsError if this process is itself being started, without a main guard, or may not start others."""
    if current_process().daemon:
        raise ShardsError("a daemonic process cannot start worker processes", "Pass workers=0 there")
    # Set while a process of multiprocessing imports its parent's script.
    if getattr(current_process(), "_inheriting", False):
        raise ShardsError(
            "starting worker processes would run the whole script again",
            'Put its main part under if __name__ == "__main__":, or pass workers=0',
        )


_STARTING = Lock()


@contextmanager
def _safe_start() -> Iterator[None]:
    """Start interpreters without the current folder on their sys.path, as -P does, and without the user's script."""
    with _STARTING:
        before, prepare = os.environ.get(_SAFE_PATH), spawn.get_preparation_data

        def prepared(name: str) -> dict[str, Any]:
            return {key: value for key, value in prepare(name).items() if not key.startswith("init_main_")}

        os.environ[_SAFE_PATH] = "1"
        spawn.get_preparation_data = prepared
        try:
            yield
        finally:
            spawn.get_preparation_data = prepare
            del os.environ[_SAFE_PATH]
            if before is not None:
                os.environ[_SAFE_PATH] = before


def _started(popen: Callable[[Any], Any]) -> Any:
    def start(process: BaseProcess) -> Any:
        with _safe_start():
            return popen(process)

    return staticmethod(start)


class _Spawned(SpawnProcess):
    _Popen = _started(SpawnProcess._Popen)


class _ForkServed(ForkServerProcess):
    _Popen = _started(ForkServerProcess._Popen)
