"""Filters: which pictures of an inventory are used at all, by license and by exclusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas.keys import sample_key
from lpff_shards.schemas.left_out import OF_MIRROR, LeftOut, Tombstone
from lpff_shards.schemas.license import UNKNOWN_LICENSE, families
from lpff_shards.schemas.names import Wanted, marks
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.inventory import Inventory

BY_ID, BY_PHOTO, BY_USER = "excluded by id", "excluded by photo", "excluded by user"
_REASONS: Mapping[str, str] = {
    **{"author": BY_USER, "photo": BY_PHOTO, "url": BY_PHOTO, "file": BY_PHOTO, "id": BY_ID, "key": BY_ID},
}
"""By the kind of name; one that is later in this order is told where several name a picture."""


@dataclass(frozen=True, eq=False)
class Filtered:
    """Inventories after filtering.

    Attributes:
        inventories: with the pictures that are left.
        reasons: why pictures were left out, and how many.
        unused: exclusions that named no picture.
    """

    inventories: tuple[Inventory, ...]
    reasons: Counter[str]
    unused: tuple[str, ...]


def select(inventories: Sequence[Inventory], licenses: Collection[str], exclusions: Sequence[str]) -> Filtered:
    """Keeps the pictures of these licenses (all, if none is named), less the excluded ones.

    Args:
        licenses: short names, without a place for all ports too; `unknown` for pictures whose license is not known.
        exclusions: any names of pictures, see `schemas.names`.
    """
    kept_licenses = frozenset(licenses)
    excluded = Wanted(exclusions)
    reasons: Counter[str] = Counter()
    used: set[str] = set()
    kept = []
    for inventory in inventories:
        left_out = dict(_verdicts(inventory, kept_licenses, excluded, used))
        reasons.update(left_out.values())
        rows = np.delete(np.arange(len(inventory)), list(left_out))
        left = inventory.take(rows) if left_out else inventory
        kept.append(_less_problems(left, kept_licenses, excluded, used, reasons))
    return Filtered(tuple(kept), reasons, tuple(name for name in exclusions if name not in used))


def _verdicts(
    inventory: Inventory, licenses: frozenset[str], excluded: Wanted, used: set[str]
) -> Iterator[tuple[int, str]]:
    """The rows of the pictures that are left out, each with the reason."""
    if not licenses and not excluded:
        return
    for row, (id, credit) in enumerate(zip(inventory.ids, inventory.credits, strict=True)):
        if reason := _verdict(inventory.source, id, credit, licenses, excluded, used):
            yield row, reason


def excluded_rows(inventory: Inventory, excluded: Wanted, used: set[str]) -> NDArray[np.bool_]:
    """Which pictures are excluded, bool [n]; the names of any are added to `used`."""
    pictures = zip(inventory.ids, inventory.credits, strict=True)
    found = (_exclusion(inventory.source, id, credit, excluded, used) for id, credit in pictures)
    return np.fromiter((bool(reason) for reason in found), bool, len(inventory))


def withdrawn_problems(
    inventory: Inventory, excluded: Wanted, used: set[str]
) -> tuple[Inventory, tuple[Tombstone, ...]]:
    """An inventory less the pictures that could not be used and are excluded, and what is left of those.

    The names of any are added to `used`.
    """
    kept, gone = [], []
    for problem, id, credit in _problems(inventory):
        if _exclusion(inventory.source, id, credit, excluded, used):
            key = sample_key(inventory.source, id, mirrored=id != problem.id, replica=0)
            gone.append(Tombstone(key, "", marks(inventory.source, id, credit)))
        else:
            kept.append((problem, credit))
    return _with_problems(inventory, kept), tuple(gone)


def _verdict(source: str, id: str, credit: Credit, licenses: frozenset[str], excluded: Wanted, used: set[str]) -> str:
    """Why a picture is left out, empty where it is kept."""
    if excluded and (reason := _exclusion(source, id, credit, excluded, used)):
        return reason
    short = credit.license.short or UNKNOWN_LICENSE
    return f"license {short}" if licenses and licenses.isdisjoint(families(short)) else ""


def _exclusion(source: str, id: str, credit: Credit, excluded: Wanted, used: set[str]) -> str:
    found = excluded.of(source, id, credit)
    if not found:
        return ""
    used.update(name for _, name in found)
    kinds = {kind for kind, _ in found}
    return [reason for kind, reason in _REASONS.items() if kind in kinds][-1]


def _less_problems(
    inventory: Inventory, licenses: frozenset[str], excluded: Wanted, used: set[str], reasons: Counter[str]
) -> Inventory:
    """A picture that is left out need not be usable; one whose license its damage hides stays a problem."""
    kept = []
    for problem, id, credit in _problems(inventory):
        told = licenses if credit.license.short else frozenset()
        reason = _verdict(inventory.source, id, credit, told, excluded, used)
        reasons.update([reason] if reason else [])
        kept += [] if reason else [(problem, credit)]
    return _with_problems(inventory, kept)


def _problems(inventory: Inventory) -> Iterator[tuple[LeftOut, str, Credit]]:
    """The pictures that could not be used, each with its id, also where it is its mirror, and its credit."""
    for problem, credit in zip(inventory.problems, inventory.problem_credits, strict=True):
        yield problem, problem.id.removesuffix(OF_MIRROR), credit


def _with_problems(inventory: Inventory, kept: Sequence[tuple[LeftOut, Credit]]) -> Inventory:
    return replace(inventory, problems=tuple(p for p, _ in kept), problem_credits=tuple(credit for _, credit in kept))
