"""Request the next items in threads while the current one is used, since the latency of stores dominates."""

from __future__ import annotations

import atexit
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Self, TypeVar

ASKED = 16
"""Requests at once."""

AT_EXIT = 2.0
"""Seconds that the end of the process waits for running calls; those of a store may take minutes."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def prefetch(
    ask: Callable[[Item], Answer],
    items: Iterable[Item],
    at_once: int = ASKED,
    most: int | None = None,
    size: Callable[[Item], int] = lambda _: 0,
    most_bytes: int = 0,
) -> Generator[Answer, None, None]:
    """Yield the result of `ask` for each item in order, or raise its error; threads compute the next ones in advance.

    Args:
        at_once: number of threads.
        most: limit of waiting results, None for the number of threads.
        size: returns the bytes of an item's result; `most_bytes`: limit of waiting bytes, except for one larger result.
    """
    with Threads(at_once) as threads:
        waiting: deque[tuple[Future[Answer], int]] = deque()
        held = 0
        for item in items:
            more = size(item)
            while waiting and (len(waiting) > (most or at_once) or held + more > most_bytes > 0):
                answer, done = waiting.popleft()
                yield answer.result()
                held -= done
            waiting.append((threads.submit(ask, item), more))
            held += more
        while waiting:
            yield waiting.popleft()[0].result()


class Threads:
    """At most `most` threads that run calls, started on demand; this package has no others.

    A signal may come at any moment, so nothing here depends on the state of the main thread: the threads pass the end
    on to one another, and end with the process. The end of the block cancels waiting calls. It waits for running
    calls, but not after an error, since a store may take minutes to respond.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads: list[Thread] = []
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        _ALL.add(self)
        # Also end the threads when this object is deleted.
        weakref.finalize(self, self._queue.put, None)

    def submit(self, call: Callable[[Item], Answer], item: Item) -> Future[Answer]:
        """Run a call as soon as a thread is free."""
        answer: Future[Answer] = Future()
        self._queue.put((answer, call, item))
        if len(self._threads) < self._most:
            thread = Thread(target=_run, args=(self._queue,), daemon=True)
            self._threads.append(thread)
            thread.start()
            _STARTED.add(thread)
        return answer

    def end(self, wait: bool) -> None:
        """Cancel waiting calls, and end each thread after its running call; `wait` for them."""
        with suppress(Empty):
            while job := self._queue.get_nowait():
                job[0].cancel()
        self._queue.put(None)
        for thread in self._threads:
            # A signal may have come before it started.
            if wait and thread.ident is not None:
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.end(wait=kind is None)


_ALL: weakref.WeakSet[Threads] = weakref.WeakSet()
_STARTED: weakref.WeakSet[Thread] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    """Wait a moment for running calls: Python would end their threads inside C++ code, which aborts the process."""
    until = time.monotonic() + AT_EXIT
    for one in list(_ALL):
        one.end(wait=False)
    for thread in list(_STARTED):
        thread.join(max(0.0, until - time.monotonic()))


_Job = tuple[Future[Any], Callable[[Any], Any], Any]


def _run(queue: SimpleQueue[_Job | None]) -> None:
    """Run calls until the end. Holds no reference to its `Threads`, which may be deleted first."""
    while (job := queue.get()) is not None:
        answer, call, item = job
        if answer.set_running_or_notify_cancel():
            try:
                answer.set_result(call(item))
            except BaseException as error:
                answer.set_exception(error)
        # Only the caller keeps the item and the result.
        del job, answer, call, item
    queue.put(None)
