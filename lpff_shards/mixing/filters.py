"""Filters: which pictures of an inventory are used at all, by licence and by exclusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas.licence import UNKNOWN_LICENCE
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.build import OF_MIRROR
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.portraits import photo_and_face

BY_ID, BY_PHOTO, BY_USER = "excluded by id", "excluded by photo", "excluded by user"


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


def select(inventories: Sequence[Inventory], licences: Collection[str], exclusions: Sequence[str]) -> Filtered:
    """Keeps the pictures of these licences (all, if none is named), less the excluded ones.

    Args:
        licences: short names, `unknown` for pictures whose licence is not known.
        exclusions: source ids (of a face or, without its number, of its photo), photo ids or user ids.
    """
    kept_licences = frozenset(licences)
    excluded = frozenset(exclusions)
    reasons: Counter[str] = Counter()
    used: set[str] = set()
    kept = []
    for inventory in inventories:
        left_out = dict(_verdicts(inventory, kept_licences, excluded, used))
        reasons.update(left_out.values())
        rows = np.delete(np.arange(len(inventory)), list(left_out))
        left = inventory.take(rows) if left_out else inventory
        kept.append(_less_problems(left, kept_licences, excluded, used, reasons))
    return Filtered(tuple(kept), reasons, tuple(name for name in exclusions if name not in used))


def _verdicts(
    inventory: Inventory, licences: frozenset[str], excluded: frozenset[str], used: set[str]
) -> Iterator[tuple[int, str]]:
    """The rows of the pictures that are left out, each with the reason."""
    if not licences and not excluded:
        return
    for row, (id, credit) in enumerate(zip(inventory.ids, inventory.credits, strict=True)):
        if reason := _verdict(id, credit, licences, excluded, used):
            yield row, reason


def excluded_rows(inventory: Inventory, exclusions: Sequence[str], used: set[str]) -> NDArray[np.bool_]:
    """Which pictures these ids, photo ids or user ids name, bool [n]; the ones that name any are added to `used`."""
    excluded = frozenset(exclusions)
    pictures = zip(inventory.ids, inventory.credits, strict=True)
    found = (_exclusion(id, credit.photo_id, credit.author_id, excluded, used) for id, credit in pictures)
    return np.fromiter((bool(reason) for reason in found), bool, len(inventory))


def _verdict(id: str, credit: Credit, licences: frozenset[str], excluded: frozenset[str], used: set[str]) -> str:
    """Why a picture is left out, empty where it is kept."""
    if excluded and (reason := _exclusion(id, credit.photo_id, credit.author_id, excluded, used)):
        return reason
    short = credit.licence.short or UNKNOWN_LICENCE
    return f"licence {short}" if licences and short not in licences else ""


def _exclusion(id: str, photo_id: str, user_id: str, excluded: frozenset[str], used: set[str]) -> str:
    reason = ""
    for name, why in ((user_id, BY_USER), (photo_id, BY_PHOTO), (photo_and_face(id)[0], BY_PHOTO), (id, BY_ID)):
        if name and name in excluded:
            used.add(name)
            reason = why
    return reason


def _less_problems(
    inventory: Inventory, licences: frozenset[str], excluded: frozenset[str], used: set[str], reasons: Counter[str]
) -> Inventory:
    """A picture that is left out need not be usable; one whose licence its damage hides stays a problem."""
    kept = []
    for problem, credit in zip(inventory.problems, inventory.problem_credits, strict=True):
        told = licences if credit.licence.short else frozenset()
        reason = _verdict(problem.id.removesuffix(OF_MIRROR), credit, told, excluded, used)
        reasons.update([reason] if reason else [])
        kept += [] if reason else [(problem, credit)]
    return replace(inventory, problems=tuple(p for p, _ in kept), problem_credits=tuple(credit for _, credit in kept))
