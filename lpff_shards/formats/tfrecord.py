"""TFRecord: one tf.train.Example per sample, features sorted by name, framed with masked CRC-32C."""

from __future__ import annotations

from functools import lru_cache

from lpff_shards.formats.base import Encoded
from lpff_shards.formats.containers import example, tfrecord
from lpff_shards.schemas.fields import FIELDS, Layout, Scalar
from lpff_shards.schemas.sample import SUFFIXES, Sample

SMALL = 1 << 14
"""Pieces below this are joined: copying them costs less than handling one more."""


class TfRecord:
    """Deterministic Examples."""

    end = b""

    def encode(self, sample: Sample, layout: Layout) -> Encoded:
        arrays: dict[str, example.Value] = {"image": sample.picture.data}
        if layout.raw:
            arrays["image/shape"] = (sample.picture.height, sample.picture.width, 3)
        if sample.camera is not None:
            arrays["camera"] = sample.camera
        if sample.landmarks is not None:
            arrays["landmarks"] = sample.landmarks
        scalars = sample.scalars
        features = ((name, arrays[name] if name in arrays else _value(scalars[name])) for name in _order(tuple(arrays)))
        data = _joined(example.encode(features))
        head, tail = tfrecord.frame(data)
        return Encoded([head, *data, tail], (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),))


@lru_cache(maxsize=16)
def _order(arrays: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a sample's features, sorted."""
    return tuple(sorted((*arrays, *(f.name for f in FIELDS))))


def _value(scalar: Scalar) -> example.Value:
    return scalar.encode() if isinstance(scalar, str) else scalar


def _joined(pieces: list[bytes]) -> list[bytes]:
    """The same bytes in few pieces: runs of small ones joined, large ones left alone."""
    few: list[bytes] = []
    run: list[bytes] = []
    for piece in pieces:
        if len(piece) < SMALL:
            run.append(piece)
        else:
            few += [b"".join(run), piece]
            run = []
    return [*few, b"".join(run)]
