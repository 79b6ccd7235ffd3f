"""The parts of the trainers' zip: each picture with what else the archive says of it, for `archive` to put together."""

from __future__ import annotations

import msgspec
from isal.isal_zlib import crc32
from msgspec import Raw, Struct

from lpff_shards.formats.base import Encoded
from lpff_shards.schemas.fields import Layout
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


class ZipParts:
    """Pictures and notes in turn."""

    end = b""

    def encode(self, sample: Sample, layout: Layout) -> Encoded:  # noqa: ARG002  # what the sample has tells it
        # Whole numbers of float32 stay what they are as JSON's doubles.
        label = None if sample.camera is None else sample.camera.tolist()
        points = {} if sample.landmarks is None else {"landmarks": sample.landmarks.tolist()}
        fields = msgspec.json.encode({**sample.scalars, **points})
        picture = sample.picture.data
        note = msgspec.json.encode(Note(crc32(picture), Raw(msgspec.json.encode(label)), Raw(fields)))
        return Encoded([picture, note], (SUFFIXES[sample.picture.kind], "json"), (len(picture), len(note)))
