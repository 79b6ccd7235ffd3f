"""Unsplash-Pexels: 19,321 portraits; ids are <slug>_<face>, info.json maps them to the photo's URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from lpff_shards.schemas.keys import photo_and_face
from lpff_shards.schemas.license import PEXELS, UNKNOWN, UNSPLASH, License
from lpff_shards.schemas.record import Credit
from lpff_shards.sources import lpff_layout
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.json_files import Table

_URL = msgspec.json.Decoder(str)
_HOSTS = {
    **dict.fromkeys(("unsplash.com", "images.unsplash.com"), UNSPLASH),
    **dict.fromkeys(("pexels.com", "images.pexels.com"), PEXELS),
}


@dataclass(frozen=True)
class UnsplashPexels:
    """Unsplash-Pexels at a path, in one alignment."""

    path: str
    alignment: str

    def inventory(self) -> Inventory:
        return lpff_layout.read("--unsplash-pexels", "unsplash_pexels", self.path, self.alignment, read_credit)


def read_credit(info: Table, id: str) -> Credit:
    """The credit of an id: its host, and so its license, is told from the URL.

    Raises:
        ValueError: the record is not a URL.
    """
    url = info.get(id, _URL) or ""
    return Credit(photo_id=photo_and_face(id)[0], source_url=url, license=_license(url))


def _license(url: str) -> License:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        raise ValueError(f"its record is not a URL: {url!r}") from None
    # Other hosts of theirs have other licenses: plus.unsplash.com, for one.
    return _HOSTS.get(host, UNKNOWN) if parts.scheme in ("http", "https") else UNKNOWN
