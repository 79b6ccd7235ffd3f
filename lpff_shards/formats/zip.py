"""The parts of the trainers' zip: each picture with what else the archive says of it, for `archive` to put together."""

from __future__ import annotations

from collections.abc import Iterator, Set

import msgspec
from isal.isal_zlib import crc32
from msgspec import Raw, Struct

from lpff_shards.formats.base import Encoded
from lpff_shards.formats.readers import zip as reading
from lpff_shards.formats.readers.checks import outline_of, picture_of
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.filenames import PART
from lpff_shards.schemas.outline import Outline
from lpff_shards.schemas.sample import SUFFIXES, Sample


class Note(Struct, frozen=True, array_like=True):
    """What a part holds behind a picture.

    Attributes:
        crc: CRC-32 of the picture's file.
        label: its camera as a JSON list, or null.
        fields: its scalars and landmarks as a JSON object.
    """

    crc: int
    label: Raw
    fields: Raw


_MEMBER = 50 + 66 + 50
"""Bytes of a picture's local header, of its entry in the directory and of its name in a list, about."""
_TEXTS = {"camera": 370, "landmarks": 1600}
_FIELDS = 1000


class TrainersZip:
    """The archive of EG3D's and StyleGAN's trainers; its parts hold pictures and notes in turn."""

    name, container = "zip", "zip"
    title, tag = "zips for EG3D's and StyleGAN's trainers", "stylegan"
    unit, piece = "zip", "part"
    joined = for_trainers = True
    image = "stored-png"
    metadata: tuple[str, ...] = ("json",)
    pattern, glob = r"\.zip", ".zip"
    end = b""

    def filename(self, stem: str, number: int, count: int) -> str:  # noqa: ARG002  # parts go when the zip is there
        return f"{stem}.zip-{number:06d}{PART}"

    def index_names(self, file: str) -> tuple[str, ...]:  # noqa: ARG002  # a zip has its directory
        return ()

    def overhead(self, layout: Layout) -> int:
        return _MEMBER + sum(size for name, size in _TEXTS.items() if getattr(layout, name)) + _FIELDS

    def encode(self, sample: Sample, layout: Layout) -> Encoded:  # noqa: ARG002  # what the sample has tells it
        # Whole numbers of float32 stay what they are as JSON's doubles.
        label = None if sample.camera is None else sample.camera.tolist()
        points = {} if sample.landmarks is None else {"landmarks": sample.landmarks.tolist()}
        fields = msgspec.json.encode({**sample.scalars, **points})
        picture = sample.picture.data
        note = msgspec.json.encode(Note(crc32(picture), Raw(msgspec.json.encode(label)), Raw(fields)))
        return Encoded([picture, note], (SUFFIXES[sample.picture.kind], "json"), (len(picture), len(note)))

    def samples(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        return reading.samples(shard, layout)

    def outline(self, file: str, shard: memoryview, layout: Layout) -> Outline:
        return outline_of(file, [picture_of(*one) for one in reading.placed(shard, layout)])

    def spans(self) -> None:
        return None

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:
        camera = ", its camera in `dataset.json`" if layout.camera else ""
        return f"`00000/img00000000.{'/'.join(sorted(suffixes))}`{camera}, all else in a line of `samples.jsonl`"

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same in all layouts
        places = {"image": "picture", "camera": "label in `dataset.json`"}
        return places.get(name, f"`{name}` in `samples.jsonl`")

    def member(self, key: str, suffix: str) -> None:  # noqa: ARG002  # there are none by key
        return None
