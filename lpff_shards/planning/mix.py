"""Turn inventories into the samples of every split: filters first, then splits, mirrors and rebalancing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.options.export import ExportOptions
from lpff_shards.options.mix import OFFICIAL, TRAIN, MixOptions
from lpff_shards.planning import splits
from lpff_shards.planning.entries import Entries, combine
from lpff_shards.planning.rebalance import Numbers, TrainingPool, counts_once, rounded
from lpff_shards.schemas import camera
from lpff_shards.schemas.keys import Wanted
from lpff_shards.schemas.license import UNKNOWN_LICENSE, families
from lpff_shards.schemas.record import OF_MIRROR, Credit, LeftOut
from lpff_shards.schemas.sources import known_specs
from lpff_shards.sources.inventory import Inventory

BY_ID, BY_PHOTO, BY_USER = "excluded by id", "excluded by photo", "excluded by user"
_REASONS = {"key": BY_ID, "id": BY_ID, "file": BY_PHOTO, "url": BY_PHOTO, "photo": BY_PHOTO, "author": BY_USER}
"""Reasons by kind of name; if several names match a picture, the first in this order is given."""
Reason = Callable[[str, str, Credit], str]
"""Returns why a picture is left out, empty if it is not: of its source, id and credit."""


@dataclass(frozen=True, eq=False)
class Mix:
    """The samples of a data set, not yet in shards.

    Attributes:
        entries: split by split, each in the sources' order; copies follow their original.
        pool: the training pictures; weights: float64, of each that is written; with copies, their number.
        filtered: number of pictures left out by options, by reason.
        exclusions, withdrawn: names excluded by the export, and by later updates. Not for publishing: they may name
            people. unused: those that match no picture.
        notes: warnings for the user.
        poses: of a conversion: the poses before rebalancing in the converted export: data set, yaw and pitch in whole
            degrees, number of pictures; None if they are those of `pool`.
    """

    entries: Entries
    pool: TrainingPool
    weights: Numbers
    filtered: Mapping[str, int]
    exclusions: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...]
    withdrawn: tuple[str, ...] = ()
    poses: Sequence[tuple[str, int, int, int]] | None = None


def mix(
    inventories: Sequence[Inventory],
    options: ExportOptions,
    num_replicas: NDArray[np.int64] | None,
    exclusions: tuple[str, ...],
    excludes_later: bool,
    degrees: NDArray[np.int64] | None = None,
) -> Mix:
    """Mix inventories.

    Args:
        num_replicas: replicas by index in EG3D's FFHQ, from the user's file.
        exclusions: names of pictures to leave out.
        degrees: copies by whole degree of yaw, see `TrainingPool`.
        excludes_later: whether the user's file has names that are removed after the mix, by an update.

    Raises:
        BadInput: a picture cannot be used, and such pictures are not to be skipped.
        ShardsError: no picture remains, or the rule of rebalancing does not fit.
    """
    wanted = options.mix
    chosen = select(inventories, wanted.license, exclusions)
    _refuse_unusable(chosen, strict=options.run.on_error == "fail")
    notes: list[str] = []
    if wanted.splits == OFFICIAL:
        names: tuple[str, ...] = splits.OFFICIAL_SPLITS
        columns, notes = splits.official(chosen.inventories, inventories)
    else:
        names = tuple(name for name, _ in wanted.fractions)
        columns = splits.by_fractions(chosen.inventories, wanted.fractions, inventories)
    entries = combine(chosen.inventories)
    entries = replace(entries, split=entries.gather(columns), splits=names)
    in_training = np.array([name == TRAIN for name in names])[entries.split]
    written = ~entries.mirrored() | options.sources.mirrors
    replicas = num_replicas if wanted.rebalance == "eg3d" else None
    pool = TrainingPool(entries.take(in_training), written[in_training], replicas, degrees)
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
    notes += _filter_notes(wanted, inventories, bool(exclusions) or excludes_later, chosen.unused)
    for inventory in mixed.inventories:
        notes += _camera_notes(inventory)
    notes += _training_notes(wanted, mixed, pool)
    return Mix(mixed, pool, weights, dict(reasons), exclusions, chosen.unused, tuple(notes))


def _refuse_unusable(chosen: Filtered, strict: bool) -> None:
    """Refuse a mix without pictures and, if `strict`, pictures that cannot be used."""
    problems = [problem for inventory in chosen.inventories for problem in inventory.problems]
    if problems and strict:
        raise BadInput(problems[0].file, problems[0].id, problems[0].reason, len(problems) - 1)
    if any(map(len, chosen.inventories)):
        return
    reasons = [f"{reason}: {count}" for reason, count in chosen.reasons.items()]
    if problems:
        reasons.append(f"{len(problems)} cannot be used, such as {problems[0].id}: {problems[0].reason}")
    hint = "Loosen --license or --exclude" if chosen.reasons else "Check the sources and their cameras"
    why = f": all pictures were left out ({'; '.join(reasons)})" if reasons else ""
    raise ShardsError(f"there is nothing to write{why}", hint)


def _filter_notes(
    options: MixOptions, everything: Sequence[Inventory], excludes: bool, unused: Sequence[str]
) -> Iterator[str]:
    """Yield notes on filters that matched nothing; `excludes` is whether the file of --exclude has any entry."""
    licenses = [license for inventory in everything for license in inventory.licenses().met()]
    met = {name for license in licenses for name in families(license.short or UNKNOWN_LICENSE)}
    yield from (f"--license {name} is no picture's here" for name in options.license if name not in met)
    if unused:
        yield f"--exclude: {len(unused)} of its lines {'names' if len(unused) == 1 else 'name'} no picture here"
    if options.exclude is not None and not excludes:
        yield f"--exclude {options.exclude} names nothing"


def _camera_notes(inventory: Inventory) -> Iterator[str]:
    """Yield notes on cameras that do not fit their pictures."""
    if others := int((inventory.has_camera & ~inventory.own_camera).sum()):
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
            f"{'' if known_specs([inventory.source]) else f'; see --camera-convention {inventory.source}=...'}"
        )


def _training_notes(options: MixOptions, mixed: Entries, pool: TrainingPool) -> Iterator[str]:
    """Yield notes on pictures and rules without their cameras or file, on possible leaks, and on empty splits."""
    rule, computed = options.rebalance, options.num_replicas is None
    if rule != "none" and computed and (unknown := int((~pool.cameras[1][pool.written]).sum())):
        once = "as the commonest pose does" if rule == "uniform" else "once"
        yield f"--rebalance {rule}: {unknown} pictures have no camera and count {once}"
    if rule == "lpff" and any(map(counts_once, mixed.inventories)):
        yield "--rebalance lpff: StyleGAN-aligned FFHQ pictures count once, as in the published set"
    if rule == "eg3d" and computed:
        yield "--rebalance eg3d: replicas were computed from the cameras, since no --num-replicas was given"
    if len(mixed.splits) > 1:
        yield from splits.note_unknown(mixed.inventories)
        empty = (name for number, name in enumerate(mixed.splits) if not (mixed.split == number).any())
        yield from (f"--splits: no picture falls into {name}, so it has no shards" for name in empty)


class Filtered(NamedTuple):
    """Inventories of the remaining pictures, numbers of the others by reason, and exclusions that match no picture."""

    inventories: tuple[Inventory, ...]
    reasons: Counter[str]
    unused: tuple[str, ...]


class Exclusions:
    """Matches pictures against excluded names (see `schemas.keys`), and records which names matched.

    Args:
        met: names that have already matched a picture.
    """

    def __init__(self, given: Sequence[str], met: Iterable[str] = ()) -> None:
        self._given, self._wanted, self._met = given, Wanted(given), set(met)

    @property
    def unused(self) -> tuple[str, ...]:
        """The names that have matched no picture."""
        return tuple(name for name in self._given if name not in self._met)

    def reason(self, source: str, id: str, credit: Credit) -> str:
        """Return why a picture is excluded; empty if it is not."""
        found = self._wanted.of(source, id, credit)
        if not found:
            return ""
        self._met.update(name for _, name in found)
        kinds = {kind for kind, _ in found}
        return next(reason for kind, reason in _REASONS.items() if kind in kinds)


def select(inventories: Sequence[Inventory], licenses: Collection[str], exclusions: Sequence[str]) -> Filtered:
    """Keep the pictures with these licenses (empty: all), except excluded ones.

    Args:
        licenses: short names; one without a country includes all ports; `unknown` for pictures of unknown license.
        exclusions: any names of pictures, see `schemas.keys`.
    """
    wanted, excluded, reasons = frozenset(licenses), Exclusions(exclusions), Counter[str]()

    def verdict(source: str, id: str, credit: Credit, unknown: str = UNKNOWN_LICENSE) -> str:
        short = credit.license.short or unknown
        found = excluded.reason(source, id, credit)
        if not found and short and wanted and wanted.isdisjoint(families(short)):
            found = f"license {short}"
        if found:
            reasons[found] += 1
        return found

    kept = []
    for inventory in inventories:
        left = inventory
        if wanted or exclusions:
            gone = matching(inventory, verdict)
            left = inventory.take(np.flatnonzero(~gone)) if gone.any() else inventory
            # An excluded picture need not be usable; one whose license is unknown due to damage stays a problem.
            left, _ = without_problems(left, partial(verdict, unknown=""))
        kept.append(left)
    return Filtered(tuple(kept), reasons, excluded.unused)


def matching(inventory: Inventory, reason: Reason) -> NDArray[np.bool_]:
    """Return which pictures have a reason to be left out, bool [n]."""
    found = (bool(reason(inventory.source, *one)) for one in zip(inventory.ids, inventory.credits, strict=True))
    return np.fromiter(found, bool, len(inventory))


def without_problems(inventory: Inventory, reason: Reason) -> tuple[Inventory, list[tuple[LeftOut, Credit]]]:
    """Return an inventory without the unusable pictures that have a reason to be left out, and those."""
    kept: list[tuple[LeftOut, Credit]] = []
    gone: list[tuple[LeftOut, Credit]] = []
    for problem, credit in zip(inventory.problems, inventory.problem_credits, strict=True):
        id = problem.id.removesuffix(OF_MIRROR)
        (gone if reason(inventory.source, id, credit) else kept).append((problem, credit))
    problems, credits = tuple(problem for problem, _ in kept), tuple(credit for _, credit in kept)
    return replace(inventory, problems=problems, problem_credits=credits), gone
