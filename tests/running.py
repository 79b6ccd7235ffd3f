"""Running the command line: in this process, or in one of its own."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from forks import Forks

from lpff_shards import cli
from lpff_shards.formats.registry import is_shard_name

DATA = Path(os.environ.get("LPFF_SHARDS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
"""Real samples of the data sets, where they are at hand."""
ENDURANCE = float(os.environ.get("LPFF_SHARDS_ENDURANCE", "0"))
"""The share of long tests that runs: 1 is all of them, as in `nox -s endurance`."""


def examples(count: int) -> int:
    """How many examples hypothesis tries: that many where long tests run, else a quarter; each run has others."""
    return count if ENDURANCE else count // 4


@dataclass
class Done:
    """What a command left behind."""

    status: int
    out: str
    err: str


@cache
def forks() -> Forks:
    """The process that starts commands, the same for all tests."""
    started = Forks()
    atexit.register(started.close)
    return started


def changed(command: Sequence[object], *more: object) -> tuple[object, ...]:
    """A command with further options; one that it has already gets the new value."""
    found = list(command)
    for number, word in enumerate(more):
        if number and more[number - 1] in command and str(more[number - 1]).startswith("--"):
            found[found.index(more[number - 1]) + 1] = word
        elif word not in command or not str(word).startswith("--"):
            found.append(word)
    return tuple(found)


def run(*args: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return forks().run(*args)


def run_after(prelude: str, *args: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own that has run some code first."""
    return forks().run(*args, prelude=prelude)


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: object) -> Done:
    """The command in this process, as its console script runs it."""
    monkeypatch.setattr(sys, "argv", ["lpff-shards", *map(str, args)])
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    try:
        cli.main()
        status = 0
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    captured = capsys.readouterr()
    return Done(status, captured.out, captured.err)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of an output folder but the lock, by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def shards(folder: Path) -> list[Path]:
    """The shards in an output folder, in order; not what lies beside them."""
    return sorted(path for path in folder.iterdir() if is_shard_name(path.name))


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until something holds, 30 seconds at most."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.0005)
