"""The few pictures that a report shows, read from an export or made from a plan's sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.exporters.image_cache import ImageCache
from lpff_shards.exporters.sample import make_sample
from lpff_shards.formats.containers.zip import Member, members
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, Pixels, decoded
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders.source import ShardSource
from lpff_shards.manifest import Manifest
from lpff_shards.planning.plan import Plan
from lpff_shards.sidecars.sample_index.read import Ledger
from lpff_shards.storage.path import Place, whole
from lpff_shards.storage.prefetch import ahead

THREADS = 4
"""Decoders let go of Python's lock."""


class Shown(NamedTuple):
    """A picture: the key of its sample, its pixels uint8 [height, width, 3], or why they cannot be shown."""

    key: str
    pixels: Pixels | None
    problem: str = ""


Rows = Sequence[int]
Pictures = Callable[[Rows], Sequence[Shown]]
"""Finds the pictures of samples by their numbers."""


def of_plan(plan: Plan) -> Pictures:
    """The pictures that a plan's samples will have, made from the sources."""

    def make(row: int) -> Pixels:
        entry = plan.entries.entry(row, plan.keys[row])
        settings = plan.settings
        picture = make_sample(entry, settings, ImageCache([entry], settings.picture, settings.side)).picture
        if picture.kind == "raw":
            return np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3)
        return decoded(picture.data)

    return lambda rows: _all(rows, [plan.keys[row] for row in rows], make)


def of_export(root: Place, manifest: Manifest, ledger: Ledger) -> Pictures:
    """The pictures of an export, read from its shards."""

    def find(rows: Rows) -> Sequence[Shown]:
        keys = _keys(ledger, rows)
        try:
            return _all(
                rows, keys, _of_shards(root) if get_format(manifest.format).spans() else _of_zips(root, manifest)
            )
        except (ShardsError, OSError) as error:
            # What keeps one from opening the export at all is told by each picture, and the rest of the report stays.
            return [Shown(key, None, _told(error)) for key in keys]

    return find


def _keys(ledger: Ledger, rows: Rows) -> list[str]:
    marks = ",".join("?" * len(rows))
    found = dict(ledger.rows(f"SELECT sample, key FROM samples WHERE sample IN ({marks})", (int, str), rows))
    return [found[row] for row in rows]


def _all(rows: Rows, keys: Sequence[str], make: Callable[[int], Pixels]) -> Sequence[Shown]:
    def show(wanted: tuple[int, str]) -> Shown:
        row, key = wanted
        try:
            return Shown(key, make(row))
        except (ShardsError, FormatError, PictureError, OSError) as error:
            return Shown(key, None, _told(error))

    return list(ahead(show, zip(rows, keys, strict=True), THREADS))


def _told(error: Exception) -> str:
    return error.message if isinstance(error, ShardsError) else str(error)


def _of_shards(root: Place) -> Callable[[int], Pixels]:
    source = ShardSource(root, split=None)

    def read(row: int) -> Pixels:
        pixels: Pixels = source[row]["image"]
        return pixels

    return read


def _of_zips(root: Place, manifest: Manifest) -> Callable[[int], Pixels]:
    ends = np.cumsum([shard.samples for shard in manifest.shards])
    opened = [_Zip(root / shard.file) for shard in manifest.shards]

    def read(row: int) -> Pixels:
        shard = int(np.searchsorted(ends, row, side="right"))
        return opened[shard].picture(row - int(ends[shard]) + manifest.shards[shard].samples)

    return read


class _Zip:
    """The pictures of a zip by their numbers."""

    def __init__(self, path: Place) -> None:
        self._path = path
        self._data: memoryview | None = None
        self._members: Sequence[Member] = ()
        self._problem = ""
        try:
            self._data = whole(path)
            self._members = list(members(self._data))
        except (OSError, FormatError) as error:
            self._problem = f"{path}: {error}"

    def picture(self, number: int) -> Pixels:
        """One of them.

        Raises:
            ShardsError: the zip is damaged.
        """
        if self._data is None or self._problem or number >= len(self._members):
            raise ShardsError(self._problem or f"{self._path} is cut short")
        return decoded(bytes(self._members[number].read(self._data)))


def thumbnails(found: Sequence[Shown], side: int) -> Iterator[bytes]:
    """Each picture within a square of `side` pixels as WebP; empty where it cannot be shown."""
    import io

    from PIL import Image

    for shown in found:
        if shown.pixels is None:
            yield b""
            continue
        image = Image.fromarray(shown.pixels)
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
        out = io.BytesIO()
        image.save(out, "WEBP", quality=82, method=4)
        yield out.getvalue()
