"""FFHQ's files: pictures with numbered names, and ffhq-dataset-v2.json."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from lpff_shards.schemas.landmarks import Points
from lpff_shards.schemas.license import License, license
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources.io.json_files import JsonTable, read_points, read_table
from lpff_shards.sources.io.tree import Tree, subs
from lpff_shards.sources.join_metadata import (
    NO_TABLE,
    CreditsColumn,
    PictureCredits,
    PicturePoints,
    PointsColumn,
    join_records,
    no_points,
)

_NAME = re.compile(r"(?:.*[/\\])?(?:([0-9]{5})(_mirror)?|img([0-9]{8}))(?:\.[^./\\]*)?")


class Number(NamedTuple):  # hundreds of thousands are sorted, and tuples compare in C
    """What a picture's name says: its place in the published order, and its id.

    Attributes:
        photo: index of the photo in the published order.
        is_mirror: whether it is the mirror of that photo's picture.
        id: FFHQ's five digits, or the name of the original where only an index is left (img%08d).
        has_ffhq_id: whether `id` is FFHQ's own, by which its metadata joins.
    """

    photo: int
    is_mirror: bool
    id: str
    has_ffhq_id: bool

    @property
    def key(self) -> tuple[str, bool]:
        """What is alike in two names of one picture."""
        return self.id, self.is_mirror

    @property
    def position(self) -> int:
        """The number of an img%08d name."""
        return 2 * self.photo + self.is_mirror

    @property
    def file_name(self) -> str:
        """The name of a picture of this FFHQ id in EG3D's final_crops."""
        return f"{self.id}{'_mirror' * self.is_mirror}.png"


def number(name: str) -> Number | None:
    """Reads a picture's name: 00000.png, 00000_mirror.png, or img00000000.png (2k an original, 2k+1 its mirror)."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    id, mirror, index = match.groups()
    if id is not None:
        return Number(int(id), mirror is not None, id, True)
    photo, odd = divmod(int(index), 2)
    return Number(photo, bool(odd), f"img{2 * photo:08d}", False)


Named = tuple[Number, str, Blob]


def numbered(tree: Tree) -> tuple[list[Named], list[str]]:
    """Pictures directly in a tree and in its folders of thousands, in the published order, with relative names.

    The second list holds the names that are none of FFHQ's.
    """
    named: list[Named] = []
    strangers: list[str] = []
    for name, blob in _below(tree):
        n = number(name)
        if n is None:
            strangers.append(name)
        else:
            named.append((n, name, blob))
    return sorted(named, key=lambda item: item[:2]), strangers


def note_strangers(tree: Tree, names: list[str]) -> list[str]:
    """The note that tells of pictures passed over, if there are any."""
    return [f"{tree.where}: {len(names)} pictures are not FFHQ's by name, such as {names[0]}"] if names else []


def _below(tree: Tree) -> Iterator[tuple[str, Blob]]:
    yield from tree.files().pictures().pairs()
    for folder, inside in subs(tree, [folder for folder in tree.folders() if folder.isdigit()]):
        for name, blob in inside.files().pictures().pairs():
            yield f"{folder}/{name}", blob


class _Meta(Struct, frozen=True):
    photo_url: str | None = None
    photo_title: str | None = None
    author: str | None = None
    license: str | None = None
    license_url: str | None = None


class _AlignedImage(Struct, frozen=True):
    face_landmarks: msgspec.Raw
    pixel_size: tuple[int, int] = (0, 0)


class _Row(Struct, frozen=True):
    category: str
    metadata: _Meta


class _Points(Struct, frozen=True):
    image: _AlignedImage


_ROW = msgspec.json.Decoder(_Row)
_POINTS = msgspec.json.Decoder(_Points)


def read_records(
    blob: Blob | None, pictures: Sequence[Number], with_points: bool
) -> tuple[PictureCredits, PicturePoints, list[str]]:
    """Credits and landmarks of pictures out of ffhq-dataset-v2.json.

    Args:
        blob: the file, or None.
        with_points: read the landmarks, which are in pixels of a StyleGAN-aligned picture.

    Returns:
        In the order of the pictures; and the FFHQ ids that have no record, sorted.

    Raises:
        ShardsError: it is not that file.
    """
    rows = {id: row for row, id in enumerate(dict.fromkeys(n.id for n in pictures))}
    at = np.array([rows[n.id] for n in pictures], np.int64)
    # Few licenses are met again and again: each is told once.
    credits, points = CreditsColumn(len(rows), partial(_read_credit, cache(license))), PointsColumn(len(rows))

    def read(table: JsonTable, id: str, row: int) -> None:
        points.put(row, *_read_points(table, id))

    joined = join_records(_table(blob), rows, credits.read, *([read] if with_points else []))
    lacking = sorted({n.id for n in pictures if n.has_ffhq_id and not joined.known[rows[n.id]]})
    found = points.done(joined).spread(at) if with_points else no_points(len(pictures))
    return credits.done(joined).spread(at), found, lacking


def _table(blob: Blob | None) -> JsonTable:
    """The records by FFHQ id ("00000"); the file has them by index."""
    if blob is None:
        return NO_TABLE
    table = read_table(blob, "FFHQ's records by index")
    twice = frozenset(index.zfill(5) for index in table.twice)
    return JsonTable(table.where, {index.zfill(5): raw for index, raw in table.rows.items()}, twice)


def _read_credit(tell: Callable[[str, str], License], table: JsonTable, id: str) -> Credit:
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
        license=tell(meta.license or "", meta.license_url or ""),
        category=row.category,
    )


def _read_points(table: JsonTable, id: str) -> tuple[Points, tuple[int, int]]:
    """The landmarks of a record, and the size of the picture that they are of."""
    row = table.get(id, _POINTS)
    assert row is not None
    size = row.image.pixel_size
    if size != (0, 0) and min(size) < 1:
        raise ValueError(f"its pixel_size is {size[0]}x{size[1]}")
    points = read_points(JsonTable(table.where, {id: row.image.face_landmarks}), id)
    assert points is not None
    return points, size


def _flickr(url: str) -> list[str]:
    """The parts of https://www.flickr.com/photos/<user>/<photo>/ behind `photos`."""
    parts = url.split("/")
    return parts[parts.index("photos") + 1 :] if "flickr.com" in url and "photos" in parts else []
