"""Filtering the pictures of inventories by license and by exclusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas.keys import Wanted, marks, sample_key
from lpff_shards.schemas.left_out import OF_MIRROR, LeftOut, Tombstone
from lpff_shards.schemas.license import UNKNOWN_LICENSE, families
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.inventory import Inventory

BY_ID, BY_PHOTO, BY_USER = "excluded by id", "excluded by photo", "excluded by user"
_REASONS: Mapping[str, str] = {
    **{"author": BY_USER, "photo": BY_PHOTO, "url": BY_PHOTO, "file": BY_PHOTO, "id": BY_ID, "key": BY_ID},
}
"""Reasons by kind of name; if several names match a picture, the last in this order is given."""


@dataclass(frozen=True, eq=False)
class Filtered:
    """Inventories after filtering.

    Attributes:
        inventories: inventories with the remaining pictures.
        reasons: number of pictures left out, by reason.
        unused: exclusions that match no picture.
    """

    inventories: tuple[Inventory, ...]
    reasons: Counter[str]
    unused: tuple[str, ...]


class Exclusions:
    """Matches pictures against excluded names, and records which names matched.

    Args:
        given: any names of pictures, see `schemas.keys`.
        met: names that have already matched a picture.
    """

    def __init__(self, given: Sequence[str], met: Iterable[str] = ()) -> None:
        self._given = given
        self._wanted = Wanted(given)
        self._met = set(met)

    @property
    def unused(self) -> tuple[str, ...]:
        """The names that have matched no picture."""
        return tuple(name for name in self._given if name not in self._met)

    def reason(self, source: str, id: str, credit: Credit) -> str:
        """Return why a picture is excluded; empty if it is not."""
        found = self._wanted.of(source, id, credit)
        self._met.update(name for _, name in found)
        kinds = {kind for kind, _ in found}
        return [reason for kind, reason in _REASONS.items() if kind in kinds][-1] if kinds else ""

    def rows(self, inventory: Inventory) -> NDArray[np.bool_]:
        """Return which pictures are excluded, bool [n]."""
        pictures = zip(inventory.ids, inventory.credits, strict=True)
        found = (bool(self.reason(inventory.source, id, credit)) for id, credit in pictures)
        return np.fromiter(found, bool, len(inventory))

    def withdrawn_problems(self, inventory: Inventory) -> tuple[Inventory, tuple[Tombstone, ...]]:
        """Return an inventory without its unusable pictures that are excluded, and tombstones of those."""
        source = inventory.source
        left, gone = _without_problems(inventory, self.reason)
        tombstones = (
            Tombstone(sample_key(source, id, mirrored=id != problem.id, replica=0), "", marks(source, id, credit))
            for id, problem, credit in gone
        )
        return left, tuple(tombstones)


def select(inventories: Sequence[Inventory], licenses: Collection[str], exclusions: Sequence[str]) -> Filtered:
    """Keep the pictures with these licenses (empty: all), except excluded ones.

    Args:
        licenses: short names; one without a country includes all ports; `unknown` for pictures of unknown license.
        exclusions: any names of pictures, see `schemas.keys`.
    """
    kept_licenses, excluded = frozenset(licenses), Exclusions(exclusions)
    reasons: Counter[str] = Counter()

    def verdict(source: str, id: str, credit: Credit, unknown: str = UNKNOWN_LICENSE) -> str:
        short = credit.license.short or unknown
        found = excluded.reason(source, id, credit)
        if not found and short and kept_licenses and kept_licenses.isdisjoint(families(short)):
            found = f"license {short}"
        if found:
            reasons[found] += 1
        return found

    def kept(inventory: Inventory) -> Inventory:
        if not kept_licenses and not exclusions:
            return inventory
        pictures = zip(inventory.ids, inventory.credits, strict=True)
        left_out = [row for row, (id, credit) in enumerate(pictures) if verdict(inventory.source, id, credit)]
        left = inventory.take(np.delete(np.arange(len(inventory)), left_out)) if left_out else inventory
        # An excluded picture need not be usable; one whose license is unknown due to damage stays a problem.
        return _without_problems(left, partial(verdict, unknown=""))[0]

    return Filtered(tuple(map(kept, inventories)), reasons, excluded.unused)


def _without_problems(
    inventory: Inventory, reason: Callable[[str, str, Credit], str]
) -> tuple[Inventory, list[tuple[str, LeftOut, Credit]]]:
    """Return an inventory without the unusable pictures that have a reason to be left out, and those with their ids.

    The id of a mirror is that of its original.
    """
    kept: list[tuple[str, LeftOut, Credit]] = []
    gone: list[tuple[str, LeftOut, Credit]] = []
    for problem, credit in zip(inventory.problems, inventory.problem_credits, strict=True):
        id = problem.id.removesuffix(OF_MIRROR)
        (gone if reason(inventory.source, id, credit) else kept).append((id, problem, credit))
    problems, credits = tuple(problem for _, problem, _ in kept), tuple(credit for _, _, credit in kept)
    return replace(inventory, problems=problems, problem_credits=credits), gone
