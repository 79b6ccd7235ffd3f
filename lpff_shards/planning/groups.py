"""Groups of pictures that share an author or a photo, wherever they come from.

A picture's group is decided by the names it carries: its author's name, or else the author's id, or else its photo, or
else its own id. Pictures that share any of these are in one group, which is called by the first of its names.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from lpff_shards.schemas.record import Credit
from lpff_shards.sources.inventory import Inventory

_HOSTS = {"ffhq": "flickr", "lpff": "flickr"}
"""Sources whose photos and authors are of one host, where an id means the same."""


def own_names(inventory: Inventory) -> Iterator[str]:
    """A name of each picture's very own; a picture and its mirror share it."""
    return (f"picture {inventory.source} {id}" for id in inventory.ids)


def groups(inventories: Sequence[Inventory]) -> dict[str, str]:
    """Each picture's own name to the name of its group."""
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
    return {name: lead(name) for inventory in inventories for name in own_names(inventory)}


def _rank(name: str) -> tuple[int, str]:
    return ("author", "author_id", "photo", "picture").index(name.partition(" ")[0]), name


def _names(inventory: Inventory) -> Iterator[tuple[str, ...]]:
    """All names that tie each picture to others.

    Pictures that cannot be used tie as others do, so that mending or dropping one moves nothing.
    """
    host = _HOSTS.get(inventory.source, inventory.source)
    for own, credit in zip(own_names(inventory), inventory.credits, strict=True):
        yield (*_shared_names(host, credit), own)
    for credit in inventory.problem_credits:
        if shared := tuple(_shared_names(host, credit)):
            yield shared


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
