"""Default workers of the loaders: processes, or threads of the training process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import current_process, get_context, resource_tracker, spawn
from multiprocessing.context import BaseContext, ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
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
    """Return the loader's options with defaults resolved.

    Threads load raw pictures and stored PNGs, and JPEGs and WebPs in a bucket, where processes would be spawned. Other
    pictures get one process per core, at most `most`.

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
        ShardsError: this process is itself being started, and its script has no main guard.
    """
    # Set while a process of multiprocessing imports its parent's script.
    if getattr(current_process(), "_inheriting", False):
        raise ShardsError(
            "starting worker processes would run the whole script again",
            'Put its main part under if __name__ == "__main__":, or pass workers=0',
        )
    if method == "fork":
        return get_context(method)
    with _safe_path():
        # It is an interpreter too, and would otherwise start with the first queue.
        resource_tracker.ensure_running()
    return _Spawn() if method == "spawn" else _ForkServer()


def guard_spawn() -> None:
    """Keep the current folder off the sys.path of processes that a library spawns by multiprocessing's own context."""
    with _safe_path():
        resource_tracker.ensure_running()
    SpawnProcess._Popen = staticmethod(_spawn_safely)  # type: ignore[assignment]


_STARTING = Lock()
_popen_spawn = SpawnProcess._Popen


@contextmanager
def _safe_path() -> Iterator[None]:
    """Start interpreters inside the block without the current folder on their sys.path, as -P does."""
    with _STARTING:
        before = os.environ.get(_SAFE_PATH)
        os.environ[_SAFE_PATH] = "1"
        try:
            yield
        finally:
            del os.environ[_SAFE_PATH]
            if before is not None:
                os.environ[_SAFE_PATH] = before


def _spawn_safely(process: BaseProcess) -> Any:
    with _safe_path():
        return _popen_spawn(process)


def _without_script(popen: Callable[[Any], Any]) -> Any:
    """Return a starter of processes as `_spawn_safely`, that also do not import the main module."""

    def started(process: BaseProcess) -> Any:
        with _safe_path():
            prepare = spawn.get_preparation_data

            def prepared(name: str) -> dict[str, Any]:
                return {key: value for key, value in prepare(name).items() if not key.startswith("init_main_from_")}

            spawn.get_preparation_data = prepared
            try:
                return popen(process)
            finally:
                spawn.get_preparation_data = prepare

    return staticmethod(started)


class _Spawned(SpawnProcess):
    _Popen = _without_script(_popen_spawn)


class _ForkServed(ForkServerProcess):
    _Popen = _without_script(ForkServerProcess._Popen)


class _Spawn(SpawnContext):
    Process = _Spawned


class _ForkServer(ForkServerContext):
    Process = _ForkServed
