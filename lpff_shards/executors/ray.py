"""Tasks on a Ray cluster: few at once, repeated when a node is lost, with progress from an actor.

Ray sends the code of what is defined inside a function, and only the name of what a module defines. So what starts on a
node is defined inside functions, and a node that has another version of this package, or none, can say so.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Generic

from lpff_shards._version import __version__
from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.processes import Done, OnProgress, Progress, Reporter, Result, Task, Work, do, failure
from lpff_shards.executors.ray_cluster import connected

RETRIES = 5
"""How often Ray repeats a task whose worker or node was lost."""
RESIZE_SECONDS = 5.0
"""Between two requests for the size of the cluster."""
END_SECONDS = 10.0
"""That canceled tasks have to end before they are killed."""
WAIT_SECONDS = 0.1
"""That the driver waits for a task before it updates the progress."""
NOTES_PER_SECOND = 500
"""Most updates of progress that all workers send."""


def check() -> None:
    """Refuse a machine without Ray.

    Raises:
        ShardsError: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise ShardsError("--engine ray needs Ray", 'Install it: pip install "lpff-shards[ray]"')


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """A Ray cluster: the one at an address, else that of the environment's RAY_ADDRESS, else one of this machine.

    Attributes:
        workers: most shards at once; None means every CPU of the cluster.
        address: HOST:PORT of the cluster, or auto for the one that runs on this machine.
    """

    workers: int | None
    address: str | None
    elsewhere: ClassVar[bool] = True

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Done[Result]], None, None]:
        """Do every task, see `Executor.run`."""
        with connected(self.address, self.workers) as paths:
            window: TaskWindow[Task, Result] = TaskWindow(paths, work, tasks, self.workers, on_progress)
            try:
                yield from window.results()
            finally:
                window.stop()


class TaskWindow(Generic[Task, Result]):
    """The few tasks that a cluster holds at once.

    Args:
        paths: where workers find packages, beside their own folders.
        workers: most tasks at once; None means twice the CPUs of the cluster at the time, so that no CPU waits for
            work and an autoscaler sees a queue.
    """

    def __init__(
        self,
        paths: Sequence[str],
        work: Work[Task, Result],
        tasks: Sequence[Task],
        workers: int | None,
        on_progress: OnProgress,
    ) -> None:
        import ray

        self._ray = ray
        self._work, self._tasks, self._workers = work, tasks, workers
        self._numbers = iter(range(len(tasks)))
        self._running: dict[Any, int] = {}
        self._most, self._resize_at = 0, time.monotonic()
        self._progress = CountedOnce(on_progress)
        # A relative path means the same to every worker as here.
        attempt = make_attempt(__version__, os.getcwd(), tuple(paths))  # noqa: PTH109
        self._attempt = ray.remote(num_cpus=1, max_retries=RETRIES)(attempt)
        self._actor = _start_progress_actor(ray)

    def results(self) -> Iterator[tuple[int, Done[Result]]]:
        """Yield each task's number and result as it is done."""
        self._fill()
        while self._running:
            running = list(self._running)
            done, _ = self._ray.wait(running, num_returns=1, timeout=WAIT_SECONDS)
            if done:
                done, _ = self._ray.wait(running, num_returns=len(running), timeout=0)
            self._update_progress()
            while done:
                number, result = self._fetch(done.pop())
                self._fill()
                yield number, result

    def stop(self) -> None:
        """End the tasks that still run, so that no worker writes when the export is over."""
        # Ray ends what a second Ctrl-C or a lost cluster leaves when this process disconnects.
        with contextlib.suppress(self._ray.exceptions.RayError):
            # Earlier versions of Ray aborted where a task that had just ended was canceled.
            for ref in self._unfinished(0):
                self._ray.cancel(ref)
            for ref in self._unfinished(END_SECONDS):
                self._ray.cancel(ref, force=True)
            self._ray.kill(self._actor)
        self._running.clear()

    def _unfinished(self, seconds: float) -> list[Any]:
        """The tasks that do not end within so many seconds."""
        running = list(self._running)
        return list(self._ray.wait(running, num_returns=len(running), timeout=seconds)[1]) if running else []

    def _fill(self) -> None:
        if time.monotonic() >= self._resize_at:
            self._most = self._workers or 2 * max(1, int(self._ray.cluster_resources().get("CPU", 0)))
            self._resize_at = time.monotonic() + RESIZE_SECONDS
        seconds = max(WAIT_SECONDS, self._most / NOTES_PER_SECOND)
        while len(self._running) < self._most and (number := next(self._numbers, None)) is not None:
            packed = pickle.dumps((self._work, self._tasks[number]), pickle.HIGHEST_PROTOCOL)
            self._running[self._attempt.remote(packed, number, seconds, self._actor)] = number

    def _update_progress(self) -> None:
        # Without the actor progress goes on in steps of shards.
        with contextlib.suppress(self._ray.exceptions.RayError):
            notes = self._ray.get(self._actor.take.remote(), timeout=1)
            for number in notes.keys() & set(self._running.values()):
                self._progress.reached(number, *notes[number])

    def _fetch(self, ref: Any) -> tuple[int, Done[Result]]:
        """The number and result of a task that is done.

        Raises:
            ShardsError: the task failed, was lost too often, or its node has no suitable lpff-shards.
        """
        errors = self._ray.exceptions
        try:
            done = self._ray.get(ref)
        except errors.RayTaskError as error:
            raise failure(error.cause, str(error)) from None
        except errors.RayError as error:
            raise ExportFailed(
                f"Ray gave a shard up, which it tries {RETRIES + 1} times ({type(error).__name__})",
                "Nodes may be short of memory: run the same command again, with fewer --workers if need be",
            ) from None
        if isinstance(done, str):
            hint = "Install it on every node, or give it to Ray (`ray job submit --runtime-env`)"
            raise ExportFailed(f"{done}, and needs lpff-shards {__version__} as it is here", hint)
        number, (result, samples, size) = self._running.pop(ref), done
        self._progress.reached(number, samples, size)
        self._progress.forget(number)
        return number, result


class CountedOnce:
    """Counts the samples of each task once, also where Ray repeats the task."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._reached: dict[int, tuple[int, int]] = {}

    def reached(self, number: int, samples: int, bytes: int) -> None:
        """Report what an attempt at a task has done so far, less what earlier attempts had done."""
        before = self._reached.get(number, (0, 0))
        if samples > before[0]:
            self._reached[number] = samples, bytes
            self._on_progress(Progress(samples - before[0], max(0, bytes - before[1])))

    def forget(self, number: int) -> None:
        """A task is done."""
        self._reached.pop(number, None)


Attempt = Callable[[bytes, int, float, Any], tuple[Done[Any], int, int] | str]
"""Does a packed task of a number; sends its progress to an actor, at most once in so many seconds.

Returns the result, samples and bytes; or why the node can do no task.
"""


def make_attempt(version: str, folder: str, paths: tuple[str, ...]) -> Attempt:
    """Return the function that does a task on a node.

    Args:
        version: of this package, which the node must have.
        folder: current folder of the export.
        paths: where the node finds packages, beside its own folders.
    """

    def attempt(packed: bytes, number: int, seconds: float, actor: Any) -> tuple[Done[Any], int, int] | str:
        import platform

        sys.path.extend(path for path in paths if path not in sys.path)
        try:
            from lpff_shards._version import __version__

            if __version__ != version:
                return f"the node {platform.node()} has lpff-shards {__version__}"
            from lpff_shards.executors.ray import do_packed
        except ImportError as error:
            return f"the node {platform.node()} cannot import lpff-shards ({error})"
        return do_packed(packed, folder, lambda samples, size: actor.note.remote(number, samples, size), seconds)

    return attempt


def do_packed(
    packed: bytes, folder: str, on_total: Callable[[int, int], object], seconds: float
) -> tuple[Done[Any], int, int]:
    """Do a task in this process; return its result and the samples and bytes that it reported.

    Args:
        packed: pickled work and task.
        folder: to change to. Where it is missing, absolute paths still work, and the work reports other ones.
        on_total: called with samples and bytes so far, at most once in so many `seconds`.
    """
    work, task = pickle.loads(packed)
    with contextlib.suppress(OSError):
        os.chdir(folder)
    samples = size = 0

    def add(progress: Progress) -> None:
        nonlocal samples, size
        samples, size = samples + progress.samples, size + progress.bytes
        on_total(samples, size)

    done = do(work, task, Reporter(add, seconds))
    return done, samples, size


def _start_progress_actor(ray: Any) -> Any:
    """Start the actor that holds how far attempts are, as each reported last, on this node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class ProgressActor:
        def __init__(self) -> None:
            self._notes: dict[int, tuple[int, int]] = {}

        def note(self, number: int, samples: int, size: int) -> None:
            self._notes[number] = (samples, size)

        def take(self) -> dict[int, tuple[int, int]]:
            """Return what was noted since the last call."""
            notes, self._notes = self._notes, {}
            return notes

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(num_cpus=0)(ProgressActor).options(scheduling_strategy=here).remote()
