"""Fixtures of the endurance tests."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import disturbed
import pytest
from disturbed import Disturbed
from situations import Situation, Trials


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how often each thing was tried."""
    counts: Counter[str] = Counter()
    for report in (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())):
        counts.update(dict(report.user_properties))
    for name, count in sorted(counts.items()):
        terminalreporter.write_line(f"{count:6} {name}")


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: a disk would wait at each of a million syncs."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="lpff-endurance-", dir=where) as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="session")
def commands(memory: Path) -> Iterator[Disturbed]:
    """Runs of the command in which calls can be disturbed."""
    if reason := disturbed.reason_to_skip():
        pytest.skip(reason)
    commands = Disturbed(memory)
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def trials_of(commands: Disturbed, memory: Path) -> Callable[[Situation], Trials]:
    """The trials of a situation, made once."""
    return cache(lambda situation: Trials(commands, situation, memory / str(situation)))
