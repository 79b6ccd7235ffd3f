"""Filters: which pictures of an inventory are used at all, by license and by exclusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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


class Exclusions:
    """The pictures that are excluded by their names, and which of the names were met.

    Args:
        given: any names of pictures, see `schemas.keys`.
        met: names that are known to name a picture.
    """

    def __init__(self, given: Sequence[str], met: Iterable[str] = ()) -> None:
        self._given = given
        self._wanted = Wanted(given)
        self._met = set(met)

    @property
    def unused(self) -> tuple[str, ...]:
        """The names that no picture bore so far."""
        return tuple(name for name in self._given if name not in self._met)

    def reason(self, source: str, id: str, credit: Credit) -> str:
        """Why a picture is excluded, empty where it is not."""
        found = self._wanted.of(source, id, credit) if self._wanted else ()
        if not found:
            return ""
        self._met.update(name for _, name in found)
        kinds = {kind for kind, _ in found}
        return [reason for kind, reason in _REASONS.items() if kind in kinds][-1]

    def rows(self, inventory: Inventory) -> NDArray[np.bool_]:
        """Which pictures are excluded, bool [n]."""
        pictures = zip(inventory.ids, inventory.credits, strict=True)
        found = (bool(self.reason(inventory.source, id, credit)) for id, credit in pictures)
        return np.fromiter(found, bool, len(inventory))

    def withdrawn_problems(self, inventory: Inventory) -> tuple[Inventory, tuple[Tombstone, ...]]:
        """An inventory less the pictures that could not be used and are excluded, and what is left of those."""
        source = inventory.source
        gone = tuple(
            Tombstone(sample_key(source, id, mirrored=id != problem.id, replica=0), "", marks(source, id, credit))
            for problem, id, credit in _problems(inventory)
            if self.reason(source, id, credit)
        )
        return _less_problems(inventory, self.reason), gone


def select(inventories: Sequence[Inventory], licenses: Collection[str], exclusions: Sequence[str]) -> Filtered:
    """Keeps the pictures of these licenses (all, if none is named), less the excluded ones.

    Args:
        licenses: short names, without a place for all ports too; `unknown` for pictures whose license is not known.
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
        # A picture that is left out need not be usable; one whose license its damage hides stays a problem.
        return _less_problems(left, partial(verdict, unknown=""))

    return Filtered(tuple(map(kept, inventories)), reasons, excluded.unused)


def _less_problems(inventory: Inventory, reason: Callable[[str, str, Credit], str]) -> Inventory:
    """An inventory less the pictures that could not be used and for which there is a reason to leave them out."""
    kept = [
        (problem, credit) for problem, id, credit in _problems(inventory) if not reason(inventory.source, id, credit)
    ]
    return replace(inventory, problems=tuple(p for p, _ in kept), problem_credits=tuple(credit for _, credit in kept))


def _problems(inventory: Inventory) -> Iterator[tuple[LeftOut, str, Credit]]:
    """The pictures that could not be used, each with its id, also where it is its mirror, and its credit."""
    for problem, credit in zip(inventory.problems, inventory.problem_credits, strict=True):
        yield problem, problem.id.removesuffix(OF_MIRROR), credit
