"""WebDataset: a tar of adjacent members per sample, KEY.png, KEY.camera.npy, KEY.landmarks.npy, KEY.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Set
from functools import partial
from itertools import groupby
from typing import Any

import msgpack
import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from lpff_shards.formats import base
from lpff_shards.formats.base import ARRAY_SHAPES, Annotations, AppendingWriter, Encoded, ImageSpan
from lpff_shards.formats.checks import check_fields, checked, sample_of
from lpff_shards.formats.containers import npy, tar
from lpff_shards.formats.errors import FormatError
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import FILE_KINDS, SUFFIXES, Sample

_MEMBER = 512 + 256
"""Bytes of a member without its payload: its header and, on average, half a block of padding."""
_NPY_HEADER = 128


class WebDataset(base.Spans):
    """USTAR shards with fixed headers."""

    name, title, tag = "wds", "WebDataset tars", "webdataset"
    readers = ("webdataset", "wids", "energon")
    raw = True
    metadata = ("json", "msgpack")
    pattern, glob = r"-[0-9]+\.tar", "-*.tar"
    end = tar.END

    def filename(self, stem: str, number: int, count: int) -> str:  # noqa: ARG002  # brace expansion needs no count
        return f"{stem}-{number:06d}.tar"

    def index_names(self, file: str) -> tuple[str, ...]:
        return f"{file.removesuffix('.tar')}.idx", f"{file}.idx"

    def indexes(self, shard: ShardReceipt) -> tuple[bytes, ...]:
        """Return the index for DALI's `fn.readers.webdataset`, and Energon's: the `offsets` as little-endian uint64.

        DALI's has one line per sample, four words per member.
        """
        lines = [f"v1.2 {len(shard.keys)}"]
        for key, start, (kind, *sizes) in zip(shard.keys, shard.offsets, shard.members, strict=False):
            at, words = start, []
            for suffix, size in zip(shard.suffixes[kind], sizes, strict=True):
                words.append(f"{suffix} {at + tar.BLOCK} {size} {key}.{suffix}")
                at += tar.BLOCK + tar.padded(size)
            lines.append(" ".join(words))
        return "".join(f"{line}\n" for line in lines).encode(), np.array(shard.offsets, "<u8").tobytes()

    def overhead(self, layout: Layout) -> int:
        arrays = 0 if layout.packed else len(layout.arrays)
        return super().overhead(layout) + 2 * _MEMBER + arrays * (_MEMBER + _NPY_HEADER)

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:
        arrays = layout.arrays
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

    def writer(self, file: str, sink: base.Sink, layout: Layout) -> AppendingWriter:
        return AppendingWriter(file, sink, partial(_encoded, layout), self.end)

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        key, start, group = "", 0, list[str]()
        due = ["mp"] if layout.packed else [*(f"{name}.npy" for name in layout.arrays), "json"]
        try:
            for member in tar.members(shard):
                name, _, suffix = member.name.partition(".")
                if group and (name != key or suffix in group):
                    raise FormatError(f"its members are {', '.join(group)}, then {member.name}")
                key = name
                group.append(suffix)
                if suffix == due[-1]:
                    if group[1:] != due:
                        raise FormatError(
                            f"its members are {', '.join(group)}; expected after the picture: {', '.join(due)}"
                        )
                    yield checked(self._sample(key, group[0], shard[start : member.end], layout), layout), member.end
                    key, start, group = "", member.end, []
            if group:
                raise FormatError(f"its members are {', '.join(group)}; {due[-1]} is missing")
        except FormatError as error:
            error.key = key
            raise

    def _sample(self, key: str, suffix: str, data: memoryview, layout: Layout) -> Sample:
        start, size, shape = structs.astuple(self.picture(bytes(data[: base.HEAD]), len(data), layout.raw))
        annotations = self._annotations(bytes(data[:start]), bytes(data[start + size :]), layout, scalars=True)
        return sample_of(key, FILE_KINDS.get(suffix, "raw"), bytes(data[start : start + size]), shape, annotations)

    def describe(self, file: str, shard: memoryview, layout: Layout) -> ShardReceipt:  # noqa: ARG002  # members have names
        found = ReceiptBuilder()
        try:
            for key, group in groupby(tar.members(shard), lambda member: member.name.partition(".")[0]):
                members = list(group)
                suffixes = tuple(member.name.partition(".")[2] for member in members)
                found.add(key, members[-1].end, suffixes, [member.size for member in members])
        except FormatError as error:
            raise base.SampleError(str(error), len(found)) from None
        return found.build(file, len(shard))

    def picture(self, head: bytes, size: int, raw: bool) -> ImageSpan:  # noqa: ARG002  # `annotations` reads the end
        name, length = tar.glance(head, 0)
        suffix = name.partition(".")[2]
        if suffix not in ((SUFFIXES["raw"],) if raw else FILE_KINDS):
            raise FormatError(f"its picture is a .{suffix}", 0)
        if not raw:
            return ImageSpan(tar.BLOCK, length, None)
        shape, start = npy.picture_header(head[tar.BLOCK : tar.BLOCK + _NPY_HEADER])
        if math.prod(shape) != length - start:
            raise FormatError(f"its raw picture is {length - start} bytes of shape {shape}")
        return ImageSpan(tar.BLOCK + start, length - start, shape)

    def annotations(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
        found = self._annotations(head, tail, layout, scalars)
        if scalars:
            check_fields(head.partition(b".")[0].decode(), found.scalars, layout)
        return found

    def _annotations(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
        """Do the same as `annotations`, without a check of the fields."""
        parts = tar.after_first(head[: head.find(b".") + 1], tail)
        try:
            if layout.packed:
                content = msgspec.msgpack.decode(parts["mp"], type=dict[str, Any])
                arrays = {name: _numbers(content.pop(name), ARRAY_SHAPES[name]) for name in layout.arrays}
            else:
                arrays = {name: npy.exactly(parts[f"{name}.npy"], ARRAY_SHAPES[name]) for name in layout.arrays}
                content = msgspec.json.decode(parts["json"], type=dict[str, Any]) if scalars else {}
            return Annotations(content, **arrays)
        except KeyError as error:
            raise FormatError(f"its member {error.args[0]} is missing") from None
        except (ValueError, TypeError, ArithmeticError, RecursionError, msgspec.DecodeError) as error:
            raise FormatError(f"its metadata is damaged: {error}") from None

    def offsets(self, index: bytes) -> base.Offsets:
        """Read Energon's index: the offsets as uint64."""
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


def _encoded(layout: Layout, sample: Sample) -> Encoded:
    key, picture = sample.key, sample.picture
    shape = npy.header("|u1", (picture.height, picture.width, 3)) if picture.kind == "raw" else b""
    arrays = {name: array for name in ARRAY_SHAPES if (array := getattr(sample, name)) is not None}
    if layout.packed:
        fields = dict(sample.scalars) | {name: array.tolist() for name, array in arrays.items()}
        others = {"mp": msgpack.packb(fields, use_single_float=True)}
    else:
        others = {f"{name}.npy": npy.dump(array) for name, array in arrays.items()}
        others["json"] = msgspec.json.encode(sample.scalars)
    suffix, size = SUFFIXES[picture.kind], len(shape) + len(picture.data)
    tail = [tar.padding(size)]
    for other, content in others.items():
        tail += (tar.header(f"{key}.{other}", len(content)), content, tar.padding(len(content)))
    pieces = [tar.header(f"{key}.{suffix}", size) + shape, picture.data, b"".join(tail)]
    return Encoded(pieces, (suffix, *others), (size, *map(len, others.values())))


def _numbers(value: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Convert lists of numbers to an array; refuse anything else, and numbers beyond float32."""
    kind: Any = list[float] if len(shape) == 1 else list[list[float]]
    with np.errstate(over="raise"):
        found = np.array(msgspec.convert(value, kind), np.float32)
    if found.shape != shape:
        raise FormatError(f"an array is not float32 of {shape}")
    return found
