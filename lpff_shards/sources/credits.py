"""The records of the data sets' metadata files: credits of photos, and FFHQ's landmarks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from lpff_shards.schemas.columns import Structs
from lpff_shards.schemas.keys import photo_and_face
from lpff_shards.schemas.license import PEXELS, UNKNOWN, UNSPLASH, License, license
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources.ffhq_labels import Number
from lpff_shards.sources.io.json_files import (
    NO_TABLE,
    Fault,
    JsonTable,
    PicturePoints,
    Sized,
    decode_points,
    decode_record,
    join_credits,
    join_points,
    read_table,
)

_ID = re.compile(r"([0-9]+@N[0-9]+)_([0-9]+)(?:_[0-9]{2})?")


class _License(Struct, frozen=True):
    name: str | None = None
    url: str | None = None


class _ImageInfo(Struct, frozen=True):
    photo_id: str | None = None
    user_id: str | None = None
    photo_url: str | None = None
    username: str | None = None
    title: str | None = None
    low_resolution_download_url: str | None = None
    high_resolution_download_url: str | None = None
    license: _License | None = None


class _Info(Struct, frozen=True):
    image_info: _ImageInfo


_INFO = msgspec.json.Decoder(_Info)


def read_info(info: JsonTable, id: str) -> Credit:
    """Return an id's credit from LPFF's info.json; without a record, from the id itself."""
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
        license=license(terms.name or "", terms.url or ""),
    )


_URL = msgspec.json.Decoder(str)
_HOSTS = {
    **dict.fromkeys(("unsplash.com", "images.unsplash.com"), UNSPLASH),
    **dict.fromkeys(("pexels.com", "images.pexels.com"), PEXELS),
}


def read_url(info: JsonTable, id: str) -> Credit:
    """Return the credit of an id; the URL's host gives its license."""
    url = info.get(id, _URL) or ""
    return Credit(photo_id=photo_and_face(id)[0], source_url=url, license=_license(url))


def _license(url: str) -> License:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        raise ValueError(f"its record is not a URL: {url!r}") from None
    # Other hosts have other licenses, for example plus.unsplash.com.
    return _HOSTS.get(host, UNKNOWN) if parts.scheme in ("http", "https") else UNKNOWN


class _Meta(Struct, frozen=True):
    photo_url: str | None = None
    photo_title: str | None = None
    author: str | None = None
    license: str | None = None
    license_url: str | None = None


class _Image(Struct, frozen=True):
    face_landmarks: msgspec.Raw
    pixel_size: tuple[int, int] = (0, 0)


class _Row(Struct, frozen=True):
    category: str
    metadata: _Meta


class _Aligned(Struct, frozen=True):
    image: _Image


class _InTheWild(Struct, frozen=True):
    image: _Image = field(name="in_the_wild")


_ROW = msgspec.json.Decoder(_Row)
_POINTS: Mapping[str, msgspec.json.Decoder[Any]] = {
    "stylegan": msgspec.json.Decoder(_Aligned),
    "raw": msgspec.json.Decoder(_InTheWild),
}
"""Reads the record of the picture with landmarks, by alignment; EG3D's crops have none."""


def read_records(
    blob: Blob | None, pictures: Sequence[Number], alignment: str, exact: bool
) -> tuple[Structs[Credit], PicturePoints, dict[int, Fault], list[str]]:
    """Read credits and landmarks of pictures from ffhq-dataset-v2.json.

    Args:
        alignment: of the pictures; the landmarks are in pixels of the picture of that alignment.
        exact: whether landmarks are read in float64, not float32.

    Returns:
        Both in the order of the pictures; row to the fault of its record; and the FFHQ ids without a record, sorted.

    Raises:
        ShardsError: the file has another shape.
    """
    ids, table = [n.id for n in pictures], NO_TABLE
    if blob is not None:
        # The file has the records by index.
        found = read_table(blob, "FFHQ's records by index")
        twice = frozenset(index.zfill(5) for index in found.twice)
        table = JsonTable(found.where, {index.zfill(5): raw for index, raw in found.rows.items()}, twice)
    credits, faults, missing = join_credits(table, ids, _read_credit)
    with_points = alignment in _POINTS
    read_points = partial(_read_points, decoder=_POINTS[alignment], exact=exact) if with_points else None
    points = join_points(table if with_points else NO_TABLE, ids, read_points, exact)
    lacking = sorted({ids[row] for row in missing if pictures[row].has_ffhq_id})
    return credits, points, {**points.faults, **faults}, lacking


def _read_credit(table: JsonTable, id: str) -> Credit:
    row = table.get(id, _ROW)
    if row is None:
        return Credit()
    meta, url = row.metadata, row.metadata.photo_url or ""
    author, photo = ([*_flickr(url), "", ""])[:2]
    return Credit(
        photo_id=photo,
        author=meta.author or "",
        author_id=author,
        title=meta.photo_title or "",
        source_url=url,
        license=license(meta.license or "", meta.license_url or ""),
        category=row.category,
    )


def _read_points(raw: msgspec.Raw, decoder: msgspec.json.Decoder[Any], exact: bool) -> Sized:
    image: _Image = decode_record(raw, decoder).image
    size = image.pixel_size
    if size != (0, 0) and not 1 <= min(size) <= max(size) < 2**31:
        raise ValueError(f"its pixel_size is {size[0]}x{size[1]}")
    return decode_points(image.face_landmarks, exact), size


def _flickr(url: str) -> list[str]:
    """Return the parts of https://www.flickr.com/photos/<user>/<photo>/ after `photos`."""
    parts = url.split("/")
    return parts[parts.index("photos") + 1 :] if "flickr.com" in url and "photos" in parts else []
