"""Runs tasks on processes of this machine: a worker takes a task, writes its shard, and sends its receipt back.

A worker talks to the parent over a pipe of its own, so a killed one is noticed at once, and one without a parent stops.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.exporters.shard import write_shard
from lpff_shards.manifest import ShardReceipt
from lpff_shards.plan import ShardTask

REPORT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """What was written since the last report: samples (skipped ones too) and bytes."""

    samples: int
    bytes: int


OnProgress = Callable[[Progress], None]
ProcessContext = ForkContext | SpawnContext


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_context() -> ProcessContext:
    """How workers are started: asked before an export starts threads of its own, which outlive their joining a little.

    Forking is fastest, and safe only where no other thread may hold a lock; else processes start afresh.
    """
    threads = Path("/proc/self/task")
    single = threads.is_dir() and len(list(threads.iterdir())) == 1
    return multiprocessing.get_context("fork") if single else multiprocessing.get_context("spawn")


def run(
    tasks: Iterator[ShardTask], root: Path, workers: int, context: ProcessContext, on_progress: OnProgress
) -> dict[int, ShardReceipt]:
    """Writes the shards of tasks, on `workers` processes (1: in this one); receipts by the task's index.

    Raises:
        ShardsError: a task failed; the other workers are stopped and what they had not finished is lost.
    """
    if workers == 1:
        report = _Reporter(on_progress)
        receipts = {task.index: write_shard(task, root, report) for task in tasks}
        report.flush()
        return receipts
    with _Pool(root, workers, context) as pool:
        return pool.run(tasks, on_progress)


class _Reporter:
    """Gathers what samples report and passes it on a few times a second."""

    def __init__(self, send: OnProgress) -> None:
        self._send = send
        self._samples = self._bytes = 0
        self._next = time.monotonic() + REPORT_SECONDS

    def __call__(self, written: int) -> None:
        self._samples += 1
        self._bytes += written
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        self._send(Progress(self._samples, self._bytes))
        self._samples = self._bytes = 0
        self._next = time.monotonic() + REPORT_SECONDS


@dataclass(frozen=True, slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection


class _Pool:
    """Worker processes, one task at a time each."""

    def __init__(self, root: Path, workers: int, context: ProcessContext) -> None:
        self._workers: list[_Worker] = []
        for _ in range(workers):
            ours, theirs = context.Pipe()
            # A forked child inherits its siblings' pipes; held open there, they would outlive a dead parent.
            forked = isinstance(context, ForkContext)
            inherited = [*(worker.pipe for worker in self._workers), ours] if forked else []
            process = context.Process(target=_work, args=(theirs, root, inherited), daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    def run(self, tasks: Iterator[ShardTask], on_progress: OnProgress) -> dict[int, ShardReceipt]:
        receipts: dict[int, ShardReceipt] = {}
        busy: dict[Connection, tuple[_Worker, ShardTask]] = {}
        for worker in self._workers:
            _hand(worker, tasks, busy)
        while busy:
            for pipe in wait(list(busy)):
                worker, task = busy[pipe]  # type: ignore[index]
                message = _receive(worker, task)
                if isinstance(message, Progress):
                    on_progress(message)
                elif isinstance(message, ShardReceipt):
                    receipts[task.index] = message
                    del busy[worker.pipe]
                    _hand(worker, tasks, busy)
                else:
                    raise message
        return receipts


def _hand(worker: _Worker, tasks: Iterator[ShardTask], busy: dict[Connection, tuple[_Worker, ShardTask]]) -> None:
    task = next(tasks, None)
    if task is None:
        return
    try:
        worker.pipe.send(task)
    except OSError:
        raise _killed(worker, task) from None
    busy[worker.pipe] = (worker, task)


def _receive(worker: _Worker, task: ShardTask) -> Progress | ShardReceipt | ShardsError:
    try:
        message: Progress | ShardReceipt | ShardsError = worker.pipe.recv()
    except (EOFError, OSError):
        raise _killed(worker, task) from None
    return message


def _killed(worker: _Worker, task: ShardTask) -> ExportFailed:
    worker.process.join()
    return ExportFailed(
        f"the process for {task.filename} was killed (exit status {worker.process.exitcode})",
        "The system may be short of memory: run the same command again to go on, with fewer --workers if need be",
    )


def _work(pipe: Connection, root: Path, inherited: Sequence[Connection]) -> None:
    """A worker's life: tasks come over the pipe until it closes."""
    # Ctrl-C reaches the whole process group; the parent alone decides what follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:
        other.close()
    try:
        while True:
            pipe.send(_attempt(pipe.recv(), root, pipe))
    except (EOFError, OSError):
        return


def _attempt(task: ShardTask, root: Path, pipe: Connection) -> ShardReceipt | ShardsError:
    report = _Reporter(pipe.send)
    try:
        receipt = write_shard(task, root, report)
    except ShardsError as error:
        return error
    except (BrokenPipeError, ConnectionError):
        raise
    except Exception as error:
        traceback.print_exc()
        return ExportFailed(
            f"{task.filename} failed by a fault of lpff-shards itself: {error!r}",
            "Please report it with the lines above",
        )
    report.flush()
    return receipt
