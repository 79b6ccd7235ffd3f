"""The command on a terminal: a pseudo-terminal of a size, as people have it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass

HUSHES = ("NO_COLOR", "CLICOLOR", "COLUMNS", "LINES")


@dataclass(frozen=True)
class Shown:
    """What a terminal got, and the command's exit status."""

    status: int
    text: str


def on_terminal(
    *args: object, columns: int = 100, lines: int = 40, environment: Mapping[str, str] | None = None
) -> Shown:
    """Run the command with all three streams on a terminal of a size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    clean = {name: value for name, value in os.environ.items() if name not in HUSHES}
    process = subprocess.Popen(
        [sys.executable, "-m", "lpff_shards", *map(str, args)],
        **{"stdin": theirs, "stdout": theirs, "stderr": theirs},
        env={**clean, "TERM": "xterm", **(environment or {})},
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    return Shown(process.wait(timeout=30), shown.decode().replace("\r\n", "\n"))


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:  # Linux says EIO once the other side is gone
        return b""
