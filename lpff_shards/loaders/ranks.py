"""Rank and world size of this process: both numbers from one source, never mixed."""

from __future__ import annotations

import os
from typing import NamedTuple

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.sampler import refuse_below, refuse_odd_rank

TORCHRUN = ("RANK", "WORLD_SIZE")
# Not SLURM_NTASKS: it counts the tasks of the job, even in a batch script, which is one process.
SRUN = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
LAUNCHERS = (
    TORCHRUN,  # DeepSpeed and Accelerate set them too
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),  # MVAPICH2
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI
    SRUN,
    ("PMIX_RANK", "PMIX_SIZE"),  # PMIx sets only the first; Open MPI and srun complete it
)
"""Variables for rank and world size, by launcher; a launcher that others start comes before them."""

LOCAL_RANKS = ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
"""Variables for a process's number on its node."""

_HINT = "Give rank and world_size"

Pair = tuple[int, int]


class Place(NamedTuple):
    """Rank of a process, from 0, and world size; and the source of both numbers."""

    rank: int
    world_size: int
    source: str


def rank_and_world_size(rank: int | None, world_size: int | None, joined: Pair | None) -> Pair:
    """Return rank and world size of this process.

    Args:
        rank, world_size: of the user; a single one must equal the number in the source of the other.
        joined: of the framework's process group; None without a group.

    Returns:
        The user's numbers, else `joined`, else those of the first of `LAUNCHERS` in the environment, else 0 of 1.

    Raises:
        ShardsError: a number is out of range or differs from its source's, or the environment has only one of two.
    """
    if rank is None or world_size is None:
        found = Place(*joined, "the joined processes") if joined else _launched()
        for name, value, least in (("rank", rank, 0), ("world_size", world_size, 1)):
            if value is None:
                continue
            refuse_below(name, value, least)
            if found is None and (name, value) != ("world_size", 1):
                raise ShardsError(
                    f"{name} {value} was given alone, and no launcher has set the other", f"{_HINT}, both"
                )
            if found is not None and value != getattr(found, name):
                reason = f"{name} {value} was given, but it is {getattr(found, name)} by {found.source}"
                raise ShardsError(reason, f"{_HINT}, both")
        rank, world_size = (found.rank, found.world_size) if found else (0, 1)
    refuse_odd_rank(rank, world_size)
    return rank, world_size


def refuse_joined_since(made: Pair | None, joined: Pair | None) -> None:
    """Raise ShardsError for a loader that was made before its process joined others, and would read another's share.

    Args:
        made: what the loader found; None if the user gave both numbers.
    """
    if made is not None and joined is not None and joined != made:
        raise ShardsError(
            "the loader was made as rank {} of {}, and the process is now rank {} of {}".format(*made, *joined),
            f"Make it after the processes have joined. Or: {_HINT.lower()}",
        )


def _launched() -> Place | None:
    """Return the place by the first launcher that set both variables; those of other launchers must agree."""
    place, halves = None, []
    for names in LAUNCHERS:
        rank, world_size = _number(names[0]), _number(names[1])
        if names == TORCHRUN and rank is None and world_size is not None:
            rank = _rank_by_node()
        if rank is not None and world_size is not None:
            place = Place(rank, world_size, f"{' and '.join(names)} of the environment")
            break
        # In a batch script SLURM sets only PROCID, to 0; any other process is one of several.
        if world_size is not None or (rank is not None and (names != SRUN or rank > 0)):
            halves.append((names, (rank, world_size)))
    if place and place.rank >= place.world_size:
        raise ShardsError(f"rank {place.rank} of {place.world_size} is out of range, by {place.source}", _HINT)
    # One process needs no rank, so a size of 1 is enough.
    allowed = ((None, 1),) if place is None else ((place.rank, None), (None, place.world_size))
    for names, half in halves:
        if half not in allowed:
            here, gone = (1, 0) if half[0] is None else (0, 1)
            by_node = " (or NODE_RANK, LOCAL_RANK and LOCAL_WORLD_SIZE)" if names[gone] == "RANK" else ""
            raise ShardsError(
                f"{names[here]} is {half[here]} in the environment, and {names[gone]} is missing",
                f"Set {names[gone]}{by_node}. Or: {_HINT.lower()}",
            )
    for name in LOCAL_RANKS if place is None else ():
        # Not the first process of its node, so one of several.
        if local := _number(name):
            raise ShardsError(
                f"{name} is {local} in the environment, and the rank among all processes is unknown",
                f"Set {' and '.join(TORCHRUN)}. Or: {_HINT.lower()}",
            )
    return place


def _rank_by_node() -> int | None:
    """Return the rank by the node's number and the process's number on it, set by Lightning; None without them."""
    node, local, each = _number("NODE_RANK"), _number("LOCAL_RANK"), _number("LOCAL_WORLD_SIZE")
    node = _number("GROUP_RANK") if node is None else node
    if node is None or local is None or (each is not None and local >= each):
        return None
    if node == 0:
        # Needs no LOCAL_WORLD_SIZE, which Lightning does not set.
        return local
    return None if each is None else node * each + local


def _number(name: str) -> int | None:
    """Return a number from the environment; None if the variable is missing."""
    text = os.environ.get(name)
    if text is not None and not text.isdecimal():
        raise ShardsError(f"{name} is {text!r} in the environment", f"It is a whole number. Or: {_HINT.lower()}")
    return None if text is None else int(text)
