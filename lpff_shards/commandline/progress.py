"""The progress of an export: a bar on a terminal, a line now and then elsewhere; and the versions of libraries."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol, TextIO

import click

from lpff_shards._version import __version__
from lpff_shards.commandline.options import Loudness
from lpff_shards.errors import printable
from lpff_shards.executors.processes import Progress, ShardDone
from lpff_shards.exporters.callbacks import Observer, Silent
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.units import counted, rate, size

PLAIN_SECONDS = 5.0
SHOWN = 10
ROOM_FOR_RATE = 76
ROOM_FOR_BAR = 120
"""Columns of a terminal."""


@contextmanager
def observer(stream: TextIO, loudness: Loudness = Loudness.NORMAL) -> Iterator[Observer]:
    """Progress on a stream: a bar on a terminal, a line now and then elsewhere; verbose, a line a shard on both."""
    if loudness is Loudness.QUIET:
        yield Silent()
        return
    if loudness is Loudness.VERBOSE:
        shown: _Bar | _Lines = _Verbose(stream)
    else:
        # A dumb terminal cannot go back to the beginning of its line.
        moves = stream.isatty() and os.environ.get("TERM") != "dumb"
        shown = _Bar(stream) if moves else _Lines(stream)
    try:
        yield shown
    finally:
        with contextlib.suppress(OSError):
            shown.close()


@contextmanager
def reading(stream: TextIO, loudness: Loudness = Loudness.NORMAL) -> Iterator[Reader]:
    """Progress of reading an export: a line now and then; verbose, a line a shard."""
    if loudness is Loudness.QUIET:
        yield Silent()
        return
    shown = _Verbose(stream) if loudness is Loudness.VERBOSE else _Lines(stream)
    shown.entered("reading")
    yield shown
    shown.tell_times()


class Reader(Protocol):
    """Told how the reading of an export goes on."""

    def wrote(self, progress: Progress) -> None:
        """Samples were read."""

    def shard_done(self, shard: ShardDone) -> None:
        """A shard was read."""


def say(text: str, stream: TextIO) -> None:
    """Print a line of progress, which is a courtesy: a stream that takes no more must not stop the work."""
    with contextlib.suppress(OSError):
        click.echo(printable(text), stream)


class _Lines(Silent):
    """Progress as plain lines, for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = self._samples = self._bytes = self._skipped = 0
        self._start = time.monotonic()
        self._next = self._start + PLAIN_SECONDS

    def planned(self, plan: Plan, finished: int, others: int = 0) -> None:
        _announce(plan, finished, others, self._stream)
        self.notes = plan.notes
        self._total = _remaining(plan, finished + others)
        self._start = time.monotonic()
        self._next = self._start + PLAIN_SECONDS

    def wrote(self, progress: Progress) -> None:
        self._samples += progress.samples
        self._bytes += progress.bytes
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_SECONDS
            total = f" of {self._total:,}" if self._total else ""
            say(f"  {self._samples:,}{total} samples, {self._rate()}", self._stream)

    def shard_done(self, shard: ShardDone) -> None:
        self._skipped += shard.skipped

    def _rate(self) -> str:
        return rate(self._samples, self._bytes, time.monotonic() - self._start)

    def noted(self, note: str) -> None:
        say(f"note: {note}", self._stream)

    def entered(self, step: str) -> None:
        """A step of an export or of something else begins."""

    def tell_times(self) -> None:
        """Where time went: of interest to those who ask for details."""

    def close(self) -> None:
        if self._samples:
            lost = f", {self._skipped:,} left out" if self._skipped else ""
            say(f"  {counted(self._samples - self._skipped, 'sample')} written{lost}, {self._rate()}", self._stream)


class _Verbose(_Lines):
    """Lines with all that helps: versions, each shard, where time went."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._steps: list[tuple[str, float]] = []
        say(versions(PACKING), stream)

    def entered(self, step: str) -> None:
        self._steps.append((step, time.monotonic()))

    def kept(self, receipts: Iterable[ShardReceipt]) -> None:
        for receipt in receipts:
            say(f"  {receipt.file}: finished before, {_holds(receipt.samples, receipt.bytes)}", self._stream)

    def shard_done(self, shard: ShardDone) -> None:
        super().shard_done(shard)
        told = rate(shard.samples, shard.bytes, shard.seconds)
        faults = f", {shard.faults} fault{'s' * (shard.faults > 1)}" if shard.faults else ""
        held = _holds(shard.samples, shard.bytes)
        say(f"  {shard.file}: {held} in {shard.seconds:.2f} s, {told}{faults}", self._stream)

    def tell_times(self) -> None:
        ends = [start for _, start in self._steps[1:]] + [time.monotonic()]
        times = zip(self._steps, ends, strict=True)
        say("  " + ", ".join(f"{step} {end - start:.2f} s" for (step, start), end in times), self._stream)

    def close(self) -> None:
        super().close()
        self.tell_times()


class _Bar(Silent):
    """Progress as a bar: samples, MB/s, time left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bytes = self._samples = 0
        self._start = time.monotonic()
        self._bar: click._termui_impl.ProgressBar[int] | None = None

    def planned(self, plan: Plan, finished: int, others: int = 0) -> None:
        _announce(plan, finished, others, self._stream)
        self.notes = plan.notes
        self._start = time.monotonic()
        remaining = _remaining(plan, finished + others)
        if remaining:
            self._bar = _bar(remaining, self._rate, self._stream)
            with contextlib.suppress(OSError):
                self._bar.__enter__()

    def noted(self, note: str) -> None:
        say(f"note: {note}", self._stream)

    def wrote(self, progress: Progress) -> None:
        self._samples += progress.samples
        self._bytes += progress.bytes
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.update(progress.samples, progress.samples)

    def _rate(self, _: int | None) -> str:
        return rate(self._samples, self._bytes, time.monotonic() - self._start)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)


def _bar(length: int, rate: Callable[[int | None], str], stream: TextIO) -> click._termui_impl.ProgressBar[int]:
    """A bar that fits into a line: one that does not cannot be drawn over."""
    columns = shutil.get_terminal_size().columns
    return click.progressbar(
        length=length,
        show_pos=True,
        file=stream,
        item_show_func=rate if columns >= ROOM_FOR_RATE else None,
        # 0 fills what the numbers leave.
        width=36 if columns >= ROOM_FOR_BAR else 0,
    )


def _holds(samples: int, bytes: int) -> str:
    return f"{counted(samples, 'sample')}, {size(bytes)}"


def _announce(plan: Plan, finished: int, others: int, stream: TextIO) -> None:
    for note in plan_notes(plan):
        say(note, stream)
    where = f", {others} of them other shares'" if others else ""
    where += f", {finished} of them finished before" if finished else ""
    tasks = counted(len(plan), plan.format.piece)
    say(f"{plan.name}: {counted(plan.samples, 'sample')}, {tasks}{where}", stream)


def _remaining(plan: Plan, finished: int) -> int:
    return plan.samples - round(plan.samples * finished / len(plan))


def plan_notes(plan: Plan) -> Sequence[str]:
    """What the user should know of the sources, a line each."""
    problems = plan.problems
    lines = [f"note: {note}" for note in plan.notes]
    if plan.mix.filtered:
        told = ", ".join(f"{reason}: {count:,}" for reason, count in plan.mix.filtered.items())
        lines.append(f"filtered out: {told}")
    if plan.tombstones:
        shards = len({tombstone.file for tombstone in plan.tombstones} - {""})
        gone = f"{counted(len(plan.tombstones), 'sample')} of {counted(shards, 'shard')}"
        lines.append(f"taken out: {gone}, since the first export")
    if plan.mix.unused:
        more = f" and {len(plan.mix.unused) - SHOWN} more" if len(plan.mix.unused) > SHOWN else ""
        lines.append(f"no picture matches these --exclude entries: {', '.join(plan.mix.unused[:SHOWN])}{more}")
    if problems:
        lines.append(f"skipped {counted(len(problems), 'picture')}, such as {problems[0].id}: {problems[0].reason}")
    return lines


PACKING = (
    "numpy",
    "pillow",
    "pyspng",
    "simplejpeg",
    "isal",
    "zlib-ng",
    "blake3",
    "google-crc32c",
    "msgspec",
    "msgpack",
)
"""Those that read, make and check samples."""
LOADING = ("torch", "torchdata", "webdataset", "tensorflow", "tensorflow-cpu", "jax", "grain")
"""Those that loaders stand on; none of them need be there."""


def versions(names: Sequence[str]) -> str:
    """The versions of this program, of Python and of those of the libraries that are installed, in a line."""
    found = (f"{name} {number}" for name in names if (number := _version(name)))
    return ", ".join([f"lpff-shards {__version__}", f"Python {platform.python_version()}", *found])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
