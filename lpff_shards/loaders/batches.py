"""Drawn batches of a source, mirrored and labelled as a pipeline was asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.loaders.draws import Draw
from lpff_shards.loaders.mirroring import flip_picture, mirror_batch
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


def labels_of(batch: dict[str, Any]) -> NDArray[np.float32]:
    """The conditioning vectors of EG3D, float32 [n, 25]: the cameras; [n, 0] where the data set has none."""
    found: NDArray[np.float32] = batch.get("camera", np.zeros((len(batch["index"]), 0), np.float32))
    return found
