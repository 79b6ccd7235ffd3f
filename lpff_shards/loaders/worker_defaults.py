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
"""Threads and prefetched batches for cheap loading."""

MOST_THREADS = 16
"""Most decoding threads by default: more would wait for Python's lock."""

_SAFE_PATH = "PYTHONSAFEPATH"

_BY_THREADS = ("jpeg", "webp")
"""Picture types whose decoders release Python's lock; libspng for PNGs does not."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Workers of a loader, and batches that they load ahead.

    Attributes:
        workers: processes; 0 for threads of this process.
        threads: of this process, used without workers.
        prefetch: batches loaded ahead, per worker or by all threads together.
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
    """Return the loader's options with defaults resolved.

    Threads load raw pictures and stored PNGs, and JPEGs and WebPs in a bucket, where processes would be spawned. Other
    pictures get one process per core.

    Args:
        most: limit of the default number of processes.

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
            if before is None:
                del os.environ[_SAFE_PATH]
            else:
                os.environ[_SAFE_PATH] = before


@contextmanager
def _without_script() -> Iterator[None]:
    """As `_safe_path`; processes of multiprocessing started inside the block also do not import the main module."""

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
