"""WebDataset: a tar of adjacent members per sample, KEY.png, KEY.camera.npy, KEY.landmarks.npy, KEY.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack
import msgspec

from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.sample import Sample
from lpff_shards.wire import npy, tar

SUFFIXES = {"png": "png", "jpeg": "jpg", "webp": "webp", "raw": "image.npy"}


class WebDataset:
    """USTAR shards with fixed headers."""

    end = tar.END

    def encode(self, sample: Sample, layout: Layout) -> list[bytes]:
        key, picture = sample.key, sample.picture
        shape = npy.header("|u1", (picture.height, picture.width, 3)) if picture.kind == "raw" else b""
        size = len(shape) + len(picture.data)
        head = tar.header(f"{key}.{SUFFIXES[picture.kind]}", size) + shape
        return [head, picture.data, b"".join([tar.padding(size), *_members(sample, layout)])]


def _members(sample: Sample, layout: Layout) -> Iterator[bytes]:
    """What stands behind the picture's member."""
    if layout.packed:
        yield from _member(sample.key, "mp", _packed(sample))
        return
    if sample.camera is not None:
        yield from _member(sample.key, "camera.npy", npy.dump(sample.camera))
    if sample.landmarks is not None:
        yield from _member(sample.key, "landmarks.npy", npy.dump(sample.landmarks))
    yield from _member(sample.key, "json", msgspec.json.encode(sample.scalars))


def _member(key: str, suffix: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    return tar.header(f"{key}.{suffix}", len(content)), content, tar.padding(len(content))


def _packed(sample: Sample) -> bytes:
    content: dict[str, Any] = dict(sample.scalars)
    if sample.camera is not None:
        content["camera"] = sample.camera.tolist()
    if sample.landmarks is not None:
        content["landmarks"] = sample.landmarks.tolist()
    packed: bytes = msgpack.packb(content, use_single_float=True)
    return packed
