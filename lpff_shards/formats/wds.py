"""WebDataset: a tar of adjacent members per sample, KEY.png, KEY.camera.npy, KEY.landmarks.npy, KEY.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from itertools import groupby
from typing import Any

import msgspec
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from lpff_shards.formats import base
from lpff_shards.formats.base import ARRAY_SHAPES, Annotations, AppendingWriter, ImageSpan
from lpff_shards.formats.checks import attached_sample, check_fields, checked, sample_of
from lpff_shards.formats.containers import npy, tar
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.tar_members import encode_members, member_suffixes
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
    channels = "inside"
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
        parts = ["/".join(f"`KEY.{suffix}`" for suffix in sorted(suffixes))]
        parts += [f"`KEY.{name}.npy`" for name in arrays if not layout.packed]
        parts += [f"`KEY.{channel.suffix}`" for channel in layout.channels or ()]
        packed = f"`KEY.mp` ({', '.join([*arrays, 'all fields'])})"
        return ", ".join((*parts, packed if layout.packed else "`KEY.json` (all fields)"))

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:
        if name == "image":
            return "/".join(f"`{suffix}`" for suffix in sorted(suffixes))
        return f"`{name}` in `mp`" if layout.packed else f"`{name}.npy`"

    def member(self, key: str, suffix: str) -> str:
        return f"{key}.{suffix}"

    def writer(self, file: str, sink: base.Sink, layout: Layout) -> AppendingWriter:
        return AppendingWriter(file, sink, partial(encode_members, layout), self.end)

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        key, start, group = "", 0, list[str]()
        due = member_suffixes(layout)
        try:
            for member in tar.members(shard):
                name, _, suffix = member.name.partition(".")
                if group and (name != key or suffix in group):
                    raise FormatError(f"its members are {', '.join(group)}, then {member.name}")
                key = name
                group.append(suffix)
                if suffix == due[-1]:
                    if group[0 if layout.attached else 1 :] != due:
                        after = "" if layout.attached else " after the picture"
                        raise FormatError(f"its members are {', '.join(group)}; expected{after}: {', '.join(due)}")
                    yield checked(self._sample(key, group[0], shard[start : member.end], layout), layout), member.end
                    key, start, group = "", member.end, []
            if group:
                raise FormatError(f"its members are {', '.join(group)}; {due[-1]} is missing")
        except FormatError as error:
            error.key = key
            raise

    def _sample(self, key: str, suffix: str, data: memoryview, layout: Layout) -> Sample:
        if layout.attached:
            return attached_sample(key, self.channels_of(bytes(data), layout))
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
            channels = {channel.name: parts[channel.suffix] for channel in layout.channels or ()}
            if layout.packed:
                content = msgspec.msgpack.decode(parts["mp"], type=dict[str, Any])
                arrays = {name: _numbers(content.pop(name), ARRAY_SHAPES[name]) for name in layout.arrays}
            else:
                arrays = {name: npy.exactly(parts[f"{name}.npy"], ARRAY_SHAPES[name]) for name in layout.arrays}
                content = msgspec.json.decode(parts["json"], type=dict[str, Any]) if scalars else {}
            return Annotations(content, channels=channels, **arrays)
        except KeyError as error:
            raise FormatError(f"its member {error.args[0]} is missing") from None
        except (ValueError, TypeError, ArithmeticError, RecursionError, msgspec.DecodeError) as error:
            raise FormatError(f"its metadata is damaged: {error}") from None

    def channels_of(self, sample: bytes, layout: Layout) -> Mapping[str, bytes]:
        name, size = tar.glance(sample, 0)
        key, _, suffix = name.partition(".")
        start = tar.BLOCK + size
        parts = {suffix: sample[tar.BLOCK : start], **tar.after_first(f"{key}.".encode(), sample[start:])}
        try:
            return {channel.name: parts[channel.suffix] for channel in layout.channels or ()}
        except KeyError as error:
            raise FormatError(f"its member {error.args[0]} is missing") from None

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


def _numbers(value: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Convert lists of numbers to an array; refuse anything else, and numbers beyond float32."""
    kind: Any = list[float] if len(shape) == 1 else list[list[float]]
    with np.errstate(over="raise"):
        found = np.array(msgspec.convert(value, kind), np.float32)
    if found.shape != shape:
        raise FormatError(f"an array is not float32 of {shape}")
    return found
