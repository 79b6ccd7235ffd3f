"""The cameras of a source: read by id, then put in the order of its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.schemas import camera
from lpff_shards.sources.io.json_files import TWICE

_NUMBERS = msgspec.json.Decoder(list[float | None])
_NONE = (0.0,) * camera.CAMERA_NUMBERS


@dataclass(frozen=True)
class Cameras:
    """Cameras by id.

    Attributes:
        where: the file they are from.
        rows: id to row of `numbers`.
        numbers: float64 [n, 25].
        faults: id to the rule that its camera breaks.
    """

    where: str
    rows: Mapping[str, int]
    numbers: NDArray[np.float64]
    faults: Mapping[str, str]


NO_CAMERAS = Cameras("", {}, np.zeros((0, camera.CAMERA_NUMBERS)), {})


@dataclass(frozen=True, eq=False)
class PictureCameras:
    """Cameras in the order of a source's pictures.

    Attributes:
        where: the file they are from; such_as: the first id there, empty where there is none; count: how many it has.
        numbers: float64 [n, 25], zeros where a picture has none.
        known: bool [n], whether the file has a picture's camera.
        faults: row to the rule that its camera breaks.
        unused: how many are no picture's.
    """

    where: str
    such_as: str
    count: int
    numbers: NDArray[np.float64]
    known: NDArray[np.bool_]
    faults: Mapping[int, str]
    unused: int

    def spread(self, at: NDArray[np.int64]) -> PictureCameras:
        """The cameras of pictures of which several may share a row: `at` (int64) says which row is a picture's."""
        faults = {row: self.faults[shared] for row, shared in enumerate(at.tolist()) if shared in self.faults}
        return replace(self, numbers=self.numbers[at], known=self.known[at], faults=faults)


def of_pictures(cameras: Cameras, ids: Sequence[str]) -> PictureCameras:
    """The cameras of pictures by the ids under which their cameras stand."""
    get = cameras.rows.get
    rows = np.fromiter((get(id, -1) for id in ids), np.int64, len(ids))
    known = rows >= 0
    if known.all():
        numbers = cameras.numbers[rows]
    else:
        numbers = np.zeros((len(ids), camera.CAMERA_NUMBERS))
        numbers[known] = cameras.numbers[rows[known]]
    faults = {row: cameras.faults[id] for row, id in enumerate(ids) if id in cameras.faults} if cameras.faults else {}
    used = np.zeros(len(cameras.numbers), bool)
    used[rows[known]] = True
    unused = len(cameras.rows) - int(used.sum())
    such_as = next(iter(cameras.rows), "")
    return PictureCameras(cameras.where, such_as, len(cameras.rows), numbers, known, faults, unused)


def parse_cameras(where: str, items: Sequence[tuple[str, msgspec.Raw]]) -> Cameras:
    """Decodes and checks cameras, each a list of 25 numbers; an id that stands there twice is a fault."""
    numbers, wrong = parse_block(raw for _, raw in items)
    rows = {id: row for row, (id, _) in enumerate(items)}
    faults = {items[row][0]: reason for row, reason in wrong.items()}
    if len(rows) < len(items):
        times = Counter(id for id, _ in items)
        faults |= {id: TWICE for id in rows if times[id] > 1}
    return Cameras(where, rows, numbers, faults)


def parse_block(raws: Iterable[msgspec.Raw]) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Cameras, float64 [n, 25], each checked; zeros where one is none, and what is wrong with which."""
    found: list[Sequence[float | None]] = []
    faults: dict[int, str] = {}
    for row, raw in enumerate(raws):
        numbers: Sequence[float | None] = _NONE
        try:
            numbers = _NUMBERS.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            faults[row] = f"camera is not a list of numbers: {error}"
        if len(numbers) != camera.CAMERA_NUMBERS:
            faults[row] = f"camera has {len(numbers)} numbers, not {camera.CAMERA_NUMBERS}"
            numbers = _NONE
        found.append(numbers)
    # numpy reads null (None) as NaN, which `camera.faults` refuses.
    read = np.array(found, np.float64).reshape(-1, camera.CAMERA_NUMBERS)
    for row, reason in camera.faults(read).items():
        faults.setdefault(row, reason)
    return read, faults
