"""Names of a zip's pictures, the lists of them that LPFF's forks read, and the pictures of the forks' snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lpff_shards.planning.entries import Entries
from lpff_shards.planning.plan import NameList
from lpff_shards.schemas.archive import FORK_LISTS, SNAPSHOT_PICTURES, SNAPSHOTS, picture_stem
from lpff_shards.schemas.camera import yaw_pitch


def picture_stems(entries: Entries) -> list[str]:
    """The name of each entry's picture, less its suffix: pictures are numbered from 0, copies share the number."""
    columns = np.stack([entries.source.astype(np.int64), entries.row, entries.flip.astype(np.int64)])
    is_first = np.ones(len(entries), bool)
    is_first[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    numbers = (np.cumsum(is_first) - 1).tolist()
    return [picture_stem(number, copy) for number, copy in zip(numbers, entries.replica.tolist(), strict=True)]


def list_members(lists: Iterable[NameList]) -> Iterator[str]:
    """The members that hold lists, each with its snapshot's where the forks look for one."""
    for one in lists:
        yield f"{one.name}.json"
        if _has_snapshot(one):
            yield f"{one.name}{SNAPSHOTS}"


def list_lines(
    lists: Iterable[NameList], names: Sequence[str], entries: Entries
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each of these members with its items as JSON.

    Args:
        names: of the pictures, with their suffix; they are in the order in which the forks sort them.
        entries: of the pictures, in the same order.
    """
    centres, known = entries.centres()
    yaw = np.where(known, yaw_pitch(centres)[:, 0], 0.0)
    for one in lists:
        at = np.repeat(np.arange(len(names)), one.times)
        yield f"{one.name}.json", (b'"%b"' % names[row].encode() for row in at.tolist())
        if _has_snapshot(one):
            yield f"{one.name}{SNAPSHOTS}", (b"%d" % index for index in snapshot(yaw[at]).tolist())


def snapshot(yaw: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which 16 names of a list a snapshot shows: from the least yaw to the largest, at equal shares of the list.

    Args:
        yaw: of each name, float64 [n], n at least 1; a list of fewer than 16 names repeats some.

    Returns:
        int64 [16], indices into the list.
    """
    order = np.argsort(yaw, kind="stable")
    return order[(2 * np.arange(SNAPSHOT_PICTURES) + 1) * len(yaw) // (2 * SNAPSHOT_PICTURES)]


def _has_snapshot(one: NameList) -> bool:
    return one.name in FORK_LISTS and bool(one.times.any())
