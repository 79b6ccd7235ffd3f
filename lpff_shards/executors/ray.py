"""Running tasks on a Ray cluster: few in flight, tried again when a node is lost, progress counted by an actor."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Generic

from lpff_shards._version import __version__
from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.processes import OnProgress, Progress, Result, Task, Work
from lpff_shards.executors.ray_cluster import Cluster, connected
from lpff_shards.executors.ray_worker import Attempt, Attempted, Caller, make_attempt, make_board


def check() -> None:
    """Refuses where Ray is not installed.

    Raises:
        ShardsError: it is not.
    """
    if find_spec("ray") is None:
        raise ShardsError("--engine ray needs Ray", 'Install it: pip install "lpff-shards[ray]"')


@dataclass(frozen=True, slots=True)
class OnRay:
    """A Ray cluster: the one at an address, else that of the environment's RAY_ADDRESS, else one of this machine.

    Attributes:
        workers: the most shards at once; None means every CPU that the cluster has.
        address: HOST:PORT of the cluster, or auto for the one that runs on this machine.
    """

    workers: int | None
    address: str | None

    @property
    def elsewhere(self) -> bool:
        """Yes: a cluster has other machines."""
        return True

    def run(
        self, work: Work[Task, Result], tasks: Sequence[Task], on_progress: OnProgress
    ) -> Generator[tuple[int, Result], None, None]:
        """Does every task, see `Engine.run`."""
        with connected(self.address, self.workers) as cluster:
            flight: Flight[Task, Result] = Flight(cluster, work, tasks, self.workers, on_progress)
            try:
                yield from flight.results()
            finally:
                flight.stop()


RETRIES = 5
"""How often Ray repeats a task whose worker or node was lost."""
LOOK = 5.0
"""Seconds between looks at how large the cluster is."""
END = 10.0
"""Seconds that tasks have to end when they are canceled; then they are killed."""
NOTES = 500
"""Of progress, a second, that the board gets at most."""


class Flight(Generic[Task, Result]):
    """The tasks of an export on a Ray cluster.

    Args:
        workers: the most tasks with Ray at once; None means twice the CPUs that the cluster has at the time, so that
            none waits for work, and a cluster that grows by its queue does.
    """

    def __init__(
        self,
        cluster: Cluster,
        work: Work[Task, Result],
        tasks: Sequence[Task],
        workers: int | None,
        on_progress: OnProgress,
    ) -> None:
        self._ray = cluster.ray
        self._work = work
        self._tasks = tasks
        self._workers = workers
        self._limits = self._size(), time.monotonic()
        self._numbers = iter(range(len(tasks)))
        self._flying: dict[Any, int] = {}
        self._progress = Counted(on_progress)
        code = make_attempt(__version__, cluster.paths)
        self._attempt = self._ray.remote(num_cpus=1, max_retries=RETRIES)(code)
        self._board = Board(self._ray)

    def results(self) -> Iterator[tuple[int, Result]]:
        """Each task's number and result, as it is done."""
        self._fill()
        while self._flying:
            for ref in self._landed():
                attempted, number = self._fetched(ref), self._flying.pop(ref)
                # Nothing of it stays in Ray's memory once nobody refers to it.
                del ref
                result = self._result(number, attempted)
                self._fill()
                yield number, result

    def stop(self) -> None:
        """Ends what is still in flight, so that nobody writes when the export is over."""
        # What a second Ctrl-C or a lost cluster leaves is ended by Ray when this process disconnects.
        with contextlib.suppress(self._ray.exceptions.RayError):
            # Ray 2.40 and 2.52 abort where a task that has just ended is canceled.
            for ref in self._late(0):
                self._ray.cancel(ref)
            for ref in self._late(END):
                self._ray.cancel(ref, force=True)
            self._board.remove()
        self._flying.clear()

    def _late(self, seconds: float) -> list[Any]:
        """The tasks in flight that do not land within so many seconds."""
        flying = list(self._flying)
        return list(self._ray.wait(flying, num_returns=len(flying), timeout=seconds)[1]) if flying else []

    def _fill(self) -> None:
        """Sends tasks until enough are in flight."""
        while len(self._flying) < self._most() and (number := next(self._numbers, None)) is not None:
            caller = Caller(os.getcwd(), max(WAIT, self._most() / NOTES))  # noqa: PTH109
            packed = pickle.dumps((caller, self._work, self._tasks[number]), pickle.HIGHEST_PROTOCOL)
            self._flying[self._attempt.remote(packed, number, self._board.actor)] = number

    def _most(self) -> int:
        size, looked = self._limits
        if time.monotonic() >= looked + LOOK:
            size = self._size()
            self._limits = size, time.monotonic()
        return size

    def _size(self) -> int:
        return self._workers or 2 * max(1, int(self._ray.cluster_resources().get("CPU", 0)))

    def _landed(self) -> list[Any]:
        """The tasks that are done; none, after a moment in which none was. Progress is told on the way."""
        flying = list(self._flying)
        landed, _ = self._ray.wait(flying, num_returns=1, timeout=WAIT)
        if landed:
            landed, _ = self._ray.wait(flying, num_returns=len(flying), timeout=0)
        if notes := self._board.read():
            # What a task told that is done since is counted.
            for number in notes.keys() & set(self._flying.values()):
                self._progress.told(number, *notes[number])
        return list(landed)

    def _fetched(self, ref: Any) -> Attempted:
        """What came of a task.

        Raises:
            ExportFailed: it was lost too often.
        """
        errors = self._ray.exceptions
        try:
            attempted: Attempted = self._ray.get(ref)
        except errors.RayTaskError as error:
            raise ExportFailed(
                f"a worker failed by a fault of lpff-shards: {error.cause!r}", "Please report it"
            ) from None
        except errors.RayError as error:
            raise ExportFailed(
                f"Ray gave a shard up, which it tries {RETRIES + 1} times ({type(error).__name__})",
                "Nodes may be short of memory: run the same command again, with fewer --workers if need be",
            ) from None
        return attempted

    def _result(self, number: int, attempted: Attempted) -> Result:
        if not isinstance(attempted, Attempt):
            node, reason = attempted
            raise ExportFailed(
                f"the node {node} needs lpff-shards {__version__} as it is here, and {reason}",
                "Install it on every node, or give it to Ray (`ray job submit --runtime-env`)",
            )
        self._progress.done(number, attempted.samples, attempted.bytes)
        if isinstance(attempted.outcome, ShardsError):
            sys.stderr.write(attempted.said)
            raise attempted.outcome
        result: Result = attempted.outcome.result
        return result


WAIT = 0.1
"""Seconds between two looks at the board."""


class Counted:
    """Tells of samples once, however often a task is repeated: only what no attempt has told before."""

    def __init__(self, tell: OnProgress) -> None:
        self._tell = tell
        self._told: dict[int, tuple[int, int]] = {}

    def told(self, number: int, samples: int, bytes: int) -> None:
        """An attempt at a task is as far as this."""
        before = self._told.get(number, (0, 0))
        if samples > before[0]:
            self._told[number] = samples, bytes
            self._tell(Progress(samples - before[0], max(0, bytes - before[1])))

    def done(self, number: int, samples: int, bytes: int) -> None:
        """A task is done, and dealt with so much."""
        self.told(number, samples, bytes)
        self._told.pop(number, None)


class Board:
    """The board of progress, an actor on this node; without it progress goes on in steps of shards."""

    def __init__(self, ray: Any) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray = ray
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self.actor = ray.remote(num_cpus=0)(make_board()).options(scheduling_strategy=here).remote()
        self._asked: Any = None
        self._next = time.monotonic()

    def read(self) -> dict[int, tuple[int, int]]:
        """The notes that have come, samples and bytes by task. Waits for nothing."""
        if self._asked is None:
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + WAIT
                self._asked = self.actor.take.remote()
            return {}
        if not self._ray.wait([self._asked], timeout=0)[0]:
            return {}
        asked, self._asked = self._asked, None
        with contextlib.suppress(self._ray.exceptions.RayError):
            notes: dict[int, tuple[int, int]] = self._ray.get(asked)
            return notes
        return {}

    def remove(self) -> None:
        """Ends it."""
        self._ray.kill(self.actor)
