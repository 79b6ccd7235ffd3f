"""Default workers of the loaders: processes, or threads of the training process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import current_process, get_context, resource_tracker, spawn
from multiprocessing.context import (
    BaseContext,
    ForkServerContext,
    ForkServerProcess,
    SpawnContext,
    SpawnProcess,
)
from multiprocessing.process import BaseProcess
from threading import Lock
from typing import Any

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import available_cores
from lpff_shards.loaders.sampler import refuse_below
from lpff_shards.loaders.source import ShardSource

FEW = 2
"""Threads and prefetched batches where loading is cheap."""

MOST_THREADS = 16
"""Most decoding threads by default: more of them wait for Python's lock."""

_SAFE_PATH = "PYTHONSAFEPATH"

_BY_THREADS = ("jpeg", "webp")
"""Pictures whose decoders release Python's lock; libspng, for PNGs, does not."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Which workers load batches, and how many ahead.

    Attributes:
        workers: processes; 0 for threads of this one.
        threads: of this process, where there are no workers.
        prefetch: batches that are loaded ahead, by each worker or by all threads together.
    """

    workers: int
    threads: int
    prefetch: int

    def __post_init__(self) -> None:
        refuse_below("workers", self.workers, 0)
        refuse_below("threads", self.threads, 1)
        refuse_below("prefetch", self.prefetch, 1 if self.workers else 0)


def resolve_workers(
    source: ShardSource, workers: int | None, threads: int | None, prefetch: int | None, most: int | None = None
) -> Workers:
    """The loader's options with defaults resolved.

    Raw pictures and stored PNGs are left to threads, and so are JPEGs and WebPs of a bucket, for which fresh processes
    would be spawned; others to a process a core.

    Args:
        most: default limit of processes.

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
    return Workers(workers, threads, max(FEW, 0 if workers else threads) if prefetch is None else prefetch)


def processes(source: ShardSource, workers: int) -> dict[str, Any]:
    """The number of torch's worker processes, and `spawn` where a forked process could not read the source."""
    return {"num_workers": workers, **({"multiprocessing_context": "spawn"} if workers and source.remote else {})}


def context(method: str) -> BaseContext:
    """multiprocessing's context of a start method, whose fresh processes run neither the user's script nor other code.

    Multiprocessing starts an interpreter by `-c`, which looks for modules in the current folder first, until it gets
    the sys.path of its parent; then it runs the parent's script once more, which a worker of ours has no need of.

    Raises:
        ShardsError: this process is being started itself, and runs a script that is not meant for it.
    """
    # Set while a process of multiprocessing imports the script that it was started by.
    if getattr(current_process(), "_inheriting", False):
        raise ShardsError(
            "a worker process that starts would run the whole script",
            'Put its main part under if __name__ == "__main__":, or give workers=0',
        )
    if method == "fork":
        return get_context(method)
    with _safe_path():
        # It is an interpreter too, and otherwise begins with the first queue.
        resource_tracker.ensure_running()
    return _Spawn() if method == "spawn" else _ForkServer()


def guard_spawn() -> None:
    """Keeps the current folder off the sys.path of processes that a library spawns by multiprocessing's own context."""
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
            if before is None:
                del os.environ[_SAFE_PATH]
            else:
                os.environ[_SAFE_PATH] = before


@contextmanager
def _without_script() -> Iterator[None]:
    """As `_safe_path`, and processes of multiprocessing that are started meanwhile do not import the main module."""

    def prepared(name: str) -> dict[str, Any]:
        data: dict[str, Any] = prepare(name)
        return {key: value for key, value in data.items() if not key.startswith("init_main_from_")}

    with _safe_path():
        prepare = spawn.get_preparation_data
        spawn.get_preparation_data = prepared
        try:
            yield
        finally:
            spawn.get_preparation_data = prepare


def _spawn_safely(process: BaseProcess) -> Any:
    with _safe_path():
        return _popen_spawn(process)


class _Spawned(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802
        with _without_script():
            return _popen_spawn(process_obj)


class _ForkServed(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802
        with _without_script():
            return ForkServerProcess._Popen(process_obj)


class _Spawn(SpawnContext):
    Process = _Spawned


class _ForkServer(ForkServerContext):
    Process = _ForkServed
