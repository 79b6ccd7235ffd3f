"""Asking for what comes next while the last answer is used: waiting for a store costs far more than what it sends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

ASKED = 16
"""Requests on their way at once."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def ahead(
    ask: Callable[[Item], Answer], items: Iterable[Item], at_once: int = ASKED, most: int | None = None
) -> Generator[Answer, None, None]:
    """What `ask` gives for each item, in their order; later ones are asked for meanwhile, by threads.

    Args:
        at_once: threads.
        most: answers that wait at most; as many as there are threads where it is not given.

    Raises:
        Exception: what `ask` raises, when it is that item's turn.
    """
    threads = ThreadPoolExecutor(at_once)
    waiting: deque[Future[Answer]] = deque()
    try:
        for item in items:
            waiting.append(threads.submit(ask, item))
            if len(waiting) > (most or at_once):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)
