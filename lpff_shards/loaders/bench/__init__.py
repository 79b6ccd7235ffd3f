"""Measure how fast an export is read: plain reads of the files, the upper limit, and each loader in its own process."""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import python, python_environment
from lpff_shards.loaders.bench.contenders import CONTENDERS, missing
from lpff_shards.loaders.bench.machine import drop_page_cache, memory_group, session_usage
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


class Run(Struct, frozen=True):
    """The measurement of one loader, with a number of workers.

    Attributes:
        workers: None for the loader's own choice.
        seconds: time for the pictures, without the first batch.
        start: seconds until the first batch, with imports.
        problem: why it could not be measured, else empty.
        tried: False if it is not installed or does not read the format.
        cold: whether the shards were dropped from the page cache before.
        device: of torch, to which the pictures were copied, from pinned memory if `pinned`; else empty.
        gpu: whether its batches can be copied to a GPU.
        utilization_percent: computation of the simulated accelerator for the pictures, in percent of `seconds`.
        memory_bytes, disk_bytes: of all its processes, see `session_usage`; the memory at the end.
    """

    loader: str
    workers: int | None
    pictures: int = 0
    seconds: float = 0.0
    start: float = 0.0
    problem: str = ""
    tried: bool = True
    cold: bool = False
    device: str = ""
    pinned: bool = False
    gpu: bool = False
    utilization_percent: float | None = None
    cpu_seconds_per_1000_pictures: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0

    @property
    def rate(self) -> float:
        return self.pictures / self.seconds if self.seconds else 0.0


Work = tuple[Run, BenchOptions, str]
"""A run to measure, the options, and the control group with the memory limit, or an empty text."""


class Reading(Struct, frozen=True):
    """Seconds of a first sequential read of the files and of another, from the page cache if they fit; bytes read."""

    bytes: int
    first: float
    again: float


class BenchReport(Struct, frozen=True):
    """The result of a benchmark: a split, its files, the demand of the simulated accelerator, and the loaders.

    The loaders are in the order of `LOADERS`, cold runs last.
    """

    name: str
    format: str
    split: str
    samples: int
    bytes: int
    batch_size: int
    reading: Reading
    runs: tuple[Run, ...]
    demanded_pictures_per_second: float | None = None
    memory_limit_bytes: int | None = None

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
    problems = {loader: missing(loader, manifest.format, is_remote(root)) for loader in options.loader or LOADERS}
    for loader in options.loader:
        if problems[loader]:
            raise ShardsError(f"--loader {loader} cannot read {options.path} here: {problems[loader]}", "Leave it out")
    files = [root / shard.file for shard in shards]
    runs = []
    with memory_group(options.memory) if options.memory else contextlib.nullcontext("") as group:
        reading = read_twice(files, options.seconds, bool(options.cold or options.memory))
        for run in _runs(options, problems, files, str(group)):
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
        demanded_pictures_per_second=1 / options.picture_seconds if options.picture_seconds else None,
        memory_limit_bytes=options.memory,
    )


def _runs(options: BenchOptions, problems: dict[str, str], files: list[StoragePath], group: str) -> Iterator[Run]:
    """Measure each loader, first with the shards in the page cache as far as they fit, then without."""
    # Pages that another process cached are not counted in the group, so there is no warm run in it.
    for cold in [True] if group else [False, True] if options.cold else [False]:
        for loader in filter(problems.__contains__, LOADERS):
            if problems[loader]:
                if group or not cold:
                    yield Run(loader, None, problem=problems[loader], tried=False)
                continue
            for workers in options.workers or (None,):
                if cold:
                    drop_page_cache(files)
                run = _apart(Run(loader, workers, cold=cold), options, group)
                yield run
                for pinned in [False, True] if run.gpu and not cold else []:
                    yield _apart(Run(loader, workers, device="cuda", pinned=pinned), options, group)


def _apart(run: Run, options: BenchOptions, group: str) -> Run:
    work: Work = (run, options, group)
    command = python("-m", "lpff_shards.loaders.bench", msgspec.json.encode(work).decode())
    try:
        status, out, err = _call(command, options.seconds + options.batch_size * options.picture_seconds + PATIENCE)
    except subprocess.TimeoutExpired:
        return replace(run, problem=f"returned no batch within {PATIENCE:.0f} s")
    if group and status == -signal.SIGKILL:
        return replace(run, problem="killed: it needs more than --memory")
    lines = out.splitlines()
    if status or not lines:
        errors = err.strip().splitlines()
        return replace(run, problem=f"failed: {errors[-1] if errors else f'status {status}'}")
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


def read_twice(places: Sequence[StoragePath], seconds: float, cold: bool = False) -> Reading:
    """Read shards twice, each time for at most `seconds`, first from storage if `cold`; else raise ShardsError."""
    if cold:
        drop_page_cache(places)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
    first = measure(_pieces(places), seconds)
    if cold and 512 * (resource.getrusage(resource.RUSAGE_SELF).ru_inblock - before) < first[0] / 2:
        reason = f"--cold and --memory need files on a disk: the system reports no disk reads of {places[0].parent}"
        raise ShardsError(reason, "Leave them out, or copy the export to a local disk")
    again = measure(_pieces(places), seconds)
    bytes = min(first[0], again[0])
    return Reading(bytes, first[1] * bytes / first[0], again[1] * bytes / again[0])


def measure(sizes: Iterable[int], seconds: float, each: float = 0.0) -> tuple[int, float]:
    """Read for about `seconds`, asleep for `each` seconds per unit; return the sum of sizes and the seconds taken."""
    total, started = 0, time.perf_counter()
    for size in sizes:
        total += size
        if each:
            time.sleep(size * each)
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


def main() -> None:
    """Measure the `Work` that is given as JSON; print, as the last line, its `Run` as JSON."""
    run, options, group = msgspec.json.decode(sys.argv[1], type=Work)
    if group:
        Path(group, "cgroup.procs").write_text(str(os.getpid()))
    started, each = time.perf_counter(), options.picture_seconds
    try:
        sizes = read_epochs(run, options)
        next(sizes)
        start = time.perf_counter() - started
        before = session_usage()
        pictures, seconds = measure(sizes, options.seconds, each)
        cpu, disk, memory = session_usage()
        run = replace(run, pictures=pictures, seconds=seconds, start=start, memory_bytes=memory)
        cost = 1000 * (cpu - before[0]) / pictures
        run = replace(run, disk_bytes=disk - before[1], cpu_seconds_per_1000_pictures=cost)
        run = replace(run, utilization_percent=100 * pictures * each / seconds if each else None)
        if run.loader == "torch.loader":
            run = replace(run, gpu=bool(importlib.import_module("torch").cuda.is_available()))
    except ShardsError as error:
        run = replace(run, problem=str(error))
    # As bytes, independent of the locale.
    sys.stdout.buffer.write(msgspec.json.encode(run) + b"\n")


def read_epochs(run: Run, options: BenchOptions) -> Iterator[int]:
    """Read epoch after epoch; yield the number of pictures of each batch, when they are on the run's device, if any."""
    contender = CONTENDERS[run.loader]
    if run.workers and not contender.has_workers:
        raise ShardsError("the loader has no worker processes", "Leave --workers out, or give 0 too")
    batches = contender.open(options, run.workers, **({"pin_memory": run.pinned} if run.device else {}))
    for batch in (batch for epoch in count() for batch in batches(epoch)):
        if run.device:
            batch["image"].to(run.device, non_blocking=True)
            getattr(importlib.import_module("torch"), run.device).synchronize()
        yield len(batch["index"])
