"""Options of the loaders, each declared once: signatures, help() and checks derive from these classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from lpff_shards.loaders.channels import refuse_own_mirrors
from lpff_shards.loaders.ranks import Pair
from lpff_shards.loaders.sampler import EpochSampler, Equal, Sampler, StreamSampler, refuse_below
from lpff_shards.loaders.source import ShardSource, kinds_of, refuse_no_list

Options = TypeVar("Options")
Given = ParamSpec("Given")
Loader = TypeVar("Loader")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoaderOptions:
    """Options of every loader.

    Args:
        path: folder or URI of an export.
        batch_size: samples per batch of one rank.
        split: the split to read; None for all.
        shuffle: True for a new order of all samples in each epoch, False for the order of the shards; the batches of
            all ranks together are parts of one order. With a number each rank reads a part of the shards nearly in
            their order, which is new in each epoch; each sample moves by less than that many places, which needs no
            memory. 0 keeps the shards' order.
        seed: of shuffling, mirroring and weights.
        epoch: number of the first epoch; each epoch has its own order, mirrors and weighted choice.
        rank, world_size: of this process; by default those of the framework's process group, else those of torchrun,
            Lightning, mpirun or srun, else 0 of 1. Pass both or neither.
        equal: None returns every sample exactly once: the last batch may be short, and ranks may differ by one sample.
            `pad` repeats samples and `drop` leaves some out, so all ranks have the same number of full batches.
        mirror: flip picture, camera and landmarks together, with probability 1/2.
        labels: return pairs (image, conditioning vector float32 [n, 25], or [n, 0] without cameras), as EG3D's and
            StyleGAN's loops unpack them; with `fields` triples whose third part is a dict of the fields.
        weights: repeat samples in proportion to their `weight`, rounded up or down at random; the length of an epoch
            stays the same.
        fields: metadata fields of the batches.
        channels: names of channels that the batches contain, such as `("mask",)`, mirrored with their pictures; see
            `ShardSource.batch`. With `labels` they are in the dict of the fields.
    """

    path: str | Path = field(kw_only=False)
    batch_size: int = field(kw_only=False)
    split: str | None = "train"
    shuffle: bool | int = True
    seed: int = 0
    epoch: int = 0
    rank: int | None = None
    world_size: int | None = None
    equal: Equal | None = None
    mirror: bool = False
    labels: bool = False
    weights: bool = False
    fields: Sequence[str] = ()
    channels: Sequence[str] = ()

    def __post_init__(self) -> None:
        refuse_below("epoch", self.epoch, 0)
        refuse_no_list(self.fields)
        refuse_no_list(self.channels, "channels")

    def sampler(self, source: ShardSource, place: Pair) -> Sampler:
        """Return the sampler of a source's samples for a rank and world size; raise ShardsError for bad options."""
        kinds_of(self.fields, source.manifest.layout)
        if self.mirror:
            refuse_own_mirrors(source.channels)
        kind: type[Sampler] = EpochSampler if isinstance(self.shuffle, (bool, np.bool_)) else StreamSampler
        return kind(
            counts=[shard.samples for shard in source.shards],
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            seed=self.seed,
            rank=place[0],
            world_size=place[1],
            equal=self.equal,
            mirror=self.mirror,
            weights=source.column("weight") if self.weights else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorkerOptions(LoaderOptions):
    """Options of loaders with worker processes.

    Args:
        workers: worker processes. By default 0 for raw pictures, which threads read fast enough, and for JPEGs and
            WebPs in a bucket; else one per core. For a bucket they are spawned.
        threads: loading threads of this process, without workers; by default 2, and for JPEGs and WebPs in a bucket
            one per core and one more.
        prefetch: batches loaded ahead, per worker or by all threads together; by default 2, and at least the number of
            threads.
    """

    workers: int | None = None
    threads: int | None = None
    prefetch: int | None = None


def takes(options: Callable[Given, Options]) -> Callable[[Callable[[Options], Loader]], Callable[Given, Loader]]:
    """Give a function of options the parameters of their class, and its docstring their descriptions."""

    def decorated(make: Callable[[Options], Loader]) -> Callable[Given, Loader]:
        @wraps(make)
        def call(*args: Given.args, **given: Given.kwargs) -> Loader:
            return make(options(*args, **given))

        signature = inspect.signature(options)
        call.__signature__ = signature.replace(return_annotation=make.__annotations__["return"])  # type: ignore[attr-defined]
        # The general options first.
        classes = reversed(inspect.getmro(options)[:-1])  # type: ignore[arg-type]
        sections = [inspect.cleandoc(one.__doc__ or "").partition("Args:\n")[2].rstrip() for one in classes]
        before, raises, after = inspect.cleandoc(make.__doc__ or "").partition("Raises:\n")
        call.__doc__ = "\n".join([before.rstrip(), "", "Args:", *filter(None, sections), "", raises + after])
        return call

    return decorated
