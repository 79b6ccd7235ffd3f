"""Fixtures of the fuzz tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from forks import Forks
from targets import FIRST, Fuzzed, Target


@pytest.fixture(scope="session")
def fuzzed() -> Iterator[Callable[[Target], Fuzzed]]:
    """A target's inputs and readers, made once."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    forks = Forks(FIRST)
    with tempfile.TemporaryDirectory(prefix="lpff-fuzz-", dir=where) as folder:
        yield cache(lambda target: Fuzzed(target, forks, Path(folder).resolve() / target.name))
    forks.close()
