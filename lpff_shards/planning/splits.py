"""Splits without leaks: pictures that share an author or a photo form a group and stay in one split.

Pictures with the same author's name, author's id, photo or own id are in one group, named after the first of these. A
group's split depends only on a hash of its name, so adding pictures does not move others, unless the new pictures join
two groups: a leak would be worse. Filtered pictures still join groups, so leaving pictures out moves nothing either.
"""

from __future__ import annotations

import hashlib
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from lpff_shards.options.mix import TRAIN, VALIDATION
from lpff_shards.schemas.record import Credit
from lpff_shards.schemas.sources import known_specs
from lpff_shards.sources.inventory import Inventory

Splits = list[NDArray[np.int8]]

OFFICIAL_SPLITS = (TRAIN, VALIDATION)
OFFICIAL_TRAINING, OFFICIAL_VALIDATION = "training", "validation"


def by_fractions(
    inventories: Sequence[Inventory], fractions: Sequence[tuple[str, Fraction]], everything: Sequence[Inventory]
) -> Splits:
    """Return for each inventory the split of each picture, int8 [n], an index into the fractions of the groups.

    Args:
        everything: the inventories before filtering.
    """
    if len(fractions) == 1:
        return [np.zeros(len(inventory), np.int8) for inventory in inventories]
    edges = list(accumulate(share for _, share in fractions))
    group_of = _groups(everything)

    def place(group: str) -> int:
        digest = hashlib.blake2b(group.encode("utf-8", "surrogateescape"), digest_size=8, person=b"split").digest()
        return bisect_right(edges, Fraction(int.from_bytes(digest, "little"), 2**64))

    places = {group: place(group) for group in set(group_of.values())}
    return [
        np.fromiter((places[group_of[name]] for name in _own_names(inventory)), np.int8, len(inventory))
        for inventory in inventories
    ]


def official(inventories: Sequence[Inventory], everything: Sequence[Inventory]) -> tuple[Splits, list[str]]:
    """Return FFHQ's own split for its pictures, indices into `OFFICIAL_SPLITS`, and notes.

    Other sources' pictures are training, unless their author or photo is in FFHQ's validation part.
    """
    group_of = _groups(everything)
    divided = {spec.name for spec in known_specs(inventory.source for inventory in everything) if spec.has_splits}
    validated = {
        group_of[name]
        for inventory in everything
        if inventory.source in divided
        for name, credit in zip(_own_names(inventory), inventory.credits, strict=True)
        if credit.category == OFFICIAL_VALIDATION
    }
    splits = []
    for inventory in inventories:
        if inventory.source in divided:
            validates = [credit.category == OFFICIAL_VALIDATION for credit in inventory.credits]
        else:
            validates = [group_of[name] in validated for name in _own_names(inventory)]
        splits.append(np.array(validates, np.int8))
    return splits, [note for one in inventories if one.source in divided for note in _official_notes(one)]


def _official_notes(inventory: Inventory) -> Iterator[str]:
    title = known_specs([inventory.source])[0].title
    parts: dict[str, set[str]] = {}
    for credit in inventory.credits:
        parts.setdefault(credit.author_id or credit.author, set()).add(credit.category)
    crossing = sum({OFFICIAL_TRAINING, OFFICIAL_VALIDATION} <= found for author, found in parts.items() if author)
    if crossing:
        yield f"--splits official: {crossing} authors have photos in both of {title}'s parts, as {title} was split"
    unknown = sum(credit.category not in (OFFICIAL_TRAINING, OFFICIAL_VALIDATION) for credit in inventory.credits)
    if unknown:
        yield f"--splits official: {unknown} {title} pictures have no record of their part and train"


def note_unknown(inventories: Sequence[Inventory]) -> Iterator[str]:
    """Yield a note on possible leaks: the number of pictures without a known author, and without a known photo."""
    credits = [
        credit
        for inventory in inventories
        for credit, is_mirror in zip(inventory.credits, inventory.is_mirror.tolist(), strict=True)
        if not is_mirror and not (credit.author.strip() or credit.author_id)
    ]
    if credits:
        photos = sum(not credit.photo_id for credit in credits)
        of_photos = f", for {photos} of them not even the photo" if photos else ""
        yield (
            f"--splits: the author of {len(credits)} pictures is not known{of_photos}, so others by the same may be in "
            "another split"
        )


def _own_names(inventory: Inventory) -> Iterator[str]:
    """Yield a unique name of each picture; a picture and its mirror share it."""
    return (f"picture {inventory.source} {id}" for id in inventory.ids)


def _groups(inventories: Sequence[Inventory]) -> dict[str, str]:
    """Return the group of each picture, by the picture's own name."""
    leads: dict[str, str] = {}

    def lead(name: str) -> str:
        path = []
        while (above := leads.setdefault(name, name)) != name:
            path.append(name)
            name = above
        leads.update(dict.fromkeys(path, name))
        return name

    def join(names: Iterable[str]) -> None:
        found = {lead(name) for name in names}
        # The kind of a name comes first in it: the alphabet puts authors before photos, and these before pictures.
        leads.update(dict.fromkeys(found, min(found, default="")))

    for inventory in inventories:
        host = next((spec.host for spec in known_specs([inventory.source]) if spec.host), inventory.source)
        for own, credit in zip(_own_names(inventory), inventory.credits, strict=True):
            join((*_shared_names(host, credit), own))
        # Unusable pictures connect others too, so fixing or removing one moves nothing.
        for credit in inventory.problem_credits:
            join(_shared_names(host, credit))
    return {name: lead(name) for inventory in inventories for name in _own_names(inventory)}


def _shared_names(host: str, credit: Credit) -> Iterator[str]:
    """Yield the names that connect a picture to others; an author's letter case and encoding of accents are ignored."""
    if author := unicodedata.normalize("NFC", credit.author.strip()).casefold():
        yield f"author {host} {author}"
    if credit.author_id:
        yield f"author_id {host} {credit.author_id}"
    if credit.photo_id:
        yield f"photo {host} {credit.photo_id}"
