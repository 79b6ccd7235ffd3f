"""What the user should know of a mix: what was asked for and found nothing, what a rule could not look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lpff_shards.options.mix import MixOptions
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.rebalance import Pool, counts_once
from lpff_shards.planning.splits import note_unknown
from lpff_shards.schemas import camera
from lpff_shards.schemas.license import UNKNOWN_LICENCE, families
from lpff_shards.sources.inventory import Inventory


def on_filters(
    options: MixOptions, named_any: bool, unused: Sequence[str], everything: Sequence[Inventory]
) -> Iterator[str]:
    """What filters were asked for and found nothing.

    Args:
        named_any: whether the file of --exclude names anything.
        unused: exclusions that name no picture.
    """
    licences = [licence for inventory in everything for licence in inventory.licences().met()]
    met = {name for licence in licences for name in families(licence.short or UNKNOWN_LICENCE)}
    for name in options.license:
        if name not in met:
            yield f"--license {name} is no picture's here"
    if unused:
        yield f"--exclude: {len(unused)} of its lines {'names' if len(unused) == 1 else 'name'} no picture here"
    if options.exclude is not None and not named_any:
        yield f"--exclude {options.exclude} names nothing"


def on_cameras(inventories: Sequence[Inventory]) -> Iterator[str]:
    """Cameras that are not what the pictures show."""
    for inventory in inventories:
        others = int((inventory.has_camera & ~inventory.own_camera).sum())
        if others:
            yield (
                f"{inventory.source}: {others:,} pictures have the camera of their EG3D crop: yaw and pitch hold, "
                "intrinsics and roll do not"
            )
        known = inventory.cameras[inventory.has_camera]
        away = camera.looks_away(known)
        if away.any():
            yield (
                f"{inventory.source}: {int(away.sum()):,} of {len(known):,} cameras do not look at the head "
                f"({camera.likely_convention(known[away])}?), so yaw, pitch and rebalancing by pose are wrong for them"
            )


def on_rebalancing(pool: Pool, options: MixOptions) -> Iterator[str]:
    """Where a rule could not look at a picture, or had to do without its file."""
    if options.rebalance == "none":
        return
    unknown = int((~pool.cameras[1][pool.written]).sum())
    if unknown and options.num_replicas is None:
        once = "as the commonest pose does" if options.rebalance == "uniform" else "once"
        yield f"--rebalance {options.rebalance}: {unknown} pictures have no camera and count {once}"
    if options.rebalance == "lpff" and any(map(counts_once, pool.entries.inventories)):
        yield "--rebalance lpff: StyleGAN-aligned FFHQ pictures count once, as in the published set"
    if options.rebalance == "eg3d" and options.num_replicas is None:
        yield "--rebalance eg3d: replicas were computed from the cameras, since no --num-replicas was given"


def on_splits(entries: Entries) -> Iterator[str]:
    """Where leaks cannot be seen, and splits that hold nothing."""
    if len(entries.splits) == 1:
        return
    yield from note_unknown(entries.inventories)
    for number, name in enumerate(entries.splits):
        if not (entries.split == number).any():
            yield f"--splits: no picture falls into {name}, so it has no shards"
