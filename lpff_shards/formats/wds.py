"""WebDataset: a tar of adjacent members per sample, KEY.png, KEY.camera.npy, KEY.landmarks.npy, KEY.json."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.formats.base import AppendingWriter, Encoded, Format, SampleError, Sink
from lpff_shards.formats.checks import check_fields, checked, sample_of
from lpff_shards.formats.containers import npy, tar
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.spans import ARRAY_SHAPES, HEAD, Annotations, ImageSpan, Offsets
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import FILE_KINDS, SUFFIXES, Sample

_MEMBER = 512 + 256
"""Bytes of a member without its payload: its header and, on average, half a block of padding."""
_NPY_HEADER = 128
_DALI_VERSION = "v1.2"
_RAW = (SUFFIXES["raw"],)


class WebDataset(Format):
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
        """Return the index for DALI's `index_paths`, and Energon's: the `offsets` as little-endian uint64."""
        return _dali_index(shard), np.array(shard.offsets, "<u8").tobytes()

    def loading(self) -> str:
        return Path(__file__).with_suffix(".md").read_text("utf-8")

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

    def writer(self, file: str, sink: Sink, layout: Layout) -> AppendingWriter:
        return AppendingWriter(file, sink, partial(_encoded, layout), self.end)

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        number, key, group = 0, "", list[tar.TarMember]()
        last = "mp" if layout.packed else "json"
        try:
            for member in tar.members(shard):
                name, _, suffix = member.name.partition(".")
                if group and (name != key or suffix in _suffixes(group)):
                    raise FormatError(f"its members are {', '.join(_suffixes(group))}, then {member.name}")
                key = name
                group.append(member)
                if suffix == last:
                    yield checked(self._sample(key, group, shard, layout), layout), member.end
                    number, key, group = number + 1, "", []
            if group:
                raise FormatError(f"its members are {', '.join(_suffixes(group))}; {last} is missing")
        except FormatError as error:
            raise SampleError(str(error), number, key) from None

    def _sample(self, key: str, group: Sequence[tar.TarMember], shard: memoryview, layout: Layout) -> Sample:
        arrays = [f"{name}.npy" for name in layout.arrays]
        expected = ["mp"] if layout.packed else [*arrays, "json"]
        kind, *rest = _suffixes(group)
        if rest != expected:
            raise FormatError(
                f"its members are {', '.join((kind, *rest))}; expected after the picture: {', '.join(expected)}"
            )
        data = shard[group[0].header : group[-1].end]
        found = self.picture(bytes(data[:HEAD]), len(data), layout.raw)
        stop = found.start + found.size
        annotations = self._annotations(bytes(data[: found.start]), bytes(data[stop:]), layout, scalars=True)
        return sample_of(key, FILE_KINDS.get(kind, "raw"), bytes(data[found.start : stop]), found.shape, annotations)

    def describe(self, file: str, shard: memoryview, layout: Layout) -> ShardReceipt:  # noqa: ARG002  # members have names
        found = ReceiptBuilder()
        try:
            for key, group in tar.groups(shard):
                found.add(key, group[-1].end, _suffixes(group), [member.size for member in group])
        except FormatError as error:
            raise SampleError(str(error), len(found)) from None
        return found.build(file, len(shard))

    def spans(self) -> WebDataset:
        return self

    def picture(self, head: bytes, size: int, raw: bool) -> ImageSpan:  # noqa: ARG002  # `annotations` reads the end
        name, length = tar.glance(head, 0)
        suffix = name.partition(".")[2]
        if suffix not in (_RAW if raw else FILE_KINDS):
            raise FormatError(f"its picture is a .{suffix}", 0)
        if not raw:
            return ImageSpan(tar.BLOCK, length, None)
        shape, start = npy.picture_header(head[tar.BLOCK : tar.BLOCK + 128])
        if math.prod(shape) != length - start:
            raise FormatError(f"its raw picture is {length - start} bytes of shape {shape}")
        return ImageSpan(tar.BLOCK + start, length - start, shape)

    def annotations(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
        found = self._annotations(head, tail, layout, scalars)
        if scalars:
            check_fields(head.partition(b".")[0].decode(), found.scalars)
        return found

    def _annotations(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
        """Do the same as `annotations`, without a check of the fields."""
        key = head[: head.find(b".") + 1]
        parts = tar.behind(key, tail)
        try:
            return _unpacked(parts["mp"], layout) if layout.packed else _plain(parts, layout, scalars)
        except KeyError as error:
            raise FormatError(f"its member {error.args[0]} is missing") from None
        except (ValueError, TypeError, ArithmeticError, RecursionError, msgspec.DecodeError) as error:
            raise FormatError(f"its metadata is damaged: {error}") from None

    def offsets(self, index: bytes) -> Offsets:
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
    """Yield the suffix and content of each member after the picture's."""
    arrays = {name: array for name in ARRAY_SHAPES if (array := getattr(sample, name)) is not None}
    if layout.packed:
        content = dict(sample.scalars) | {name: array.tolist() for name, array in arrays.items()}
        yield "mp", msgpack.packb(content, use_single_float=True)
        return
    yield from ((f"{name}.npy", npy.dump(array)) for name, array in arrays.items())
    yield "json", msgspec.json.encode(sample.scalars)


def _dali_index(shard: ShardReceipt) -> bytes:
    """Return the index for `fn.readers.webdataset`: one line per sample, four words per member."""
    lines = [f"{_DALI_VERSION} {len(shard.keys)}"]
    for key, start, (kind, *sizes) in zip(shard.keys, shard.offsets, shard.members, strict=False):
        at, words = start, []
        for suffix, size in zip(shard.suffixes[kind], sizes, strict=True):
            words.append(f"{suffix} {at + tar.BLOCK} {size} {key}.{suffix}")
            at += tar.BLOCK + tar.padded(size)
        lines.append(" ".join(words))
    return "".join(f"{line}\n" for line in lines).encode()


def _suffixes(group: Sequence[tar.TarMember]) -> tuple[str, ...]:
    return tuple(member.name.partition(".")[2] for member in group)


def _plain(parts: Mapping[str, bytes], layout: Layout, scalars: bool) -> Annotations:
    arrays = {name: npy.exactly(parts[f"{name}.npy"], ARRAY_SHAPES[name]) for name in layout.arrays}
    return Annotations(msgspec.json.decode(parts["json"], type=dict[str, Any]) if scalars else {}, **arrays)


def _unpacked(data: bytes, layout: Layout) -> Annotations:
    content = msgspec.msgpack.decode(data, type=dict[str, Any])
    arrays = {name: _numbers(content.pop(name), ARRAY_SHAPES[name]) for name in layout.arrays}
    return Annotations(content, **arrays)


def _numbers(value: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Convert lists of numbers to an array; refuse anything else, and numbers beyond float32."""
    kind: Any = list[float] if len(shape) == 1 else list[list[float]]
    with np.errstate(over="raise"):
        found = np.array(msgspec.convert(value, kind), np.float32)
    if found.shape != shape:
        raise FormatError(f"an array is not float32 of {shape}")
    return found
