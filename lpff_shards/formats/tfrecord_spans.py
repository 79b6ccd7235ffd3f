"""The parts of a TFRecord sample: a frame around an Example whose features are sorted by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from functools import lru_cache
from typing import Any

import numpy as np

from lpff_shards.formats.containers import example, tfrecord
from lpff_shards.formats.errors import WireError
from lpff_shards.formats.spans import Beside, Found, Offsets
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import FIELDS, Field, Layout
from lpff_shards.schemas.landmarks import LANDMARKS

_LENGTH, _CRC = 12, 4
_IMAGE = b"image"
_CHANNELS = 3


class RecordSpans:
    """Features by a walk over their names and lengths."""

    def picture(self, head: bytes, size: int, raw: bool) -> Found | None:
        if int.from_bytes(head[:8], "little") + tfrecord.FRAMING != size:
            raise WireError("it is not one whole record", 0)
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
        found = _decoded(head, tail, _wanted(layout, scalars))
        try:
            return Beside(
                np.asarray(found["camera"], np.float32).reshape(CAMERA_NUMBERS) if layout.camera else None,
                np.asarray(found["landmarks"], np.float32).reshape(LANDMARKS, 2) if layout.landmarks else None,
                {f.name: _scalar(f, found[f.name]) for f in FIELDS} if scalars else {},
            )
        except KeyError as error:
            raise WireError(f"its feature {error.args[0]} is missing") from None
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise WireError(f"its features are damaged: {error}") from None

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


def _decoded(head: bytes, tail: bytes, wanted: Set[bytes]) -> dict[str, Any]:
    """The wanted features around the picture; the walk ends with the last of them."""
    found: dict[str, Any] = {}
    for part, at in ((head, example.open_example(head, _LENGTH)), (tail[:-_CRC], 0)):
        view = memoryview(part)
        for name, start, end in example.spans(part, at):
            if len(found) == len(wanted):
                return found
            if name in wanted:
                found[name.decode()] = example.decode_feature(view[start:end])
    return found


@lru_cache(maxsize=16)
def _wanted(layout: Layout, scalars: bool) -> frozenset[bytes]:
    """Names of the features that are looked at."""
    names = [f.name for f in FIELDS] if scalars else []
    names += ["camera"] * layout.camera + ["landmarks"] * layout.landmarks
    return frozenset(name.encode() for name in names)


def _height(values: example.Decoded) -> int:
    if len(values) != 1 or not isinstance(values[0], int):
        raise WireError("its height is not one number")
    return values[0]


def _shape(size: int, height: int) -> tuple[int, int, int]:
    """Shape of raw pixels: `image/shape` stands behind them, height before."""
    if height < 1 or size < 1 or size % (height * _CHANNELS):
        raise WireError(f"its raw picture is {size} bytes of height {height}")
    return height, size // (height * _CHANNELS), _CHANNELS


def _scalar(field: Field, values: example.Decoded) -> str | int | bool | float:
    value = values[0]
    if field.kind == "str":
        return str(value, "utf-8")  # type: ignore[arg-type]
    if field.kind == "float":
        return float(value)
    return bool(value) if field.kind == "bool" else int(value)
