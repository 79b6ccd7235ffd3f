"""The few pictures that a report shows, read from an export or made from a plan's sources."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.exporters.image_cache import ImageCache
from lpff_shards.exporters.sample import make_sample
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, Pixels, decoded
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.planning.plan import Plan
from lpff_shards.sidecars.sample_index.read import Ledger
from lpff_shards.storage.path import Place, read_at
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
_OF_ROWS = "sample IN (SELECT value FROM json_each(?))"


def of_plan(plan: Plan) -> Pictures:
    """The pictures that a plan's samples will have, made from the sources."""

    def make(row: int) -> Pixels:
        entry = plan.entries.entry(row, plan.keys[row])
        settings = plan.settings
        picture = make_sample(entry, settings, ImageCache([entry], settings.picture, settings.side)).picture
        return _pixels(picture.data, picture.kind == "raw", picture.width, picture.height)

    return lambda rows: _all(rows, [plan.keys[row] for row in rows], make)


def of_export(root: Place, manifest: Manifest, ledger: Ledger) -> Pictures:
    """The pictures of an export, of which their samples alone are read."""
    format = get_format(manifest.format)
    raw = manifest.layout.raw

    def find(rows: Rows) -> Sequence[Shown]:
        records = dict(zip(sorted(rows), ledger.records(_OF_ROWS, [json.dumps(list(rows))]), strict=True))

        def read(row: int) -> Pixels:
            one = records[row]
            sample = read_at(root / one.file, one.offset, one.bytes)
            if len(sample) < one.bytes:
                raise ShardsError(f"{root / one.file} is cut short")
            data = format.picture_bytes(sample, one.offset, one.picture_bytes, raw)
            return _pixels(data, raw, int(one.fields["width"]), int(one.fields["height"]))

        return _all(rows, [str(records[row].fields["key"]) for row in rows], read)

    return find


def _pixels(data: bytes, raw: bool, width: int, height: int) -> Pixels:
    if not raw:
        return decoded(data)
    if len(data) != width * height * 3:
        raise FormatError(f"its raw picture is {len(data)} bytes, not of {width}x{height}")
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


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
