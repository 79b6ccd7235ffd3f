"""Worker processes that load batches into shared memory, which is allocated once and reused.

The memory of a worker is an anonymous file: it needs no /dev/shm, and nothing remains after a kill. It is divided into
pieces of one batch. Where none is free, or a batch has grown, the pipe transfers the whole batch.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess, parent_process
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.executors.worker import begin_worker
from lpff_shards.loaders.batches import map_parts
from lpff_shards.loaders.recycler import ALIGNMENT, Take, lease
from lpff_shards.loaders.worker_defaults import context

SMALL = 1 << 16
"""Most bytes of an array that goes through the pipe, so that it does not keep the memory of its batch in use."""

HELD = 2
"""Batches of each worker that may be in use while others are loaded."""

_WATCH = 5.0
"""Seconds between looks for the parent process: others that were forked may hold its end of a pipe."""

Load = Callable[[Any, Take], Any]
"""Loads a batch; its second argument returns the memory for pictures."""
Block = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Placed:
    """An array in a piece of memory."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class _Sent:
    """An array in a message, which keeps the order of its axes in memory only in this way."""

    array: NDArray[Any]
    axes: tuple[int, ...]


class _Memory(NamedTuple):
    """New memory of a worker; its descriptor follows."""

    pieces: int
    size: int

    def mapped(self, descriptor: int) -> list[Block]:
        whole = np.frombuffer(mmap.mmap(descriptor, self.pieces * self.size), np.uint8)
        return list(whole.reshape(self.pieces, self.size))


class _Answer(NamedTuple):
    """A batch, with a `_Placed` or `_Sent` for each array, or an error; and the memory that the batch needs."""

    batch: Any
    error: Exception | None
    needed: int


class WorkerPool:
    """Processes that load batches.

    Args:
        load: picklable, unless processes are forked.
        method: start method of multiprocessing.

    Attributes:
        usable: whether `map` can be called; not after it was interrupted while it talked to a worker.
    """

    def __init__(self, load: Load, workers: int, method: str) -> None:
        self.usable = True
        self._workers: list[_BatchWorker] = []
        weakref.finalize(self, _end, os.getpid(), self._workers)
        start = context(method)
        for _ in range(workers):
            try:
                self._workers.append(_BatchWorker(start, load, [worker.pipe for worker in self._workers]))
            except OSError as error:
                reason = f"worker process {len(self._workers) + 1} of {workers} cannot be started: {error.strerror}"
                raise ShardsError(reason, "Use fewer workers") from None

    def map(self, items: Iterable[Any], ahead: int) -> Generator[Any, None, None]:
        """Yield the batch of each item in order, or raise its error; `ahead` batches of each worker are on their way.

        Raises:
            ShardsError: a process has ended.
        """
        for worker in self._workers:
            while worker.asked:
                # Of a pass that was left.
                self._answer(worker)
        asked, turns = deque[_BatchWorker](), cycle(self._workers)
        for item in items:
            if len(asked) == ahead * len(self._workers):
                yield self._answered(asked.popleft())
            worker = next(turns)
            with self._talking():
                worker.ask(item, ahead + HELD)
            asked.append(worker)
        while asked:
            yield self._answered(asked.popleft())

    def _answered(self, worker: _BatchWorker) -> Any:
        batch, error = self._answer(worker)
        if error is not None:
            raise error
        return batch

    def _answer(self, worker: _BatchWorker) -> tuple[Any, Exception | None]:
        with self._talking():
            return worker.answer()

    @contextmanager
    def _talking(self) -> Iterator[None]:
        self.usable = False
        yield
        self.usable = True


class _BatchWorker:
    """A process as its parent sees it: its pipe, its memory, and the batches that it was asked for."""

    def __init__(self, start: Any, load: Load, others: Sequence[Connection]) -> None:
        self.pipe, theirs = start.Pipe()
        # A forked process has the pipes of earlier ones too.
        inherited = [*others, self.pipe] if start.get_start_method() == "fork" else []
        self.process: BaseProcess = start.Process(target=_work, args=(theirs, load, inherited), daemon=True)
        self.process.start()
        theirs.close()
        self.asked: deque[tuple[Block, deque[Block]] | None] = deque()
        """Of each batch the piece of memory that it goes to, and the list of free ones that the piece belongs to."""
        self._free: deque[Block] = deque()
        self._first = self._size = self._needed = 0

    def ask(self, item: Any, pieces: int) -> None:
        with self._connected():
            if self._needed > self._size:
                self._allocate(pieces)
            piece = self._free.pop() if self._free else None
            self.pipe.send((item, None if piece is None else (_address(piece) - self._first) // self._size))
        self.asked.append(None if piece is None else (piece, self._free))

    def answer(self) -> tuple[Any, Exception | None]:
        """Return the next batch that was asked for, or its error."""
        with self._connected():
            batch, error, needed = self.pipe.recv()
        piece = self.asked.popleft()
        memory = None if piece is None else lease(*piece)
        self._needed = max(self._needed, needed)

        def found(part: Any) -> Any:
            if isinstance(part, _Placed):
                return np.ndarray(part.shape, part.dtype, memory, part.offset, part.strides)
            return part.array.transpose(np.argsort(part.axes)) if isinstance(part, _Sent) else part

        return map_parts(found, batch), error

    def _allocate(self, pieces: int) -> None:
        """Give the process new memory; that of earlier batches is freed with them."""
        size = -(-self._needed // mmap.PAGESIZE) * mmap.PAGESIZE
        memory = _Memory(pieces, size)
        descriptor = _anonymous_file(pieces * size)
        try:
            self.pipe.send(memory)
            send_handle(self.pipe, descriptor, self.process.pid)
            blocks = memory.mapped(descriptor)
        finally:
            os.close(descriptor)
        self._free, self._first, self._size = deque(blocks), _address(blocks[0]), size

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, ConnectionError):
            self.process.join(1)
            code = self.process.exitcode
            how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
            raise ShardsError(
                f"worker process {self.process.pid} of the loader {how}",
                "If memory was short, use fewer workers or a smaller batch_size",
            ) from None
        except OSError as error:
            raise ShardsError(f"a worker process cannot be fed: {error.strerror}", "Use fewer workers") from None


def _anonymous_file(size: int) -> int:
    """Return the descriptor of a file without a name, in memory where the system has such."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("lpff-shards batches")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, size)
    return descriptor


def _end(owner: int, workers: Sequence[_BatchWorker]) -> None:
    """End the processes; they hold nothing that a kill could damage."""
    if os.getpid() != owner:
        return  # a forked copy
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.join()
        worker.pipe.close()


def _work(pipe: Connection, load: Load, inherited: Sequence[Connection]) -> None:
    """Load batches until the parent process ends, in a process of its own."""
    begin_worker(inherited)
    pieces: list[Block] = []
    with suppress(EOFError, ConnectionError):
        for job in _jobs(pipe):
            if isinstance(job, _Memory):
                descriptor = recv_handle(pipe)
                pieces = job.mapped(descriptor)
                os.close(descriptor)
            else:
                item, number = job
                pipe.send(_loaded(load, item, _Piece(_NOTHING if number is None else pieces[number])))


def _jobs(pipe: Connection) -> Iterator[Any]:
    parent, number = parent_process(), os.getppid()
    assert parent is not None
    while os.getppid() == number:
        ready = wait([pipe, parent.sentinel], _WATCH)
        if pipe in ready:
            yield pipe.recv()
        elif ready:
            return


def _loaded(load: Load, item: Any, piece: _Piece) -> _Answer:
    try:
        batch = map_parts(piece.place, load(item, piece.take))
        return _Answer(batch, None, piece.needed)
    except Exception as error:
        if not isinstance(error, ShardsError):
            error.add_note(traceback.format_exc())
        try:
            ForkingPickler.loads(ForkingPickler.dumps(error))
        except Exception:
            error = RuntimeError(traceback.format_exc())
        return _Answer(None, error, 0)


class _Piece:
    """A piece of a worker's memory: arrays are laid one after another.

    Attributes:
        needed: bytes that all of them need; more than the piece has if some do not fit.
    """

    def __init__(self, memory: Block) -> None:
        self._memory = memory
        self.needed = 0

    def take(self, shape: tuple[int, ...]) -> Block:
        """Return an array with undefined contents, in the memory if that has room."""
        room = self._room(math.prod(shape))
        return np.empty(shape, np.uint8) if room is None else room.reshape(shape)

    def place(self, part: Any) -> Any:
        """Return where an array is, after copying a large one into the memory; other parts of a batch unchanged."""
        if not isinstance(part, np.ndarray) or part.dtype.hasobject:
            return part
        if not self._holds(part):
            axes = tuple(sorted(range(part.ndim), key=lambda axis: -part.strides[axis]))
            room = None if part.nbytes < SMALL else self._room(part.nbytes)
            if room is None:
                return _Sent(part.transpose(axes), axes)
            copy = room.view(part.dtype).reshape([part.shape[axis] for axis in axes]).transpose(np.argsort(axes))
            copy[...] = part
            part = copy
        return _Placed(_address(part) - _address(self._memory), part.shape, part.strides, part.dtype.str)

    def _room(self, size: int) -> Block | None:
        start, self.needed = self.needed, self.needed + -(-size // ALIGNMENT) * ALIGNMENT
        return self._memory[start : start + size] if self.needed <= len(self._memory) else None

    def _holds(self, array: NDArray[Any]) -> bool:
        return array.size > 0 and 0 <= _address(array) - _address(self._memory) < len(self._memory)


_NOTHING = np.empty(0, np.uint8)


def _address(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
