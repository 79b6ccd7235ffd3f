"""Mirroring samples of a batch left to right: picture, camera, landmarks and fields together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.pictures.decoding import Pixels
from lpff_shards.schemas import camera, landmarks


def mirror_batch(
    batch: dict[str, Any], flips: NDArray[np.bool_], channels_last: bool, flip: Callable[[Pixels], None]
) -> None:
    """Mirrors some samples of a batch, as `ShardSource.batch` makes it, in place.

    Args:
        batch: with its fields, of which `yaw` changes its sign and `mirrored` its value.
        flips: bool [n], which samples.
        channels_last: whether images are [n, height, width, 3].
        flip: mirrors a picture [height, width, 3] in place, as `flip_picture` does.
    """
    rows = np.flatnonzero(flips)
    if not len(rows):
        return
    images = batch["image"] if channels_last else np.moveaxis(batch["image"], -3, -1)
    width = images.shape[2]
    for row in rows.tolist():
        flip(images[row])
        # What is unknown is zeros, and stays so.
        if "camera" in batch and batch["camera"][row].any():
            batch["camera"][row] = camera.mirror(batch["camera"][row][None].astype(np.float64))[0]
        if "landmarks" in batch and batch["landmarks"][row].any():
            batch["landmarks"][row] = landmarks.mirror(batch["landmarks"][row], width)
    if "yaw" in batch:
        batch["yaw"][rows] *= -1
    if "mirrored" in batch:
        batch["mirrored"][rows] ^= True


def flip_picture(pixels: Pixels) -> None:
    """Mirrors a picture [height, width, 3] in place."""
    original = pixels.copy()
    # A channel at a time: three times as fast as pixels, which are too short to be copied as such.
    for channel in range(pixels.shape[2]):
        pixels[..., channel] = original[:, ::-1, channel]
