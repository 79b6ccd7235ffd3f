"""FFHQ's files: pictures with numbered names, and ffhq-dataset-v2.json."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

import msgspec
from msgspec import Struct

from lpff_shards.schemas.columns import Structs
from lpff_shards.schemas.license import License, license
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources.io.json_files import (
    NO_TABLE,
    Fault,
    JsonTable,
    PicturePoints,
    Sized,
    decode_points,
    join_credits,
    join_points,
    read_table,
)
from lpff_shards.sources.io.tree import Tree, subs

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
) -> tuple[Structs[Credit], PicturePoints, dict[int, Fault], list[str]]:
    """Read credits and landmarks of pictures from ffhq-dataset-v2.json.

    Args:
        blob: the file, or None.
        with_points: read the landmarks, in pixels of the StyleGAN-aligned picture.

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
    # There are few licenses: each is parsed once.
    credits, faults, missing = join_credits(table, ids, partial(_read_credit, cache(license)))
    points = join_points(table if with_points else NO_TABLE, ids, _read_points)
    lacking = sorted({ids[row] for row in missing if pictures[row].has_ffhq_id})
    return credits, points, {**points.faults, **faults}, lacking


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


def _read_points(table: JsonTable, id: str) -> Sized | None:
    row = table.get(id, _POINTS)
    if row is None:
        return None
    size = row.image.pixel_size
    if size != (0, 0) and not 1 <= min(size) <= max(size) < 2**31:
        raise ValueError(f"its pixel_size is {size[0]}x{size[1]}")
    return decode_points(row.image.face_landmarks), size


def _flickr(url: str) -> list[str]:
    """Return the parts of https://www.flickr.com/photos/<user>/<photo>/ after `photos`."""
    parts = url.split("/")
    return parts[parts.index("photos") + 1 :] if "flickr.com" in url and "photos" in parts else []
