"""WebDataset: a tar of adjacent members per sample, KEY.png, KEY.camera.npy, KEY.landmarks.npy, KEY.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack
import msgspec

from lpff_shards.formats.base import Encoded
from lpff_shards.formats.containers import npy, tar
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.sample import SUFFIXES, Sample


class WebDataset:
    """USTAR shards with fixed headers."""

    end = tar.END

    def encode(self, sample: Sample, layout: Layout) -> Encoded:
        key, picture = sample.key, sample.picture
        shape = npy.header("|u1", (picture.height, picture.width, 3)) if picture.kind == "raw" else b""
        size = len(shape) + len(picture.data)
        suffixes, sizes = [SUFFIXES[picture.kind]], [size]
        tail = [tar.padding(size)]
        for suffix, content in _members(sample, layout):
            suffixes.append(suffix)
            sizes.append(len(content))
            tail += (tar.header(f"{key}.{suffix}", len(content)), content, tar.padding(len(content)))
        head = tar.header(f"{key}.{suffixes[0]}", size) + shape
        return Encoded([head, picture.data, b"".join(tail)], tuple(suffixes), tuple(sizes))


def _members(sample: Sample, layout: Layout) -> Iterator[tuple[str, bytes]]:
    """What stands behind the picture's member."""
    if layout.packed:
        yield "mp", _packed(sample)
        return
    if sample.camera is not None:
        yield "camera.npy", npy.dump(sample.camera)
    if sample.landmarks is not None:
        yield "landmarks.npy", npy.dump(sample.landmarks)
    yield "json", msgspec.json.encode(sample.scalars)


def _packed(sample: Sample) -> bytes:
    content: dict[str, Any] = dict(sample.scalars)
    if sample.camera is not None:
        content["camera"] = sample.camera.tolist()
    if sample.landmarks is not None:
        content["landmarks"] = sample.landmarks.tolist()
    packed: bytes = msgpack.packb(content, use_single_float=True)
    return packed
