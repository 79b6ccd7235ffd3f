"""Every system call of small exports fails, is cut short, or is the last: the same command makes the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from disturbed import Fault
from situations import SITUATIONS, Situation, Trials

FAULTS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.TORN, Fault.EIO, Fault.ENOSPC, Fault.SHORT)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_a_disturbed_call_costs_no_byte(
    trials_of: Callable[[Situation], Trials], situation: Situation, fault: Fault, record_property: Callable[..., None]
) -> None:
    trials = trials_of(situation)
    numbers = trials.chosen(fault)
    record_property(fault.name, len(numbers))
    wrong = [line for number in numbers for line in _trial(trials, fault, number)]
    if wrong:
        pytest.fail("\n".join([f"{len(numbers)} trials:", *wrong]), pytrace=False)


def _trial(trials: Trials, fault: Fault, number: int) -> Iterator[str]:
    """What is wrong after a fault, and after the same command without."""
    ended = trials.strike(fault, number)
    where = f"{fault.name} {number}: {ended.struck.name} {ended.struck.path}" if ended.struck else f"{fault.name}: none"
    yield from (f"{where}: {line}" for line in (*trials.faults(ended, fault), *trials.rerun()))
