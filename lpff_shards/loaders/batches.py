"""Drawn batches of a source, mirrored and labelled as a pipeline was asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from lpff_shards.formats.pictures.decoding import Pixels
from lpff_shards.loaders.mirroring import flip_picture, mirror_batch
from lpff_shards.loaders.sampler import Draw
from lpff_shards.loaders.source import ShardSource, kinds_of


class Batches:
    """Makes batches of a source's samples. Picklable; safe in threads and forked processes, as its source is.

    Args:
        source: of the samples.
        fields: metadata fields that batches hold.
        flip: mirrors a picture in place.

    Attributes:
        source: of the samples.
        fields: as they were asked for, each once.

    Raises:
        ShardsError: a field is not known.
    """

    def __init__(
        self, source: ShardSource, fields: Sequence[str] = (), flip: Callable[[Pixels], None] = flip_picture
    ) -> None:
        self.source = source
        self.fields = tuple(kinds_of(fields))
        self._flip = flip

    def load(self, draw: Draw) -> dict[str, Any]:
        """A batch, see `ShardSource.batch`, its samples mirrored where the draw says so."""
        batch = self.source.batch(draw.indices, self.fields)
        mirror_batch(batch, draw.flips, self.source.channels == "last", self._flip)
        return batch


def labelled(batch: dict[str, Any], fields: Iterable[str]) -> tuple[Any, ...]:
    """A batch as training loops unpack it, from one that holds the fields.

    Args:
        batch: see `ShardSource.batch`.
        fields: asked-for metadata fields.

    Returns:
        Images and EG3D's conditioning vectors, float32 [n, 25]: the cameras, or [n, 0] where the data set has none; and
        a dict of the fields where there are any.
    """
    labels = batch["camera"] if "camera" in batch else np.zeros((len(batch["index"]), 0), np.float32)
    wanted = {name: batch[name] for name in fields}
    return (batch["image"], labels, wanted) if wanted else (batch["image"], labels)
