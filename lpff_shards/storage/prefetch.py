"""Asking for what comes next while the last answer is used: waiting for a store costs far more than what it sends."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeVar

ASKED = 16
"""Requests on their way at once."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def ahead(
    ask: Callable[[Item], Answer],
    items: Iterable[Item],
    at_once: int = ASKED,
    most: int | None = None,
    size: Callable[[Item], int] = lambda _: 0,
    most_bytes: int = 0,
) -> Generator[Answer, None, None]:
    """What `ask` gives for each item, in their order; later ones are asked for meanwhile, by threads.

    Args:
        at_once: threads.
        most: answers that wait at most; as many as there are threads where it is not given.
        size: bytes of an item's answer; `most_bytes`: that wait at most, but for an answer larger than that.

    Raises:
        Exception: what `ask` raises, when it is that item's turn.
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
    """Threads that make calls, started as they are needed; every thread of this package is one, but those of `heard`.

    A signal may come at any moment, so nothing here depends on what the main thread has noted by then: the threads
    pass the end on to one another, and they die with the process. Leaving the block drops what has not begun; where
    an error leaves it, nobody waits for what has, since a store may take minutes to answer.

    Args:
        most: threads.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads: list[Thread] = []
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        # Also where nobody has them any more.
        weakref.finalize(self, self._queue.put, None)

    def submit(self, call: Callable[[Item], Answer], item: Item) -> Future[Answer]:
        """Makes a call as soon as a thread is free."""
        answer: Future[Answer] = Future()
        self._queue.put((answer, call, item))
        if len(self._threads) < self._most:
            thread = Thread(target=_run, args=(self._queue,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return answer

    def close(self) -> None:
        """Lets the threads end behind all that was submitted."""
        self._queue.put(None)

    def end(self, wait: bool) -> None:
        """Drops what has not begun, and lets each thread end behind what it does.

        Args:
            wait: until they have ended.
        """
        with suppress(Empty):
            while job := self._queue.get_nowait():
                job[0].cancel()
        self.close()
        for thread in self._threads:
            # Unless a signal came before it had started.
            if wait and thread.ident is not None:
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(wait=kind is None)


_Job = tuple[Future[Any], Callable[[Any], Any], Any]


def _run(queue: SimpleQueue[_Job | None]) -> None:
    """A thread's life. It refers to no `Threads`, which may go before it."""
    while (job := queue.get()) is not None:
        answer, call, item = job
        if answer.set_running_or_notify_cancel():
            try:
                answer.set_result(call(item))
            except BaseException as error:
                answer.set_exception(error)
        # What was asked and answered goes with whoever has the answer.
        del job, answer, call, item
    queue.put(None)
