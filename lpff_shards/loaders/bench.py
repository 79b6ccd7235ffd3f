"""Measure how fast an export is read: plain reads of the files, the upper limit, then each loader in its own process.

That process is `python -m lpff_shards.loaders.bench WORK`, WORK is a `Work` as JSON. The last line that it prints is a
`Run` as JSON.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import python, python_environment
from lpff_shards.formats.registry import NAMES, get_format
from lpff_shards.loaders.files import shards_of_split
from lpff_shards.loaders.object_reader import AT_ONCE, BLOCK
from lpff_shards.loaders.source import ShardSource
from lpff_shards.manifest import read_manifest
from lpff_shards.options.bench import LOADERS, BenchOptions
from lpff_shards.schemas.sample import SUFFIXES
from lpff_shards.sidecars.attached import refuse_channel
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.path import StoragePath, causes, is_remote, place
from lpff_shards.storage.prefetch import prefetch

PATIENCE = 120.0
"""Extra seconds for each loader, for imports and a slow first batch."""

Work = tuple[str, int | None, BenchOptions]
"""A loader's name, a number of workers (None: the loader's own choice), and the options."""
Batches = Callable[[int], Iterable[Mapping[str, Any]]]
"""Returns the batches of an epoch, which are dicts with `index`."""


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


def missing(loader: str, format: str, in_bucket: bool = False) -> str:
    """Return why a loader cannot read an export of a format here, else an empty text."""
    contender = CONTENDERS[loader]
    if in_bucket and not contender.reads_buckets:
        return "reads no buckets except through a pipe"
    formats = (one for one in map(get_format, NAMES) if one.spans())
    readable = [one.name for one in formats if contender.reader in ("", *one.readers)]
    if format not in readable:
        return f"reads --format {' and '.join(readable)}"
    absent = [name for name in contender.needs if importlib.util.find_spec(name) is None]
    return f"not installed: {' and '.join(absent)}" if absent else ""


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


def main() -> None:
    loader, workers, options = msgspec.json.decode(sys.argv[1], type=Work)
    started = time.perf_counter()
    try:
        sizes = read_epochs(loader, workers, options)
        next(sizes)
        start = time.perf_counter() - started
        run = Run(loader, workers, *measure(sizes, options.seconds), start)
    except ShardsError as error:
        run = Run(loader, workers, problem=last_line(error))
    # As bytes, independent of the locale.
    sys.stdout.buffer.write(msgspec.json.encode(run) + b"\n")


def read_epochs(loader: str, workers: int | None, options: BenchOptions) -> Iterator[int]:
    """Read epoch after epoch by a loader; yield the number of pictures of each batch."""
    contender = CONTENDERS[loader]
    if workers and not contender.has_workers:
        raise ShardsError("the loader has no worker processes", "Leave --workers out, or give 0 too")
    batches = contender.open(options, workers)
    return (len(batch["index"]) for epoch in count() for batch in batches(epoch))


def last_line(error: ShardsError) -> str:
    """Return an error's message without the traceback that torch puts before those of worker processes."""
    lines = error.message.strip().splitlines()
    return str(error) if len(lines) < 2 else lines[-1].removeprefix(f"{ShardsError.__module__}.ShardsError: ")


def _source(options: BenchOptions, _: int | None) -> Batches:
    from lpff_shards.loaders.batches import load_batch
    from lpff_shards.loaders.sampler import EpochSampler

    source = ShardSource(options.path, options.split)
    order = EpochSampler(counts=[len(source)], batch_size=options.batch_size, mirror=options.mirror)
    return lambda epoch: (load_batch(source, order.draw(epoch, number)) for number in range(len(order)))


def _ours(module: str, name: str, options: BenchOptions, workers: int | None) -> Batches:
    """Open a loader of this package, whose passes are epochs."""
    make = getattr(importlib.import_module(f"lpff_shards.loaders.{module}"), name)
    loader = make(options.path, options.batch_size, split=options.split, mirror=options.mirror, workers=workers)
    return lambda _: loader


def _webdataset(options: BenchOptions, workers: int | None) -> Batches:
    """Read with webdataset as in its documentation: tars streamed, pictures decoded by Pillow."""
    import webdataset as wds

    manifest = read_manifest(options.path)
    files = [str(Path(options.path) / s.file) for s in shards_of_split(options.path, manifest, options.split)]
    dataset = wds.WebDataset(files, shardshuffle=False, empty_check=False).shuffle(1000).decode("rgb8")
    pictures = [suffix for kind, suffix in SUFFIXES.items() if (kind == "raw") == manifest.layout.raw]
    batches = dataset.to_tuple(";".join(pictures)).batched(options.batch_size)
    made = batches if not workers else wds.WebLoader(batches, batch_size=None, num_workers=workers)
    return lambda _: ({"index": images} for (images,) in made)


def _tensorflow(options: BenchOptions, _: int | None) -> Batches:
    from lpff_shards.loaders.tensorflow import dataset

    given: dict[str, Any] = {"split": options.split, "mirror": options.mirror}
    return lambda epoch: dataset(options.path, options.batch_size, epoch=epoch, **given)


@dataclass(frozen=True, slots=True)
class Contender:
    """A loader to measure, and the modules that it needs.

    Attributes:
        open: opens its batches with the options and a number of workers.
        reader: its name in `Format.readers`; empty if it reads all formats that loaders read.
    """

    open: Callable[[BenchOptions, int | None], Batches]
    needs: tuple[str, ...] = ()
    reader: str = ""
    reads_buckets: bool = True
    has_workers: bool = True


CONTENDERS = {
    "source": Contender(_source, has_workers=False),
    "torch.loader": Contender(partial(_ours, "torch", "loader"), ("torch",)),
    "torch.stream": Contender(partial(_ours, "torch", "stream"), ("torch",)),
    "webdataset": Contender(_webdataset, ("webdataset",), reader="webdataset", reads_buckets=False),
    "tensorflow": Contender(_tensorflow, ("tensorflow",), has_workers=False),
    "jax": Contender(partial(_ours, "jax", "loader"), ("jax", "grain")),
}

if __name__ == "__main__":
    main()
