"""LPFF (19,590 large-pose portraits from Flickr) and Unsplash-Pexels (19,321), published in one layout."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from urllib.parse import urlsplit

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.options.declaration import flag
from lpff_shards.schemas.columns import Texts
from lpff_shards.schemas.crops import SIDES
from lpff_shards.schemas.keys import nfc, photo_and_face
from lpff_shards.schemas.license import PEXELS, UNKNOWN, UNSPLASH, License, license
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.build import usable
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.files import Files
from lpff_shards.sources.io.json_files import (
    NO_TABLE,
    JsonTable,
    ReadCredit,
    join_credits,
    join_points,
    read_cameras,
    read_table,
)
from lpff_shards.sources.lpff_crops import MEASURED, describe
from lpff_shards.sources.lpff_layout import CAMERAS, INFO, LANDMARKS, Located, locate, missing

_ID = re.compile(r"([0-9]+@N[0-9]+)_([0-9]+)(?:_[0-9]{2})?")
_PREVIEWS = ("_eg3d", "_stylegan")
_PREVIEW = re.compile(r"(.+)_(eg3d|stylegan)")


@dataclass(frozen=True)
class Lpff:
    """LPFF at a path, in one alignment; ids are <user_id>_<photo_id>_<face>."""

    path: str
    alignment: str

    def inventory(self) -> Inventory:
        # There are few licenses: each is parsed once.
        return _read("lpff", self.path, self.alignment, partial(_read_info, cache(license)))


@dataclass(frozen=True)
class UnsplashPexels:
    """Unsplash-Pexels at a path, in one alignment; ids are <slug>_<face>, info.json maps them to the photo's URL."""

    path: str
    alignment: str

    def inventory(self) -> Inventory:
        return _read("unsplash_pexels", self.path, self.alignment, _read_url)


def _read(source: str, given: str, alignment: str, read_credit: ReadCredit) -> Inventory:
    """Build the inventory of a data set in this layout.

    Args:
        source: name of the source.
        given: the path: the data set's folder, a flat folder of crops, or a zip of either.
        alignment: eg3d, stylegan, realign2400 or raw.
        read_credit: returns an id's credit from the info table.

    Raises:
        ShardsError: such pictures are missing, or a metadata file cannot be read.
    """
    option = flag(source)
    place = locate(option, given, alignment)
    notes = list(missing(place, alignment))
    ids, files = _faces(place) if alignment == "raw" else _crops(place.pictures, alignment)
    if not ids:
        raise ShardsError(f"{option} {given} contains no {alignment} pictures", "Give another --alignment or path")
    blobs = place.pictures.blobs.take(files)
    cameras, known, camera_file = read_cameras(_table(place, CAMERAS, "25 numbers by id")).of(ids)
    points = join_points(_table(place, LANDMARKS.get(alignment, ""), "68 landmarks by id"), ids)
    realigned = points
    if alignment != "realign2400":
        realigned = join_points(_table(place, LANDMARKS["realign2400"], "68 landmarks by id"), ids)
    hidden = (points if alignment in MEASURED else realigned).faults
    credits, faults, lacking = join_credits(_table(place, INFO, "credits by id"), ids, read_credit, hidden)
    cameras, own, points, lost = describe(alignment, blobs, cameras, known, points, realigned)
    notes += lost
    if INFO in place.metadata and lacking:
        text = f"{len(lacking)} of {len(ids)} pictures have no author or license record"
        notes.append(f"{place.metadata[INFO].where}: {text}: license and author unknown")
    every = Inventory(
        source=source,
        alignment=alignment,
        ids=Texts.of(ids),
        blobs=blobs,
        credits=credits,
        faces=np.fromiter((photo_and_face(id)[1] for id in ids), np.int32, len(ids)),
        is_mirror=np.zeros(len(ids), bool),
        cameras=cameras,
        has_camera=known,
        own_camera=own,
        landmarks=points.numbers,
        landmark_rows=points.rows,
        landmark_sizes=points.sizes,
        places=np.full(len(ids), -1),
        landmarks_source="published" if alignment in MEASURED else "computed",
        notes=tuple(notes),
    )
    inventory = usable(every, camera_file, {**faults, **points.faults})
    return replace(inventory, notes=(*inventory.notes, *_odd_size(place, alignment, inventory.typical_size)))


def _odd_size(place: Located, alignment: str, size: tuple[int, int]) -> Iterator[str]:
    """Yield a note if the crops have the published size of another alignment."""
    others = [other for other, side in SIDES.items() if size == (side, side) and other != alignment]
    if others and alignment not in MEASURED:
        yield (
            f"{place.where}: its pictures are {size[0]}x{size[1]}, as {others[0]} crops are published; "
            f"--alignment is {alignment}"
        )


def _table(place: Located, name: str, expected: str) -> JsonTable:
    """Read a metadata file; return an empty table if it is missing."""
    return read_table(place.metadata[name], expected) if name in place.metadata else NO_TABLE


def _crops(pictures: Files, alignment: str) -> tuple[list[str], NDArray[np.int64]]:
    """Return the crops' ids, sorted, and the picture's row of each.

    The suffix `_eg3d` or `_stylegan` of a preview is its alignment, and not part of its id.
    """
    ids: list[str] = []
    rows: list[int] = []
    for row, name in enumerate(pictures.names):
        stem = name[: name.rfind(".")]
        preview = _PREVIEW.fullmatch(stem) if stem.endswith(_PREVIEWS) else None
        if preview is None or preview[2] == alignment:
            ids.append(nfc(preview[1] if preview else stem))
            rows.append(row)
    return _in_order(ids, rows)


def _faces(place: Located) -> tuple[list[str], NDArray[np.int64]]:
    """Return the ids of the faces of photos, sorted, and the picture's row of each.

    The metadata list the faces; a face's id contains its photo's.
    """
    faces: dict[str, set[str]] = defaultdict(set)
    for name in (CAMERAS, INFO, LANDMARKS["raw"]):
        for id in _table(place, name, "records by id").rows:
            faces[photo_and_face(id)[0]].add(id)
    ids: list[str] = []
    rows: list[int] = []
    for row, name in enumerate(place.pictures.names):
        photo = nfc(posixpath.splitext(name)[0])
        # A photo without metadata stays one picture under its own name, so that it is not lost silently.
        own = faces.get(photo, {photo})
        ids += own
        rows += [row] * len(own)
    return _in_order(ids, rows)


def _in_order(ids: list[str], rows: list[int]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the ids sorted, and their rows."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return [ids[at] for at in order], np.array(rows, np.int64)[order]


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


def _read_info(parse_license: Callable[[str, str], License], info: JsonTable, id: str) -> Credit:
    """Return an id's credit from LPFF's info.json; without a record, from the id itself.

    Args:
        parse_license: returns the license of a name and a URL.

    Raises:
        ValueError: the record does not have info.json's shape.
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
        license=parse_license(terms.name or "", terms.url or ""),
    )


_URL = msgspec.json.Decoder(str)
_HOSTS = {
    **dict.fromkeys(("unsplash.com", "images.unsplash.com"), UNSPLASH),
    **dict.fromkeys(("pexels.com", "images.pexels.com"), PEXELS),
}


def _read_url(info: JsonTable, id: str) -> Credit:
    """Return the credit of an id; the URL's host gives its license.

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
    # Other hosts have other licenses, for example plus.unsplash.com.
    return _HOSTS.get(host, UNKNOWN) if parts.scheme in ("http", "https") else UNKNOWN
