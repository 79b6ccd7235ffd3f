"""Starting a server of this package in a process of its own, and telling it things while it runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

FOLDER = Path(__file__).resolve().parent


class Child:
    """A server in a process of its own, on a free port of loopback; it ends when this process does, in any way."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", f"{FOLDER.name}.{module}", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, cwd=FOLDER.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._turn = threading.Lock()
        self.port = int(self._answer()["port"])

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def tell(self, **message: Any) -> dict[str, Any]:
        """Sends one message and waits for its answer."""
        assert self._process.stdin is not None
        with self._turn:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def close(self) -> None:
        """Ends the server."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        # A worker process that a test has left behind holds the other end too, so that the server would not hear of it.
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self.close()
            raise RuntimeError(f"{self._process.args!r} ended with status {status}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer
