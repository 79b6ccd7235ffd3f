"""The poses of the training pictures before rebalancing, as counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Pool:
    """How many training pictures stand where, before any is copied or left undrawn; columns of length m.

    Attributes:
        datasets: names that `dataset` points into.
        dataset: int32 [m]; yaw, pitch: int32 [m], whole degrees, rounded; pictures: int64 [m], how many.
    """

    datasets: tuple[str, ...]
    dataset: NDArray[np.int32]
    yaw: NDArray[np.int32]
    pitch: NDArray[np.int32]
    pictures: NDArray[np.int64]


def count_poses(datasets: tuple[str, ...], dataset: NDArray[np.int64], poses: NDArray[np.float64]) -> Pool:
    """Counts pictures.

    Args:
        datasets: names; dataset: int64 [n], which of them a picture is of.
        poses: float64 [n, 2], yaw and pitch in radians.
    """
    rows = np.concatenate([dataset[:, None], np.rint(np.degrees(poses)).astype(np.int64)], axis=1)
    found, pictures = np.unique(rows, axis=0, return_counts=True)
    whose, yaw, pitch = (column.astype(np.int32) for column in found.T)
    return Pool(datasets, whose, yaw, pitch, pictures.astype(np.int64))
