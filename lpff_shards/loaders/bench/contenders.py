"""The loaders that `lpff-shards bench` measures, and how each is opened."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lpff_shards.formats.registry import NAMES, get_format
from lpff_shards.loaders.files import shards_of_split
from lpff_shards.loaders.source import ShardSource
from lpff_shards.manifest import read_manifest
from lpff_shards.options.bench import BenchOptions
from lpff_shards.schemas.sample import SUFFIXES

Batches = Callable[[int], Iterable[Mapping[str, Any]]]
"""Returns the batches of an epoch, which are dicts with `index`."""


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


def _source(options: BenchOptions, _: int | None) -> Batches:
    from lpff_shards.loaders.batches import load_batch
    from lpff_shards.loaders.sampler import EpochSampler

    source = ShardSource(options.path, options.split)
    order = EpochSampler(counts=[len(source)], batch_size=options.batch_size, mirror=options.mirror)
    return lambda epoch: (load_batch(source, order.draw(epoch, number)) for number in range(len(order)))


def _ours(module: str, name: str, options: BenchOptions, workers: int | None, **more: Any) -> Batches:
    """Open a loader of this package, whose passes are epochs."""
    make = getattr(importlib.import_module(f"lpff_shards.loaders.{module}"), name)
    given: dict[str, Any] = {"split": options.split, "mirror": options.mirror, "workers": workers, **more}
    loader = make(options.path, options.batch_size, **given)
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
        open: opens its batches with the options and a number of workers; torch's with `pin_memory` too.
        reader: its name in `Format.readers`; empty if it reads all formats that loaders read.
    """

    open: Callable[..., Batches]
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
