"""A pipeline for JAX: `loader`, fully shuffled over ShardSource, loaded ahead by Grain.

It draws the very batches that `loaders.torch.loader` draws for equal options.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.batches import Batches
from lpff_shards.loaders.sampler import Equal, Sampling
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.worker_defaults import working

if TYPE_CHECKING:
    from jax.sharding import Sharding

    from lpff_shards.loaders.jax_epochs import Epochs

MOST_WORKERS = 16
"""Processes that load, unless more are asked for: each takes a second of a core to start and some 200 MB."""


def loader(
    path: str | Path,
    batch_size: int,
    *,
    split: str | None = "train",
    shuffle: bool = True,
    seed: int = 0,
    epoch: int = 0,
    epochs: int | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    equal: Equal | None = None,
    mirror: bool = False,
    labels: bool = False,
    weights: bool = False,
    fields: Sequence[str] = (),
    workers: int | None = None,
    threads: int | None = None,
    prefetch: int | None = None,
    sharding: Sharding | None = None,
) -> Epochs:
    """Batches of an export in a fully shuffled order, read at their recorded offsets: a `grain.IterDataset`.

    Batches are dicts of numpy arrays: `index` int64 [n], `image` uint8 [n, height, width, 3], `camera` float32 [n, 25],
    `landmarks` float32 [n, 68, 2], and the asked-for fields (int64, bool or float32 [n], or lists of n strings). Epoch
    follows epoch, each whole and in an order of its own, as training loops take them: `batch = next(batches)` with
    `batches = iter(loader(...))`; the loader's `batches_per_epoch` tells where they meet.

    `batches.get_state()` is a small dict, `set_state` goes on from it in another process too, whatever `workers`,
    `threads` and `prefetch` are there; Grain's checkpoint handler and Orbax take the iterator as it is.

    Args:
        path: the folder that an export wrote, or its URI.
        batch_size: of one rank.
        split: whose samples; None for all.
        shuffle: a new order for each epoch; False keeps the shards' order.
        seed: of shuffling, mirroring and weighing.
        epoch: the first one.
        epochs: how many there are, 1 for an evaluation; None for no end.
        rank, world_size: of this process; by default those that `sharding` needs, else those of jax.distributed, else
            those of torchrun, mpirun or srun, else 0 of 1. Both come from one source, or from you.
        equal: see `Sampling`: None gives every sample exactly once, `pad` and `drop` equally many full batches to
            each rank.
        mirror: flip picture, camera and landmarks together, with probability 1/2.
        labels: give pairs (image, conditioning vector float32 [n, 25]); with `fields` triples, whose third part is a
            dict of these.
        weights: draw samples in proportion to their `weight`.
        fields: metadata fields that batches hold.
        workers: processes that load; by default none for raw pictures and stored PNGs, and one a core, up to
            `MOST_WORKERS`, for those that take long to decode. Processes are spawned: a script that asks for them has
            its main part under `if __name__ == "__main__":`. JPEGs decode as fast in threads; those of a
            bucket, and WebPs, are left to threads.
        threads: of this process that load, where there are no workers; by default 2, and for JPEGs and WebPs of a
            bucket one a core and one more.
        prefetch: batches that are loaded ahead, by each worker or by all threads together; by default 2, and no fewer
            than threads.
        sharding: give global `jax.Array`s [world_size * batch_size, ...] of this sharding of the first axis, for which
            each process loads its rows; needs `equal`. Whole numbers have 32 bits unless jax_enable_x64 is set; lists
            of strings stay this process's own.

    Raises:
        ShardsError: there is no such export, an option is out of range, or rank and world size are not known both; on
            iterating, the process has joined others since and has another rank now.
    """
    from lpff_shards.loaders.jax_arrays import GlobalArrays, placed
    from lpff_shards.loaders.jax_epochs import Ahead, Epochs

    source = ShardSource(path, split)
    given = sharding is not None or (rank is not None and world_size is not None)
    rank, world_size = placed(rank, world_size, sharding)
    sampling = Sampling(
        samples=len(source),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        rank=rank,
        world_size=world_size,
        equal=equal,
        mirror=mirror,
        weights=source.column("weight") if weights else None,
    )
    _refuse_odd_epochs(epoch, epochs)
    return Epochs(
        Batches(source, fields),
        sampling,
        labels,
        found=None if given else (rank, world_size),
        epoch=epoch,
        epochs=epochs,
        ahead=Ahead(**working(source, workers, threads, prefetch, MOST_WORKERS)._asdict()),
        finish=_as_it_is if sharding is None else GlobalArrays(sharding, batch_size, world_size, equal),
    )


def _refuse_odd_epochs(epoch: int, epochs: int | None) -> None:
    for name, value, least in (("epoch", epoch, 0), ("epochs", 1 if epochs is None else epochs, 1)):
        if not isinstance(value, int) or value < least:
            raise ShardsError(f"{name} {value!r} is out of range", f"It is a whole number from {least}")


def _as_it_is(batch: Any) -> Any:
    return batch
