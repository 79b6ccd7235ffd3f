"""Samples made by hand, the same bytes everywhere: no encoder has a part in them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lpff_shards.formats.registry import get_format
from lpff_shards.schemas.fields import FIELDS, Layout
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.sample import Picture, Sample

LAYOUTS = {
    "plain": Layout(raw=False, camera=True, landmarks=True),
    "bare": Layout(raw=False, camera=False, landmarks=False),
    "raw": Layout(raw=True, camera=True, landmarks=False),
    "packed": Layout(raw=False, camera=True, landmarks=True, packed=True),
    "packed_raw": Layout(raw=True, camera=True, landmarks=True, packed=True),
}
WDS_LAYOUTS = tuple(LAYOUTS)
TFRECORD_LAYOUTS = ("plain", "bare", "raw")
FORMAT_LAYOUTS = {
    "wds": WDS_LAYOUTS,
    "tfrecord": TFRECORD_LAYOUTS,
    "parquet": ("plain", "bare"),
    "arrayrecord": TFRECORD_LAYOUTS,
}
"""Of the formats whose tasks write finished files, the layouts that each takes."""


def png(width: int, height: int, shade: int = 0) -> bytes:
    """A PNG whose pixels are stored, written without an encoder's choices."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + bytes((shade + x + y) % 256 for x in range(width) for _ in range(3)) for y in range(height))
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    stored += struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stored) + chunk(b"IEND", b"")


def sample(layout: Layout, number: int = 0) -> Sample:
    """A sample for a layout; every field holds something of its own."""
    key = f"demo_10000-N00_0000000{number}_01_m"
    values = {"str": "ü{name} {number}", "int": 7 + number, "bool": number % 2 == 0, "float": 0.25 - number}
    scalars = {f.name: values[f.kind] for f in FIELDS}
    scalars |= {f.name: f"ü{f.name} {number}" for f in FIELDS if f.kind == "str"}
    scalars |= {"key": key, "width": 5, "height": 4, "face": -1}
    data = bytes(range(number, number + 60)) if layout.raw else png(5, 4, number)
    picture = Picture("raw" if layout.raw else "png", data, 5, 4, "RGB")
    camera = np.arange(25, dtype=np.float32) / 8 - number if layout.camera else None
    points = np.arange(136, dtype=np.float32).reshape(68, 2) / 8 + number if layout.landmarks else None
    return Sample(key, picture, camera, points, scalars)


class Gathered:
    """A sink that keeps what is written to it."""

    def __init__(self, folder: str) -> None:
        self.pieces: list[bytes] = []
        self._folder = folder

    def file(self) -> Path:
        return Path(self._folder, "made")

    def write(self, pieces: Sequence[bytes]) -> None:
        self.pieces += pieces


def written(format: str, layout: Layout, samples: Iterable[Sample], file: str = "x") -> tuple[bytes, ShardReceipt]:
    """The shard of some samples, and what its writer tells of it."""
    with TemporaryDirectory() as folder:
        sink = Gathered(folder)
        writer = get_format(format).writer(file, sink, layout)
        for one in samples:
            writer.add(one)
        receipt = writer.close()
        return b"".join(sink.pieces), receipt
