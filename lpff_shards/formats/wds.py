"""WebDataset: a tar of adjacent members per sample, KEY.png, KEY.camera.npy, KEY.landmarks.npy, KEY.json."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any

import msgpack
import msgspec

from lpff_shards.formats.base import Encoded
from lpff_shards.formats.containers import npy, tar
from lpff_shards.formats.readers import wds as reading
from lpff_shards.formats.readers.checks import outline_of
from lpff_shards.formats.wds_spans import TarSpans
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.outline import Outline
from lpff_shards.schemas.sample import SUFFIXES, Sample

_MEMBER = 512 + 256
"""Bytes of a member beside its payload: its header and, on average, half a block of padding."""
_NPY_HEADER = 128
_ARRAYS = {"camera": 100, "landmarks": 544}
_FIELDS = 1000
"""Bytes of the fields as JSON or msgpack, about."""


class WebDataset:
    """USTAR shards with fixed headers."""

    name, container = "wds", "tar"
    title, tag = "WebDataset tars", "webdataset"
    unit = piece = "shard"
    joined = for_trainers = False
    image = "keep"
    metadata: tuple[str, ...] = ("json", "msgpack")
    pattern, glob = r"-[0-9]+\.tar", "-*.tar"
    end = tar.END

    def filename(self, stem: str, number: int, count: int) -> str:  # noqa: ARG002  # brace expansion needs no count
        return f"{stem}-{number:06d}.tar"

    def index_names(self, file: str) -> tuple[str, ...]:
        return f"{file.removesuffix('.tar')}.idx", f"{file}.idx"

    def overhead(self, layout: Layout) -> int:
        arrays = [size for name, size in _ARRAYS.items() if getattr(layout, name)]
        if layout.packed:
            return 2 * _MEMBER + sum(arrays) + _FIELDS
        return _MEMBER + sum(_MEMBER + _NPY_HEADER + size for size in arrays) + _MEMBER + _FIELDS

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

    def samples(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        return reading.samples(shard, layout)

    def outline(self, file: str, shard: memoryview, layout: Layout) -> Outline:  # noqa: ARG002  # the members tell
        return outline_of(file, list(reading.members(shard)))

    def spans(self) -> TarSpans:
        return TarSpans()

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:
        arrays = [name for name in _ARRAYS if getattr(layout, name)]
        picture = "/".join(f"`KEY.{suffix}`" for suffix in sorted(suffixes))
        if layout.packed:
            return f"{picture}, `KEY.mp` ({', '.join([*arrays, 'all fields'])})"
        return ", ".join((picture, *(f"`KEY.{name}.npy`" for name in arrays), "`KEY.json` (all fields)"))

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:
        if name == "image":
            return "/".join(f"`{suffix}`" for suffix in sorted(suffixes))
        return f"`{name}` in `mp`" if layout.packed else f"`{name}.npy`"

    def member(self, key: str, suffix: str) -> str:
        return f"{key}.{suffix}"


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
