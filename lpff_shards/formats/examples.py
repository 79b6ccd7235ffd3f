"""Samples as tf.train.Examples with features sorted by name, for TFRecord and ArrayRecord."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.checks import checked, sample_of
from lpff_shards.formats.containers import example
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.kinds import inspect
from lpff_shards.formats.spans import ARRAY_SHAPES, Annotations, ImageSpan
from lpff_shards.schemas.fields import FIELDS, Field, Kind, Layout, Scalar
from lpff_shards.schemas.sample import Sample

NOTE = "As features, a bool is an int64, 0 or 1, and the arrays are flat lists.\n"
"""The card's note about fields in Examples."""
_IMAGE = b"image"
_CHANNELS = 3
_TYPES: dict[Kind, type] = {"str": bytes, "int": int, "bool": int, "float": np.float32}


def encode_sample(sample: Sample, layout: Layout) -> list[bytes]:
    """Return a sample as an Example in few pieces; a large picture is one piece and is not copied."""
    arrays: dict[str, example.Value] = {"image": sample.picture.data}
    if layout.raw:
        arrays["image/shape"] = (sample.picture.height, sample.picture.width, _CHANNELS)
    if sample.camera is not None:
        arrays["camera"] = sample.camera
    if sample.landmarks is not None:
        arrays["landmarks"] = sample.landmarks
    scalars = sample.scalars
    features = ((name, arrays[name] if name in arrays else _value(scalars[name])) for name in _order(tuple(arrays)))
    return example.join_fields(example.encode(features))


def holds(layout: Layout) -> str:
    """Return a description of an Example's features, in Markdown."""
    features = ["image", *(["image/shape"] if layout.raw else []), *layout.arrays]
    return f"a `tf.train.Example`: {', '.join(f'`{name}`' for name in features)}, and a feature a field"


def decode_sample(data: bytes, layout: Layout) -> Sample:
    """Return the sample of an Example, checked against the schema.

    Raises:
        FormatError: the sample breaks the schema.
    """
    image, shape = _checked_features(data, layout)
    found = find_picture(data, 0, layout.raw)
    if found is None or found.size != len(image):
        raise FormatError("its feature image is not one bytes value")
    head, tail = data[: found.start], data[found.start + found.size :]
    annotations = decode_annotations(((head, example.open_example(head, 0)), (tail, 0)), layout, scalars=True)
    if found.shape is not None and shape != list(found.shape):
        raise FormatError(f"its image/shape is {shape}, its picture has {list(found.shape)}")
    kind = "raw" if layout.raw else inspect(image).kind
    return checked(sample_of(str(annotations.scalars["key"]), kind, image, found.shape, annotations), layout)


def find_picture(head: bytes, start: int, raw: bool) -> ImageSpan | None:
    """Return the position of the picture in an Example that starts at an offset, see `formats.spans`."""
    height = 0
    for name, at, end in example.spans(head, example.open_example(head, start)):
        if name == _IMAGE:
            first = example.first_bytes(head, at)
            return first and ImageSpan(*first, _shape(first[1], height) if raw else None)
        if end > len(head):
            break
        if name == b"height":
            height = _height(example.decode_feature(memoryview(head)[at:end]))
    return None


def decode_annotations(parts: Sequence[tuple[bytes, int]], layout: Layout, scalars: bool) -> Annotations:
    """Return the fields and arrays of an Example, see `formats.spans`.

    Args:
        parts: the bytes before and after the picture, each with the offset of its first feature.
    """
    found = example.find_features(parts, _wanted(layout, scalars))
    try:
        arrays = {name: _floats(found[name], ARRAY_SHAPES[name]) for name in layout.arrays}
        return Annotations({f.name: _scalar(f, found[f.name]) for f in FIELDS} if scalars else {}, **arrays)
    except KeyError as error:
        raise FormatError(f"its feature {error.args[0]} is missing") from None
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise FormatError(f"its features are damaged: {error}") from None


@lru_cache(maxsize=16)
def _order(arrays: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sorted names of a sample's features."""
    return tuple(sorted((*arrays, *(f.name for f in FIELDS))))


def _value(scalar: Scalar) -> example.Value:
    return scalar.encode() if isinstance(scalar, str) else scalar


def _checked_features(data: bytes, layout: Layout) -> tuple[bytes, list[int]]:
    """Return the picture and its stored shape; check that the features are those of the schema, in order."""
    found = [(name.decode(errors="replace"), start, end) for name, start, end in example.features(data)]
    due = _order(("image", *(["image/shape"] if layout.raw else []), *layout.arrays))
    names = tuple(name for name, _, _ in found)
    if names != due:
        twice = next((name for name, next_ in pairwise(names) if name == next_), "")
        odd = ", ".join(sorted(set(names).symmetric_difference(due)))
        reason = f"it has {twice} twice" if twice else f"its features differ from the schema: {odd or 'other order'}"
        raise FormatError(reason)
    values = {
        name: example.decode_feature(memoryview(data)[start:end])
        for name, start, end in found
        if name in ("image", "image/shape")
    }
    image, shape = values["image"], list(values.get("image/shape", ()))
    if len(image) != 1 or not isinstance(image[0], bytes):
        raise FormatError("its feature image is not one bytes value")
    if not all(isinstance(side, int) for side in shape):
        raise FormatError("its image/shape is not a list of integers")
    return image[0], [int(side) for side in shape]


@lru_cache(maxsize=16)
def _wanted(layout: Layout, scalars: bool) -> frozenset[bytes]:
    """Return the names of the features to read."""
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
    """Return the shape of raw pixels from their size and height: `height` comes before them, `image/shape` after."""
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
