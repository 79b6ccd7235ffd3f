"""Turn inventories into the samples of every split: filters first, then splits, mirrors and rebalancing.

Sources and their mirrors are in the published order. Notes list options that matched nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.options.export import ExportOptions
from lpff_shards.options.mix import OFFICIAL, TRAIN, MixOptions
from lpff_shards.planning import rules, splits
from lpff_shards.planning.entries import Entries, combine
from lpff_shards.planning.filters import Filtered, select
from lpff_shards.planning.rebalance import TrainingPool, Weights, copied, counts_once
from lpff_shards.planning.splits import note_unknown
from lpff_shards.schemas import camera
from lpff_shards.schemas.archive import ANY_SET
from lpff_shards.schemas.license import UNKNOWN_LICENSE, families
from lpff_shards.schemas.sources import PUBLISHED
from lpff_shards.sources.inventory import Inventory

Times = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Mix:
    """The samples of a data set, not yet in shards.

    Attributes:
        entries: split by split, each in the sources' order; copies follow their original.
        pool: the training pictures, for comparing rules.
        weights: float64, weight of each written picture of the pool; with copies, their number.
        seed: of the rounding of weights to copies.
        filtered: number of pictures left out by options, by reason.
        exclusions, withdrawn: names excluded by the export, and by later updates. Not for publishing: they may name
            people.
        unused: names of both that match no picture.
        notes: warnings for the user.
    """

    entries: Entries
    pool: TrainingPool
    weights: Weights
    seed: int
    filtered: Mapping[str, int]
    exclusions: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...]
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class MixInputs:
    """Contents of the user's files, see `read_num_replicas` and `read_exclusions` of the sources.

    `later` are exclusions that update a finished export, after the mix.
    """

    num_replicas: NDArray[np.int64] | None = None
    exclusions: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


def mix(
    inventories: Sequence[Inventory], options: MixOptions, extras: MixInputs, *, mirror: bool, seed: int, strict: bool
) -> Mix:
    """Mix inventories.

    Args:
        mirror: write each picture's mirror too.
        seed: of the rounding of weights to copies.
        strict: refuse unusable pictures, instead of leaving them out.

    Raises:
        BadInput: with `strict`, a picture cannot be used.
        ShardsError: no picture remains, or the rule of rebalancing does not fit.
    """
    chosen = select(inventories, options.license, extras.exclusions)
    if strict:
        _refuse_problems(chosen.inventories)
    _refuse_nothing(chosen)
    entries, notes = _split(chosen.inventories, options, inventories)
    in_training = entries.split == entries.splits.index(TRAIN) if TRAIN in entries.splits else entries.split < 0
    written = ~entries.mirrored() | mirror
    replicas = extras.num_replicas if options.rebalance == "eg3d" else None
    pool = TrainingPool(entries.take(in_training), written[in_training], replicas)
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
    """Return all pictures and mirrors with their splits."""
    notes: list[str] = []
    if options.splits == OFFICIAL:
        names: tuple[str, ...] = splits.OFFICIAL_SPLITS
        columns, notes = splits.official(inventories, everything)
    else:
        names = tuple(name for name, _ in options.fractions)
        columns = splits.by_fractions(inventories, options.fractions, everything)
    entries = combine(inventories, mirror=True)
    return replace(entries, split=entries.gather(columns), splits=names), notes


def _weighted(pool: TrainingPool, weights: Weights, options: MixOptions) -> Entries:
    """Return the written pictures of the pool with their densities, and with weights if requested."""
    entries = pool.entries.take(pool.written)
    if options.rebalance == "none":
        return entries
    try:
        density = rules.rounded(pool.density[pool.written]).astype(np.float32)
    except ShardsError:
        # Rules by yaw need no density; the others would have failed before.
        density = entries.density
    if options.as_ == "replicas":
        return replace(entries, density=density)
    return replace(entries, density=density, weight=rules.rounded(weights).astype(np.float32))


def _in_order(training: Entries, others: Entries) -> Entries:
    """Return training and other entries, split by split in the order of the splits' names."""
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
    reasons = [f"{reason}: {count}" for reason, count in chosen.reasons.items()]
    if problems:
        reasons.append(f"{len(problems)} cannot be used, such as {problems[0].id}: {problems[0].reason}")
    hint = "Loosen --license or --exclude" if chosen.reasons else "Check the sources and their cameras"
    why = f": all pictures were left out ({'; '.join(reasons)})" if reasons else ""
    raise ShardsError(f"there is nothing to write{why}", hint)


def on_filters(
    options: MixOptions, named_any: bool, unused: Sequence[str], everything: Sequence[Inventory]
) -> Iterator[str]:
    """Yield notes on filters that matched nothing.

    Args:
        named_any: whether the file of --exclude has any entry.
        unused: exclusions that match no picture.
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
    """Yield notes on cameras that do not fit their pictures."""
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


def on_rebalancing(pool: TrainingPool, options: MixOptions) -> Iterator[str]:
    """Yield notes on pictures without camera, and on rules without their file."""
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
    """Yield notes on leaks that cannot be detected, and on empty splits."""
    if len(entries.splits) == 1:
        return
    yield from note_unknown(entries.inventories)
    for number, name in enumerate(entries.splits):
        if not (entries.split == number).any():
            yield f"--splits: no picture falls into {name}, so it has no shards"


@dataclass(frozen=True, eq=False)
class NameList:
    """A list of pictures' names in a zip, `<name>.json`.

    Attributes:
        name: of a published set in its trainers' spelling, or of the data set.
        times: int16 [n], how often the list contains the name of each entry of the plan.
    """

    name: str
    times: NDArray[np.int16]

    def take(self, kept: NDArray[np.int64]) -> NameList:
        """Return the list for the entries of the rows `kept`."""
        return NameList(self.name, self.times[kept])


def name_lists(
    options: ExportOptions, mix: Mix, entries: Entries, num_replicas: NDArray[np.int64] | None
) -> tuple[NameList, ...]:
    """Return the lists of each zip of an export, the data set's own first; none for other formats.

    Args:
        entries: contents of the zip: all of the mix, or each picture once.
        num_replicas: replicas by index in EG3D's FFHQ, int64, or None.
    """
    if not options.traits.for_trainers:
        return ()
    own = mix.entries.counts() if len(entries) < len(mix.entries) else np.ones(len(entries), np.int16)
    lists = {own_name(options): own}
    if not options.is_published and options.mix.as_ == "replicas":
        lists[options.dataset_name] = own
    if options.has_whole_sets:
        for name, times in _published(options, mix, entries, num_replicas):
            lists.setdefault(name, times)
    return tuple(NameList(name, times) for name, times in lists.items())


def own_name(options: ExportOptions) -> str:
    """Return the name by which LPFF's forks read all samples of a zip: the published set's, else `ANY_SET`."""
    given = options.sources.given
    if options.mix.as_ == "weights":
        return PUBLISHED.get((given, "none"), ANY_SET) if options.has_whole_sets else ANY_SET
    return PUBLISHED[given, options.mix.rebalance] if options.is_published else ANY_SET


def _published(
    options: ExportOptions, mix: Mix, entries: Entries, num_replicas: NDArray[np.int64] | None
) -> Iterator[tuple[str, Times]]:
    """Yield the published sets whose pictures are all in the zip."""
    given = options.sources.given
    first = entries.replica == 0
    numbers = {inventory.source: number for number, inventory in enumerate(entries.inventories)}
    of = {name: ((entries.source == numbers[name]) & first).astype(np.int16) for name in given}
    known = options.sources.alignment == "eg3d" or options.sources.ffhq_cameras is not None
    for (sources, rule), name in PUBLISHED.items():
        own = sum((of[source] for source in sources if source in of), np.zeros(len(first), np.int16))
        if rule == "none":
            if set(sources) <= set(given):
                yield name, own
        elif rule == "eg3d":
            if num_replicas is not None and options.serves_ffhq_rebalanced:
                pool = TrainingPool(mix.pool.entries, mix.pool.written, num_replicas)
                yield name, _spread(first, pool.weigh("eg3d", options.mix)) * own
        elif given == sources and known:
            # Without a spread of cameras there are no densities: these are not the pictures of the published set.
            with suppress(ShardsError):
                yield name, _spread(first, mix.pool.weigh("lpff", MixOptions()))


def _spread(first: NDArray[np.bool_], weights: NDArray[np.float64]) -> Times:
    """Return how often the list contains each entry; weights belong to the entries that are not copies."""
    times = np.zeros(len(first), np.int16)
    times[first] = weights
    return times
