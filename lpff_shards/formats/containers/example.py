"""tf.train.Example in protobuf's wire format, encoded here so that its bytes are deterministic.

Features keep the given order (writers sort them by name). Each is a bytes list, a packed float list or a packed int64
list, as tensorflow/core/example/feature.proto declares. Functions that read raise FormatError where bytes are not that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError

Value = str | bytes | float | int | NDArray[np.float32] | Sequence[int]
Decoded = list[bytes] | NDArray[np.float32] | list[int]

_LEN = 2
_BYTES, _FLOATS, _INTS = 1, 2, 3
_ENTRY, _VALUE = 1 << 3 | _LEN, 2 << 3 | _LEN
_VALUE_TAG = bytes([_VALUE])
_FLOAT = struct.Struct("<f")
_ONE_BYTE = tuple(bytes([number]) for number in range(0x80))
_SMALL = 1 << 14
"""Pieces below this many bytes are joined: a copy is cheaper than one more piece."""
# The feature, its name, then its value: a typed list of one message.
_SHORT_FEATURE = b"\x0a%c%b\x12%c%c%c\x0a%c%b"


def varint(number: int) -> bytes:
    """Return protobuf's varint of an int64; a negative number takes ten bytes."""
    if 0 <= number < 0x80:
        return _ONE_BYTE[number]
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tagged(field: int, length: int) -> bytes:
    return _ONE_BYTE[field << 3 | _LEN] + varint(length)


def encode(features: Iterable[tuple[str, Value]]) -> list[bytes]:
    """Return an Example in few pieces, in order; a large bytes value is a separate piece and is not copied.

    Args:
        features: names and values: a text, bytes, a float, a float32 array (flattened), an int or a sequence of ints.
    """
    entries: list[bytes] = []
    for name, value in features:
        if isinstance(value, str):
            entries += _entry(name, _BYTES, value.encode())
        elif isinstance(value, bytes):
            entries += _entry(name, _BYTES, value)
        elif isinstance(value, int):
            entries += _one_int(name, value)
        elif isinstance(value, float):
            entries += _entry(name, _FLOATS, _FLOAT.pack(value))
        elif isinstance(value, np.ndarray):
            entries += _entry(name, _FLOATS, value.astype("<f4").tobytes())
        else:
            entries += _entry(name, _INTS, b"".join(map(varint, value)))
    few, run = list[bytes](), [_tagged(1, sum(map(len, entries)))]
    for piece in entries:
        if len(piece) < _SMALL:
            run.append(piece)
        else:
            few += [b"".join(run), piece]
            run = []
    return [*few, b"".join(run)]


@lru_cache(maxsize=1024)
def _one_int(name: str, value: int) -> tuple[bytes, ...]:
    return _entry(name, _INTS, varint(value))


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
        return np.frombuffer(joined, "<f4") if kind == _FLOATS else list(_varints(joined))
    except (IndexError, ValueError) as error:
        raise FormatError(f"not a feature: {error}") from None


def find_features(parts: Iterable[tuple[bytes, int]], wanted: Set[bytes]) -> dict[str, Decoded]:
    """Return some features of an Example by name; stop after the last of them.

    Args:
        parts: parts of the Example, each with the offset of its first feature.
        wanted: names of the features.
    """
    found: dict[str, Decoded] = {}
    for part, at in parts:
        view = memoryview(part)
        for name, start, end in spans(part, at):
            if len(found) == len(wanted):
                return found
            if name in wanted:
                found[name.decode()] = decode_feature(view[start:end])
    return found


def first_bytes(data: bytes, at: int) -> tuple[int, int] | None:
    """Return the start and size of a feature's first bytes value, or None if `data` ends before the size.

    The value may end after `data`.
    """
    try:
        if data[at] != _ENTRY:
            raise FormatError("a feature does not hold bytes", at)
        _, inner = _read_varint(data, at + 1)
        if data[inner] != _ENTRY:
            raise FormatError("a feature does not hold bytes", at)
        size, start = _read_varint(data, inner + 1)
    except IndexError:
        return None
    return start, size


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


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = _read_varint(data, at)
        yield number - (1 << 64) if number >> 63 else number
