"""Asking for what comes next while the last answer is used: waiting for a store costs far more than what it sends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

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
    threads = _Threads(ask, at_once)
    waiting: deque[tuple[Future[Answer], int]] = deque()
    held = 0
    try:
        for item in items:
            more = size(item)
            while waiting and (len(waiting) > (most or at_once) or held + more > most_bytes > 0):
                answer, done = waiting.popleft()
                yield answer.result()
                held -= done
            waiting.append((threads.submit(item), more))
            held += more
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        # Nobody waits for what is on its way and no longer wanted: a store may take minutes to answer.
        on_their_way = [answer for answer, _ in waiting if not answer.cancel() and not answer.done()]
        threads.end(wait=not on_their_way)


class _Threads(Generic[Item, Answer]):
    """Threads that die with the process, started as they are needed."""

    def __init__(self, ask: Callable[[Item], Answer], most: int) -> None:
        self._ask, self._most = ask, most
        self._threads: list[Thread] = []
        self._queue: SimpleQueue[tuple[Future[Answer], Item] | None] = SimpleQueue()

    def submit(self, item: Item) -> Future[Answer]:
        """Asks for an item as soon as a thread is free."""
        answer: Future[Answer] = Future()
        self._queue.put((answer, item))
        if len(self._threads) < self._most:
            thread = Thread(target=self._run, daemon=True)
            thread.start()
            self._threads.append(thread)
        return answer

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            answer, item = job
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(self._ask(item))
                except BaseException as error:
                    answer.set_exception(error)

    def end(self, wait: bool) -> None:
        """Lets each thread end behind what it does."""
        for _ in self._threads:
            self._queue.put(None)
        if wait:
            for thread in self._threads:
                thread.join()
