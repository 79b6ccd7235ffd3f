"""Pipelines for PyTorch: `loader`, fully shuffled over ShardSource, and `stream`, shard after shard by webdataset.

Both give torchdata's StatefulDataLoader over whole batches. Each pass over one is an epoch, in an order of its own;
`state_dict` and `load_state_dict` go on in the middle of an epoch, in another process too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpff_shards.loaders.batches import Batches
from lpff_shards.loaders.sampler import Equal, Sampling, refuse_below
from lpff_shards.loaders.source import ShardSource
from lpff_shards.loaders.states import Drawing
from lpff_shards.loaders.stream_sampler import Rows
from lpff_shards.loaders.worker_defaults import Working, processes, working

if TYPE_CHECKING:
    from torchdata.stateful_dataloader import StatefulDataLoader


def loader(
    path: str | Path,
    batch_size: int,
    *,
    split: str | None = "train",
    shuffle: bool = True,
    seed: int = 0,
    epoch: int = 0,
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
    pin_memory: bool = False,
) -> StatefulDataLoader[Any]:
    """Batches of an export in a fully shuffled order, read at their recorded offsets.

    Batches are dicts: `index` int64 [n], `image` uint8 [n, 3, height, width] in channels-last memory, `camera` float32
    [n, 25], `landmarks` float32 [n, 68, 2], and the asked-for fields as tensors or lists of strings.

    Args:
        path: the folder that an export wrote, or its URI.
        batch_size: of one rank.
        split: whose samples; None for all.
        shuffle: a new order for each epoch; False keeps the shards' order.
        seed: of shuffling, mirroring and weighing.
        epoch: of the first pass.
        rank, world_size: of this process; by default torch.distributed's, else those of torchrun, Lightning, mpirun or
            srun, else 0 of 1. Both come from one source, or from you.
        equal: see `Sampling`: None gives every sample exactly once, `pad` and `drop` equally many full batches to
            each rank.
        mirror: flip picture, camera and landmarks together, with probability 1/2.
        labels: give pairs (image, conditioning vector float32 [n, 25]), as EG3D's and StyleGAN's loops unpack them;
            with `fields` triples, whose third part is a dict of these.
        weights: draw samples in proportion to their `weight`.
        fields: metadata fields that batches hold.
        workers: processes that load; by default none for raw pictures and stored PNGs, which threads of this process
            read faster, and one a core for those that take long to decode. For a bucket they are spawned; JPEGs and
            WebPs of one are left to threads. They never run your script again, which needs no main guard.
        threads: of this process that load, where there are no workers; by default 2, and for JPEGs and WebPs of a
            bucket one a core and one more.
        prefetch: batches that are loaded ahead, by each worker or by all threads together; by default 2, and no fewer
            than threads.
        pin_memory: see torch's DataLoader.

    Raises:
        ShardsError: there is no such export, an option is out of range, or rank and world size are not known both; on
            iterating, the process has joined others since and has another rank now.
    """
    from lpff_shards.loaders.torch_epochs import Drawn, Epochs
    from lpff_shards.loaders.torch_pipeline import Pipeline, Tensors, flip_picture, placed

    source = ShardSource(path, split, channels="first")
    given = rank is not None and world_size is not None
    rank, world_size = placed(rank, world_size)
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
    load = Tensors(Batches(source, fields, flip_picture), labels)
    by = working(source, workers, threads, prefetch)
    _refuse_odd_loading(epoch, by)
    return Pipeline(
        Drawing(source, sampling),
        None if given else (rank, world_size),
        adopts=workers is None,
        dataset=Drawn(load),
        sampler=Epochs(sampling, epoch, load, 0 if by.workers else by.prefetch, by.threads),
        prefetch_factor=by.prefetch if by.workers else None,
        # Fresh processes take seconds to start, and their dataset has no state.
        persistent_workers=by.workers > 0 and source.remote,
        pin_memory=pin_memory,
        **processes(source, by.workers),
    )


def stream(
    path: str | Path,
    batch_size: int,
    *,
    split: str | None = "train",
    shuffle: int = 1000,
    seed: int = 0,
    epoch: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
    equal: Equal | None = None,
    mirror: bool = False,
    labels: bool = False,
    weights: bool = False,
    fields: Sequence[str] = (),
    workers: int | None = None,
    prefetch: int | None = None,
    pin_memory: bool = False,
) -> StatefulDataLoader[Any]:
    """Batches of an export, shard after shard, for storage with slow random reads.

    Ranks and workers read stretches of their own of the shuffled shards, cut inside shards where these are few, so an
    epoch is exact for any number of them. Batches are those of `loader`.

    Args:
        shuffle: samples among which the next one is drawn, as in webdataset; 0 keeps the shards' order.
        workers: processes that load; the order depends on their number, which a state keeps where it is left open. Of a
            bucket's, each epoch spawns its own.
        path, batch_size, split, seed, epoch, rank, world_size, equal, mirror, labels, weights, fields, prefetch,
            pin_memory: see `loader`.

    Raises:
        ShardsError: there is no such export, an option is out of range, or rank and world size are not known both; on
            iterating, the process has joined others since and has another rank now.
    """
    from lpff_shards.loaders.torch_pipeline import Tensors, flip_picture, placed
    from lpff_shards.loaders.torch_stream import Stream, StreamLoader

    source = ShardSource(path, split, channels="first")
    given = rank is not None and world_size is not None
    rank, world_size = placed(rank, world_size)
    rows = Rows(
        counts=[shard.samples for shard in source.shards],
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        rank=rank,
        world_size=world_size,
        equal=equal,
        mirror=mirror,
        weights=source.column("weight") if weights else None,
    )
    by = working(source, workers, None, prefetch)
    _refuse_odd_loading(epoch, by)
    # A folder's shards are read ahead by the system.
    ahead = by.prefetch if source.remote and not by.workers else 0
    return StreamLoader(
        Drawing(source, rows),
        None if given else (rank, world_size),
        adopts=workers is None,
        dataset=Stream(rows, Tensors(Batches(source, fields, flip_picture), labels), epoch, ahead),
        prefetch_factor=by.prefetch if by.workers else None,
        pin_memory=pin_memory,
        **processes(source, by.workers),
    )


def _refuse_odd_loading(epoch: int, by: Working) -> None:
    refuse_below("epoch", epoch, 0)
    refuse_below("workers", by.workers, 0)
    refuse_below("threads", by.threads, 1)
    refuse_below("prefetch", by.prefetch, 1 if by.workers else 0)
