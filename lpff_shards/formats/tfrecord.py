"""TFRecord: one tf.train.Example per sample, features sorted by name, framed with masked CRC-32C."""

from __future__ import annotations

from collections.abc import Iterator, Set
from functools import lru_cache

from lpff_shards.formats.base import Encoded
from lpff_shards.formats.containers import example, tfrecord
from lpff_shards.formats.readers import tfrecord as reading
from lpff_shards.formats.readers.checks import outline_of, picture_of
from lpff_shards.formats.tfrecord_spans import RecordSpans
from lpff_shards.schemas.fields import FIELDS, Layout, Scalar
from lpff_shards.schemas.filenames import DALI
from lpff_shards.schemas.outline import Outline
from lpff_shards.schemas.sample import SUFFIXES, Sample

_ARRAYS = {"camera": 100, "landmarks": 544}
_FIELDS = 1000
"""Bytes of the fields as features, about."""
SMALL = 1 << 14
"""Pieces below this are joined: copying them costs less than handling one more."""


class TfRecord:
    """Deterministic Examples, in files named by TensorFlow Datasets' template."""

    name, container = "tfrecord", "records"
    title, tag = "TFRecords", "tfrecord"
    unit = piece = "shard"
    joined = for_trainers = False
    image = "keep"
    metadata: tuple[str, ...] = ("json",)
    pattern, glob = r"\.tfrecord-[0-9]+-of-[0-9]+", ".tfrecord-*"
    end = b""

    def filename(self, stem: str, number: int, count: int) -> str:
        return f"{stem}.tfrecord-{number:05d}-of-{count:05d}"

    def index_names(self, file: str) -> tuple[str, ...]:
        return (f"{DALI}/{file.replace('.tfrecord-', '-')}.idx",)

    def overhead(self, layout: Layout) -> int:
        return sum(size for name, size in _ARRAYS.items() if getattr(layout, name)) + _FIELDS + tfrecord.FRAMING

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

    def samples(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        return reading.samples(shard, layout)

    def outline(self, file: str, shard: memoryview, layout: Layout) -> Outline:
        return outline_of(file, [picture_of(*one) for one in reading.placed(shard, layout)])

    def spans(self) -> RecordSpans:
        return RecordSpans()

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # a feature has no suffix
        arrays = [name for name in _ARRAYS if getattr(layout, name)]
        features = ["image", *(["image/shape"] if layout.raw else []), *arrays]
        return f"a `tf.train.Example`: {', '.join(f'`{name}`' for name in features)}, and a feature a field"

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same in all layouts
        return f"`{name}`"

    def member(self, key: str, suffix: str) -> None:  # noqa: ARG002  # there are none by key
        return None


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
