"""How an export shows that it goes on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import click

from lpff_shards.api import Observer
from lpff_shards.plan import Plan
from lpff_shards.processes import OnProgress, Progress

PLAIN_SECONDS = 5.0
SHOWN = 10


@contextmanager
def observer(stream: TextIO) -> Iterator[Observer]:
    """Progress on a stream: a bar on a terminal, a line now and then elsewhere."""
    shown = _Bar(stream) if stream.isatty() else _Lines(stream)
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def reading(stream: TextIO) -> Iterator[OnProgress]:
    """Progress of reading an export: a line now and then."""
    shown = _Lines(stream)
    yield shown.wrote


def _say(text: str, stream: TextIO) -> None:
    """Progress is a courtesy: a stream that takes no more must not stop the work."""
    with contextlib.suppress(OSError):
        click.echo(text, stream)


class _Lines:
    """Progress as plain lines, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = self._samples = self._bytes = 0
        self._start = time.monotonic()
        self._next = self._start + PLAIN_SECONDS

    def planned(self, plan: Plan, finished: int) -> None:
        _announce(plan, finished, self._stream)
        self._total = _remaining(plan, finished)
        self._start = time.monotonic()
        self._next = self._start + PLAIN_SECONDS

    def wrote(self, progress: Progress) -> None:
        self._samples += progress.samples
        self._bytes += progress.bytes
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_SECONDS
            total = f" of {self._total:,}" if self._total else ""
            _say(f"  {self._samples:,}{total} samples, {self._rate()}", self._stream)

    def _rate(self) -> str:
        return rate(self._samples, self._bytes, time.monotonic() - self._start)

    def close(self) -> None:
        if self._samples:
            _say(f"  {self._samples:,} samples written, {self._rate()}", self._stream)


class _Bar:
    """Progress as a bar: samples, MB/s, time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bytes = self._samples = 0
        self._start = time.monotonic()
        self._bar: click._termui_impl.ProgressBar[int] | None = None

    def planned(self, plan: Plan, finished: int) -> None:
        _announce(plan, finished, self._stream)
        self._start = time.monotonic()
        remaining = _remaining(plan, finished)
        if remaining:
            self._bar = click.progressbar(length=remaining, show_pos=True, file=self._stream, item_show_func=self._rate)
            self._bar.__enter__()

    def wrote(self, progress: Progress) -> None:
        self._samples += progress.samples
        self._bytes += progress.bytes
        if self._bar is not None:
            self._bar.update(progress.samples, progress.samples)

    def _rate(self, _: int | None) -> str:
        return rate(self._samples, self._bytes, time.monotonic() - self._start)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)


def _announce(plan: Plan, finished: int, stream: TextIO) -> None:
    for note in plan_notes(plan):
        _say(note, stream)
    where = f", {finished} of them finished before" if finished else ""
    units = "parts" if plan.settings.format == "zip" else "shards"
    _say(f"{plan.name}: {plan.samples:,} samples, {len(plan)} {units}{where}", stream)


def _remaining(plan: Plan, finished: int) -> int:
    return plan.samples - round(plan.samples * finished / len(plan))


def rate(samples: int, written: int, seconds: float) -> str:
    """Samples and bytes a second, in words."""
    seconds = max(seconds, 1e-6)
    return f"{samples / seconds:,.0f} pictures/s, {written / seconds / 1e6:,.0f} MB/s"


def plan_notes(plan: Plan) -> Sequence[str]:
    """What the user should know of the sources, a line each."""
    problems = plan.problems
    lines = [f"note: {note}" for note in plan.notes]
    if plan.mix.filtered:
        told = ", ".join(f"{reason}: {count:,}" for reason, count in plan.mix.filtered.items())
        lines.append(f"filtered out: {told}")
    if plan.tombstones:
        shards = len({tombstone.file for tombstone in plan.tombstones})
        lines.append(f"taken out: {len(plan.tombstones):,} samples of {shards} shards, which are written again")
    if plan.mix.unused:
        more = f" and {len(plan.mix.unused) - SHOWN} more" if len(plan.mix.unused) > SHOWN else ""
        lines.append(f"--exclude names no picture by: {', '.join(plan.mix.unused[:SHOWN])}{more}")
    if problems:
        lines.append(f"left out: {len(problems)} pictures, such as {problems[0].id}: {problems[0].reason}")
    return lines


def size(number: float) -> str:
    """Bytes in words: 1.7 GB."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
