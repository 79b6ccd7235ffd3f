"""FFHQ ids of pictures that are named by position: told by their cameras, since all published poses are distinct."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.sources.cameras import Cameras
from lpff_shards.sources.ffhq_files import Number, number

ENOUGH = 0.999
"""Share of the cameras that must stand in the file that tells the ids."""


@dataclass(frozen=True)
class Told:
    """FFHQ's numbers of labels that are named by position.

    Attributes:
        ids: the cameras by FFHQ id that tell them.
        numbers: FFHQ's number of each label.
        strangers, ties: labels whose camera is not in that file; or is several pictures'.
        share: of the labels whose camera is one picture's, 0 to 1.
    """

    ids: Cameras
    numbers: Mapping[str, Number]
    strangers: int
    ties: int
    share: float

    @property
    def is_enough(self) -> bool:
        """Whether the two files are of one set."""
        return self.share >= ENOUGH

    def figure(self) -> str:
        """How well they fit, for errors and notes."""
        share = f"tells {self.share:.1%} of the pictures by their cameras"
        return f"{self.ids.where} {share}, and FFHQ's ids need {ENOUGH:.1%}"

    def demand(self) -> Told:
        """Raises ShardsError where the two files are not of one set."""
        if not self.is_enough:
            raise ShardsError(self.figure(), "Give the dataset.json of the final_crops that these pictures are from")
        return self

    def note(self) -> str:
        """What was told, and what was not."""
        if not self.is_enough:
            return f"{self.figure()}: it is passed over"
        note = f"{self.ids.where}: cameras tell the FFHQ ids of {len(self.numbers)} pictures"
        if not self.strangers and not self.ties:
            return note
        return f"{note}; {self.strangers} cameras are not in it, {self.ties} are several pictures'"


def told_by_cameras(own: Cameras, names: Sequence[str], ids: Cameras) -> Told:
    """FFHQ's numbers of labels, by cameras whose 25 numbers are the same in float32.

    Where the camera of a picture or of its mirror alone is found, it tells both.

    Args:
        own: cameras by names of position.
        names: of these, the ones to tell.
        ids: cameras by FFHQ id.
    """
    here = _sound(own, names)
    there = [name for name in _sound(ids, ids.rows) if (n := number(name)) and n.has_ffhq_id]
    both = [_bytes(cameras, some) for cameras, some in ((own, here), (ids, there))]
    distinct, group = np.unique(np.concatenate(both), return_inverse=True)
    group_here, group_there = np.split(group.reshape(-1), [len(here)])
    count_here, count_there = (np.bincount(g, minlength=len(distinct)) for g in (group_here, group_there))
    of_group = np.full(len(distinct), -1)
    of_group[group_there] = np.arange(len(there))
    of_group[(count_here != 1) | (count_there != 1)] = -1
    rows = of_group[group_here]
    strangers = int((count_there[group_here] == 0).sum())
    found = {name: _number(there[row]) for name, row in zip(here, rows.tolist(), strict=True) if row >= 0}
    ties = len(here) - strangers - len(found)
    return Told(ids, _by_pairs(names, found), strangers, ties, len(found) / max(len(here), 1))


def _sound(cameras: Cameras, names: Sequence[str] | Mapping[str, int]) -> list[str]:
    return [name for name in names if name in cameras.rows and name not in cameras.faults]


def _bytes(cameras: Cameras, names: Sequence[str]) -> NDArray[np.void]:
    """The 25 numbers of each as one value that compares whole: void [n]."""
    rows = np.fromiter((cameras.rows[name] for name in names), np.int64, len(names))
    # Minus zero, which mirroring makes, is zero.
    numbers = cameras.numbers[rows].astype(np.float32) + np.float32(0)
    return np.ascontiguousarray(numbers).view(np.dtype((np.void, 4 * CAMERA_NUMBERS))).reshape(-1)


def _number(label: str) -> Number:
    n = number(label)
    assert n is not None
    return n


def _by_pairs(names: Sequence[str], found: Mapping[str, Number]) -> dict[str, Number]:
    """Numbers of both pictures of a pair, where one is told or the two agree."""
    pairs: dict[str, list[tuple[bool, str]]] = {}
    for name in names:
        if n := number(name):
            pairs.setdefault(n.id, []).append((n.is_mirror, name))
    return dict(item for pair in pairs.values() for item in _told_pair(pair, found))


def _told_pair(pair: list[tuple[bool, str]], found: Mapping[str, Number]) -> Iterator[tuple[str, Number]]:
    # Whether FFHQ's original stands first is told, not taken for granted.
    told = {(n.photo, n.id, n.is_mirror != odd) for odd, name in pair if (n := found.get(name))}
    if len(told) == 1:
        photo, id, turned = told.pop()
        yield from ((name, Number(photo, odd != turned, id, True)) for odd, name in pair)
