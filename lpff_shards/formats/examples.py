"""Samples as tf.train.Examples with features sorted by name, for TFRecord and ArrayRecord."""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from lpff_shards.formats.base import ARRAY_SHAPES, Annotations, Format, ImageSpan
from lpff_shards.formats.checks import checked, sample_of
from lpff_shards.formats.containers import example
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import inspect
from lpff_shards.schemas.fields import FIELDS, PYTHON_TYPES, Field, Kind, Layout, Scalar
from lpff_shards.schemas.sample import Sample

_CHANNELS = 3
_TYPES: dict[Kind, type] = {"str": bytes, "int": int, "bool": int, "float": np.float32}


class ExampleFormat(Format):
    """What the formats of Examples share."""

    note = "As features, a bool is an int64, 0 or 1, and the arrays are flat lists.\n"
    raw = True

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # a feature has no suffix
        features = ", ".join(f"`{name}`" for name in _arrays(layout))
        return f"a `tf.train.Example`: {features}, and a feature a field"


def encode_sample(sample: Sample, layout: Layout) -> list[bytes]:
    """Return a sample as an Example in few pieces; a large picture is one piece and is not copied."""
    arrays: dict[str, example.Value] = {"image": sample.picture.data}
    if layout.raw:
        arrays["image/shape"] = (sample.picture.height, sample.picture.width, _CHANNELS)
    if sample.camera is not None:
        arrays["camera"] = sample.camera
    if sample.landmarks is not None:
        arrays["landmarks"] = sample.landmarks
    values = {**sample.scalars, **arrays}
    return example.encode((name, values[name]) for name in _order(tuple(arrays)))


def _arrays(layout: Layout) -> tuple[str, ...]:
    """Return the names of the features that are not fields."""
    return ("image", *(("image/shape",) if layout.raw else ()), *layout.arrays)


@lru_cache(maxsize=16)
def _order(arrays: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sorted names of a sample's features."""
    return tuple(sorted((*arrays, *(f.name for f in FIELDS))))


def decode_sample(data: bytes, layout: Layout) -> Sample:
    """Return the sample of an Example; raise FormatError if it breaks the schema."""
    features = [(name.decode(errors="replace"), start, end) for name, start, end in example.features(data)]
    names, due = tuple(name for name, _, _ in features), _order(_arrays(layout))
    if names != due:
        twice = next((name for name, next_ in pairwise(names) if name == next_), "")
        odd = ", ".join(sorted(set(names).symmetric_difference(due)))
        reason = f"it has {twice} twice" if twice else f"its features differ from the schema: {odd or 'other order'}"
        raise FormatError(reason)
    view = memoryview(data)
    found = {name: example.decode_feature(view[start:end]) for name, start, end in features}
    image = found["image"]
    # Loaders find the picture without decoding its feature.
    span = find_picture(data, 0, layout.raw)
    if len(image) != 1 or not isinstance(image[0], bytes) or span is None or span.size != len(image[0]):
        raise FormatError("its feature image is not one bytes value")
    if span.shape is not None:
        sides = list(found["image/shape"])
        if not all(isinstance(side, int) for side in sides):
            raise FormatError("its image/shape is not a list of integers")
        if sides != list(span.shape):
            raise FormatError(f"its image/shape is {sides}, its picture has {list(span.shape)}")
    annotations = _annotations(found, layout, scalars=True)
    kind = "raw" if layout.raw else inspect(image[0]).kind
    return checked(sample_of(str(annotations.scalars["key"]), kind, image[0], span.shape, annotations), layout)


def find_picture(head: bytes, start: int, raw: bool) -> ImageSpan | None:
    """Return the position of the picture in an Example that starts at an offset, see `formats.base.Spans`."""
    height = 0
    for name, at, end in example.spans(head, example.open_example(head, start)):
        if name == b"image":
            first = example.first_bytes(head, at)
            if not raw or first is None:
                return first and ImageSpan(*first, None)
            size, row = first[1], height * _CHANNELS
            # The height comes before the pixels, `image/shape` after.
            if height < 1 or size < 1 or size % row:
                raise FormatError(f"its raw picture is {size} bytes of height {height}")
            return ImageSpan(*first, (height, size // row, _CHANNELS))
        if end > len(head):
            break
        if name == b"height":
            values = example.decode_feature(memoryview(head)[at:end])
            if len(values) != 1 or not isinstance(values[0], int):
                raise FormatError("its height is not one number")
            height = values[0]
    return None


def decode_annotations(head: bytes, start: int, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
    """Return the fields and arrays of an Example, see `formats.base.Spans`.

    Args:
        head, start: the bytes before the picture, and the Example's offset in them.
        tail: the bytes after the picture.
    """
    parts = ((head, example.open_example(head, start)), (tail, 0))
    return _annotations(example.find_features(parts, _wanted(layout, scalars)), layout, scalars)


@lru_cache(maxsize=16)
def _wanted(layout: Layout, scalars: bool) -> frozenset[bytes]:
    """Return the names of the features to read."""
    return frozenset(name.encode() for name in (*layout.arrays, *(f.name for f in FIELDS if scalars)))


def _annotations(found: Mapping[str, example.Decoded], layout: Layout, scalars: bool) -> Annotations:
    try:
        arrays: dict[str, Any] = {name: found[name] for name in layout.arrays}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise TypeError("an array is not of floats")
        arrays = {name: array.reshape(ARRAY_SHAPES[name]) for name, array in arrays.items()}
        return Annotations({f.name: _scalar(f, found[f.name]) for f in FIELDS} if scalars else {}, **arrays)
    except KeyError as error:
        raise FormatError(f"its feature {error.args[0]} is missing") from None
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise FormatError(f"its features are damaged: {error}") from None


def _scalar(field: Field, values: Any) -> Scalar:
    value = values[0] if len(values) == 1 else None
    if value is None or not issubclass(type(value), _TYPES[field.kind]):
        raise FormatError(f"its feature {field.name} is not one {field.kind}")
    if field.kind == "str":
        return str(value, "utf-8")
    if field.kind == "bool" and value not in (0, 1):
        raise FormatError(f"its feature {field.name} is {value}, not 0 or 1")
    scalar: Scalar = PYTHON_TYPES[field.kind](value)
    return scalar
