"""The progress of an export: a bar on a terminal, else occasional lines; and the versions of libraries."""

from __future__ import annotations

import os
import platform
import shutil
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TextIO

import click

from lpff_shards._version import __version__
from lpff_shards.commandline.options import Verbosity
from lpff_shards.errors import printable
from lpff_shards.executors.processes import Progress, ShardDone
from lpff_shards.exporters.callbacks import ProgressCallback
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.text import format_bytes, format_count, format_rate

LINE_SECONDS = 5.0
SHOWN = 10
PACKING = (
    *("numpy", "pillow", "pyspng", "simplejpeg", "isal"),
    *("zlib-ng", "blake3", "google-crc32c", "msgspec", "msgpack"),
)
"""Libraries that read, make and check samples."""
LOADING = ("torch", "webdataset", "tensorflow", "tensorflow-cpu", "jax", "grain")
"""Libraries of the loaders, all optional."""


def observer(stream: TextIO, verbosity: Verbosity = Verbosity.NORMAL) -> AbstractContextManager[ProgressCallback]:
    """Print the progress of an export; without a plan (verify, index) without a bar."""
    if verbosity is Verbosity.QUIET:
        return nullcontext(ProgressCallback())
    return closing(_Printer(stream, verbosity is Verbosity.VERBOSE))


def say(text: str, stream: TextIO) -> None:
    """Print a line of progress; a closed stream does not stop the work."""
    with suppress(OSError):
        click.echo(printable(text), stream)


class _Printer(ProgressCallback):
    def __init__(self, stream: TextIO, verbose: bool) -> None:
        self._stream, self._verbose = stream, verbose
        self._total: int | None = None
        self._samples = self._bytes = self._skipped = 0
        self._start = self._printed = time.monotonic()
        self._steps: list[tuple[str, float]] = []
        self._bar: Any = None
        if verbose:
            say(versions(PACKING), stream)

    def on_plan(self, plan: Plan, finished: int, others: int = 0) -> None:
        for note in plan_notes(plan):
            say(note, self._stream)
        self.notes = plan.notes
        where = f", {others} of them other shares'" if others else ""
        where += f", {finished} of them finished before" if finished else ""
        tasks = format_count(len(plan), plan.format.piece)
        say(f"{plan.name}: {format_count(plan.samples, 'sample')}, {tasks}{where}", self._stream)
        self._total = plan.samples - round(plan.samples * (finished + others) / len(plan))
        self._start = self._printed = time.monotonic()
        # A dumb terminal cannot go back to the beginning of its line.
        if self._total and not self._verbose and self._stream.isatty() and os.environ.get("TERM") != "dumb":
            with suppress(OSError):
                self._bar = _bar(self._total, self._stream)

    def on_progress(self, progress: Progress) -> None:
        self._samples += progress.samples
        self._bytes += progress.bytes
        if self._bar is not None:
            with suppress(OSError):
                self._bar.set_postfix_str(self._rate(), refresh=False)
                self._bar.update(progress.samples)
        elif time.monotonic() >= self._printed + LINE_SECONDS:
            self._printed = time.monotonic()
            total = f" of {self._total:,}" if self._total else ""
            say(f"  {self._samples:,}{total} samples, {self._rate()}", self._stream)

    def on_stage(self, step: str) -> None:
        self._steps.append((step, time.monotonic()))

    def on_skipped_shards(self, receipts: Iterable[ShardReceipt]) -> None:
        for receipt in receipts if self._verbose else ():
            held = f"{format_count(receipt.samples, 'sample')}, {format_bytes(receipt.bytes)}"
            say(f"  {receipt.file}: finished before, {held}", self._stream)

    def on_shard(self, shard: ShardDone) -> None:
        self._skipped += shard.skipped
        if self._verbose:
            held = f"{format_count(shard.samples, 'sample')}, {format_bytes(shard.bytes)} in {shard.seconds:.2f} s"
            rate = format_rate(shard.samples, shard.bytes, shard.seconds)
            faults = f", {format_count(shard.faults, 'fault')}" if shard.faults else ""
            say(f"  {shard.file}: {held}, {rate}{faults}", self._stream)

    def on_note(self, note: str) -> None:
        if self._bar is not None:
            with suppress(OSError):
                self._bar.clear()
        say(f"note: {note}", self._stream)

    def close(self) -> None:
        """End the bar, or print the counts of samples; if verbose, the seconds of each stage."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
        elif self._samples and self._total is not None:
            written = format_count(self._samples - self._skipped, "sample")
            lost = f", {self._skipped:,} left out" if self._skipped else ""
            say(f"  {written} written{lost}, {self._rate()}", self._stream)
        if self._verbose and self._steps:
            ends = [start for _, start in self._steps[1:]] + [time.monotonic()]
            times = (f"{step} {end - start:.2f} s" for (step, start), end in zip(self._steps, ends, strict=True))
            say(f"  {', '.join(times)}", self._stream)

    def _rate(self) -> str:
        return format_rate(self._samples, self._bytes, time.monotonic() - self._start)


def _bar(total: int, stream: TextIO) -> Any:
    """Return a bar of tqdm without its thread and its semaphore: workers are forked only if no other thread runs."""
    # tqdm reads defaults of its options from the environment; wrong ones would end the export.
    hidden = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("TQDM_")}
    from tqdm import tqdm

    os.environ.update(hidden)
    tqdm.monitor_interval = 0
    tqdm.set_lock(threading.RLock())
    shown = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
    columns, lines = shutil.get_terminal_size()
    size: dict[str, Any] = {"ncols": columns, "nrows": lines}
    # Serial lines and some containers report no size.
    with suppress(OSError):
        if min(os.get_terminal_size(stream.fileno())) > 0:
            size = {"dynamic_ncols": True}
    return tqdm(total=total, file=stream, miniters=1, bar_format=shown, **size)


def plan_notes(plan: Plan) -> Sequence[str]:
    """Return the notes of a plan, one per line."""
    lines = [f"note: {note}" for note in plan.notes]
    if plan.mix.filtered:
        counts = ", ".join(f"{reason}: {count:,}" for reason, count in plan.mix.filtered.items())
        lines.append(f"filtered out: {counts}")
    if plan.tombstones:
        shards = len({tombstone.file for tombstone in plan.tombstones} - {""})
        gone = f"{format_count(len(plan.tombstones), 'sample')} of {format_count(shards, 'shard')}"
        lines.append(f"taken out: {gone}, since the first export")
    if plan.mix.unused:
        more = f" and {len(plan.mix.unused) - SHOWN} more" if len(plan.mix.unused) > SHOWN else ""
        lines.append(f"no picture matches these --exclude entries: {', '.join(plan.mix.unused[:SHOWN])}{more}")
    if problems := plan.problems:
        skipped = format_count(len(problems), "picture")
        lines.append(f"skipped {skipped}, such as {problems[0].id}: {problems[0].reason}")
    return lines


def versions(names: Iterable[str]) -> str:
    """Return the versions of this program, Python and the installed ones of these libraries, in one line."""
    found = [f"lpff-shards {__version__}", f"Python {platform.python_version()}"]
    for name in names:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
