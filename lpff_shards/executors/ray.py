"""Tasks on a Ray cluster: few at once, repeated if a node is lost. Progress is reported per shard.

Ray sends the code of functions defined inside a function, but only the names of a module's functions. So the function
that starts on a node is an inner one: it can report a node with another version of this package, or none.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Generic

from lpff_shards._version import __version__
from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.processes import Done, OnProgress, Progress, Result, Task, Work, do, failure
from lpff_shards.executors.ray_cluster import connected

RETRIES = 5
"""How often Ray repeats a task whose worker or node was lost."""
END_SECONDS = 10.0
"""Time for canceled tasks to end before they are killed."""


def check() -> None:
    """Refuse a machine without Ray.

    Raises:
        ShardsError: Ray is not installed.
    """
    if find_spec("ray") is None:
        raise ShardsError("--engine ray needs Ray", 'Install it: pip install "lpff-shards[ray]"')


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """A Ray cluster: the one at an address, else that of RAY_ADDRESS, else a new one on this machine.

    Attributes:
        workers: limit of shards at once; None means every CPU of the cluster.
        address: HOST:PORT of the cluster, or auto for the running cluster of this machine.
    """

    workers: int | None
    address: str | None
    elsewhere: ClassVar[bool] = True

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Done[Result]], None, None]:
        """Run every task, see `Executor.run`."""
        with connected(self.address, self.workers) as paths:
            window: TaskWindow[Task, Result] = TaskWindow(paths, work, tasks, self.workers, on_progress)
            try:
                yield from window.results()
            finally:
                window.stop()


class TaskWindow(Generic[Task, Result]):
    """The few tasks that a cluster holds at once.

    Args:
        paths: additional import paths of workers.
        workers: limit of tasks at once; None means twice the current CPUs of the cluster, so that no CPU is idle and an
            autoscaler has a queue.
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
        self._on_progress = on_progress
        # Relative paths are the same on every worker as here.
        attempt = make_attempt(__version__, os.getcwd(), tuple(paths))  # noqa: PTH109
        self._attempt = ray.remote(num_cpus=1, max_retries=RETRIES)(attempt)

    def results(self) -> Iterator[tuple[int, Done[Result]]]:
        """Yield each task's number and result when it is done."""
        self._fill()
        while self._running:
            running = list(self._running)
            self._ray.wait(running, num_returns=1)
            done, _ = self._ray.wait(running, num_returns=len(running), timeout=0)
            while done:
                number, result = self._fetch(done.pop())
                self._fill()
                yield number, result

    def stop(self) -> None:
        """Cancel the running tasks, so that no worker writes after the export."""
        # After a second Ctrl-C or a lost cluster Ray ends the remaining tasks when this process disconnects.
        with contextlib.suppress(self._ray.exceptions.RayError):
            # Earlier versions of Ray aborted on cancel of a task that had just ended.
            for ref in self._unfinished(0):
                self._ray.cancel(ref)
            for ref in self._unfinished(END_SECONDS):
                self._ray.cancel(ref, force=True)
        self._running.clear()

    def _unfinished(self, seconds: float) -> list[Any]:
        """Return the tasks that do not end within a number of seconds."""
        running = list(self._running)
        return list(self._ray.wait(running, num_returns=len(running), timeout=seconds)[1]) if running else []

    def _fill(self) -> None:
        most = self._workers or 2 * max(1, int(self._ray.cluster_resources().get("CPU", 0)))
        while len(self._running) < most and (number := next(self._numbers, None)) is not None:
            packed = pickle.dumps((self._work, self._tasks[number]), pickle.HIGHEST_PROTOCOL)
            self._running[self._attempt.remote(packed)] = number

    def _fetch(self, ref: Any) -> tuple[int, Done[Result]]:
        """Return the number and result of a finished task.

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
                f"Ray gave up a shard after {RETRIES + 1} tries ({type(error).__name__})",
                "Nodes may be short of memory: run the same command again, with fewer --workers if needed",
            ) from None
        if isinstance(done, str):
            hint = "Install it on every node, or give it to Ray (`ray job submit --runtime-env`)"
            raise ExportFailed(f"{done}, but this export needs lpff-shards {__version__}", hint)
        self._on_progress(done[1])
        return self._running.pop(ref), done[0]


Attempted = tuple[Done[Any], Progress] | str
"""The result of a task and all its progress; or why its node cannot run tasks."""


def make_attempt(version: str, folder: str, paths: tuple[str, ...]) -> Callable[[bytes], Attempted]:
    """Return the function that runs a task on a node.

    Args:
        version: version of this package, which the node must have.
        folder: current folder of the export.
        paths: additional import paths of the node.
    """

    def attempt(packed: bytes) -> Attempted:
        import platform

        sys.path.extend(path for path in paths if path not in sys.path)
        try:
            from lpff_shards._version import __version__

            if __version__ != version:
                return f"the node {platform.node()} has lpff-shards {__version__}"
            from lpff_shards.executors.ray import do_packed
        except ImportError as error:
            return f"the node {platform.node()} cannot import lpff-shards ({error})"
        return do_packed(packed, folder)

    return attempt


def do_packed(packed: bytes, folder: str) -> Attempted:
    """Run a task in this process.

    Args:
        packed: pickled work and task.
        folder: folder to change to. If it is missing, absolute paths still work, and the work reports relative ones.
    """
    work, task = pickle.loads(packed)
    with contextlib.suppress(OSError):
        os.chdir(folder)
    sizes: list[int] = []
    done = do(work, task, sizes.append)
    return done, Progress(len(sizes), sum(sizes))
