"""Waiting for a store without being deaf to Ctrl-C: its library hears of signals only when a request has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def heard(call: Callable[[], T]) -> T:
    """What a call gives; where it comes from the main thread, another one waits for it, and signals are heard.

    Raises:
        KeyboardInterrupt: as of any code; the call goes on without anyone, and ends with the process.
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
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
