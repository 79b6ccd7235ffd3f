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
from lpff_shards.planning import splits
from lpff_shards.planning.entries import Entries, combine
from lpff_shards.planning.filters import Filtered, select
from lpff_shards.planning.rebalance import TrainingPool, Weights, counts_once, rounded
from lpff_shards.schemas import camera
from lpff_shards.schemas.archive import ANY_SET
from lpff_shards.schemas.license import UNKNOWN_LICENSE, families
from lpff_shards.schemas.sources import PUBLISHED
from lpff_shards.sources.inventory import Inventory

Times = NDArray[np.int16]
"""How often a zip's list contains the name of each entry, int16 [n]."""


@dataclass(frozen=True, eq=False)
class Mix:
    """The samples of a data set, not yet in shards.

    Attributes:
        entries: split by split, each in the sources' order; copies follow their original.
        pool: the training pictures, for comparing rules.
        weights: float64, weight of each written picture of the pool; with copies, their number.
        filtered: number of pictures left out by options, by reason.
        exclusions, withdrawn: names excluded by the export, and by later updates. Not for publishing: they may name
            people.
        unused: names of both that match no picture.
        notes: warnings for the user.
    """

    entries: Entries
    pool: TrainingPool
    weights: Weights
    filtered: Mapping[str, int]
    exclusions: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...]
    withdrawn: tuple[str, ...] = ()


def mix(
    inventories: Sequence[Inventory],
    options: ExportOptions,
    num_replicas: NDArray[np.int64] | None,
    exclusions: tuple[str, ...],
    excludes_later: bool,
) -> Mix:
    """Mix inventories.

    Args:
        num_replicas: replicas by index in EG3D's FFHQ, from the user's file.
        exclusions: names of pictures to leave out.
        excludes_later: whether the user's file has names that are removed after the mix, by an update.

    Raises:
        BadInput: a picture cannot be used, and such pictures are not to be skipped.
        ShardsError: no picture remains, or the rule of rebalancing does not fit.
    """
    wanted = options.mix
    chosen = select(inventories, wanted.license, exclusions)
    problems = [problem for inventory in chosen.inventories for problem in inventory.problems]
    if problems and options.run.on_error == "fail":
        first = problems[0]
        raise BadInput(first.file, first.id, first.reason, len(problems) - 1)
    _refuse_nothing(chosen)
    entries, notes = _split(chosen.inventories, wanted, inventories)
    in_training = entries.split == entries.splits.index(TRAIN) if TRAIN in entries.splits else entries.split < 0
    written = ~entries.mirrored() | options.sources.mirrors
    replicas = num_replicas if wanted.rebalance == "eg3d" else None
    pool = TrainingPool(entries.take(in_training), written[in_training], replicas)
    weights = pool.weigh(wanted.rebalance, wanted)
    times, reasons = written.astype(np.int64), chosen.reasons
    if wanted.rebalance != "none":
        # Rules by yaw need no density; the others have failed without it.
        with suppress(ShardsError):
            entries.density[written & in_training] = rounded(pool.density[pool.written])
        if wanted.as_ == "weights":
            entries.weight[written & in_training] = rounded(weights)
        else:
            copies = pool.copies(weights, options.shards.seed or 0)
            times[written & in_training], weights = copies, copies.astype(np.float64)
            reasons += Counter({"samples not drawn for --target-size": int((copies == 0).sum())})
    mixed = entries.copied(times)
    if not len(mixed):
        raise ShardsError("there is nothing to write: all pictures are mirrors", "Leave out --no-mirror")
    notes += _notes_on_pictures(wanted, mixed, bool(exclusions) or excludes_later, chosen.unused, inventories)
    notes += _notes_on_training(wanted, mixed, pool)
    return Mix(mixed, pool, weights, dict(reasons), exclusions, chosen.unused, tuple(notes))


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
    entries = combine(inventories)
    return replace(entries, split=entries.gather(columns), splits=names), notes


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


def _notes_on_pictures(
    options: MixOptions, mixed: Entries, excludes: bool, unused: Sequence[str], everything: Sequence[Inventory]
) -> Iterator[str]:
    """Yield notes on filters that matched nothing, and on cameras that do not fit their pictures.

    Args:
        excludes: whether the file of --exclude has any entry; unused: those that match no picture.
        everything: the inventories before filtering.
    """
    licenses = [license for inventory in everything for license in inventory.licenses().met()]
    met = {name for license in licenses for name in families(license.short or UNKNOWN_LICENSE)}
    for name in options.license:
        if name not in met:
            yield f"--license {name} is no picture's here"
    if unused:
        yield f"--exclude: {len(unused)} of its lines {'names' if len(unused) == 1 else 'name'} no picture here"
    if options.exclude is not None and not excludes:
        yield f"--exclude {options.exclude} names nothing"
    for inventory in mixed.inventories:
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


def _notes_on_training(options: MixOptions, mixed: Entries, pool: TrainingPool) -> Iterator[str]:
    """Yield notes on pictures and rules without their cameras or file, on possible leaks, and on empty splits."""
    needs_cameras = options.rebalance != "none" and options.num_replicas is None
    if needs_cameras and (unknown := int((~pool.cameras[1][pool.written]).sum())):
        once = "as the commonest pose does" if options.rebalance == "uniform" else "once"
        yield f"--rebalance {options.rebalance}: {unknown} pictures have no camera and count {once}"
    if options.rebalance == "lpff" and any(map(counts_once, mixed.inventories)):
        yield "--rebalance lpff: StyleGAN-aligned FFHQ pictures count once, as in the published set"
    if options.rebalance == "eg3d" and options.num_replicas is None:
        yield "--rebalance eg3d: replicas were computed from the cameras, since no --num-replicas was given"
    if len(mixed.splits) == 1:
        return
    yield from splits.note_unknown(mixed.inventories)
    for number, name in enumerate(mixed.splits):
        if not (mixed.split == number).any():
            yield f"--splits: no picture falls into {name}, so it has no shards"


def name_lists(
    options: ExportOptions, mix: Mix, entries: Entries, num_replicas: NDArray[np.int64] | None
) -> dict[str, Times]:
    """Return the lists of names in each zip of an export, the data set's own first; none for other formats.

    Args:
        entries: contents of the zip: all of the mix, or each picture once.
        num_replicas: replicas by index in EG3D's FFHQ, int64, or None.

    Returns:
        By the name of a published set in its trainers' spelling, or of the data set.
    """
    if not options.traits.for_trainers:
        return {}
    firsts = np.flatnonzero(mix.entries.replica == 0) if len(entries) < len(mix.entries) else np.arange(len(entries))
    own = np.diff(firsts, append=len(mix.entries)).astype(np.int16)
    is_weighted = options.mix.as_ == "weights"
    is_published = options.has_whole_sets if is_weighted else options.is_published
    published = (options.sources.given, "none" if is_weighted else options.mix.rebalance)
    # LPFF's forks read all samples of a zip by one of these names only.
    lists = {PUBLISHED.get(published, ANY_SET) if is_published else ANY_SET: own}
    if not is_published and not is_weighted:
        lists[options.dataset_name] = own
    if options.has_whole_sets:
        for name, times in _published(options, mix, entries, num_replicas):
            lists.setdefault(name, times)
    return lists


def _published(
    options: ExportOptions, mix: Mix, entries: Entries, num_replicas: NDArray[np.int64] | None
) -> Iterator[tuple[str, Times]]:
    """Yield the published sets whose pictures are all in the zip."""
    given = options.sources.given
    first = entries.replica == 0
    known = options.sources.alignment == "eg3d" or options.sources.ffhq_cameras is not None

    def times(weights: Weights) -> Times:
        counts = np.zeros(len(first), np.int16)
        counts[first] = weights
        return counts

    for (sources, rule), name in PUBLISHED.items():
        numbers = [number for number, inventory in enumerate(entries.inventories) if inventory.source in sources]
        own = first & np.isin(entries.source, numbers)
        if rule == "none":
            if set(sources) <= set(given):
                yield name, own.astype(np.int16)
        elif rule == "eg3d":
            if num_replicas is not None and options.serves_ffhq_rebalanced:
                pool = replace(mix.pool, num_replicas=num_replicas)
                yield name, times(pool.weigh("eg3d", options.mix)) * own
        elif given == sources and known:
            # Without a spread of cameras there are no densities: these are not the pictures of the published set.
            with suppress(ShardsError):
                yield name, times(mix.pool.weigh("lpff", MixOptions()))
