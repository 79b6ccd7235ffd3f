"""How far tasks on a Ray cluster are: told by their attempts through an actor, and counted once."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from lpff_shards.executors.processes import OnProgress, Progress
from lpff_shards.executors.ray_worker import make_board

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
