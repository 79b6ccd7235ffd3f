"""TFRecord: one tf.train.Example per sample, features sorted by name, framed with masked CRC-32C."""

from __future__ import annotations

import numpy as np

from lpff_shards.schemas.fields import FIELDS, Layout, Scalar
from lpff_shards.schemas.sample import Sample
from lpff_shards.wire import example, tfrecord

SMALL = 4096


class TfRecord:
    """Deterministic Examples."""

    end = b""

    def encode(self, sample: Sample, layout: Layout) -> list[bytes]:
        features: dict[str, example.Value] = {f.name: _value(sample.scalars[f.name]) for f in FIELDS}
        features["image"] = sample.picture.data
        if layout.raw:
            features["image/shape"] = (sample.picture.height, sample.picture.width, 3)
        if sample.camera is not None:
            features["camera"] = sample.camera
        if sample.landmarks is not None:
            features["landmarks"] = sample.landmarks
        data = _merged(example.encode(sorted(features.items())))
        head, tail = tfrecord.frame(data)
        return [head, *data, tail]


def _value(scalar: Scalar) -> example.Value:
    if isinstance(scalar, str):
        return scalar.encode()
    if isinstance(scalar, float):
        return np.array([scalar], np.float32)
    return (int(scalar),)


def _merged(pieces: list[bytes]) -> list[bytes]:
    """The same bytes in few pieces: runs of small ones joined, large ones left alone."""
    merged: list[bytes] = []
    run: list[bytes] = []
    for piece in pieces:
        if len(piece) < SMALL:
            run.append(piece)
        else:
            merged += [b"".join(run), piece]
            run = []
    return [*merged, b"".join(run)]
