"""Global arrays from each process's batches, and the part that each process loads."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.loaders import ranks
from lpff_shards.loaders.sampler import Equal

_HINT = "Split only the first axis, as NamedSharding(mesh, PartitionSpec('data')) does"


def rank_and_world_size(
    rank: int | None, world_size: int | None, sharding: jax.sharding.Sharding | None
) -> tuple[int, int]:
    """Return rank and world size: the sharding's, else those given, else jax.distributed's, a launcher's, or 0 of 1.

    See `ranks.rank_and_world_size`. Numbers that are given with a sharding must equal those of the sharding.

    Raises:
        ShardsError: a number differs from the sharding's.
    """
    if sharding is None:
        return ranks.rank_and_world_size(rank, world_size, joined())
    own = part(sharding)
    for name, value, needed in zip(("rank", "world_size"), (rank, world_size), own, strict=True):
        if value not in (None, needed):
            raise ShardsError(
                f"{name} {value} does not fit the sharding, in which this process has part {own[0]} of {own[1]}",
                "Leave rank and world_size out: the sharding sets them",
            )
    return own


def joined() -> tuple[int, int] | None:
    """Return rank and world size of jax.distributed; None if it is not initialized."""
    return (jax.process_index(), jax.process_count()) if jax.distributed.is_initialized() else None


def part(sharding: jax.sharding.Sharding) -> tuple[int, int]:
    """Return the part of a batch's rows that this process holds, and the number of parts.

    Processes that hold the same rows (those of one model spread over them) share a part.

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
        raise ShardsError(f"{sharding} gives processes overlapping or uneven rows, or none", _HINT)
    return parts.index(frozenset(mine)), len(parts)


class GlobalArrays:
    """Turn batches into global arrays: each process's batch becomes its rows.

    Args:
        sharding: of the arrays' first axis.
        batch_size: of one part.
        world_size: number of parts.
        equal: see `sampler.EpochSampler`.

    Raises:
        ShardsError: batches would not all be full, or cannot be divided among the sharding's devices.
    """

    def __init__(self, sharding: jax.sharding.Sharding, batch_size: int, world_size: int, equal: Equal | None) -> None:
        if equal is None:
            raise ShardsError("equal=None does not fill all batches of a sharding", "Use equal='pad' or 'drop'")
        self._sharding = sharding
        self._rows = batch_size * world_size
        try:
            sharding.shard_shape((self._rows,))
        except ValueError as error:
            raise ShardsError(
                f"{world_size} x {batch_size} samples cannot be divided among the sharding's devices: {error}",
                "Use a batch_size that the devices divide",
            ) from None

    def __call__(self, batch: Any) -> Any:
        """Return a batch with its arrays as global ones [world_size * batch_size, ...]; other values are unchanged."""
        if isinstance(batch, dict):
            return {name: self(value) for name, value in batch.items()}
        if isinstance(batch, tuple):
            return tuple(map(self, batch))
        if not isinstance(batch, np.ndarray):
            return batch
        shape = (self._rows, *batch.shape[1:])
        return jax.make_array_from_process_local_data(self._sharding, _as_jax_takes(batch), shape)


def _as_jax_takes(array: NDArray[Any]) -> NDArray[Any]:
    """Return integers in 32 bits, unless jax_enable_x64 is set."""
    if array.dtype != np.int64 or jax.config.jax_enable_x64:
        return np.asarray(array)
    narrow = array.astype(np.int32)
    if (narrow != array).any():
        raise ShardsError("an integer needs more than 32 bits", "Set jax_enable_x64")
    return narrow
