"""Global arrays out of each process's batches, and which part of them a process loads."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.loaders import ranks
from lpff_shards.loaders.sampler import Equal

_HINT = "It splits the first axis alone, as NamedSharding(mesh, PartitionSpec('data')) does"


def placed(rank: int | None, world_size: int | None, sharding: jax.sharding.Sharding | None) -> tuple[int, int]:
    """Rank and world size: as a sharding has it, else as given, else jax.distributed's, else a launcher's, else 0 of 1.

    See `ranks.placed`. Numbers that are given with a sharding must be those of the sharding.

    Raises:
        ShardsError: what was given is not what the sharding needs.
    """
    if sharding is None:
        return ranks.placed(rank, world_size, joined())
    found = part(sharding)
    for name, value, needed in zip(("rank", "world_size"), (rank, world_size), found, strict=True):
        if value not in (None, needed):
            raise ShardsError(
                f"{name} {value} does not fit the sharding, in which this process has part {found[0]} of {found[1]}",
                "Leave rank and world_size out: the sharding decides them",
            )
    return found


def joined() -> tuple[int, int] | None:
    """Rank and world size of the processes that jax.distributed has joined; None where it has joined none."""
    return (jax.process_index(), jax.process_count()) if jax.distributed.is_initialized() else None


def part(sharding: jax.sharding.Sharding) -> tuple[int, int]:
    """Which part of a batch's rows this process holds, and how many parts there are.

    Processes that hold the same rows (of a model that is spread over them) share a part.

    Raises:
        ShardsError: the sharding splits more than the first axis, or its parts overlap or are not equal.
    """
    count = len(sharding.device_set)
    try:
        indices = sharding.devices_indices_map((count,))
    except (ValueError, IndexError):
        raise ShardsError(f"{sharding} cannot split batches", _HINT) from None
    rows: dict[int, set[int]] = {}
    for device, index in indices.items():
        rows.setdefault(device.process_index, set()).update(range(count)[index[0]])
    parts = sorted({frozenset(held) for held in rows.values()}, key=min)
    mine = rows.get(jax.process_index())
    if mine is None or sum(map(len, parts)) != count or len({len(held) for held in parts}) > 1:
        raise ShardsError(f"{sharding} gives processes rows that overlap, uneven parts or none", _HINT)
    return parts.index(frozenset(mine)), len(parts)


class GlobalArrays:
    """Makes global arrays of batches: each process's part becomes its rows of them.

    Args:
        sharding: of the arrays' first axis.
        batch_size: of one part.
        world_size: how many parts there are.
        equal: how the epoch is cut, see `sampler.EpochSampler`.

    Raises:
        ShardsError: batches would not all be full, or do not divide among the sharding's devices.
    """

    def __init__(self, sharding: jax.sharding.Sharding, batch_size: int, world_size: int, equal: Equal | None) -> None:
        if equal is None:
            raise ShardsError("equal=None does not fill all batches, as a sharding needs", "Take equal='pad' or 'drop'")
        self._sharding = sharding
        self._rows = batch_size * world_size
        try:
            sharding.shard_shape((self._rows,))
        except ValueError as error:
            raise ShardsError(
                f"{world_size} x {batch_size} samples do not divide among the sharding's devices: {error}",
                "Take a batch_size that does",
            ) from None

    def __call__(self, batch: Any) -> Any:
        """Global arrays of shape [world_size * batch_size, ...] for a batch's arrays; other values are unchanged."""
        if isinstance(batch, dict):
            return {name: self(value) for name, value in batch.items()}
        if isinstance(batch, tuple):
            return tuple(map(self, batch))
        if not isinstance(batch, np.ndarray):
            return batch
        shape = (self._rows, *batch.shape[1:])
        return jax.make_array_from_process_local_data(self._sharding, _as_jax_takes(batch), shape)


def _as_jax_takes(array: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in 32 bits, unless jax_enable_x64 is set."""
    if array.dtype != np.int64 or jax.config.jax_enable_x64:
        return np.asarray(array)
    narrow = array.astype(np.int32)
    if (narrow != array).any():
        raise ShardsError("a whole number takes more than 32 bits", "Set jax_enable_x64")
    return narrow
