"""What both alignments of FFHQ share: numbered picture names, and ffhq-dataset-v2.json."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.landmarks import LANDMARKS, Points
from lpff_shards.schemas.license import License, license
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.schemas.uris import is_uri
from lpff_shards.sources.io.blobs import BrokenBlob, path_blob
from lpff_shards.sources.io.bucket_tree import named_object
from lpff_shards.sources.io.json_files import Table, read_points, read_table
from lpff_shards.sources.io.tree import Tree, subs

T = TypeVar("T")

PHOTOS = 70_000
"""Photos of the whole FFHQ."""

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


def file_blob(option: str, given: str) -> Blob:
    """The blob of a file that the user named.

    Raises:
        ShardsError: there is no such file.
    """
    if is_uri(given):
        return named_object(option, given)
    blob = path_blob(given)
    if isinstance(blob, BrokenBlob):
        raise ShardsError(f"{option} {given} {blob.reason}", "Give the file itself")
    return blob


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


class _Points(Struct, frozen=True):
    image: _Image


_ROW = msgspec.json.Decoder(_Row)
_POINTS = msgspec.json.Decoder(_Points)


@dataclass(frozen=True)
class Metadata:
    """What is kept of ffhq-dataset-v2.json, by FFHQ id ("00000").

    Attributes:
        where: the file.
        credits: author, license and photo.
        points: float32 [n, 68, 2], in pixels of a StyleGAN-aligned picture; `rows` says which row is an id's.
        sizes: width and height of that picture, 0 where its record does not tell them.
        faults: what is wrong with an id's record.
    """

    where: str
    credits: Mapping[str, Credit]
    points: NDArray[np.float32]
    sizes: Sequence[tuple[int, int]]
    rows: Mapping[str, int]
    faults: Mapping[str, str]

    def told(self, id: str) -> tuple[Credit, tuple[str, str] | None]:
        """The credit of an FFHQ id, and what is wrong with its record: the file and the reason, None for nothing."""
        return self.credits.get(id, Credit()), (self.where, self.faults[id]) if id in self.faults else None

    def note_missing(self, ids: Iterable[str]) -> list[str]:
        """The note that tells of FFHQ ids without a record, if there are any.

        Raises:
            ShardsError: none has one, so that it is another file.
        """
        every = set(ids)
        missing = sorted(id for id in every if id not in self.credits and id not in self.faults)
        if not missing:
            return []
        if len(missing) == len(every):
            told = f"--ffhq-metadata {self.where} has no record of any picture here, such as {missing[0]}"
            raise ShardsError(told, "Give FFHQ's ffhq-dataset-v2.json")
        photos = f"{len(missing)} photos, such as {missing[0]},"
        return [f"{self.where}: {photos} have no record: license and author unknown"]


def read_metadata(given: str, with_points: bool) -> Metadata:
    """Reads ffhq-dataset-v2.json, of its 255 MB only what is needed.

    Args:
        given: its path.
        with_points: keep the landmarks too.

    Raises:
        ShardsError: it is not that file.
    """
    blob = file_blob("--ffhq-metadata", given)
    credits: dict[str, Credit] = {}
    faults: dict[str, str] = {}
    rows: dict[str, int] = {}
    points: list[Points] = []
    sizes: list[tuple[int, int]] = []
    licenses: dict[tuple[str, str], License] = {}
    table = read_table(blob, "FFHQ's records by index")
    for index in table.rows:
        id = index.zfill(5)
        try:
            credits[id] = _credit(table, index, licenses)
            if with_points:
                found, size = _read_points(table, index)
                rows[id] = len(points)
                points.append(found)
                sizes.append(size)
        except ValueError as error:
            faults[id] = str(error)
    every = np.array(points, np.float32).reshape(-1, LANDMARKS, 2)
    return Metadata(blob.where, credits, every, sizes, rows, faults)


def _credit(table: Table, index: str, licenses: dict[tuple[str, str], License]) -> Credit:
    meta = _need(table.get(index, _ROW))
    names, url = (meta.metadata.license or "", meta.metadata.license_url or ""), meta.metadata.photo_url or ""
    return Credit(
        photo_id=_photo_id(url),
        author=meta.metadata.author or "",
        author_id=_author_id(url),
        title=meta.metadata.photo_title or "",
        source_url=url,
        license=licenses.setdefault(names, license(*names)),
        category=meta.category,
    )


def _read_points(table: Table, index: str) -> tuple[Points, tuple[int, int]]:
    """The landmarks of a record, and the size of the picture that they are of."""
    image = _need(table.get(index, _POINTS)).image
    if image.pixel_size != (0, 0) and min(image.pixel_size) < 1:
        raise ValueError(f"its pixel_size is {image.pixel_size[0]}x{image.pixel_size[1]}")
    return _need(read_points(Table(table.where, {index: image.face_landmarks}), index)), image.pixel_size


def _need(value: T | None) -> T:
    if value is None:
        raise ValueError("its record is empty")
    return value


def _flickr(url: str) -> list[str]:
    """The parts of https://www.flickr.com/photos/<user>/<photo>/ behind `photos`."""
    parts = url.split("/")
    return parts[parts.index("photos") + 1 :] if "flickr.com" in url and "photos" in parts else []


def _author_id(url: str) -> str:
    return "".join(_flickr(url)[:1])


def _photo_id(url: str) -> str:
    return "".join(_flickr(url)[1:2])
