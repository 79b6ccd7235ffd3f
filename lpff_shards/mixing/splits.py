"""Splits that do not leak: what shares a photo or an author stays together, wherever it comes from.

A picture's group is decided by the names it carries: its author's name, or else the author's id, or else its photo, or
else its own id. Pictures that share any of these are in one group. A group's split follows from a hash of its name
alone, so more pictures never move the others, except where they show that two groups are one: a leak would be worse.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lpff_shards.mix_options import TRAIN, VALIDATION
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.inventory import Inventory

Splits = list[NDArray[np.int8]]

FFHQ_VALIDATION = "validation"
_HOSTS = {"ffhq": "flickr", "lpff": "flickr"}
"""Sources whose photos and authors are of one host, where an id means the same."""


def by_fractions(inventories: Sequence[Inventory], fractions: Sequence[tuple[str, Fraction]]) -> Splits:
    """For each inventory the split of each picture, int8 [n], an index into the fractions.

    Args:
        fractions: of the groups, by name; they add up to 1.
    """
    if len(fractions) == 1:
        return [np.zeros(len(inventory), np.int8) for inventory in inventories]
    edges = np.cumsum([share for _, share in fractions])
    groups = _groups(inventories)
    places = {group: _place(group, edges) for group in set(groups.values())}
    return [_column(places[groups[name]] for name in _own_names(inventory)) for inventory in inventories]


def _place(group: str, edges: NDArray[np.object_]) -> int:
    digest = hashlib.blake2b(group.encode("utf-8", "surrogateescape"), digest_size=8, person=b"split").digest()
    share = Fraction(int.from_bytes(digest, "little"), 2**64)
    return next(place for place, edge in enumerate(edges) if share < edge)


OFFICIAL_SPLITS = (TRAIN, VALIDATION)


def official(inventories: Sequence[Inventory]) -> tuple[Splits, list[str]]:
    """FFHQ's own split for its pictures, indices into `OFFICIAL_SPLITS`, and notes.

    Other sources' pictures train, unless their author or photo is in FFHQ's validation part. FFHQ's parts themselves
    share authors, which a note counts.
    """
    groups = _groups(inventories)
    parts: dict[str, set[bool]] = {}
    unknown = 0
    for inventory in inventories:
        if inventory.source == "ffhq":
            unknown += sum(not credit.category for credit in inventory.credits)
            for name, credit in zip(_own_names(inventory), inventory.credits, strict=True):
                parts.setdefault(groups[name], set()).add(credit.category == FFHQ_VALIDATION)
    splits = [
        _column(
            credit.category == FFHQ_VALIDATION if inventory.source == "ffhq" else True in parts.get(groups[name], ())
            for name, credit in zip(_own_names(inventory), inventory.credits, strict=True)
        )
        for inventory in inventories
    ]
    return splits, list(_official_notes(parts, unknown))


def without_author(inventory: Inventory) -> int:
    """Number of pictures whose author is not known."""
    return sum(not (credit.author.strip() or credit.author_id) for credit in inventory.credits)


def _official_notes(parts: Mapping[str, set[bool]], unknown: int) -> Iterator[str]:
    crossing = sum(len(found) == 2 for found in parts.values())
    if crossing:
        yield f"--splits official: {crossing} authors have photos in both of FFHQ's parts, as FFHQ was split"
    if unknown:
        yield f"--splits official: {unknown} FFHQ pictures have no record of their part and train"


def _column(values: Iterator[int] | Iterator[bool]) -> NDArray[np.int8]:
    return np.fromiter(values, np.int8)


def _own_names(inventory: Inventory) -> Iterator[str]:
    """A name of each picture's very own; a picture and its mirror share it."""
    return (f"picture {inventory.source} {id}" for id in inventory.ids)


def _names(inventory: Inventory) -> Iterator[tuple[str, ...]]:
    """All names of each picture that tie it to others, from the one that decides its group to its own."""
    host = _HOSTS.get(inventory.source, inventory.source)
    for own, credit in zip(_own_names(inventory), inventory.credits, strict=True):
        yield (*_shared_names(host, credit), own)


def _shared_names(host: str, credit: Credit) -> Iterator[str]:
    if author := _alike(credit.author):
        yield f"author {host} {author}"
    if credit.author_id:
        yield f"author_id {host} {credit.author_id}"
    if credit.photo_id:
        yield f"photo {host} {credit.photo_id}"


def _alike(author: str) -> str:
    """A name without what differs between two spellings of it: letter case, and how accents are encoded."""
    return unicodedata.normalize("NFC", author.strip()).casefold()


def _groups(inventories: Sequence[Inventory]) -> dict[str, str]:
    """Each picture's own name to the name of its group, the first of the group's names of the most telling kind."""
    leads: dict[str, str] = {}

    def lead(name: str) -> str:
        path = []
        while (above := leads.setdefault(name, name)) != name:
            path.append(name)
            name = above
        leads.update(dict.fromkeys(path, name))
        return name

    for inventory in inventories:
        for names in _names(inventory):
            found = sorted({lead(name) for name in names}, key=_rank)
            leads.update(dict.fromkeys(found[1:], found[0]))
    return {name: lead(name) for inventory in inventories for name in _own_names(inventory)}


def _rank(name: str) -> tuple[int, str]:
    return ("author", "author_id", "photo", "picture").index(name.partition(" ")[0]), name
