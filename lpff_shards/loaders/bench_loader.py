"""Measure one loader in its own process: `python -m lpff_shards.loaders.bench_loader LOADER WORKERS OPTIONS`.

The last line printed is a `Run` as JSON. OPTIONS are `BenchOptions` as JSON, WORKERS is a number or `own`. Each loader
yields the size of each of its batches, epoch after epoch.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lpff_shards.errors import ShardsError
from lpff_shards.formats.registry import NAMES, get_format
from lpff_shards.manifest import read_manifest
from lpff_shards.options.bench import BenchOptions
from lpff_shards.schemas.sample import SUFFIXES

Batches = Iterator[int]


class Run(Struct, frozen=True):
    """The measurement of one loader, with a number of workers (None: its own choice).

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
        """Pictures per second."""
        return self.pictures / self.seconds if self.seconds else 0.0


def measure(batches: Iterator[int], seconds: float) -> tuple[int, float]:
    """Read for about `seconds`; return the number of pictures and the seconds taken."""
    pictures, started = 0, time.perf_counter()
    for size in batches:
        pictures += size
        if time.perf_counter() - started >= seconds:
            break
    return pictures, time.perf_counter() - started


def last_line(error: ShardsError) -> str:
    """Return an error's message without the traceback that torch puts before those of worker processes."""
    lines = error.message.strip().splitlines()
    return str(error) if len(lines) < 2 else lines[-1].removeprefix(f"{ShardsError.__module__}.ShardsError: ")


def main() -> None:
    """Measure the loader of the command line and print the result."""
    loader, choice, text = sys.argv[1:]
    options = msgspec.json.decode(text, type=BenchOptions)
    workers = None if choice == "own" else int(choice)
    started = time.perf_counter()
    try:
        batches = CONTENDERS[loader].open(options, workers)
        next(batches)
        start = time.perf_counter() - started
        run = Run(loader, workers, *measure(batches, options.seconds), start)
    except ShardsError as error:
        run = Run(loader, workers, problem=last_line(error))
    # As bytes, independent of the locale.
    sys.stdout.buffer.write(msgspec.json.encode(run) + b"\n")
    sys.stdout.flush()


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


def _source(options: BenchOptions, workers: int | None) -> Batches:
    """Read shuffled batches of ShardSource in this thread."""
    from lpff_shards.loaders.batches import Batches as Drawn
    from lpff_shards.loaders.sampler import EpochSampler
    from lpff_shards.loaders.source import ShardSource

    _refuse_workers(workers)
    source = ShardSource(options.path, options.split)
    sampling = EpochSampler(counts=[len(source)], batch_size=options.batch_size, mirror=options.mirror)
    drawn = Drawn(source)
    for epoch in count():
        for number in range(len(sampling)):
            yield len(drawn.load(sampling.draw(epoch, number))["index"])


def _torch_loader(options: BenchOptions, workers: int | None) -> Batches:
    from lpff_shards.loaders.torch import loader

    batches = loader(options.path, options.batch_size, split=options.split, mirror=options.mirror, workers=workers)
    return _epochs(batches)


def _torch_stream(options: BenchOptions, workers: int | None) -> Batches:
    from lpff_shards.loaders.torch import stream

    batches = stream(options.path, options.batch_size, split=options.split, mirror=options.mirror, workers=workers)
    return _epochs(batches)


def _epochs(loader: Iterable[Any]) -> Batches:
    while True:
        for batch in loader:
            yield len(batch["index"])


def _webdataset(options: BenchOptions, workers: int | None) -> Batches:
    """Read with webdataset as in its documentation: tars streamed, pictures decoded by Pillow."""
    import webdataset as wds

    manifest = read_manifest(options.path)
    files = [str(Path(options.path) / s.file) for s in manifest.shards if s.split == options.split]
    dataset = wds.WebDataset(files, shardshuffle=False, empty_check=False).shuffle(1000).decode("rgb8")
    pictures = [suffix for kind, suffix in SUFFIXES.items() if (kind == "raw") == manifest.layout.raw]
    batches = dataset.to_tuple(";".join(pictures)).batched(options.batch_size)
    made = batches if not workers else wds.WebLoader(batches, batch_size=None, num_workers=workers)
    while True:
        for (images,) in made:
            yield len(images)


def _tensorflow(options: BenchOptions, workers: int | None) -> Batches:
    from lpff_shards.loaders.tensorflow import dataset

    _refuse_workers(workers)
    for epoch in count():
        for batch in dataset(options.path, options.batch_size, split=options.split, mirror=options.mirror, epoch=epoch):
            yield int(batch["index"].shape[0])


def _jax(options: BenchOptions, workers: int | None) -> Batches:
    from lpff_shards.loaders.jax import loader

    return _epochs(
        loader(options.path, options.batch_size, split=options.split, mirror=options.mirror, workers=workers)
    )


def _refuse_workers(workers: int | None) -> None:
    if workers:
        raise ShardsError("the loader has no worker processes", "Leave --workers out, or give 0 too")


@dataclass(frozen=True, slots=True)
class Contender:
    """A loader to measure.

    Attributes:
        open: opens its batches with the options and a number of workers.
        needs: required modules.
        reader: its name in `Format.readers`; empty if it reads all formats that loaders read.
    """

    open: Callable[[BenchOptions, int | None], Batches]
    needs: tuple[str, ...] = ()
    reader: str = ""
    reads_buckets: bool = True


CONTENDERS = {
    "source": Contender(_source),
    "torch.loader": Contender(_torch_loader, ("torch", "torchdata")),
    "torch.stream": Contender(_torch_stream, ("torch", "torchdata", "webdataset")),
    "webdataset": Contender(_webdataset, ("webdataset",), reader="webdataset", reads_buckets=False),
    "tensorflow": Contender(_tensorflow, ("tensorflow",), reader="tensorflow"),
    "jax": Contender(_jax, ("jax", "grain")),
}

if __name__ == "__main__":
    main()
