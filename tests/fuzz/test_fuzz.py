"""Inputs and outputs that somebody damaged or wrote with ill will: one clear error, little time and memory, no harm."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from random import Random

import pytest
from findings import FINDINGS, Finding
from targets import TARGETS, Fuzzed, Target

SECONDS = float(os.environ.get("LPFF_SHARDS_FUZZ_SECONDS", "0"))
"""Of all targets together; one input of each is tried at least."""
START = int(os.environ.get("LPFF_SHARDS_FUZZ_START", "0"))
"""The first input's number, which stands for all of its changes: a fault is found again by it."""


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_changed_input_ends_well(
    fuzzed: Callable[[Target], Fuzzed], target: Target, record_property: Callable[..., None]
) -> None:
    subject = fuzzed(target)
    ends = time.monotonic() + SECONDS / len(TARGETS)
    wrong: dict[str, int] = {}
    for number in itertools.count(START):
        for line in subject.fuzz(Random(f"{target} {number}")):
            wrong.setdefault(line, number)
        if time.monotonic() >= ends:
            break
    record_property("trials", number + 1 - START)
    if wrong:
        told = [f"{line} (number {number})" for line, number in wrong.items()]
        pytest.fail("\n".join([f"{number + 1 - START} inputs:", *told]), pytrace=False)


@pytest.mark.parametrize("finding", FINDINGS, ids=str)
def test_what_was_found_before_ends_well(fuzzed: Callable[[Target], Fuzzed], finding: Finding) -> None:
    (target,) = (target for target in TARGETS if target.name == finding.target)
    # In turn the export stops at it or skips it, and other commands read it.
    wrong = [
        line for seed in range(4 if SECONDS else 1) for line in fuzzed(target).faults(Random(seed), finding.change)
    ]
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)
