"""The contact sheet: which pictures it shows, and where on the plane of yaw by pitch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpff_shards.report.facts import Facts

MOST = 150
"""Pictures on a sheet, at most."""
STEPS = (10, 15, 20, 30, 45, 60)
"""Degrees of a cell; the first that leaves few enough pictures is taken."""
WITHOUT_CAMERAS = 48


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture of the sheet.

    Attributes:
        row: which sample.
        yaw, pitch: of it, in degrees.
        across, down: where it stands on the sheet, from 0.
    """

    row: int
    yaw: float
    pitch: float
    across: int
    down: int
    mirrored: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet.

    Attributes:
        step: degrees of a cell; 0 where no camera is known and pictures stand in the order of the shards.
        yaws, pitches: middles of the columns and rows in degrees, pitch from the top down.
        cells: row by row.
    """

    step: int
    yaws: tuple[int, ...]
    pitches: tuple[int, ...]
    cells: tuple[Cell, ...]

    @property
    def columns(self) -> int:
        """How many pictures stand side by side."""
        return len(self.yaws) or 12


def sheet(facts: Facts) -> Sheet:
    """Of each cell of poses the sample nearest to its middle, the first in the shards of those equally near."""
    if not facts.has_camera.any():
        return _in_order(facts)
    steps = ((step, _nearest(facts, step)) for step in STEPS)
    step, (rows, across, down) = next(found for found in steps if len(found[1][0]) <= MOST or found[0] == STEPS[-1])
    left, top = int(across.min()), int(down.min())
    yaw, pitch = facts.degrees
    cells = tuple(
        Cell(row, float(yaw[row]), float(pitch[row]), column - left, line - top, bool(facts.mirrored[row]))
        for row, column, line in zip(rows.tolist(), across.tolist(), down.tolist(), strict=True)
    )
    yaws = tuple(step * column for column in range(left, int(across.max()) + 1))
    pitches = tuple(-step * line for line in range(top, int(down.max()) + 1))
    return Sheet(step, yaws, pitches, cells)


def _nearest(facts: Facts, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The chosen samples, row by row of the sheet, and the columns and rows that they stand in (0 is frontal)."""
    seen = np.flatnonzero(facts.has_camera)
    yaw, pitch = (angles[seen] for angles in facts.degrees)
    across, down = np.rint(yaw / step).astype(np.int64), np.rint(-pitch / step).astype(np.int64)
    off = np.hypot(yaw - step * across, pitch + step * down)
    order = np.lexsort((seen, off, across, down))
    places = np.stack([down, across])[:, order]
    first = np.append(True, (np.diff(places, axis=1) != 0).any(axis=0))
    chosen = order[first]
    return seen[chosen], across[chosen], down[chosen]


def _in_order(facts: Facts) -> Sheet:
    """Samples evenly along the shards."""
    count = min(len(facts), WITHOUT_CAMERAS)
    rows: Sequence[int] = (np.arange(count) * len(facts) // max(count, 1)).tolist()
    cells = tuple(Cell(row, 0.0, 0.0, i % 12, i // 12, bool(facts.mirrored[row])) for i, row in enumerate(rows))
    return Sheet(0, (), (), cells)
