"""One loader measured, in a process of its own: `python -m lpff_shards.loaders.bench_loader LOADER WORKERS OPTIONS`.

Prints a `Run` as JSON in its last line; OPTIONS are `BenchOptions` as JSON, WORKERS a number or `own`. Each loader
yields the numbers of pictures of its batches, epoch after epoch.
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
    """One loader's reading, with a number of workers (None: its own choice).

    Attributes:
        pictures: how many were read.
        seconds: it took, the first batch left out.
        start: seconds until the first batch was there, imports included.
        problem: why it could not be measured, else empty.
        tried: False where it is not installed or does not read the format.
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
        """Pictures a second."""
        return self.pictures / self.seconds if self.seconds else 0.0


def measure(batches: Iterator[int], seconds: float) -> tuple[int, float]:
    """Pictures read in about so many seconds, and the seconds it took."""
    pictures, started = 0, time.perf_counter()
    for size in batches:
        pictures += size
        if time.perf_counter() - started >= seconds:
            break
    return pictures, time.perf_counter() - started


def last_line(error: ShardsError) -> str:
    """What an error says; torch hands on those of worker processes with their whole traceback in front."""
    lines = error.message.strip().splitlines()
    return str(error) if len(lines) < 2 else lines[-1].removeprefix(f"{ShardsError.__module__}.ShardsError: ")


def main() -> None:
    """The process's whole work."""
    loader, told, text = sys.argv[1:]
    options = msgspec.json.decode(text, type=BenchOptions)
    workers = None if told == "own" else int(told)
    started = time.perf_counter()
    try:
        batches = CONTENDERS[loader].open(options, workers)
        next(batches)
        start = time.perf_counter() - started
        run = Run(loader, workers, *measure(batches, options.seconds), start)
    except ShardsError as error:
        run = Run(loader, workers, problem=last_line(error))
    # As bytes, which no locale changes.
    sys.stdout.buffer.write(msgspec.json.encode(run) + b"\n")
    sys.stdout.flush()


def missing(loader: str, format: str, in_bucket: bool = False) -> str:
    """Why a loader cannot read an export of a format here, or nothing."""
    contender = CONTENDERS[loader]
    if in_bucket and not contender.reads_buckets:
        return "reads no buckets but by a command's pipe"
    formats = (one for one in map(get_format, NAMES) if one.spans())
    readable = [one.name for one in formats if contender.reader in ("", *one.readers)]
    if format not in readable:
        return f"reads --format {' and '.join(readable)}"
    absent = [name for name in contender.needs if importlib.util.find_spec(name) is None]
    return f"not installed: {' and '.join(absent)}" if absent else ""


def _source(options: BenchOptions, workers: int | None) -> Batches:
    """Shuffled batches of ShardSource, by this very thread."""
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

    made = loader(options.path, options.batch_size, split=options.split, mirror=options.mirror, workers=workers)
    return _epochs(made)


def _torch_stream(options: BenchOptions, workers: int | None) -> Batches:
    from lpff_shards.loaders.torch import stream

    made = stream(options.path, options.batch_size, split=options.split, mirror=options.mirror, workers=workers)
    return _epochs(made)


def _epochs(loader: Iterable[Any]) -> Batches:
    while True:
        for batch in loader:
            yield len(batch["index"])


def _webdataset(options: BenchOptions, workers: int | None) -> Batches:
    """webdataset as its documentation has it: tars streamed, pictures decoded by Pillow."""
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
    """A loader that is measured.

    Attributes:
        open: its batches, given the options and a number of workers.
        needs: modules that it needs.
        reader: what formats call it that it reads, see `Format.readers`; empty where it reads all that loaders do.
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
