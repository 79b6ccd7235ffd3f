"""Read batches of a source, mirror them with cameras and landmarks, and label them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.pictures.decoding import Pixels
from lpff_shards.loaders.channels import mirror_channels, names_of
from lpff_shards.loaders.recycler import Take
from lpff_shards.loaders.sampler import SampleOrder
from lpff_shards.loaders.source import ShardSource
from lpff_shards.schemas import camera, landmarks


def mirror_batch(batch: dict[str, Any], flips: NDArray[np.bool_], channels_last: bool) -> None:
    """Mirror some samples of a batch in place.

    Args:
        batch: of `ShardSource.batch`; its fields `yaw` and `mirrored` change too.
        flips: bool [n], the samples to mirror.
        channels_last: whether images are [n, height, width, 3].
    """
    images = batch["image"] if channels_last else np.moveaxis(batch["image"], -3, -1)
    rows, width = np.flatnonzero(flips), images.shape[2]
    for row in rows.tolist():
        _flip(images[row])
    mirrors: dict[str, Callable[[NDArray[np.float32]], NDArray[Any]]] = {
        "camera": lambda cameras: camera.mirror(cameras.astype(np.float64)),
        "landmarks": lambda points: landmarks.mirror(points, width),
    }
    for name in mirrors.keys() & batch.keys() if len(rows) else ():
        # Zeros mean unknown and stay zeros.
        known = rows[batch[name][rows].reshape(len(rows), -1).any(axis=1)]
        batch[name][known] = mirrors[name](batch[name][known])
    if "yaw" in batch:
        batch["yaw"][rows] *= -1
    if "mirrored" in batch:
        batch["mirrored"][rows] ^= True


def _flip(pixels: Pixels) -> None:
    original = pixels.copy()
    # A channel at a time is three times as fast as whole pixels, which are too short for block copies.
    for channel in range(pixels.shape[2]):
        pixels[..., channel] = original[:, ::-1, channel]


def load_batch(
    source: ShardSource,
    order: SampleOrder,
    fields: Sequence[str] = (),
    labels: bool = False,
    take: Take | None = None,
) -> Any:
    """Return a batch of a source, with the samples of `order.flips` mirrored; `take` is that of `ShardSource.batch`.

    Returns:
        The dict of `ShardSource.batch`. With `labels` a tuple, as training loops unpack it: images, EG3D's conditioning
        vectors, float32 [n, 25] (the cameras, or [n, 0] in a data set without cameras), and a dict of any fields and
        channels.
    """
    batch = source.batch(order.indices, fields, take)
    mirror_batch(batch, order.flips, source.order == "last")
    mirror_channels(batch, source.channels, order.flips, source.order == "last")
    if not labels:
        return batch
    vectors = batch["camera"] if "camera" in batch else np.zeros((len(batch["index"]), 0), np.float32)
    wanted = {name: batch[name] for name in (*fields, *names_of(source.channels))}
    return (batch["image"], vectors, wanted) if wanted else (batch["image"], vectors)


def map_arrays(convert: Callable[[NDArray[Any]], Any], batch: Any) -> Any:
    """Return a batch with its arrays converted; lists of strings are unchanged."""
    return map_parts(lambda part: convert(part) if isinstance(part, np.ndarray) else part, batch)


def map_parts(convert: Callable[[Any], Any], batch: Any) -> Any:
    """Return a batch with its parts converted: arrays, lists of strings, and what stands for them."""
    if isinstance(batch, dict):
        return {name: map_parts(convert, value) for name, value in batch.items()}
    if isinstance(batch, tuple):
        return tuple(map_parts(convert, value) for value in batch)
    return convert(batch)
