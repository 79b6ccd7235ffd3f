"""Samples as tf.train.Examples, for TFRecord and ArrayRecord; encoded here so that their bytes are deterministic.

Features keep the given order (sorted by name in a sample). Each is a bytes list, a packed float list or a packed int64
list, as tensorflow/core/example/feature.proto declares. Functions that read raise FormatError where bytes are not that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.base import ARRAY_SHAPES, Annotations, Format, ImageSpan
from lpff_shards.formats.channels import npy_header
from lpff_shards.formats.checks import attached_sample, checked, sample_of
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import inspect
from lpff_shards.schemas.fields import FIELDS, PYTHON_TYPES, Field, Kind, Layout, Scalar
from lpff_shards.schemas.sample import Sample

Value = str | bytes | float | int | NDArray[np.float32] | tuple[int, ...]
Decoded = list[bytes] | NDArray[np.float32] | list[int]

_CHANNELS = 3
_TYPES: dict[Kind, type] = {"str": bytes, "int": int, "bool": int, "float": np.float32}
_LEN = 2
_BYTES, _FLOATS, _INTS = 1, 2, 3
_ENTRY, _VALUE = 1 << 3 | _LEN, 2 << 3 | _LEN
_VALUE_TAG = bytes([_VALUE])
_FLOAT = struct.Struct("<f")
_SMALL = 1 << 14
"""Pieces below this many bytes are joined: a copy is cheaper than one more piece."""
# The feature, its name, then its value: a typed list of one message.
_SHORT_FEATURE = b"\x0a%c%b\x12%c%c%c\x0a%c%b"


class ExampleFormat(Format):
    """What the formats of Examples share."""

    note = "As features, a bool is an int64, 0 or 1, and the arrays are flat lists.\n"
    raw = True
    channels = "inside"

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # a feature has no suffix
        features = ", ".join(f"`{name}`" for name in _arrays(layout))
        return f"a `tf.train.Example`: {features}, and a feature a field"


def encode_sample(sample: Sample, layout: Layout) -> list[bytes]:
    """Return a sample as an Example in few pieces; a large picture is one piece and is not copied."""
    picture = sample.picture
    arrays = {"image": picture.data, "image/shape": (picture.height, picture.width, _CHANNELS)}
    values: dict[str, Any] = {**sample.scalars, **arrays, "camera": sample.camera, "landmarks": sample.landmarks}
    values |= {
        channel.name: sample.channels[channel.name][len(npy_header(channel)) :] for channel in layout.channels or ()
    }
    return encode((name, values[name]) for name in _order(layout))


def _arrays(layout: Layout) -> tuple[str, ...]:
    """Return the names of the features that are not fields; an NPY is there without header, for `tf.io.decode_raw`."""
    own = () if layout.attached else ("image", *(("image/shape",) if layout.raw else ()), *layout.arrays)
    return (*own, *(channel.name for channel in layout.channels or ()))


@lru_cache(maxsize=16)
def _order(layout: Layout) -> tuple[str, ...]:
    """Return the sorted names of a sample's features."""
    return tuple(sorted((*_arrays(layout), *(f.name for f in layout.fields))))


def decode_sample(data: bytes, layout: Layout) -> Sample:
    """Return the sample of an Example; raise FormatError if it breaks the schema."""
    named = [(name.decode(errors="replace"), start, end) for name, start, end in features(data)]
    names, due = tuple(name for name, _, _ in named), _order(layout)
    if names != due:
        twice = next((name for name, next_ in pairwise(names) if name == next_), "")
        odd = ", ".join(sorted(set(names).symmetric_difference(due)))
        reason = f"it has {twice} twice" if twice else f"its features differ from the schema: {odd or 'other order'}"
        raise FormatError(reason)
    view = memoryview(data)
    found = {name: decode_feature(view[start:end]) for name, start, end in named}
    if layout.attached:
        return checked(attached_sample(str(_scalar(FIELDS[0], found["key"])), _channels(found, layout)), layout)
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
    try:
        for name, at, end in spans(head, open_example(head, start)):
            if name == b"image":
                value = _read_varint(head, at + 1)[1]
                size, first = _read_varint(head, value + 1)
                if head[at] != _ENTRY or head[value] != _ENTRY:
                    raise FormatError("a feature does not hold bytes", at)
                if not raw:
                    return ImageSpan(first, size, None)
                # The height comes before the pixels, `image/shape` after.
                row = height * _CHANNELS
                if height < 1 or size < 1 or size % row:
                    raise FormatError(f"its raw picture is {size} bytes of height {height}")
                return ImageSpan(first, size, (height, size // row, _CHANNELS))
            if name == b"height" and end <= len(head):
                values = decode_feature(memoryview(head)[at:end])
                if len(values) != 1 or not isinstance(values[0], int):
                    raise FormatError("its height is not one number")
                height = values[0]
    except IndexError:
        pass
    return None


def decode_annotations(head: bytes, start: int, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
    """Return the fields and arrays of an Example, see `formats.base.Spans`.

    Args:
        head, start: the bytes before the picture, and the Example's offset in them.
        tail: the bytes after the picture.
    """
    wanted, found = _wanted(layout, scalars), dict[str, Decoded]()
    for part, first in ((head, open_example(head, start)), (tail, 0)):
        view = memoryview(part)
        for name, at, end in spans(part, first):
            if len(found) == len(wanted):
                break
            if name in wanted:
                found[name.decode()] = decode_feature(view[at:end])
    return _annotations(found, layout, scalars)


@lru_cache(maxsize=16)
def _wanted(layout: Layout, scalars: bool) -> frozenset[bytes]:
    """Return the names of the features to read."""
    names = (*layout.arrays, *(channel.name for channel in layout.channels or ()))
    return frozenset(name.encode() for name in (*names, *(f.name for f in layout.fields if scalars)))


def _annotations(found: Mapping[str, Decoded], layout: Layout, scalars: bool) -> Annotations:
    try:
        arrays: dict[str, Any] = {name: found[name] for name in layout.arrays}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise TypeError("an array is not of floats")
        arrays = {name: array.reshape(ARRAY_SHAPES[name]) for name, array in arrays.items()}
        fields = {f.name: _scalar(f, found[f.name]) for f in layout.fields} if scalars else {}
        return Annotations(fields, channels=_channels(found, layout), **arrays)
    except KeyError as error:
        raise FormatError(f"its feature {error.args[0]} is missing") from None
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise FormatError(f"its features are damaged: {error}") from None


def _channels(found: Mapping[str, Decoded], layout: Layout) -> dict[str, bytes]:
    files = {}
    for channel in layout.channels or ():
        values = found[channel.name]
        if len(values) != 1 or not isinstance(values[0], bytes):
            raise FormatError(f"its feature {channel.name} is not one bytes value")
        files[channel.name] = npy_header(channel) + values[0]
    return files


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


@lru_cache(maxsize=1024)
def varint(number: int) -> bytes:
    """Return protobuf's varint of an int64; a negative number takes ten bytes."""
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tagged(field: int, length: int) -> bytes:
    return varint(field << 3 | _LEN) + varint(length)


def encode(features: Iterable[tuple[str, Value]]) -> list[bytes]:
    """Return an Example in few pieces, in order; a large bytes value is a separate piece and is not copied.

    Args:
        features: names and values: a text, bytes, a float, a float32 array (flattened), an int or a tuple of ints.
    """
    entries: list[bytes] = []
    for name, value in features:
        kind, body = _BODIES[type(value)]
        entries += _entry(name, kind, body(value))
    few, run = list[bytes](), [_tagged(1, sum(map(len, entries)))]
    for piece in entries:
        if len(piece) < _SMALL:
            run.append(piece)
        else:
            few += [b"".join(run), piece]
            run = []
    return [*few, b"".join(run)]


_BODIES: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    str: (_BYTES, str.encode),
    bytes: (_BYTES, bytes),
    bool: (_INTS, varint),
    int: (_INTS, varint),
    tuple: (_INTS, lambda numbers: b"".join(map(varint, numbers))),
    float: (_FLOATS, _FLOAT.pack),
    np.ndarray: (_FLOATS, lambda array: array.astype("<f4").tobytes()),
}
"""The list's kind and the bytes of a value, by its type."""


def _entry(name: str, kind: int, body: bytes) -> tuple[bytes, ...]:
    """Return a feature: in one step if each length fits in one byte, as most do, else its value after its head."""
    key, size = _key(name), len(body)
    whole = len(key) + size + 6
    if whole < 0x80:
        return (_SHORT_FEATURE % (whole, key, size + 4, kind << 3 | _LEN, size + 2, size, body),)
    head = _tagged(1, size)
    content = len(head) + size
    feature = _tagged(kind, content)
    outer = b"".join((key, _tagged(2, len(feature) + content), feature, head))
    return _tagged(1, len(outer) + size) + outer, body


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    raw = name.encode()
    return _tagged(1, len(raw)) + raw


def spans(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each feature from an offset on, and the start and end of its value; values are not parsed.

    The last value may end after `data`; the iteration then stops. The offset is after the Example's tag and length.
    """
    try:
        while at < len(data):
            # Most lengths take one byte: this check halves the time of the loop.
            length, name_at = data[at + 1], at + 2
            if length >= 0x80:
                length, name_at = _read_varint(data, at + 1)
            if data[at] != _ENTRY or data[name_at] != _ENTRY or data[name_at + 1] >= 0x80:
                raise FormatError("not a tf.train.Example: no feature where one should start", at)
            value_at = name_at + 2 + data[name_at + 1]
            if data[value_at] != _VALUE:
                raise FormatError("not a tf.train.Example: a feature without a value", at)
            body = value_at + 2 if data[value_at + 1] < 0x80 else _read_varint(data, value_at + 1)[1]
            at, named = name_at + length, name_at + 2
            yield data[named:value_at], body, at
    except IndexError:
        return


def features(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each feature of exactly one Example, and the start and end of its value."""
    at = end = open_example(data, 0)
    for name, start, end in spans(data, at):
        prefix = _VALUE_TAG + varint(end - start)
        if end > len(data) or data[start - len(prefix) : start] != prefix:
            raise FormatError(f"the value of {name.decode(errors='replace')} has a wrong length", start)
        yield name, start, end
    if end != len(data) or _read_varint(data, 1)[0] != len(data) - at:
        raise FormatError("an Example is cut short", end)


def decode_feature(data: memoryview) -> Decoded:
    """Return the values of one feature."""
    try:
        ((kind, body),) = _messages(data, {_BYTES, _FLOATS, _INTS})
        values = [value for _, value in _messages(body, {1})]
        if kind == _BYTES:
            return [bytes(value) for value in values]
        joined = b"".join(values)
        if kind == _FLOATS:
            return np.frombuffer(joined, "<f4")
        numbers, at = list[int](), 0
        while at < len(joined):
            number, at = _read_varint(joined, at)
            numbers.append(number - (1 << 64) if number >> 63 else number)
        return numbers
    except (IndexError, ValueError) as error:
        raise FormatError(f"not a feature: {error}") from None


def open_example(data: bytes, at: int) -> int:
    """Return the offset of the first feature of the Example at an offset."""
    try:
        if data[at] != _ENTRY:
            raise FormatError("not a tf.train.Example", at)
        return _read_varint(data, at + 1)[1]
    except IndexError:
        raise FormatError("an Example is cut short", at) from None


def _messages(data: memoryview, fields: set[int]) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        length, at = _read_varint(data, at)
        if tag & 7 != _LEN or tag >> 3 not in fields or at + length > len(data):
            raise FormatError(f"not a tf.train.Example: tag {tag}, length {length}", at)
        yield tag >> 3, data[at : at + length]
        at += length


def _read_varint(data: memoryview | bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80 and number < 1 << 64:
            return number, at
    raise FormatError("a varint of more than 64 bits", at)
