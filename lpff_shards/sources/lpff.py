"""LPFF: 19,590 large-pose portraits from Flickr; ids are <user_id>_<photo_id>_<face>."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import msgspec
from msgspec import Struct

from lpff_shards.schemas.keys import photo_and_face
from lpff_shards.schemas.license import License, license
from lpff_shards.schemas.record import Credit
from lpff_shards.sources import lpff_layout
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.json_files import Table

_ID = re.compile(r"([0-9]+@N[0-9]+)_([0-9]+)(?:_[0-9]{2})?")


class _License(Struct, frozen=True):
    name: str | None = None
    url: str | None = None


class _Image(Struct, frozen=True):
    photo_id: str | None = None
    user_id: str | None = None
    photo_url: str | None = None
    username: str | None = None
    title: str | None = None
    low_resolution_download_url: str | None = None
    high_resolution_download_url: str | None = None
    license: _License | None = None


class _Info(Struct, frozen=True):
    image_info: _Image


_INFO = msgspec.json.Decoder(_Info)


@dataclass(frozen=True)
class Lpff:
    """LPFF at a path, in one alignment."""

    path: str
    alignment: str

    def inventory(self) -> Inventory:
        # Few licenses are met again and again: each is told once.
        read = partial(_read_credit, cache(license))
        return lpff_layout.read("--lpff", "lpff", self.path, self.alignment, read)


def _read_credit(tell: Callable[[str, str], License], info: Table, id: str) -> Credit:
    """The credit of an id out of LPFF's info.json; without a record, what the id itself tells.

    Args:
        tell: the license of a name and a URL.

    Raises:
        ValueError: the record is not of info.json's shape.
    """
    parts = _ID.fullmatch(id)
    user, photo = (parts[1], parts[2]) if parts else ("", photo_and_face(id)[0])
    record = info.get(id, _INFO)
    if record is None:
        return Credit(photo_id=photo, author_id=user)
    image = record.image_info
    terms = image.license or _License()
    return Credit(
        photo_id=image.photo_id or photo,
        author=image.username or "",
        author_id=image.user_id or user,
        title=image.title or "",
        source_url=image.photo_url or "",
        low_resolution_download_url=image.low_resolution_download_url or "",
        high_resolution_download_url=image.high_resolution_download_url or "",
        license=tell(terms.name or "", terms.url or ""),
    )
