"""The server's side of `child`: says which port it got, does what it is told, ends with its parent."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

Obey = Callable[[dict[str, Any]], dict[str, Any]]


def obey_parent(port: int, obey: Obey) -> None:
    """Answers the parent's messages, a line of JSON each, until the parent is gone; then the process ends at once."""
    # A Ctrl-C at the terminal is for the tests: they end their servers when they are through.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _say({"port": port})
    for line in sys.stdin:
        try:
            _say(obey(json.loads(line)))
        except (KeyError, TypeError, ValueError) as error:
            _say({"error": f"{type(error).__name__}: {error}"})
    # Threads that serve, or hold, requests are not waited for.
    os._exit(0)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)
