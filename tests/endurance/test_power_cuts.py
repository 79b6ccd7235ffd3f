"""Power cuts: of file systems on loop devices where they may be mounted, and by the rules of file systems."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import mounts
import pytest
from cuts import Disk
from disturbed import Fault
from running import ENDURANCE, wait_for
from situations import SITUATIONS, SMALL_PARTS, Situation, Trials

CUTS = max(1, round(60 * ENDURANCE))
"""Cuts of a situation by each rule, besides the one at its end."""
STOPS = max(1, round(8 * ENDURANCE))
"""Cuts of a situation on each file system, besides the one at its end."""

LAST = "device-last"


@pytest.fixture(scope="session", params=mounts.KINDS, ids=str)
def kind(request: pytest.FixtureRequest, memory: Path) -> mounts.Kind:
    if reason := mounts.reason_to_skip(request.param, memory):
        pytest.skip(reason)
    return request.param


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "any-order"])
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_what_the_rules_allow_to_be_left_is_finished(
    trials_of: Callable[[Situation], Trials], situation: Situation, ordered: bool, record_property: Callable[..., None]
) -> None:
    trials = trials_of(situation)
    trials.reset()
    disk = Disk(trials.out, ordered)
    command = trials.command(trials.situation.words, trials.out)
    ended = trials.disturbed.run(command, trials.out, trials.source, record=True, more=SMALL_PARTS)
    assert ended.status == 0, ended.err
    changes = tuple(trials.disturbed.changes())
    draw = Random(f"{trials.situation} {ordered}")
    wrong, done = [], 0
    moments = sorted({*draw.sample(range(len(changes)), min(CUTS, len(changes))), len(changes)})
    for moment in moments:
        for change in changes[done:moment]:
            disk.change(change)
        done = moment
        shutil.rmtree(trials.out, ignore_errors=True)
        disk.cut(draw, trials.out, trials.out)
        last = f"after {moment} changes" + (
            f" ({changes[moment - 1].call} {changes[moment - 1].path})" if moment else ""
        )
        wrong += [f"{last}: {line}" for line in _wrong(trials, moment == len(changes))]
    record_property("cuts by the rules, " + ("ordered" if ordered else "any order"), len(moments))
    _tell(len(moments), wrong)


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_what_a_file_system_leaves_is_finished(
    trials_of: Callable[[Situation], Trials],
    situation: Situation,
    kind: mounts.Kind,
    record_property: Callable[..., None],
) -> None:
    trials = trials_of(situation)
    image, root = trials.folder / "device", trials.folder / "mounted"
    root.mkdir()
    there = trials.moved(root / "out")
    wrong = []
    mounts.make(kind, image)
    try:
        for moment, copy in enumerate(copies := _cut(there, kind, image, root)):
            with mounts.mounted(kind, copy, root):
                ended = copy.name == LAST
                where = "at its end" if ended else f"at stop {moment}"
                wrong += [f"{where}: {line}" for line in _wrong(there, ended)]
    finally:
        root.rmdir()
        for path in trials.folder.glob("device*"):
            path.unlink()
    record_property(f"cuts of {kind}", len(copies))
    _tell(len(copies), wrong)


def _cut(there: Trials, kind: mounts.Kind, image: Path, root: Path) -> list[Path]:
    """Copies of a device as cuts leave it, from one run of the command that is stopped at some of its changes."""
    draw, copies = Random(f"{there.situation} {kind}"), []
    with mounts.mounted(kind, image, root) as device:
        there.reset()
        mounts.sync(root)
        pid = there.pausing(max(1, there.count(Fault.STOP) // (STOPS + draw.randint(1, 3))))
        for number in range(STOPS):
            wait_for(lambda: _states(pid) <= {"T"} or "Z" in _states(pid))
            if "Z" in _states(pid):
                break
            copies.append(image.with_name(f"device-{number}"))
            mounts.snapshot(device, image, copies[-1])
            # The kernel may write what it holds at any time.
            if draw.random() < 0.3:
                mounts.sync(root)
            os.kill(pid, signal.SIGCONT)
        _let_end(pid)
        assert there.disturbed.forks.end().returncode == 0
        # Whoever reads that it has ended with 0 may pull the plug.
        copies.append(image.with_name(LAST))
        mounts.snapshot(device, image, copies[-1])
    return copies


def _let_end(pid: int) -> None:
    """Goes on with a process whenever it is stopped."""

    def ended() -> bool:
        if _states(pid) <= {"T"}:
            os.kill(pid, signal.SIGCONT)
        return "Z" in _states(pid)

    wait_for(ended)


def _states(pid: int) -> set[str]:
    """The states of a process's threads: T where one is stopped, Z where it has ended."""
    states = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
    return states


def _wrong(trials: Trials, ended: bool) -> Iterator[str]:
    """What is wrong with what a cut has left, at a command's end or before, and after the same command on it."""
    yield from trials.unsound(ended)
    yield from trials.rerun()


def _tell(cuts: int, wrong: list[str]) -> None:
    if wrong:
        pytest.fail("\n".join([f"{cuts} cuts:", *wrong]), pytrace=False)
