"""Worker processes return the batches that their `load` makes, in memory that is reused, and end with their parent."""

from __future__ import annotations

import errno
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import wait_for

from lpff_shards import ShardsError
from lpff_shards.loaders.worker_pool import HELD, SMALL, Take, WorkerPool

BIG = 4 * SMALL
AHEAD = 2


def _load(number: int, take: Take) -> Any:
    """A batch whose contents and forms follow from its number."""
    if number == 13:
        raise ShardsError("the thirteenth", "Leave it out")
    if number == 17:
        raise _Odd(lambda: None)
    if number == 19:
        os.kill(os.getpid(), signal.SIGKILL)
    rows = 3 + number % 5
    image = take((rows, BIG // 4, 3))
    image[...] = number % 251
    batch = {
        "image": np.moveaxis(image, -1, 1),
        "index": np.arange(number, number + rows),
        "mask": np.full((rows, SMALL // 8, 1), number, np.int64),
        "parts": {"a": np.full(SMALL, number / 7, np.float32), "none": np.empty((rows, 0), np.float32)},
        "key": [f"{number}-{row}" for row in range(rows)],
        "texts": np.array(["one", None], object),
    }
    return (batch["image"], batch) if number % 2 else batch


class _Odd(Exception):
    """An error that cannot be sent to another process."""


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and np.array_equal(one, other)
    return bool(one == other)


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool(_load, 2, "fork")
    yield made
    del made
    gc.collect()


def _own(number: int) -> Any:
    return _load(number, lambda shape: np.empty(shape, np.uint8))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_batches_are_those_of_the_function_in_order(method: str) -> None:
    pool = WorkerPool(_load, 2, method)
    for numbers in (range(13), range(1), range(20, 30)):
        found = list(pool.map(numbers, AHEAD))
        assert all(_same(one, _own(number)) for one, number in zip(found, numbers, strict=True))


def test_batches_that_are_held_stay_as_they_are_and_memory_is_used_again(pool: WorkerPool) -> None:
    held, addresses = [], set()
    for number, batch in enumerate(pool.map([4] * 60, AHEAD)):
        image = batch["image"]
        assert image.strides == np.moveaxis(np.empty((7, BIG // 4, 3), np.uint8), -1, 1).strides
        addresses.add(image.__array_interface__["data"][0])
        if number % 10 == 0:
            held.append((image[1:, ::2], batch["index"]))
        del image, batch
    # Each worker has so many pieces; the first batches came through the pipe.
    assert len(addresses) <= 2 * (AHEAD + HELD) + 2 * AHEAD + len(held)
    assert all((view == 4).all() and index.tolist() == list(range(4, 11)) for view, index in held)


def test_small_arrays_keep_no_memory(pool: WorkerPool) -> None:
    kept = [batch["index"] for batch in pool.map([4] * 40, AHEAD)]
    workers = pool._workers
    assert all(len(worker._free) == AHEAD + HELD for worker in workers)
    assert all(index.tolist() == list(range(4, 11)) for index in kept)


def test_all_of_many_batches_can_be_held(pool: WorkerPool) -> None:
    batches = list(pool.map([2] * 40, AHEAD))
    assert all(_same(batch, _own(2)) for batch in batches)


def test_errors_are_those_of_the_process_and_others_go_on(pool: WorkerPool) -> None:
    for number, words, kind in ((13, "the thirteenth", ShardsError), (17, "_Odd", RuntimeError)):
        passing = pool.map([1, 2, number, 4, 5], AHEAD)
        assert _same(next(passing), _own(1)) and _same(next(passing), _own(2))
        with pytest.raises(kind, match=words):
            next(passing)
        assert pool.usable
        assert all(map(_same, pool.map([1, 2, 3], AHEAD), map(_own, [1, 2, 3])))


def test_a_pass_that_is_left_leaves_the_next_one_whole(pool: WorkerPool) -> None:
    passing = pool.map(range(12), AHEAD)
    assert len(list(islice(passing, 3))) == 3
    passing.close()
    assert all(map(_same, pool.map(range(5, 9), AHEAD), map(_own, range(5, 9))))


def test_a_process_that_was_killed_is_told(pool: WorkerPool) -> None:
    with pytest.raises(ShardsError, match=r"worker process \d+ of the loader was killed by signal 9\. If memory was"):
        list(pool.map([1, 2, 3, 19, 4, 5], AHEAD))
    assert not pool.usable


def test_what_cannot_be_started_or_fed_is_told(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(os, "fork", none)
    with pytest.raises(
        ShardsError, match=r"worker process 1 of 2 cannot be started: Cannot allocate memory\. Use fewer"
    ):
        WorkerPool(_load, 2, "fork")
    monkeypatch.setattr(os, "memfd_create", none)
    with pytest.raises(ShardsError, match="a worker process cannot be fed: Cannot allocate memory"):
        list(pool.map(range(8), AHEAD))
    monkeypatch.setattr(multiprocessing.current_process(), "_config", {"daemon": True})
    with pytest.raises(ShardsError, match="a daemonic process cannot start worker processes"):
        WorkerPool(_load, 2, "fork")


def test_processes_end_with_their_pool() -> None:
    pool = WorkerPool(_load, 2, "fork")
    passing = pool.map(range(12), AHEAD)
    next(passing)
    ids = [worker.process.pid for worker in pool._workers]
    assert all(Path(f"/proc/{pid}").exists() for pid in ids)
    del pool, passing
    gc.collect()
    assert not any(Path(f"/proc/{pid}").exists() for pid in ids)


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from test_worker_pool import WorkerPool, _load
pool = WorkerPool(_load, 2, sys.argv[1])
passing = pool.map([2] * 10_000_000, 2)
held = [next(passing) for _ in range(8)]
print(*(worker.process.pid for worker in pool._workers), flush=True)
for held[0] in passing:
    pass
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_nothing_remains_of_a_process_that_is_killed(method: str) -> None:
    command = [sys.executable, "-c", KILLED, method, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        ids = [child.pid, *map(int, child.stdout.readline().split())]
        assert len(ids) == 3
        maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in ids)
        child.kill()
    # Shared memory is there, and has no name that could outlast them.
    assert "memfd:lpff-shards" in maps and "/dev/shm" not in maps
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ids[1:]))
