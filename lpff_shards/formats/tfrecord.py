"""TFRecord: one tf.train.Example per sample, features sorted by name, framed with masked CRC-32C."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.appending import AppendingWriter, Encoded
from lpff_shards.formats.base import ARRAY_BYTES, FIELD_BYTES, SampleError, Sink
from lpff_shards.formats.checks import checked, sample_of
from lpff_shards.formats.containers import example, tfrecord
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.formats.spans import Beside, Found, Offsets
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import FIELDS, Field, Kind, Layout, Scalar
from lpff_shards.schemas.filenames import DALI
from lpff_shards.schemas.landmarks import LANDMARKS
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import SUFFIXES, Sample

_LENGTH, _CRC = 12, 4
_IMAGE = b"image"
_CHANNELS = 3
_TYPES: dict[Kind, type] = {"str": bytes, "int": int, "bool": int, "float": np.float32}


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
        return sum(ARRAY_BYTES[name] for name in layout.arrays) + FIELD_BYTES + tfrecord.FRAMING

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # a feature has no suffix
        arrays = layout.arrays
        features = ["image", *(["image/shape"] if layout.raw else []), *arrays]
        return f"a `tf.train.Example`: {', '.join(f'`{name}`' for name in features)}, and a feature a field"

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same in all layouts
        return f"`{name}`"

    def member(self, key: str, suffix: str) -> None:  # noqa: ARG002  # there are none by key
        return None

    def writer(self, file: str, sink: Sink, layout: Layout) -> AppendingWriter:
        return AppendingWriter(file, sink, partial(_encoded, layout))

    def samples(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        return (sample for sample, _ in self._placed(shard, layout))

    def describe(self, file: str, shard: memoryview, layout: Layout) -> ShardReceipt:
        found = ReceiptBuilder()
        for sample, end in self._placed(shard, layout):
            found.add(sample.key, end, (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),))
        return found.build(file, len(shard))

    def _placed(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        """The samples, each with where its record ends."""
        number = 0
        try:
            for at, data in tfrecord.records(shard):
                end = at + len(data) + tfrecord.FRAMING
                yield checked(self._sample(bytes(shard[at:end]), layout), layout), end
                number += 1
        except FormatError as error:
            raise SampleError(str(error), number) from None

    def _sample(self, record: bytes, layout: Layout) -> Sample:
        image, shape = _checked_features(record, layout)
        found = self.picture(record, len(record), layout.raw)
        if found is None or found.size != len(image):
            raise FormatError("its feature image is not one bytes")
        beside = self.beside(record[: found.start], record[found.start + found.size :], layout, scalars=True)
        if found.shape is not None and shape != list(found.shape):
            raise FormatError(f"its image/shape is {shape}, its picture has {list(found.shape)}")
        kind = "raw" if layout.raw else inspect(image).kind
        return sample_of(str(beside.scalars["key"]), kind, image, found.shape, beside)

    def spans(self) -> TfRecord:
        return self

    def picture(self, head: bytes, size: int, raw: bool) -> Found | None:
        if int.from_bytes(head[:8], "little") + tfrecord.FRAMING != size:
            raise FormatError("it is not one whole record", 0)
        height = 0
        for name, start, end in example.spans(head, example.open_example(head, _LENGTH)):
            if name == _IMAGE:
                first = example.first_bytes(head, start)
                return first and Found(*first, _shape(first[1], height) if raw else None)
            if end > len(head):
                break
            if name == b"height":
                height = _height(example.decode_feature(memoryview(head)[start:end]))
        return None

    def beside(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Beside:
        parts = ((head, example.open_example(head, _LENGTH)), (tail[:-_CRC], 0))
        found = example.find_features(parts, _wanted(layout, scalars))
        try:
            return Beside(
                _floats(found["camera"], (CAMERA_NUMBERS,)) if layout.camera else None,
                _floats(found["landmarks"], (LANDMARKS, 2)) if layout.landmarks else None,
                {f.name: _scalar(f, found[f.name]) for f in FIELDS} if scalars else {},
            )
        except KeyError as error:
            raise FormatError(f"its feature {error.args[0]} is missing") from None
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise FormatError(f"its features are damaged: {error}") from None

    def offsets(self, index: bytes) -> Offsets:
        """DALI's index: a line a record, its offset and its length."""
        spans = np.array(index.decode().split(), np.int64).reshape(-1, 2)
        return np.append(spans[:, 0], spans[-1:].sum())

    def scan(self, read: Callable[[int, int], bytes]) -> Iterator[int]:
        at = 0
        while head := read(at, 8):
            yield at
            at += int.from_bytes(head, "little") + tfrecord.FRAMING
        yield at


def example_of(layout: Layout, sample: Sample) -> list[bytes]:
    """A sample as a tf.train.Example, in few pieces."""
    arrays: dict[str, example.Value] = {"image": sample.picture.data}
    if layout.raw:
        arrays["image/shape"] = (sample.picture.height, sample.picture.width, _CHANNELS)
    if sample.camera is not None:
        arrays["camera"] = sample.camera
    if sample.landmarks is not None:
        arrays["landmarks"] = sample.landmarks
    scalars = sample.scalars
    features = ((name, arrays[name] if name in arrays else _value(scalars[name])) for name in _order(tuple(arrays)))
    return example.joined(example.encode(features))


def _encoded(layout: Layout, sample: Sample) -> Encoded:
    data = example_of(layout, sample)
    head, tail = tfrecord.frame(data)
    return Encoded([head, *data, tail], (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),))


@lru_cache(maxsize=16)
def _order(arrays: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a sample's features, sorted."""
    return tuple(sorted((*arrays, *(f.name for f in FIELDS))))


def _value(scalar: Scalar) -> example.Value:
    return scalar.encode() if isinstance(scalar, str) else scalar


def _checked_features(record: bytes, layout: Layout) -> tuple[bytes, list[int]]:
    """The picture of a record whose features are those of the schema in their order, and its stored shape."""
    data = record[_LENGTH:-_CRC]
    found = [(name.decode(errors="replace"), start, end) for name, start, end in example.features(data)]
    due = _order(("image", *(["image/shape"] if layout.raw else []), *layout.arrays))
    names = tuple(name for name, _, _ in found)
    if names != due:
        twice = next((name for name, next_ in pairwise(names) if name == next_), "")
        odd = ", ".join(sorted(set(names).symmetric_difference(due)))
        told = f"it has {twice} twice" if twice else f"its features differ from the schema: {odd or 'other order'}"
        raise FormatError(told)
    values = {
        name: example.decode_feature(memoryview(data)[start:end])
        for name, start, end in found
        if name in ("image", "image/shape")
    }
    image, shape = values["image"], list(values.get("image/shape", ()))
    if len(image) != 1 or not isinstance(image[0], bytes):
        raise FormatError("its feature image is not one bytes")
    if not all(isinstance(side, int) for side in shape):
        raise FormatError("its image/shape is not of whole numbers")
    return image[0], [int(side) for side in shape]


@lru_cache(maxsize=16)
def _wanted(layout: Layout, scalars: bool) -> frozenset[bytes]:
    """Names of the features that are looked at."""
    names = [f.name for f in FIELDS] if scalars else []
    names += layout.arrays
    return frozenset(name.encode() for name in names)


def _floats(values: example.Decoded, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if not isinstance(values, np.ndarray):
        raise TypeError("an array is not of floats")
    return values.reshape(shape)


def _height(values: example.Decoded) -> int:
    if len(values) != 1 or not isinstance(values[0], int):
        raise FormatError("its height is not one number")
    return values[0]


def _shape(size: int, height: int) -> tuple[int, int, int]:
    """Shape of raw pixels: `image/shape` stands behind them, height before."""
    if height < 1 or size < 1 or size % (height * _CHANNELS):
        raise FormatError(f"its raw picture is {size} bytes of height {height}")
    return height, size // (height * _CHANNELS), _CHANNELS


def _scalar(field: Field, values: Any) -> str | int | bool | float:
    value = values[0] if len(values) == 1 else None
    if value is None or not issubclass(type(value), _TYPES[field.kind]):
        raise FormatError(f"its feature {field.name} is not one {field.kind}")
    if field.kind == "bool" and value not in (0, 1):
        raise FormatError(f"its feature {field.name} is {value}, not 0 or 1")
    if field.kind == "str":
        return str(value, "utf-8")
    if field.kind == "float":
        return float(value)
    return bool(value) if field.kind == "bool" else int(value)
