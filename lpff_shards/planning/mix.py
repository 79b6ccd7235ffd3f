"""The mix: from inventories to the samples of every split. Filters first, then splits, mirrors and rebalancing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.options.mix import OFFICIAL, TRAIN, MixOptions
from lpff_shards.planning import rules, splits
from lpff_shards.planning.combine import combine
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.filters import Filtered, select
from lpff_shards.planning.rebalance import Pool, Weights, copied
from lpff_shards.planning.warnings import on_cameras, on_filters, on_rebalancing, on_splits
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
