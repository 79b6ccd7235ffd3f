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
    """A picture's position in the published order and its id, read from its name.

    Attributes:
        photo: index of the photo in the published order.
        is_mirror: whether it is the mirror of that photo's picture.
        id: FFHQ's five digits, or the original's name if it contains only an index (img%08d).
        has_ffhq_id: whether `id` is FFHQ's own, as in its metadata.
    """

    photo: int
    is_mirror: bool
    id: str
    has_ffhq_id: bool

    @property
    def key(self) -> tuple[str, bool]:
        """The same for all names of one picture."""
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
    """Parse a picture's name: 00000.png, 00000_mirror.png, or img00000000.png (2k an original, 2k+1 its mirror)."""
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
    """List the pictures in a tree and in its folders of thousands, in the published order, with relative names.

    The second list contains the names that FFHQ does not use.
    """
    named: list[Named] = []
    unknown: list[str] = []
    for name, blob in _below(tree):
        n = number(name)
        if n is None:
            unknown.append(name)
        else:
            named.append((n, name, blob))
    return sorted(named, key=lambda item: item[:2]), unknown


def note_unknown_files(tree: Tree, names: list[str]) -> list[str]:
    """Return the note about ignored pictures, if there are any."""
    return [f"{tree.where}: {len(names)} pictures are ignored: FFHQ has no names such as {names[0]}"] if names else []


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
    """Read credits and landmarks of pictures from ffhq-dataset-v2.json.

    Args:
        blob: the file, or None.
        with_points: read the landmarks, in pixels of the StyleGAN-aligned picture.

    Returns:
        Both in the order of the pictures; and the FFHQ ids that have no record, sorted.

    Raises:
        ShardsError: the file has another shape.
    """
    rows = {id: row for row, id in enumerate(dict.fromkeys(n.id for n in pictures))}
    at = np.array([rows[n.id] for n in pictures], np.int64)
    # There are few licenses: each is parsed once.
    credits, points = CreditsColumn(len(rows), partial(_read_credit, cache(license))), PointsColumn(len(rows))

    def read(table: JsonTable, id: str, row: int) -> None:
        points.put(row, *_read_points(table, id))

    joined = join_records(_table(blob), rows, credits.read, *([read] if with_points else []))
    lacking = sorted({n.id for n in pictures if n.has_ffhq_id and not joined.known[rows[n.id]]})
    found = points.done(joined).spread(at) if with_points else no_points(len(pictures))
    return credits.done(joined).spread(at), found, lacking


def _table(blob: Blob | None) -> JsonTable:
    """Return the records by FFHQ id ("00000"); the file has them by index."""
    if blob is None:
        return NO_TABLE
    table = read_table(blob, "FFHQ's records by index")
    twice = frozenset(index.zfill(5) for index in table.twice)
    return JsonTable(table.where, {index.zfill(5): raw for index, raw in table.rows.items()}, twice)


def _read_credit(parse_license: Callable[[str, str], License], table: JsonTable, id: str) -> Credit:
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
        license=parse_license(meta.license or "", meta.license_url or ""),
        category=row.category,
    )


def _read_points(table: JsonTable, id: str) -> tuple[Points, tuple[int, int]]:
    """Return the landmarks of a record, and the size of their picture."""
    row = table.get(id, _POINTS)
    assert row is not None
    size = row.image.pixel_size
    if size != (0, 0) and not 1 <= min(size) <= max(size) < 2**31:
        raise ValueError(f"its pixel_size is {size[0]}x{size[1]}")
    points = read_points(JsonTable(table.where, {id: row.image.face_landmarks}), id)
    assert points is not None
    return points, size


def _flickr(url: str) -> list[str]:
    """Return the parts of https://www.flickr.com/photos/<user>/<photo>/ after `photos`."""
    parts = url.split("/")
    return parts[parts.index("photos") + 1 :] if "flickr.com" in url and "photos" in parts else []
