"""Measure how fast an export is read: plain reads of the files, the upper limit, then each loader in its own process.

That process is `__main__.py` of this folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import python, python_environment
from lpff_shards.loaders.bench.contenders import missing
from lpff_shards.loaders.files import shards_of_split
from lpff_shards.loaders.object_reader import AT_ONCE, BLOCK
from lpff_shards.manifest import read_manifest
from lpff_shards.options.bench import LOADERS, BenchOptions
from lpff_shards.sidecars.attached import refuse_channel
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.path import StoragePath, causes, is_remote, place
from lpff_shards.storage.prefetch import prefetch

PATIENCE = 120.0
"""Extra seconds for each loader, for imports and a slow first batch."""

Work = tuple[str, int | None, BenchOptions]
"""A loader's name, a number of workers (None: the loader's own choice), and the options."""


class Run(Struct, frozen=True):
    """The measurement of one loader, with a number of workers.

    Attributes:
        pictures: number read.
        seconds: time for these, without the first batch.
        start: seconds until the first batch, with imports.
        problem: why it could not be measured, else empty.
        tried: False if it is not installed or does not read the format.
    """

    loader: str
    workers: int | None
    pictures: int = 0
    seconds: float = 0.0
    start: float = 0.0
    problem: str = ""
    tried: bool = True

    @property
    def rate(self) -> float:
        return self.pictures / self.seconds if self.seconds else 0.0


class Reading(Struct, frozen=True):
    """Seconds of a first sequential read of the files and of another, from the page cache if they fit; bytes read."""

    bytes: int
    first: float
    again: float


class BenchReport(Struct, frozen=True):
    """The result of a benchmark: of a split and its files, and of the loaders in the order of `LOADERS`."""

    name: str
    format: str
    split: str
    samples: int
    bytes: int
    batch_size: int
    reading: Reading
    runs: tuple[Run, ...]

    @property
    def ok(self) -> bool:
        """Whether at least one loader was measured, and none failed."""
        return any(run.pictures for run in self.runs) and not any(run.problem for run in self.runs if run.tried)

    @property
    def picture_bytes(self) -> float:
        """Mean bytes of a sample in the shards."""
        return self.bytes / self.samples


def bench_export(options: BenchOptions, on_run: Callable[[Run], None] = lambda _: None) -> BenchReport:
    """Measure how fast the requested loaders read a split of an export; call `on_run` with each result.

    Raises:
        ShardsError: the export or the split is missing, a file cannot be read, or a requested loader cannot read it.
    """
    root, manifest = place(options.path), read_manifest(options.path)
    refuse_channel(root, manifest)
    shards = shards_of_split(options.path, manifest, options.split)
    samples = sum(shard.samples for shard in shards)
    if not samples:
        reason = f"{options.path} has no samples in split {options.split!r}"
        raise ShardsError(reason, "See skipped in its manifest.json")
    reading = read_twice([root / shard.file for shard in shards], options.seconds)
    problems = {loader: missing(loader, manifest.format, is_remote(root)) for loader in options.loader or LOADERS}
    runs = []
    for loader in options.loader:
        if problems[loader]:
            raise ShardsError(f"--loader {loader} cannot read {options.path} here: {problems[loader]}", "Leave it out")
    for loader in filter(problems.__contains__, LOADERS):
        problem = problems[loader]
        for workers in (None,) if problem else options.workers or (None,):
            run = Run(loader, workers, problem=problem, tried=False) if problem else _apart(loader, workers, options)
            runs.append(run)
            on_run(run)
    return BenchReport(
        name=manifest.name,
        format=manifest.format,
        split=options.split,
        samples=samples,
        bytes=sum(shard.bytes for shard in shards),
        batch_size=options.batch_size,
        reading=reading,
        runs=tuple(runs),
    )


def _apart(loader: str, workers: int | None, options: BenchOptions) -> Run:
    work: Work = (loader, workers, options)
    command = python("-m", "lpff_shards.loaders.bench", msgspec.json.encode(work).decode())
    try:
        status, out, err = _call(command, options.seconds + PATIENCE)
    except subprocess.TimeoutExpired:
        return Run(loader, workers, problem=f"returned no batch within {PATIENCE:.0f} s")
    lines = out.splitlines()
    if status or not lines:
        errors = err.strip().splitlines()
        return Run(loader, workers, problem=f"failed: {errors[-1] if errors else f'status {status}'}")
    return msgspec.json.decode(lines[-1], type=Run)


def _call(command: Sequence[str], seconds: float) -> tuple[int, str, str]:
    """Return exit status and output of a command; end every process that it started."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="backslashreplace",
        start_new_session=True,
        env=python_environment(),
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        finally:
            # Its worker processes are in its group, and may not exit by themselves.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


def read_twice(places: Sequence[StoragePath], seconds: float) -> Reading:
    """Read shards twice, each time for at most `seconds`; raise ShardsError if one cannot be read."""
    first, again = measure(_pieces(places), seconds), measure(_pieces(places), seconds)
    bytes = min(first[0], again[0])
    return Reading(bytes, first[1] * bytes / first[0], again[1] * bytes / again[0])


def measure(sizes: Iterable[int], seconds: float) -> tuple[int, float]:
    """Read for about `seconds`; return the sum of the sizes and the seconds taken."""
    total, started = 0, time.perf_counter()
    for size in sizes:
        total += size
        if time.perf_counter() - started >= seconds:
            break
    return total, time.perf_counter() - started


def _pieces(places: Sequence[StoragePath]) -> Iterator[int]:
    """Read files one after the other, and objects by as many requests at once as the loaders; yield sizes read."""

    @contextlib.contextmanager
    def readable(place: StoragePath) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = f"Check {causes(place, writing=False)}"
            raise ShardsError(f"{place} cannot be read: {error.strerror}", hint) from None

    def ranges() -> Iterator[tuple[BucketPath, int]]:
        for one in filter(is_remote, places):
            with readable(one):
                size = one.size()
            yield from ((one, at) for at in range(0, size, BLOCK))

    def fetched(piece: tuple[BucketPath, int]) -> int:
        with readable(piece[0]):
            return len(piece[0].read_marked(piece[1], BLOCK)[0])

    yield from prefetch(fetched, ranges(), AT_ONCE)
    buffer = bytearray(1 << 20)
    for path in places:
        if not is_remote(path):
            with readable(path), Path(str(path)).open("rb", buffering=0) as file:
                while size := file.readinto(buffer):
                    yield size
