"""Workers on this machine: a forked one has its parent's tasks and receives a number, a fresh one receives the task.

Each worker has its own pipe to the parent, so a killed worker is detected at once, and a worker without a parent stops.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Generic, TypeVar

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.worker import SIGNALS, begin_worker

REPORT_SECONDS = 0.1

Task = TypeVar("Task")
Result = TypeVar("Result")
OnSample = Callable[[int], None]
"""Receives the bytes of each processed sample (0 for a skipped one)."""

Work = Callable[[Task, OnSample], Result]
"""The work on a task; it is pickled, so it is a function of a module or a `partial` of one."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Samples, also skipped ones, and bytes since the last report."""

    samples: int
    bytes: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class ShardDone:
    """A shard that was written or read.

    Attributes:
        seconds: time of its worker.
        faults: number of faults in it.
        skipped: planned samples that were left out.
    """

    file: str
    samples: int
    bytes: int
    seconds: float
    faults: int = 0
    skipped: int = 0


OnShard = Callable[[ShardDone], None]
OnNote = Callable[[str], None]
"""Receives a line for the user."""


def available_cores() -> int:
    """Return the cores that this process may use, within a container's quota, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, cpu_quota()))


@cache
def cpu_quota(groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the CPU quota of a process in cores: the least of all its control groups, rounded up."""
    return min([sys.maxsize, *map(_quota, control_groups("cpu", groups, mounted))])


def control_groups(
    controller: str, groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> list[Path]:
    """Return the folders of a process's control groups that may have a controller, each after those above it.

    Args:
        groups: the list of groups, in a container perhaps with paths of the host, of which only the root is mounted.
        mounted: the mount point of version 2; that of version 1 is its folder with the controller's name.
    """
    found: list[Path] = []
    for line in groups.read_text().splitlines() if groups.is_file() else ():
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers or controller in controllers.split(","):
            root, parts = mounted / (controller if controllers else ""), PurePosixPath(path).parts[1:]
            found += [root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    return found


def _quota(group: Path) -> int:
    """Return the cores of a control group: version 2 has quota and period in one file, version 1 in two."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
        except (OSError, ValueError):
            # The group or the file is missing, or contains `max`.
            continue
        if quota > 0 and period > 0:
            return -(-quota // period)
    return sys.maxsize


def may_fork() -> bool:
    """Return whether workers may be forked: no other thread may hold a lock.

    Call it before a command starts threads, since the system lists them a little longer than they live.
    """
    threads = Path("/proc/self/task")
    return threads.is_dir() and len(list(threads.iterdir())) == 1


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """At most `workers` processes of this machine; with 1 this process does the work.

    Attributes:
        fork: start them by forking; else each is a fresh interpreter that imports only this package.
    """

    workers: int
    fork: bool
    elsewhere: ClassVar[bool] = False

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
        workers = min(self.workers, len(tasks))
        if workers > 1:
            with _started(work, tasks, workers, self.fork) as started:
                yield from _in_processes(started, iter(range(len(tasks))), on_progress)
            return
        report = _Reporter(on_progress)
        for number in range(len(tasks)):
            done = do(work, tasks[number], report)
            report.flush()
            yield number, done


class _Reporter:
    """Sum the reports of samples, and send them a few times a second."""

    def __init__(self, send: OnProgress) -> None:
        self._send = send
        self._samples = self._bytes = 0
        self._next = time.monotonic() + REPORT_SECONDS

    def __call__(self, size: int) -> None:
        self._samples += 1
        self._bytes += size
        if time.monotonic() >= self._next:
            self.flush()

    def flush(self) -> None:
        self._send(Progress(self._samples, self._bytes))
        self._samples = self._bytes = 0
        self._next = time.monotonic() + REPORT_SECONDS


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """A task's result, and the seconds of its work."""

    result: Result
    seconds: float


def do(work: Work[Task, Result], task: Task, on_sample: OnSample) -> Done[Result]:
    """Run a task in this process."""
    started = time.monotonic()
    result = work(task, on_sample)
    return Done(result, time.monotonic() - started)


def failure(error: BaseException, lines: str) -> ShardsError:
    """Return the user's error for an exception of a task; print `lines` if it is a fault of lpff-shards."""
    if isinstance(error, ShardsError):
        return error
    if isinstance(error, MemoryError):
        return ExportFailed("a worker ran out of memory", "Use fewer --workers, or a machine with more memory")
    sys.stderr.write(f"{lines.rstrip()}\n")
    return ExportFailed(
        f"a worker failed by a fault of lpff-shards: {error!r}", "Please report it with the lines above"
    )


@dataclass(frozen=True, slots=True)
class _Worker:
    """A process: `hand` sends it the task of a number, `join` waits for its end and returns its exit status."""

    pipe: Connection
    hand: Callable[[int], None]
    terminate: Callable[[], None]
    join: Callable[[], int | None]


@contextmanager
def _started(work: Work[Any, Any], tasks: Sequence[Any], count: int, fork: bool) -> Iterator[list[_Worker]]:
    workers: list[_Worker] = []
    try:
        # Blocked until a worker has set its own handlers: a new fork still has its parent's.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            for _ in range(count):
                siblings = [worker.pipe for worker in workers]
                workers.append(_forked(work, tasks, siblings) if fork else _fresh(work, tasks))
        except OSError as error:
            raise ExportFailed(
                f"{count} worker processes cannot be started: {error.strerror}", "Use fewer --workers"
            ) from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield workers
    finally:
        for worker in workers:
            worker.pipe.close()
            worker.terminate()
        for worker in workers:
            worker.join()


def _in_processes(
    workers: list[_Worker], numbers: Iterator[int], on_progress: OnProgress
) -> Iterator[tuple[int, Done[Any]]]:
    """Hand each worker the next task when its last one is done."""
    busy: dict[Connection, tuple[_Worker, int]] = {}

    def hand_next(worker: _Worker) -> None:
        if (number := next(numbers, None)) is not None:
            try:
                worker.hand(number)
            except OSError:
                raise _killed(worker) from None
            busy[worker.pipe] = worker, number

    for worker in workers:
        hand_next(worker)
    while busy:
        for pipe in wait(list(busy)):
            worker, number = busy[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                raise _killed(worker) from None
            if isinstance(message, Progress):
                on_progress(message)
            elif isinstance(message, Done):
                del busy[worker.pipe]
                hand_next(worker)
                yield number, message
            else:
                raise message


def _forked(work: Work[Any, Any], tasks: Sequence[Any], siblings: Sequence[Connection]) -> _Worker:
    parent_end, child_end = Pipe()
    # A forked child inherits its siblings' pipes; if it kept them open, they would outlive a dead parent.
    arguments = (child_end, [*siblings, parent_end], work, tasks.__getitem__)
    process = get_context("fork").Process(target=_serve, args=arguments, daemon=True)
    process.start()
    child_end.close()

    def join() -> int | None:
        process.join()
        return process.exitcode

    return _Worker(parent_end, parent_end.send, process.terminate, join)


def _fresh(work: Work[Any, Any], tasks: Sequence[Any]) -> _Worker:
    """Start a worker in a new interpreter; unlike multiprocessing's, it does not run the user's script again."""
    parent_end, child_end = Pipe()
    command = python("-c", f"from lpff_shards.executors.processes import serve; serve({child_end.fileno()})")
    process = subprocess.Popen(command, pass_fds=[child_end.fileno()], env=python_environment())
    child_end.close()
    parent_end.send(work)
    return _Worker(parent_end, lambda number: parent_end.send(tasks[number]), process.terminate, process.wait)


def python(*arguments: str) -> list[str]:
    """Return the command of a new interpreter; without `-P` it would import modules of the current folder first."""
    return [sys.executable, "-P", *arguments]


def python_environment() -> dict[str, str]:
    """Return an environment in which `python` finds the packages of this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def serve(fd: int) -> None:
    """Run a fresh worker, which receives its work over its pipe."""
    pipe = Connection(fd)
    _serve(pipe, (), pipe.recv(), lambda task: task)


def _killed(worker: _Worker) -> ExportFailed:
    status = worker.join()
    message = f"a worker process was killed (exit status {status})"
    if status == -signal.SIGBUS:
        return ExportFailed(f"{message}: a file got shorter while it was read, or its disk failed", "Run it again")
    hint = "The system may be short of memory: run the same command again, with fewer --workers if needed"
    return ExportFailed(message, hint)


def _serve(
    pipe: Connection, inherited: Sequence[Connection], work: Work[Any, Any], task_of: Callable[[Any], Any]
) -> None:
    """Run the tasks that `task_of` makes of the pipe's messages until the pipe closes."""
    begin_worker(inherited)
    try:
        while True:
            message, report = pipe.recv(), _Reporter(pipe.send)
            outcome: Done[Any] | ShardsError
            try:
                outcome = do(work, task_of(message), report)
                report.flush()
            except ConnectionError:
                raise
            except Exception as error:
                outcome = failure(error, traceback.format_exc())
            pipe.send(outcome)
    except (EOFError, ConnectionError):
        # The parent has ended.
        return
