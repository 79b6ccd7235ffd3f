"""What runs on the machines of a Ray cluster: a task's attempt, and the board on which attempts note how far they are.

Ray sends the code of what is defined inside a function, where it sends the mere name of what a module defines. So a
node that has another version of this package, or none, can say so.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import Done, outcome


@dataclass(frozen=True, slots=True)
class Caller:
    """What a worker takes over from the process that sends tasks.

    Attributes:
        folder: its current one, from which paths may be told.
        seconds: between an attempt's notes on the board.
    """

    folder: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a task.

    Attributes:
        outcome: its result, or why there is none.
        samples, bytes: that it dealt with.
        said: the traceback of a fault of ours.
    """

    outcome: Done[Any] | ShardsError
    samples: int
    bytes: int
    said: str


Attempted = Attempt | tuple[str, str]
"""An attempt, or the name of a node that can make none, and why."""


def make_attempt(version: str, paths: tuple[str, ...]) -> Callable[[bytes, int, Any], Attempted]:
    """The function that does a task on a node.

    Args:
        version: of this package, which the node must have.
        paths: where the node finds packages, beside its own.
    """

    def attempt(packed: bytes, number: int, board: Any) -> Attempted:
        import platform
        import sys

        sys.path.extend(path for path in paths if path not in sys.path)
        try:
            from lpff_shards._version import __version__

            if __version__ != version:
                return platform.node(), f"has {__version__}"
            from lpff_shards.executors.ray_worker import do
        except ImportError as error:
            return platform.node(), f"cannot import it: {error}"
        return do(packed, number, board)

    return attempt


def make_board() -> type[Any]:
    """The class of the board: how far attempts are, as each told last."""

    class Board:
        def __init__(self) -> None:
            self._notes: dict[int, tuple[int, int]] = {}

        def note(self, number: int, samples: int, bytes: int) -> None:
            self._notes[number] = (samples, bytes)

        def take(self) -> dict[int, tuple[int, int]]:
            """What was noted since this was last asked."""
            notes, self._notes = self._notes, {}
            return notes

    return Board


class Notes:
    """Counts what an attempt has dealt with, and notes it on the board now and then."""

    def __init__(self, note: Callable[[int, int], object], seconds: float) -> None:
        self._note = note
        self._seconds = seconds
        self._next = time.monotonic() + seconds
        self.samples = self.bytes = 0

    def __call__(self, size: int) -> None:
        self.samples += 1
        self.bytes += size
        if time.monotonic() >= self._next:
            self._note(self.samples, self.bytes)
            self._next = time.monotonic() + self._seconds


def do(packed: bytes, number: int, board: Any) -> Attempt:
    """Does a task; what is wrong with its input is no failure of Ray's task, which would be tried again."""
    caller: Caller
    caller, work, task = pickle.loads(packed)
    with contextlib.suppress(OSError):
        # A node without it sees absolute paths alone, and what it does not see is told by the work itself.
        os.chdir(caller.folder)
    notes = Notes(lambda samples, bytes: board.note.remote(number, samples, bytes), caller.seconds)
    said: list[str] = []
    done = outcome(lambda: work(task, notes), said.append)
    return Attempt(done, notes.samples, notes.bytes, "".join(said))
