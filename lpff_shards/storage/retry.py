"""Patience with stores: requests that a broken connection ended come again, and Ctrl-C is heard while one waits."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

TRIES = 6
FIRST_WAIT = 0.2
"""Seconds before the second try; each wait is twice the one before, more or less."""


def persistent(call: Callable[[], T], tries: int = TRIES) -> T:
    """Run a call, again where its connection broke; return what it gives.

    The library itself tries again what it takes for safe, and whatever the store refuses for being busy or down; a
    listing, a removal or an upload's begin whose connection breaks it does not. Here all may come twice.

    Raises:
        OSError: what the call raises at last.
    """
    for number in range(tries - 1):
        try:
            return call()
        except ConnectionError:
            time.sleep(FIRST_WAIT * 2**number * random.uniform(0.5, 1.5))
    return call()


def heard(call: Callable[[], T], seconds: float | None = None) -> T:
    """Run the call in a helper thread so that the main thread can handle signals; return what it gives.

    Args:
        seconds: how long to wait, where that is bounded; the main thread alone heeds it.

    Raises:
        KeyboardInterrupt: as of any code; the call goes on without anyone, and ends with the process.
        TimeoutError: it takes longer.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(errno.ETIMEDOUT, "does not answer")
    if errors:
        raise errors[0]
    return results[0]
