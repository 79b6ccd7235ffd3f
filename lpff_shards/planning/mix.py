"""From inventories to the samples of every split: filters first, then splits, mirrors and rebalancing.

Sources and their mirrors stand in the published order. Notes tell what matched nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.options.mix import OFFICIAL, TRAIN, MixOptions
from lpff_shards.planning import rules, splits
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.filters import Filtered, select
from lpff_shards.planning.rebalance import Pool, Weights, copied, counts_once
from lpff_shards.planning.splits import note_unknown
from lpff_shards.schemas import camera
from lpff_shards.schemas.license import UNKNOWN_LICENSE, families
from lpff_shards.sources.inventory import Inventory


@dataclass(frozen=True, eq=False)
class Mix:
    """The samples of a data set, not yet in shards.

    Attributes:
        entries: split by split, each in the sources' order; copies follow their original.
        pool: the training pictures, for comparing rules.
        weights: float64, how often each written picture of the pool counts; where copies are written, their number.
        seed: of the rounding of weights to copies.
        filtered: pictures left out by the user's wish, by reason.
        exclusions: what was excluded; `withdrawn`: what an update takes out besides; `unused`: those of both that name
            no picture. Not for publishing, they may name people.
        notes: what the user should know.
    """

    entries: Entries
    pool: Pool
    weights: Weights
    seed: int
    filtered: Mapping[str, int]
    exclusions: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...]
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Extras:
    """What files that the user names tell the mix: see `read_num_replicas` and `read_exclusions` of the sources.

    `later` are exclusions that a finished export is to be updated by, after the mix.
    """

    num_replicas: NDArray[np.int64] | None = None
    exclusions: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


def mix(
    inventories: Sequence[Inventory], options: MixOptions, extras: Extras, *, mirror: bool, seed: int, strict: bool
) -> Mix:
    """Mixes inventories.

    Args:
        mirror: write each picture's mirror too.
        seed: of the rounding of weights to copies.
        strict: refuse pictures that cannot be used, instead of leaving them out.

    Raises:
        BadInput: under `strict`, a picture cannot be used.
        ShardsError: nothing is left, or the rule of rebalancing does not fit.
    """
    chosen = select(inventories, options.license, extras.exclusions)
    if strict:
        _refuse_problems(chosen.inventories)
    _refuse_nothing(chosen)
    entries, notes = _split(chosen.inventories, options, inventories)
    in_training = entries.split == entries.splits.index(TRAIN) if TRAIN in entries.splits else entries.split < 0
    written = ~entries.mirrored() | mirror
    replicas = extras.num_replicas if options.rebalance == "eg3d" else None
    pool = Pool(entries.take(in_training), written[in_training], replicas)
    weights = pool.weigh(options.rebalance, options)
    training = _weighted(pool, weights, options)
    reasons = chosen.reasons
    if options.as_ == "replicas" and options.rebalance != "none":
        copies = pool.copies(weights, seed)
        reasons += Counter({"samples not drawn for --target-size": int((copies == 0).sum())})
        training, weights = copied(training, copies), copies.astype(np.float64)
    others = entries.take(written & ~in_training)
    if not len(training) and not len(others):
        raise ShardsError("there is nothing to write: all pictures are mirrors", "Leave out --no-mirror")
    mixed = _in_order(training, others)
    notes += on_filters(options, bool(extras.exclusions or extras.later), chosen.unused, inventories)
    notes += on_cameras(chosen.inventories)
    notes += on_rebalancing(pool, options)
    notes += on_splits(mixed)
    return Mix(mixed, pool, weights, seed, dict(reasons), extras.exclusions, chosen.unused, tuple(notes))


def _split(
    inventories: Sequence[Inventory], options: MixOptions, everything: Sequence[Inventory]
) -> tuple[Entries, list[str]]:
    """All pictures and mirrors with their splits."""
    notes: list[str] = []
    if options.splits == OFFICIAL:
        names: tuple[str, ...] = splits.OFFICIAL_SPLITS
        columns, notes = splits.official(inventories, everything)
    else:
        names = tuple(name for name, _ in options.fractions)
        columns = splits.by_fractions(inventories, options.fractions, everything)
    entries = combine(inventories, mirror=True)
    return replace(entries, split=entries.gather(columns), splits=names), notes


def _weighted(pool: Pool, weights: Weights, options: MixOptions) -> Entries:
    """The written pictures of the pool with their densities, and with weights where these were asked for."""
    entries = pool.entries.take(pool.written)
    if options.rebalance == "none":
        return entries
    try:
        density = rules.rounded(pool.density[pool.written]).astype(np.float32)
    except ShardsError:
        # By yaw alone no density is needed; the other rules would not have come so far.
        density = entries.density
    if options.as_ == "replicas":
        return replace(entries, density=density)
    return replace(entries, density=density, weight=rules.rounded(weights).astype(np.float32))


def _in_order(training: Entries, others: Entries) -> Entries:
    """Training and other entries, split by split in the order of their names."""
    if not len(others):
        return training
    both = training.followed_by(others)
    return both.take(np.argsort(both.split, kind="stable"))


def _refuse_problems(inventories: Sequence[Inventory]) -> None:
    problems = [problem for inventory in inventories for problem in inventory.problems]
    if problems:
        first = problems[0]
        raise BadInput(first.file, first.id, first.reason, len(problems) - 1)


def _refuse_nothing(chosen: Filtered) -> None:
    if any(map(len, chosen.inventories)):
        return
    problems = [problem for inventory in chosen.inventories for problem in inventory.problems]
    told = [f"{reason}: {count}" for reason, count in chosen.reasons.items()]
    if problems:
        told.append(f"{len(problems)} cannot be used, such as {problems[0].id}: {problems[0].reason}")
    hint = "Loosen --license or --exclude" if chosen.reasons else "Check the sources and their cameras"
    why = f": all pictures were left out ({'; '.join(told)})" if told else ""
    raise ShardsError(f"there is nothing to write{why}", hint)


def combine(inventories: Sequence[Inventory], mirror: bool) -> Entries:
    """One entry a picture, in the inventories' order; with `mirror` each picture's mirror next to it.

    A mirror that the source has itself is used, not made again; without `mirror` the sources' mirrors are left out.
    The published sets are ordered so: FFHQ's originals and mirrors in turn, then LPFF picture i and its mirror.
    """
    parts = [_rows(inventory, mirror) for inventory in inventories]
    source = [np.full(len(rows), number, np.int16) for number, (rows, _) in enumerate(parts)]
    row = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in parts)])
    flip = np.concatenate([np.zeros(0, bool), *(flips for _, flips in parts)])
    count = len(row)
    return Entries(
        inventories=inventories,
        source=np.concatenate([np.zeros(0, np.int16), *source]),
        row=row,
        flip=flip,
        replica=np.zeros(count, np.int16),
        split=np.zeros(count, np.int8),
        density=np.zeros(count, np.float32),
        weight=np.ones(count, np.float32),
    )


def _rows(inventory: Inventory, mirror: bool) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of one inventory and whether each is flipped on writing."""
    originals = ~inventory.is_mirror
    if not mirror:
        rows = np.flatnonzero(originals).astype(np.int64)
        return rows, np.zeros(len(rows), bool)
    have = {id for id, own in zip(inventory.ids, inventory.is_mirror.tolist(), strict=True) if own}
    # A mirror that the source has and that is faulty is left out, not made up for.
    have |= inventory.lost_mirrors
    lacks = originals & np.array([id not in have for id in inventory.ids], bool)
    copies = 1 + lacks.astype(np.int64)
    rows = np.repeat(np.arange(len(inventory), dtype=np.int64), copies)
    flips = np.concatenate([np.zeros(1, bool), rows[1:] == rows[:-1]])[: len(rows)]
    return rows, flips


def on_filters(
    options: MixOptions, named_any: bool, unused: Sequence[str], everything: Sequence[Inventory]
) -> Iterator[str]:
    """What filters were asked for and found nothing.

    Args:
        named_any: whether the file of --exclude names anything.
        unused: exclusions that name no picture.
    """
    licenses = [license for inventory in everything for license in inventory.licenses().met()]
    met = {name for license in licenses for name in families(license.short or UNKNOWN_LICENSE)}
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
