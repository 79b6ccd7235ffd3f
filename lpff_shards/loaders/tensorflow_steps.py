"""The two steps of `tensorflow.dataset`: a sample of its record, and batches of samples as they are handed out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from lpff_shards.loaders.tensorflow_mirroring import mirror_labels, mirror_picture
from lpff_shards.loaders.tensorflow_records import Records, Tensors


@dataclass(frozen=True, slots=True)
class Steps:
    """Makes batches of records.

    Attributes:
        records: how they are parsed.
        mirror: mirror samples where their row says so.
        labels: give images and conditioning vectors, and a dict of the asked-for fields if any, not dicts of all.
    """

    records: Records
    mirror: bool
    labels: bool

    def sample(self, index: Any, flip: Any, record: Any) -> tuple[Tensors, Any]:
        """A sample of its number and its record, its picture mirrored already where it is to be, and whether it is."""
        found = self.records.parse(record)
        if self.mirror:
            found["image"] = mirror_picture(found["image"], flip)
        return {"index": index, **found}, flip

    def batch(self, samples: Tensors, flips: Any) -> Any:
        """A batch as `tensorflow.dataset` gives it."""
        found = mirror_labels(samples, flips) if self.mirror else samples
        if not self.labels:
            return found
        labels = found.get("camera", tf.zeros([tf.shape(flips)[0], 0]))
        fields = {name: found[name] for name in self.records.kinds}
        return (found["image"], labels, fields) if fields else (found["image"], labels)
