"""The format contract: the interface that other parts use; `registry.get_format` returns a format.

Code outside `formats` does not compare names of formats; each difference is an attribute or a method here.
`tests/test_formats.py` checks the rules of every format:

- Equal samples in equal order give equal bytes, and `samples` reads them back.
- A writer only appends. Reading a shard detects a cut or a flipped bit, at the latest by the checksum in the manifest.
- A format with `joining` writes parts, which `exporters.archive` joins to one file per split.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from inspect import getfile
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from isal.isal_zlib import crc32
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError
from lpff_shards.schemas.camera import CAMERA_NUMBERS
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.landmarks import LANDMARKS
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import SUFFIXES, Sample

ARRAY_SHAPES = {"camera": (CAMERA_NUMBERS,), "landmarks": (LANDMARKS, 2)}
"""Shapes of a sample's arrays of float32, by name."""
FIELD_BYTES = 1000
"""Approximate bytes of the fields of a sample."""
HEAD = 4096
"""First bytes of a sample to read: they contain the headers before nearly every picture."""

Offsets = NDArray[np.int64]
"""int64 [samples + 1]: the start of each sample of a shard, and the end of the last."""


class SampleError(Exception):
    """A shard that breaks its format or schema at a sample: its number from 0, and its key, empty if unknown."""

    def __init__(self, reason: str, number: int, key: str = "") -> None:
        super().__init__(reason, number, key)
        self.reason, self.number, self.key = reason, number, key


class Sink(Protocol):
    """A target for a shard's bytes, in order."""

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append bytes; large pieces are not copied. Raises OSError."""

    def file(self) -> Path:
        """Return a path for a library that writes only to files; the sink deletes the file at its end."""


class ShardWriter(Protocol):
    """Writes one shard. Both methods raise OSError if they cannot write."""

    def add(self, sample: Sample) -> int:
        """Write a sample, at once or later; return its approximate size in bytes."""

    def close(self) -> ShardReceipt:
        """Write the rest; return the position of each sample, see `schemas.receipt.ReceiptBuilder`."""


class ImageSpan(Struct, frozen=True):
    """Offset and bytes of the picture in a sample; its shape (height, width, 3) if it is raw pixels, else None."""

    start: int
    size: int
    shape: tuple[int, int, int] | None


class Annotations(Struct, frozen=True):
    """The fields of a sample, empty if not requested, its arrays and channels, see `schemas.sample.Sample`."""

    scalars: Mapping[str, Any]
    camera: NDArray[np.float32] | None = None
    landmarks: NDArray[np.float32] | None = None
    channels: Mapping[str, bytes] = {}


class Format(ABC):
    """One format, stateless; see the rules above. Values here are defaults, which most formats keep.

    Attributes:
        name: name on the command line and in the manifest.
        title: name of its files in the card; note: the card's line about its fields, or empty.
        tag: tag on the Hugging Face hub.
        readers: libraries that need more than the index files of each shard: tensorflow (the card's example),
            webdataset, and those with index files of a whole data set (`sidecars.indexes`), wids, energon and tfds.
        unit, piece: words for a finished file and the file of a task: shard, zip, part.
        joining: joins the parts of tasks to a file per split (`formats.join_zip`); None if tasks write finished files.
        for_trainers: whether it is the archive of EG3D's and StyleGAN's trainers, which shuffle, crop and count:
            square RGB pictures of one size, in the sources' order, with lists of names.
        raw: whether it supports pictures as pixels.
        needs: a required module and the extra that installs it, None if the core is enough.
        image: default of --image.
        metadata: the supported values of --metadata.
        channels: whether samples can hold channels, or only files of their own can, see `Layout.attached`.
        pattern, glob: regular expression and shell pattern of the end of a finished file's name, after NAME-SPLIT.
    """

    name: str
    title: str
    note: str = ""
    tag: str
    readers: tuple[str, ...] = ()
    unit: str = "shard"
    piece: str = "shard"
    joining: Callable[..., ShardReceipt] | None = None
    for_trainers: bool = False
    raw: bool = False
    needs: tuple[str, str] | None = None
    image: str = "keep"
    metadata: tuple[str, ...] = ("json",)
    channels: Literal["inside", "beside", "none"] = "none"
    pattern: str
    glob: str

    @abstractmethod
    def filename(self, stem: str, number: int, count: int) -> str:
        """Return the name of a task's file.

        Args:
            stem: the data set's name and the split, NAME-SPLIT.
            number, count: number of the task in its split, from 0, and number of tasks.
        """

    @abstractmethod
    def writer(self, file: str, sink: Sink, layout: Layout) -> ShardWriter:
        """Return the writer of a task's file; every sample has the contents of the layout."""

    @abstractmethod
    def with_offsets(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        """Yield the samples of a finished file, in order, each checked against the schema, with its end.

        Raises:
            FormatError: a sample breaks the format or the schema.
        """

    @abstractmethod
    def holds(self, layout: Layout, suffixes: Set[str]) -> str:
        """Return a description of a sample's contents, in Markdown; the pictures have these suffixes."""

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same in all layouts
        """Return the place of an array (image, camera or landmarks) in a sample, in Markdown."""
        return f"`{name}`"

    def loading(self) -> str:
        """Return examples of other readers for the card: a template in Markdown, see `sidecars.template`.

        It is the file `NAME.md` next to the format's module `NAME.py`, or empty. The examples run in the folder of a
        data set. `sidecars.card.example_values` lists their variables: `$name`, `$split`, `$file` and more.
        """
        with suppress(FileNotFoundError, NotADirectoryError):
            return Path(getfile(type(self))).with_suffix(".md").read_text("utf-8")
        return ""

    def index_names(self, file: str) -> tuple[str, ...]:  # noqa: ARG002  # most files have their own index
        """Return the names of a finished file's index files; the last one contains the offsets of samples."""
        return ()

    def indexes(self, shard: ShardReceipt) -> tuple[bytes, ...]:  # noqa: ARG002  # see `index_names`
        """Return the contents of these index files."""
        return ()

    def attached_name(self, file: str, channel: str) -> str:  # noqa: ARG002  # the same as that of the pictures
        """Return the name of the file of a channel, in a folder with the channel's name, for a file of pictures."""
        return file

    def overhead(self, layout: Layout) -> int:
        """Return the approximate bytes of a sample without its picture and channels."""
        return FIELD_BYTES + sum(4 * prod(ARRAY_SHAPES[name]) for name in layout.arrays)

    def spans(self) -> Spans | None:
        """Return the format for loaders; None if they do not read it."""
        return None

    def samples(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        """Yield the samples of `with_offsets`; raise SampleError if one breaks the format or the schema."""
        return (sample for sample, _ in self._numbered(self.with_offsets(shard, layout)))

    def some(self, shard: memoryview, layout: Layout, numbers: Collection[int]) -> Iterator[Sample]:
        """Yield the samples of some numbers, from 0, in the shard's order; raise SampleError as `samples`."""
        found = enumerate(self.samples(shard, layout))
        return (sample for number, sample in islice(found, max(numbers) + 1) if number in numbers)

    def describe(self, file: str, shard: memoryview, layout: Layout) -> ShardReceipt:
        """Return the receipt of a finished file as its writer made it, without checksums; raise SampleError."""
        found = ReceiptBuilder()
        for sample, end in self._numbered(self.with_offsets(shard, layout)):
            add_picture(found, sample, layout, end)
        return found.build(file, len(shard))

    @staticmethod
    def _numbered(samples: Iterator[tuple[Sample, int]]) -> Iterator[tuple[Sample, int]]:
        number = 0
        try:
            for placed in samples:
                yield placed
                number += 1
        except FormatError as error:
            raise SampleError(str(error), number, error.key) from None

    def picture_bytes(self, sample: bytes, start: int, size: int, raw: bool) -> bytes:  # noqa: ARG002
        """Return the file or the pixels of a sample's picture, which is its end without `spans`; raise FormatError.

        Args:
            sample, start: bytes of the sample, and their offset in the shard.
            size: bytes of the picture, from the receipt.
            raw: whether the data set holds pixels.
        """
        spans = self.spans()
        if spans is None:
            return sample[-size:]
        found = spans.picture(sample, len(sample), raw)
        if found is None or found.start + found.size > len(sample):
            raise FormatError("its picture is cut short")
        return sample[found.start : found.start + found.size]

    def member(self, key: str, suffix: str) -> str | None:  # noqa: ARG002  # most have no members
        """Return the name of a picture's member; None if there are no members, or samples.sqlite contains it."""
        return None


class Spans(Format):
    """A format whose samples and their parts are found without copying pictures; checks the structure, not checksums.

    Methods raise FormatError if the bytes are not those of a sample or a shard.
    """

    end: bytes
    """The bytes after the last sample of a shard."""

    @abstractmethod
    def picture(self, head: bytes, size: int, raw: bool) -> ImageSpan | None:
        """Return the position of the picture in a sample of `size` bytes, or None if `head`, its start, is too short.

        Args:
            raw: whether the data set holds pixels, not files.
        """

    @abstractmethod
    def annotations(self, head: bytes, tail: bytes, layout: Layout, scalars: bool) -> Annotations:
        """Return the arrays and, if requested, the fields around the picture.

        Args:
            head, tail: the sample up to the picture's payload, and after it.
        """

    def channels_of(self, sample: bytes, layout: Layout) -> Mapping[str, bytes]:  # noqa: ARG002  # with channels only
        """Return the files of the channels of a sample without a picture, see `Layout.attached`."""
        raise FormatError(f"--format {self.name} has no channels")

    @abstractmethod
    def offsets(self, index: bytes) -> Offsets:
        """Return the offsets from the last of `index_names`; raise ValueError or OverflowError if it is damaged."""

    @abstractmethod
    def scan(self, read: Callable[[int, int], bytes]) -> Iterator[int]:
        """Yield the same offsets from headers of a shard; `read` returns bytes by offset and size, fewer at the end."""

    def spans(self) -> Spans:
        return self


def add_picture(built: ReceiptBuilder, sample: Sample, layout: Layout, end: int, crc: int = 0) -> None:
    """Add a sample to a receipt that lists only its picture or, without one, its channels."""
    built.add(sample.key, end, *payload(sample, layout), crc)


def payload(sample: Sample, layout: Layout) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the suffix and size in bytes of a sample's picture or, without one, of each of its channels."""
    if layout.attached:
        names = {channel.suffix: len(sample.channels[channel.name]) for channel in layout.channels or ()}
        return tuple(names), tuple(names.values())
    return (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),)


class Encoded(Struct, frozen=True):
    """The bytes of a sample.

    Attributes:
        pieces: consecutive bytes; a large picture is one piece.
        suffixes: suffixes of its members, the picture's first: all members in a tar, picture and note in a part of a
            zip, only the picture in a record.
        sizes: payload bytes of each of these members.
    """

    pieces: Sequence[bytes]
    suffixes: tuple[str, ...]
    sizes: tuple[int, ...]


class AppendingWriter:
    """A `ShardWriter` without a buffer: `encode` returns equal bytes for equal samples; `end` is after the last one."""

    def __init__(self, file: str, sink: Sink, encode: Callable[[Sample], Encoded], end: bytes = b"") -> None:
        self._file, self._sink, self._encode, self._end = file, sink, encode, end
        self._written = ReceiptBuilder()

    def add(self, sample: Sample) -> int:
        encoded = self._encode(sample)
        crc = size = 0
        for piece in encoded.pieces:
            crc = crc32(piece, crc)
            size += len(piece)
        self._written.add(sample.key, self._written.at + size, encoded.suffixes, encoded.sizes, crc)
        self._sink.write(encoded.pieces)
        return size

    def close(self) -> ShardReceipt:
        self._sink.write([self._end])
        return self._written.build(self._file, self._written.at + len(self._end))
