"""Unsplash-Pexels: 19,321 portraits; ids are <slug>_<face>, info.json maps them to the photo's URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from lpff_shards.schemas.keys import photo_and_face
from lpff_shards.schemas.licence import PEXELS, UNKNOWN, UNSPLASH, Licence
from lpff_shards.schemas.record import Credit
from lpff_shards.sources import portraits
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.jsonfiles import Table

_URL = msgspec.json.Decoder(str)


@dataclass(frozen=True)
class UnsplashPexels:
    """Unsplash-Pexels at a path, in one alignment."""

    path: str
    alignment: str

    def inventory(self) -> Inventory:
        return portraits.read("--unsplash-pexels", "unsplash_pexels", self.path, self.alignment, read_credit)


def read_credit(info: Table, id: str) -> Credit:
    """The credit of an id: its host, and so its licence, is told from the URL.

    Raises:
        ValueError: the record is not a URL.
    """
    url = info.get(id, _URL) or ""
    return Credit(photo_id=photo_and_face(id)[0], source_url=url, licence=_licence(url))


def _licence(url: str) -> Licence:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        raise ValueError(f"its record is not a URL: {url!r}") from None
    for name, licence in (("unsplash.com", UNSPLASH), ("pexels.com", PEXELS)):
        if host == name or host.endswith(f".{name}"):
            return licence
    return UNKNOWN
