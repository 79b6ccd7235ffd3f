"""The contact sheet: pictures of an export's shards or a plan's sources, on the plane of yaw by pitch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lpff_shards.errors import ShardsError
from lpff_shards.exporters.sample import ImageCache, make_sample
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, Pixels, decoded
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.planning.plan import Plan
from lpff_shards.report.facts import Counts, Facts
from lpff_shards.sidecars.sample_index import SampleIndex
from lpff_shards.storage.path import StoragePath, read_at
from lpff_shards.storage.prefetch import prefetch

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 150
"""Most pictures on a sheet."""
STEPS = (10, 15, 20, 30, 45, 60)
"""Degrees of a cell; the first with at most `MOST` pictures is used."""
WITHOUT_CAMERAS, COLUMNS = 48, 12
"""Number of pictures if no camera is known, and how many are in a row."""
SIDE = 96
"""Pixels of a picture's longer side."""
THREADS = 4
"""Decoders release Python's global lock."""


class Cell(NamedTuple):
    """A picture of the sheet: the number of its sample, and its column and row on the sheet, from 0."""

    row: int
    across: int
    down: int
    mirrored: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet.

    Attributes:
        step: degrees of a cell; 0 if no camera is known and pictures are in the order of the shards.
        yaws, pitches: middles of the columns and rows in degrees, pitch from the top down.
        cells: the cells, row by row.
    """

    step: int
    yaws: tuple[int, ...]
    pitches: tuple[int, ...]
    cells: tuple[Cell, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return max((cell.down for cell in self.cells), default=0) + 1, len(self.yaws) or COLUMNS


def sheet(facts: Facts) -> Sheet:
    """Choose for each cell of poses the sample nearest to its middle; of equally near ones the first in the shards."""
    if not facts.has_camera.any():
        # Evenly spaced along the shards.
        count = min(len(facts), WITHOUT_CAMERAS)
        places = np.arange(count)
        return Sheet(0, (), (), _cells(facts, places * len(facts) // count, places % COLUMNS, places // COLUMNS))
    seen = np.flatnonzero(facts.has_camera)
    yaw, pitch = (angles[seen] for angles in facts.degrees)
    for step in STEPS:
        # Column and row of each sample's cell; 0 is frontal, with at most 18 on either side.
        across, down = np.rint(yaw / step).astype(np.int64), np.rint(-pitch / step).astype(np.int64)
        nearest = np.argsort(np.hypot(yaw - step * across, pitch + step * down), kind="stable")
        _, first = np.unique((100 * down + across)[nearest], return_index=True)
        if len(first) <= MOST:
            break
    chosen = nearest[first]
    across, down = across[chosen], down[chosen]
    left, top = int(across.min()), int(down.min())
    yaws = tuple(range(step * left, step * (int(across.max()) + 1), step))
    pitches = tuple(range(-step * top, -step * (int(down.max()) + 1), -step))
    return Sheet(step, yaws, pitches, _cells(facts, seen[chosen], across - left, down - top))


def _cells(facts: Facts, rows: Counts, across: Counts, down: Counts) -> tuple[Cell, ...]:
    return tuple(map(Cell, rows.tolist(), across.tolist(), down.tolist(), facts.mirrored[rows].tolist()))


class Shown(NamedTuple):
    """A picture of the sheet: its sample's key, and the picture in RGB or why it cannot be shown."""

    key: str
    picture: Image | None
    problem: str = ""


Rows = Sequence[int]
FindPictures = Callable[[Rows], Sequence[Shown]]
_OF_ROWS = "sample IN (SELECT value FROM json_each(?))"


def of_plan(plan: Plan) -> FindPictures:
    """Return a function that makes the pictures of a plan's samples from the sources."""

    def make(row: int) -> Pixels:
        entry = plan.entries.entry(row, plan.keys[row])
        settings = plan.settings
        images = ImageCache([entry], settings.picture, settings.side, settings.crops)
        picture = make_sample(entry, settings, images).picture
        return _pixels(picture.data, picture.kind == "raw", picture.width, picture.height)

    return lambda rows: _all(rows, [plan.keys[row] for row in rows], make)


def of_export(root: StoragePath, manifest: Manifest, samples: SampleIndex) -> FindPictures:
    """Return a function that reads pictures of an export; only their samples are read."""
    format = get_format(manifest.format)
    raw = manifest.layout.raw

    def find(rows: Rows) -> Sequence[Shown]:
        records = dict(zip(sorted(rows), samples.records(_OF_ROWS, [json.dumps(list(rows))]), strict=True))

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
    from PIL.Image import Resampling, fromarray

    def show(wanted: tuple[int, str]) -> Shown:
        row, key = wanted
        try:
            picture = fromarray(make(row))
        except (ShardsError, FormatError, PictureError, OSError) as error:
            return Shown(key, None, error.message if isinstance(error, ShardsError) else str(error))
        picture.thumbnail((SIDE, SIDE), Resampling.LANCZOS, reducing_gap=3.0)
        return Shown(key, picture)

    return list(prefetch(show, zip(rows, keys, strict=True), THREADS))
