"""The trainers' zip: pictures, their cameras in dataset.json, their fields in samples.jsonl.

Its parts hold pictures and notes in turn, which `formats.join_zip` joins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from itertools import islice, repeat
from typing import Any

import msgspec
import numpy as np
from isal.isal_zlib import crc32
from msgspec import Raw
from numpy.typing import NDArray

from lpff_shards.formats.base import FIELD_BYTES, Annotations, AppendingWriter, Encoded, Format, ShardWriter, Sink
from lpff_shards.formats.channel_zip import ChannelZipWriter, read_channel_zip
from lpff_shards.formats.checks import checked, sample_of
from lpff_shards.formats.containers.zip import ZipMember, members
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.join_zip import Note, join_zip
from lpff_shards.schemas.archive import LABELS, SAMPLES, SNAPSHOT_PICTURES, SNAPSHOTS, picture_stem
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.filenames import PART
from lpff_shards.schemas.landmarks import LANDMARKS
from lpff_shards.schemas.sample import FILE_KINDS, SUFFIXES, Sample

_MEMBER = 50 + 66 + 50
"""Approximate bytes of a picture's local header, its directory entry and its name in a list."""
_TEXTS = {"camera": 370, "landmarks": 1600}
_BLOCK = 1 << 20
"""Bytes of a text that are split into lines at once."""
_ALL = range(1 << 62)
_Camera = NDArray[np.float32] | None


class TrainersZip(Format):
    """The archive of EG3D's and StyleGAN's trainers."""

    name, title, tag = "zip", "zips for EG3D's and StyleGAN's trainers", "stylegan"
    unit, piece = "zip", "part"
    joining = staticmethod(join_zip)
    for_trainers = True
    channels = "beside"
    image = "stored-png"
    pattern, glob = r"(?:-[a-z][a-z0-9_]*)?\.zip", ".zip"

    def filename(self, stem: str, number: int, count: int) -> str:  # noqa: ARG002  # parts are removed after joining
        return f"{stem}.zip-{number:06d}{PART}"

    def attached_name(self, file: str, channel: str) -> str:
        return f"{file.removesuffix('.zip')}-{channel}.zip"

    def overhead(self, layout: Layout) -> int:
        return _MEMBER + sum(_TEXTS[name] for name in layout.arrays) + FIELD_BYTES

    def writer(self, file: str, sink: Sink, layout: Layout) -> ShardWriter:
        return ChannelZipWriter(file, sink, layout) if layout.attached else AppendingWriter(file, sink, _encoded)

    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        return read_channel_zip(shard, layout) if layout.attached else self._pictures(shard, layout, _ALL)

    def some(self, shard: memoryview, layout: Layout, numbers: Collection[int]) -> Iterator[Sample]:
        # A zip may be larger than memory: its other pictures are not read.
        return (sample for sample, _ in islice(self._numbered(self._pictures(shard, layout, numbers)), len(numbers)))

    def _pictures(self, shard: memoryview, layout: Layout, wanted: Collection[int]) -> Iterator[tuple[Sample, int]]:
        key, last, side = "", -1, 0
        try:
            found = list(members(shard))
            names = [member.name for member in found]
            if LABELS not in names or names[-1] != SAMPLES:
                raise FormatError(f"the zip does not hold {LABELS} after its pictures and {SAMPLES} at its end")
            count = names.index(LABELS)
            pictures, labels, lists, fields = found[:count], found[count], found[count + 1 : -1], found[-1]
            del names[count:]
            cameras, rows = _cameras(labels.read(shard), names, layout.camera), _lines(fields.read(shard))
            for number, (picture, camera) in enumerate(zip(pictures, cameras, strict=True)):
                row: dict[str, Any] = _decoded(next(rows, b"{}"), dict[str, Any], SAMPLES)
                if row.pop("name", None) != picture.name:
                    raise FormatError(f"{SAMPLES} has no line for {picture.name} at its position")
                key = str(row.get("key", ""))
                kind, last = _kind(picture, last, row.get("replica"))
                if number not in wanted:
                    continue
                annotations = Annotations(row, camera, _landmarks(row.pop("landmarks", None)))
                sample = checked(sample_of(key, kind, bytes(picture.read(shard)), None, annotations), layout)
                width, height, mode = sample.picture.width, sample.picture.height, sample.picture.mode
                side = side or width
                if (width, height, mode) != (side, side, "RGB") or side & (side - 1):
                    demand = "trainers require RGB of one size, a power of two"
                    raise FormatError(f"its picture is {width}x{height} {mode}; {demand}")
                yield sample, picture.end
                key = ""
            if next(rows, None) is not None:
                raise FormatError(f"{SAMPLES} has more lines than pictures")
            _check_lists({one.name: one.read(shard) for one in lists}, frozenset(names))
        except FormatError as error:
            error.key = key
            raise

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:
        camera = ", its camera in `dataset.json`" if layout.camera else ""
        return f"`00000/img00000000.{'/'.join(sorted(suffixes))}`{camera}, all else in a line of `samples.jsonl`"

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same in all layouts
        places = {"image": "picture", "camera": "label in `dataset.json`"}
        return places.get(name, f"`{name}` in `samples.jsonl`")


def _encoded(sample: Sample) -> Encoded:
    # A float32 is exact as a JSON double.
    label = None if sample.camera is None else sample.camera.tolist()
    points = {} if sample.landmarks is None else {"landmarks": sample.landmarks.tolist()}
    fields = msgspec.json.encode({**sample.scalars, **points})
    picture = sample.picture.data
    note = msgspec.json.encode(Note(crc32(picture), Raw(msgspec.json.encode(label)), Raw(fields)))
    return Encoded([picture, note], (SUFFIXES[sample.picture.kind], "json"), (len(picture), len(note)))


def _kind(picture: ZipMember, before: int, replica: object) -> tuple[str, int]:
    """Return the kind and the number of a picture from its name.

    The number follows `before`, that of the previous picture; a copy (`replica` of its fields) has the same number.
    """
    stem, _, suffix = picture.name.rpartition(".")
    copy = replica if isinstance(replica, int) else -1
    numbers = (before, before + 1) if copy and before >= 0 else (before + 1,)
    number = next((number for number in numbers if stem == picture_stem(number, copy)), None)
    if suffix not in FILE_KINDS or number is None:
        raise FormatError(f"its picture has the wrong name {picture.name}")
    return FILE_KINDS[suffix], number


def _lines(data: memoryview) -> Iterator[bytes]:
    """Yield the lines of a text, without their line feeds."""
    rest = b""
    for start in range(0, len(data), _BLOCK):
        *whole, rest = (rest + bytes(data[start : start + _BLOCK])).split(b"\n")
        yield from whole
    if rest:
        raise FormatError("a text of the zip ends within a line")


def _cameras(data: memoryview, names: Sequence[str], known: bool) -> Iterator[_Camera]:
    """Yield the cameras of dataset.json, which lists the pictures in order, one per line; None if there are none."""
    if not known:
        if bytes(data[:_BLOCK]) != b'{"labels": null}\n':
            raise FormatError(f"{LABELS} holds labels, but the data set has no cameras")
        yield from repeat(None, len(names))
        return
    lines = _lines(data)
    if next(lines, None) != b'{"labels": [':
        raise FormatError(f"{LABELS} has a wrong first line")
    for number, (name, line) in enumerate(zip(names, lines, strict=False), 1):
        comma = b"," if number < len(names) else b""
        label = _decoded(line.removesuffix(comma), tuple[str, list[float]], LABELS)
        if label[0] != name or len(label[1]) != CAMERA_NUMBERS or not line.endswith(comma):
            raise FormatError(f"{LABELS} has no label of {CAMERA_NUMBERS} numbers for {name} at its position")
        yield np.array(label[1], np.float32)
    if list(lines) != [b"]}"]:
        raise FormatError(f"{LABELS} does not end after the label of the last picture")


def _decoded(line: bytes, type: Any, where: str) -> Any:
    try:
        return msgspec.json.decode(line, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{where} is damaged: {error}") from None


def _landmarks(points: Any) -> NDArray[np.float32] | None:
    try:
        return None if points is None else np.array(points, np.float32).reshape(LANDMARKS, 2)
    except (ValueError, TypeError, OverflowError):
        raise FormatError(f"its landmarks are not {LANDMARKS} pairs of numbers") from None


def _check_lists(lists: Mapping[str, memoryview], pictures: frozenset[str]) -> None:
    """Check the lists of names, and the snapshots' indices into them."""
    lengths: dict[str, int] = {}
    for name, data in lists.items():
        if name.endswith(SNAPSHOTS):
            indices: list[int] = _decoded(bytes(data), list[int], name)
            length = lengths.get(name.replace(SNAPSHOTS, ".json"), 0)
            if len(indices) != SNAPSHOT_PICTURES or not all(0 <= index < length for index in indices):
                raise FormatError(f"{name} does not hold {SNAPSHOT_PICTURES} indices into its list")
            continue
        listed: list[str] = _decoded(bytes(data), list[str], name)
        lengths[name] = len(listed)
        if (other := next((one for one in listed if one not in pictures), None)) is not None:
            raise FormatError(f"{name} names {other}, which the zip does not hold")
