"""Samples whose checksums are right and that no writer of ours made are refused, by verify and index alike."""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgpack
import pytest
from samples import LAYOUTS, sample, written

from lpff_shards.formats import examples as example
from lpff_shards.formats import tfrecord
from lpff_shards.formats.base import SampleError
from lpff_shards.formats.containers import tar
from lpff_shards.formats.registry import get_format

Features = list[tuple[str, bytes]]
RAW = LAYOUTS["raw"]


def _message(tag: int, body: bytes) -> bytes:
    return bytes([tag << 3 | 2]) + example.varint(len(body)) + body


def _bytes(*values: bytes) -> bytes:
    return _message(1, b"".join(_message(1, value) for value in values))


def _floats(*values: float) -> bytes:
    return _message(2, _message(1, struct.pack(f"<{len(values)}f", *values)))


def _ints(*values: int) -> bytes:
    return _message(3, _message(1, b"".join(map(example.varint, values))))


def _entry(name: str, value: bytes) -> bytes:
    return _message(1, _message(1, name.encode()) + _message(2, value))


def _of(features: Features) -> bytes:
    return _message(1, b"".join(_entry(name, value) for name, value in features))


def _twice(name: str, value: bytes) -> Callable[[Features], bytes]:
    return lambda found: _of([pair for one in found for pair in ([one, (name, value)] if one[0] == name else [one])])


def _other(name: str, value: bytes) -> Callable[[Features], bytes]:
    return lambda found: _of([(one, value if one == name else own) for one, own in found])


def _length(name: str, by: int) -> Callable[[Features], bytes]:
    """The value of a feature says that it is so much longer than it is."""

    def change(found: Features) -> bytes:
        entries = [
            _message(1, _message(1, one.encode()) + b"\x12" + example.varint(len(own) + by) + own)
            if one == name
            else _entry(one, own)
            for one, own in found
        ]
        return _message(1, b"".join(entries))

    return change


def _without(name: str) -> Callable[[Features], bytes]:
    return lambda found: _of([one for one in found if one[0] != name])


SMUGGLED = _message(1, b"zz") + _message(2, _floats(0.5))
SIDE = sample(RAW, 0).picture.height


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_twice("image", _bytes(bytes(3 * SIDE * SIDE))), "it has image twice"),
        (_twice("yaw", _floats(0.5)), "it has yaw twice"),
        (_twice("author", _bytes(b"somebody else")), "it has author twice"),
        (_other("image/shape", _ints(SIDE // 2, 2 * SIDE, 3)), "its image/shape is"),
        (_other("image/shape", _ints(SIDE, SIDE, 3, 9)), "its image/shape is"),
        (_other("image/shape", _floats(SIDE, SIDE, 3)), "not a list of integers"),
        (_other("image/shape", _bytes(b"a", b"b", b"c")), "not a list of integers"),
        (_length("author", 3), "author"),
        (_length("camera", -3), "camera"),
        (_other("image", _bytes(bytes(3 * SIDE * SIDE), SMUGGLED)), "not one bytes"),
        (_other("image", _floats(1.0)), "bytes"),
        (_other("mirrored", _ints(7)), "mirrored is 7"),
        (_other("yaw", _ints(1)), "yaw is not one float"),
        (_other("width", _bytes(b"8")), "width is not one int"),
        (_without("title"), "title"),
    ],
)
def test_a_crafted_record_is_refused(change: Callable[[Features], bytes], reason: str) -> None:
    format = get_format("tfrecord")
    shard, _ = written("tfrecord", RAW, [sample(RAW, 0)])
    (data,) = (bytes(data) for _, data in tfrecord.records(memoryview(shard)))
    found = [(name.decode(), data[start:end]) for name, start, end in example.features(data)]
    assert _of(found) == data
    changed = change(found)
    head, tail = tfrecord.frame([changed])
    for read in (format.samples, lambda shard, layout: [format.describe("x-train.tfrecord-0-of-1", shard, layout)]):
        with pytest.raises(SampleError, match=reason):
            list(read(memoryview(head + changed + tail), RAW))


@pytest.mark.parametrize(
    "edit",
    [
        {"camera": ["1"] * 25},
        {"camera": [True] * 25},
        {"camera": [[1.0]] * 25},
        {"camera": [1.0] * 24},
        {"camera": [1e300] * 25},
        {"camera": None},
        {"landmarks": [1.0] * 136},
        {"landmarks": [[1.0, "2"]] * 68},
        {"yaw": "0"},
        {"more": 1},
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_crafted_msgpack_member_is_refused(edit: dict[str, object]) -> None:
    layout, format = LAYOUTS["packed"], get_format("wds")
    shard, _ = written("wds", layout, [sample(layout, 0)])
    picture, packed = tar.members(memoryview(shard))
    content = msgpack.unpackb(shard[packed.offset : packed.offset + packed.size]) | edit
    body = msgpack.packb(content, use_single_float=edit != {"camera": [1e300] * 25})
    changed = shard[: picture.end] + tar.header(packed.name, len(body)) + body + tar.padding(len(body)) + tar.END
    with pytest.raises(SampleError):
        list(format.samples(memoryview(changed), layout))
