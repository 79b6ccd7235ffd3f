"""The parts of a WebDataset sample: adjacent members of a tar, the picture first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.containers import npy, tar
from lpff_shards.formats.errors import WireError
from lpff_shards.formats.spans import Beside, Found, Offsets
from lpff_shards.schemas import fields
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.landmarks import LANDMARKS
from lpff_shards.schemas.sample import FILE_KINDS, SUFFIXES

_RAW = (SUFFIXES["raw"],)


class TarSpans:
    """Members by their headers' names and sizes."""

    def picture(self, head: bytes, size: int, raw: bool) -> Found | None:  # noqa: ARG002  # `beside` sees the end
        suffix, length = _member(head, 0)
        if suffix not in (_RAW if raw else FILE_KINDS):
            raise WireError(f"its picture is a .{suffix}", 0)
        if not raw:
            return Found(tar.BLOCK, length, None)
        shape, start = _shape(head[tar.BLOCK : tar.BLOCK + 128])
        if math.prod(shape) != length - start:
            raise WireError(f"its raw picture is {length - start} bytes of shape {shape}")
        return Found(tar.BLOCK + start, length - start, shape)

    def beside(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Beside:
        key = head[: head.find(b".") + 1]
        parts = _parts(key, tail)
        try:
            found = _packed(parts["mp"], layout) if layout.packed else _plain(parts, layout, scalars)
        except KeyError as error:
            raise WireError(f"its member {error.args[0]} is missing") from None
        except (ValueError, TypeError, OverflowError, RecursionError, msgspec.DecodeError) as error:
            raise WireError(f"its metadata is damaged: {error}") from None
        if scalars:
            _check(key[:-1].decode(), found.scalars)
        return found

    def offsets(self, index: bytes) -> Offsets:
        """Energon's index: the offsets as they are."""
        return np.frombuffer(index, "<u8").astype(np.int64)

    def scan(self, read: Callable[[int, int], bytes]) -> Iterator[int]:
        at, key = 0, ""
        while any(block := read(at, tar.BLOCK)):
            member = tar.read_header(block, at)
            found = member.name.partition(".")[0]
            if found != key:
                yield at
                key = found
            at = member.end
        yield at


def _check(key: str, scalars: Mapping[str, Any]) -> None:
    """Refuse fields that break the schema, or are another sample's."""
    reason = fields.fault(scalars)
    if reason is None and scalars["key"] != key:
        reason = f"its members are named {key}, its field key is {scalars['key']}"
    if reason:
        raise WireError(reason)


def _parts(key: bytes, tail: bytes) -> dict[str, bytes]:
    """The members behind the picture by suffix; they have its key, or an index file cut the shard wrongly.

    Args:
        key: the sample's, with the dot behind it.
    """
    # The picture's padding comes first; from its end on all is whole blocks.
    at = len(tail) % tar.BLOCK
    parts: dict[str, bytes] = {}
    while at < len(tail):
        suffix, size = _member(tail, at)
        if suffix in parts or not tail.startswith(key, at):
            raise WireError(f"its members are those of several samples, one of them {key[:-1].decode()}", at)
        at += tar.BLOCK
        parts[suffix] = tail[at : at + size]
        at += tar.padded(size)
    return parts


def _member(data: bytes, at: int) -> tuple[str, int]:
    """Suffix and payload size of the member whose header is at a place."""
    name, size = data[at : at + tar.MAX_NAME], data[at + 124 : at + 135]
    if data[at + 257 : at + 262] != b"ustar" or not size.isdigit():
        raise WireError("no member starts where one should", at)
    try:
        return name.rstrip(b"\0").decode("ascii").partition(".")[2], int(size, 8)
    except ValueError as error:
        raise WireError(f"a member's header is damaged: {error}", at) from None


@lru_cache(maxsize=64)
def _shape(head: bytes) -> tuple[tuple[int, int, int], int]:
    """Shape of the raw picture whose NPY file starts so, and where its pixels start in the file."""
    dtype, shape, start = npy.read_header(head)
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
        raise WireError(f"its raw picture is {dtype} of shape {shape}")
    return (shape[0], shape[1], 3), start


def _array(data: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    head = npy.header("<f4", shape)
    if data[: len(head)] != head:
        raise WireError(f"an array is not float32 of {shape}")
    return np.frombuffer(data, "<f4", offset=len(head)).reshape(shape)


def _plain(parts: dict[str, bytes], layout: Layout, scalars: bool) -> Beside:
    return Beside(
        _array(parts["camera.npy"], (CAMERA_NUMBERS,)) if layout.camera else None,
        _array(parts["landmarks.npy"], (LANDMARKS, 2)) if layout.landmarks else None,
        msgspec.json.decode(parts["json"], type=dict[str, Any]) if scalars else {},
    )


def _packed(data: bytes, layout: Layout) -> Beside:
    content = msgspec.msgpack.decode(data, type=dict[str, Any])
    camera = np.array(content.pop("camera"), np.float32).reshape(CAMERA_NUMBERS) if layout.camera else None
    points = np.array(content.pop("landmarks"), np.float32).reshape(LANDMARKS, 2) if layout.landmarks else None
    return Beside(camera, points, content)
