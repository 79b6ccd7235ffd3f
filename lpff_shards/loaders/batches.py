"""Drawn batches of a source, mirrored and labelled as a pipeline was asked to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import blake3
import numpy as np
from numpy.typing import NDArray

from lpff_shards.loaders.draws import Draw, Sampling
from lpff_shards.loaders.mirroring import flip_picture, mirror_batch
from lpff_shards.loaders.rows import Rows
from lpff_shards.loaders.source import ShardSource, kinds_of
from lpff_shards.wire.decoding import Pixels


class Batches:
    """Makes batches of a source's samples. Picklable; safe in threads and forked processes, as its source is.

    Args:
        source: of the samples.
        fields: metadata fields that batches hold.
        flip: mirrors a picture in place.

    Raises:
        ShardsError: a field is not known.
    """

    def __init__(
        self, source: ShardSource, fields: Sequence[str] = (), flip: Callable[[Pixels], None] = flip_picture
    ) -> None:
        self.source = source
        self._fields = tuple(kinds_of(fields))
        self._flip = flip

    def load(self, draw: Draw) -> dict[str, Any]:
        """A batch, see `ShardSource.batch`, its samples mirrored where the draw says so."""
        batch = self.source.batch(draw.indices, self._fields)
        mirror_batch(batch, draw.flips, self.source.channels == "last", self._flip)
        return batch


def signature(source: ShardSource, drawing: Sampling | Rows, workers: int = 0) -> str:
    """A text that two pipelines share only if they draw the same batches.

    Args:
        drawing: how they are drawn.
        workers: processes that load, where the order or the state depends on them.
    """
    options = [
        f"{field.name}={getattr(drawing, field.name)!r}"
        for field in dataclasses.fields(drawing)
        if field.name != "weights"
    ]
    shards = [shard.keys for shard in source.shards]
    told = [
        type(drawing).__name__,
        source.manifest.plan,
        *shards,
        *options,
        str(drawing.weights is not None),
        str(workers),
    ]
    return blake3.blake3("\n".join(told).encode()).hexdigest(length=16)


def labels_of(batch: dict[str, Any]) -> NDArray[np.float32]:
    """The conditioning vectors of EG3D, float32 [n, 25]: the cameras; [n, 0] where the data set has none."""
    found: NDArray[np.float32] = batch.get("camera", np.zeros((len(batch["index"]), 0), np.float32))
    return found
