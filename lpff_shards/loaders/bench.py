"""The benchmark: plain reads of the files first, then each loader in its own process.

Plain reads give the upper limit of the storage.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import python, python_environment
from lpff_shards.loaders.bench_loader import Run, missing
from lpff_shards.loaders.object_reader import AT_ONCE, BLOCK
from lpff_shards.manifest import read_manifest
from lpff_shards.options.bench import LOADERS, BenchOptions
from lpff_shards.schemas.text import did_you_mean
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.path import StoragePath, causes, is_remote, place
from lpff_shards.storage.prefetch import prefetch

PATIENCE = 120.0
"""Extra seconds for each loader, for imports and a slow first batch."""

OnRun = Callable[[Run], None]


class Reading(Struct, frozen=True):
    """Sequential reads of the files.

    Attributes:
        bytes: of each read.
        first, again: seconds of the first read and of a second one, from the page cache if the files fit.
    """

    bytes: int
    first: float
    again: float


class BenchReport(Struct, frozen=True):
    """The result of a benchmark.

    Attributes:
        samples, bytes: of the split.
        reading: of its files.
        runs: of the loaders, in the order of `LOADERS`.
    """

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


def bench_export(options: BenchOptions, on_run: OnRun = lambda _: None) -> BenchReport:
    """Measure how fast the requested loaders read a split of an export.

    Args:
        on_run: called with the result of each loader.

    Raises:
        ShardsError: the export or the split is missing, a file cannot be read, or a requested loader cannot read it.
    """
    manifest = read_manifest(options.path)
    shards = [shard for shard in manifest.shards if shard.split == options.split]
    if not shards:
        hint = f"{did_you_mean(options.split, manifest.splits)}It has: {', '.join(manifest.splits)}"
        raise ShardsError(f"{options.path} has no split {options.split!r}", hint)
    if not any(shard.samples for shard in shards):
        raise ShardsError(
            f"{options.path} has no samples in split {options.split!r}", "See skipped in its manifest.json"
        )
    root = place(options.path)
    in_bucket = is_remote(root)
    reading = read_twice([root / shard.file for shard in shards], options.seconds)
    for loader in options.loader:
        if problem := missing(loader, manifest.format, in_bucket):
            raise ShardsError(f"--loader {loader} cannot read {options.path} here: {problem}", "Leave it out")
    runs = []
    for loader in LOADERS:
        if options.loader and loader not in options.loader:
            continue
        problem = missing(loader, manifest.format, in_bucket)
        for workers in (None,) if problem else options.workers or (None,):
            run = Run(loader, workers, problem=problem, tried=False) if problem else _apart(loader, workers, options)
            on_run(run)
            runs.append(run)
    return BenchReport(
        name=manifest.name,
        format=manifest.format,
        split=options.split,
        samples=sum(shard.samples for shard in shards),
        bytes=sum(shard.bytes for shard in shards),
        batch_size=options.batch_size,
        reading=reading,
        runs=tuple(runs),
    )


def _apart(loader: str, workers: int | None, options: BenchOptions) -> Run:
    """Measure one loader in its own process."""
    choice = "own" if workers is None else str(workers)
    command = python("-m", "lpff_shards.loaders.bench_loader", loader, choice, msgspec.json.encode(options).decode())
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


PIECE = 1 << 20


def read_twice(places: Sequence[StoragePath], seconds: float) -> Reading:
    """Read shards twice, each time for at most `seconds`.

    Raises:
        ShardsError: one cannot be read.
    """
    first = _read(places, seconds)
    again = _read(places, seconds)
    bytes = min(first[0], again[0])
    return Reading(bytes, first[1] * bytes / first[0], again[1] * bytes / again[0])


def _read(places: Sequence[StoragePath], seconds: float) -> tuple[int, float]:
    """Return the bytes read and the seconds taken."""
    total, started = 0, time.perf_counter()
    for size in _pieces(places):
        total += size
        if time.perf_counter() - started >= seconds:
            break
    return total, time.perf_counter() - started


def _pieces(places: Sequence[StoragePath]) -> Iterator[int]:
    """Read files one after the other, and objects by as many requests at once as the loaders; yield sizes read."""
    objects = [place for place in places if is_remote(place)]
    if objects:
        yield from prefetch(_fetched, _ranges(objects), AT_ONCE)
        return
    buffer = bytearray(PIECE)
    for path in map(Path, map(str, places)):
        try:
            with path.open("rb", buffering=0) as file:
                while size := file.readinto(buffer):
                    yield size
        except OSError as error:
            raise _unreadable(path, error) from None


def _ranges(objects: Sequence[BucketPath]) -> Iterator[tuple[BucketPath, int, int]]:
    for one in objects:
        try:
            size = one.size()
        except OSError as error:
            raise _unreadable(one, error) from None
        yield from ((one, at, min(BLOCK, size - at)) for at in range(0, size, BLOCK))


def _fetched(piece: tuple[BucketPath, int, int]) -> int:
    place, at, size = piece
    try:
        data, _ = place.read_marked(at, size)
    except OSError as error:
        raise _unreadable(place, error) from None
    return len(data)


def _unreadable(place: StoragePath, error: OSError) -> ShardsError:
    return ShardsError(f"{place} cannot be read: {error.strerror}", f"Check {causes(place, writing=False)}")
