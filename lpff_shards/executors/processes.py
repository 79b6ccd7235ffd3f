"""Work spread over processes of this machine: a worker takes a task, does it, and sends the result back.

A forked worker has its parent's tasks and is told a number; a fresh one is sent the task itself.

A worker talks to the parent over a pipe of its own, so a killed one is noticed at once, and one without a parent stops.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Generic, TypeVar

from lpff_shards.errors import ExportFailed, ShardsError

REPORT_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

Task = TypeVar("Task")
Result = TypeVar("Result")
OnSample = Callable[[int], None]
"""Told the bytes of each sample that was dealt with (0 for one that was skipped)."""

Work = Callable[[Task, OnSample], Result]
"""What a worker does; it travels to the worker, so it is a module's function or a `partial` of one."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What was done since the last report: samples (skipped ones too) and bytes."""

    samples: int
    bytes: int


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class ShardDone:
    """A shard that was dealt with: written or read.

    Attributes:
        samples, bytes: that it holds.
        seconds: it took the worker that had it.
        faults: found in it.
        skipped: samples that it was planned to hold, and that were left out.
    """

    file: str
    samples: int
    bytes: int
    seconds: float
    faults: int = 0
    skipped: int = 0


OnShard = Callable[[ShardDone], None]

OnNote = Callable[[str], None]
"""Takes a line that the user should read."""


def available_cores() -> int:
    """The cores that this process may use; a container's quota counts, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, cpu_quota()))


@cache
def cpu_quota(groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the cores whose time the control groups of a process give it: the least of all its groups, rounded up.

    Args:
        groups: the file that lists the groups of the process. In a container it may hold paths of the host, of which
            only the root is mounted.
        mounted: where version 2 is mounted, and version 1 in the folder `cpu`.
    """
    quotas = [sys.maxsize]
    for line in groups.read_text().splitlines() if groups.is_file() else ():
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers or "cpu" in controllers.split(","):
            root, parts = mounted / ("cpu" if controllers else ""), PurePosixPath(path).parts[1:]
            quotas += [_quota(root.joinpath(*parts[:depth])) for depth in range(len(parts) + 1)]
    return min(quotas)


def _quota(group: Path) -> int:
    """The cores of a control group: version 2 has a file of the time and its period, version 1 has one of each."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            quota, period = map(int, " ".join((group / name).read_text() for name in names).split())
        except (OSError, ValueError):
            # The group or the file is missing, or holds `max`.
            continue
        if quota > 0 and period > 0:
            return -(-quota // period)
    return sys.maxsize


def may_fork() -> bool:
    """Whether workers may be forked: where no other thread may hold a lock.

    To be asked before a command starts threads of its own, since those are listed a little longer than they live.
    """
    threads = Path("/proc/self/task")
    return threads.is_dir() and len(list(threads.iterdir())) == 1


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Processes of this machine.

    Attributes:
        workers: most processes; with 1 this one does the work.
        fork: start them by forking; else each is a fresh interpreter that imports this package alone.
    """

    workers: int
    fork: bool
    elsewhere: ClassVar[bool] = False

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Done[Result]], None, None]:
        """Do every task, see `Executor.run`."""
        workers = min(self.workers, len(tasks))
        if workers > 1:
            with _Pool(work, tasks, workers, self.fork) as pool:
                yield from pool.run(on_progress)
            return
        report = _Reporter(on_progress)
        for number in range(len(tasks)):
            done = do(work, tasks[number], report)
            report.flush()
            yield number, done


class _Reporter:
    """Adds up what samples report, and sends it a few times a second."""

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
    """A task's result, and the seconds that the work took."""

    result: Result
    seconds: float


def do(work: Work[Task, Result], task: Task, on_sample: OnSample) -> Done[Result]:
    """Do a task in this process."""
    started = time.monotonic()
    result = work(task, on_sample)
    return Done(result, time.monotonic() - started)


def failure(error: BaseException, lines: str) -> ShardsError:
    """Return what the user reads of an exception that ended a task; prints `lines` where it is a fault of ours."""
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
    """A running worker: `hand` gives it the task of a number, `join` waits for its end and tells its exit status."""

    pipe: Connection
    hand: Callable[[int], None]
    terminate: Callable[[], None]
    join: Callable[[], int | None]


class _Pool(Generic[Task, Result]):
    """Worker processes, one task at a time each."""

    def __init__(self, work: Work[Task, Result], tasks: Sequence[Task], workers: int, fork: bool) -> None:
        self._numbers = iter(range(len(tasks)))
        self._workers: list[_Worker] = []
        # Blocked until a worker has set its own ways with them: one that was just forked still has its parent's.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            for _ in range(workers):
                siblings = [worker.pipe for worker in self._workers]
                self._workers.append(_forked(work, tasks, siblings) if fork else _fresh(work, tasks))
        except OSError as error:
            self.__exit__()
            raise ExportFailed(
                f"{workers} worker processes cannot be started: {error.strerror}", "Use fewer --workers"
            ) from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self) -> _Pool[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.pipe.close()
            worker.terminate()
        for worker in self._workers:
            worker.join()

    def run(self, on_progress: OnProgress) -> Iterator[tuple[int, Done[Result]]]:
        busy: dict[Connection, tuple[_Worker, int]] = {}
        for worker in self._workers:
            self._hand(worker, busy)
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
                    self._hand(worker, busy)
                    yield number, message
                else:
                    raise message

    def _hand(self, worker: _Worker, busy: dict[Connection, tuple[_Worker, int]]) -> None:
        number = next(self._numbers, None)
        if number is None:
            return
        try:
            worker.hand(number)
        except OSError:
            raise _killed(worker) from None
        busy[worker.pipe] = (worker, number)


def _forked(work: Work[Any, Any], tasks: Sequence[Any], siblings: Sequence[Connection]) -> _Worker:
    ours, theirs = Pipe()
    # A forked child inherits its siblings' pipes; held open there, they would outlive a dead parent.
    arguments = (theirs, [*siblings, ours], work, tasks.__getitem__)
    process = get_context("fork").Process(target=_serve, args=arguments, daemon=True)
    process.start()
    theirs.close()

    def join() -> int | None:
        process.join()
        return process.exitcode

    return _Worker(ours, ours.send, process.terminate, join)


def _fresh(work: Work[Any, Any], tasks: Sequence[Any]) -> _Worker:
    """A worker in an interpreter of its own; unlike multiprocessing's, it does not run the user's script again."""
    ours, theirs = Pipe()
    command = python("-c", f"from lpff_shards.executors.processes import serve; serve({theirs.fileno()})")
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=python_environment())
    theirs.close()
    ours.send(work)
    return _Worker(ours, lambda number: ours.send(tasks[number]), process.terminate, process.wait)


def python(*arguments: str) -> list[str]:
    """The command of a further interpreter; `-c` and `-m` alone would import what lies in the current folder first."""
    return [sys.executable, "-P", *arguments]


def python_environment() -> dict[str, str]:
    """The environment in which `python` finds the packages that this process finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def serve(fd: int) -> None:
    """The life of a fresh worker, which is told over its pipe what its work is."""
    pipe = Connection(fd)
    _serve(pipe, (), pipe.recv(), lambda task: task)


def _killed(worker: _Worker) -> ExportFailed:
    status = worker.join()
    told = f"a worker process was killed (exit status {status})"
    if status == -signal.SIGBUS:
        return ExportFailed(f"{told}: a file got shorter while it was read, or its disk failed", "Run it again")
    return ExportFailed(
        told, "The system may be short of memory: run the same command again, with fewer --workers if need be"
    )


def _serve(
    pipe: Connection, inherited: Sequence[Connection], work: Work[Any, Any], task_of: Callable[[Any], Any]
) -> None:
    """A worker's life: what `task_of` makes a task of comes over the pipe until it closes."""
    # Ctrl-C reaches the whole process group; the parent alone decides what follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for other in inherited:
        other.close()
    try:
        while True:
            told, report = pipe.recv(), _Reporter(pipe.send)
            outcome: Done[Any] | ShardsError
            try:
                outcome = do(work, task_of(told), report)
                report.flush()
            except ConnectionError:
                raise
            except Exception as error:
                outcome = failure(error, traceback.format_exc())
            pipe.send(outcome)
    except (EOFError, ConnectionError):
        # The parent is gone.
        return
