"""The format contract: all that the other parts use of a format.

A format is a stateless object with a name, found by `registry.get_format`. It names its files, writes and reads the
samples of a shard, makes the index files beside it, and gives the words and the examples that the card shows. Outside
`formats` nothing compares names of formats; what differs between them is an attribute or a method here. The rules that
every format keeps, which `tests/test_formats.py` checks:

- Equal samples in equal order give equal bytes, and `samples` reads them back.
- A writer only appends. A cut or a flipped bit is noticed when a shard is read, at the latest by the checksum in the
  manifest.
- A format with `joining` writes parts, which `exporters.archive` joins to one file a split by it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
from isal.isal_zlib import crc32
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.spans import ARRAY_SHAPES, Spans, payload
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.schemas.sample import SUFFIXES, Sample

ARRAY_BYTES = {name: 4 * prod(shape) for name, shape in ARRAY_SHAPES.items()}
"""Bytes of the arrays of a sample, by name."""
FIELD_BYTES = 1000
"""Bytes of the fields of a sample, about."""


class SampleError(Exception):
    """A shard that breaks its format or schema at one of its samples.

    Args:
        reason: what is wrong.
        number: of the sample in its shard, from 0.
        key: of the sample, empty where the damage hides it.
    """

    def __init__(self, reason: str, number: int, key: str = "") -> None:
        super().__init__(reason, number, key)
        self.reason = reason
        self.number = number
        self.key = key


class Sink(Protocol):
    """What a shard's bytes are written to, in order."""

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append bytes; large pieces are not copied.

        Raises:
            OSError: they cannot be written.
        """

    def file(self) -> Path:
        """A path for a library that writes files alone; what is there goes with the sink."""


class ShardWriter(Protocol):
    """Writes one shard."""

    def add(self, sample: Sample) -> int:
        """Write a sample, at once or later; return about how many bytes it takes.

        Raises:
            OSError: it cannot be written.
        """

    def close(self) -> ShardReceipt:
        """Write what is left; return where each sample is, see `schemas.receipt.ReceiptBuilder`."""


class Contents(NamedTuple):
    """What a joined file holds beside what its parts tell.

    Attributes:
        stems: the name of each picture, less its suffix.
        yaw: of each picture, float64 [n]; 0 where it is unknown.
        lists: how often each list of names repeats each picture, int16 [n], by the list's name.
        cameras: whether the data set has cameras.
    """

    stems: Sequence[str]
    yaw: NDArray[np.float64]
    lists: Mapping[str, NDArray[np.int16]]
    cameras: bool


class Target(Protocol):
    """What a joined file's bytes are appended to. Both methods raise OSError where they cannot be written."""

    def write(self, data: bytes) -> None:
        """Append bytes."""

    def copy(self, source: BinaryIO, start: int, size: int) -> None:
        """Append bytes of another open file."""


class Joining(Protocol):
    """Joins the parts of a split."""

    def __call__(
        self,
        file: str,
        parts: Iterable[tuple[BinaryIO, ShardReceipt]],
        contents: Contents,
        target: Target,
        scratch: Callable[[str], Path],
    ) -> ShardReceipt:
        """Write the joined file; return where each sample is, without CRCs.

        Args:
            file: its name.
            parts: the open files of the parts with their receipts, in order.
            scratch: a path beside the file, by a name, for what must wait; it goes with the call.
        """


class Format(ABC):
    """One format; see the rules above. What has a value here is the default, as it is for most formats.

    Attributes:
        name: on the command line and in the manifest.
        title: of its files, in the card; note: what the card says of its fields, empty or a line.
        tag: of the Hugging Face hub.
        readers: libraries that read its files by more than the index files of each: tensorflow (`loaders.tensorflow`),
            webdataset, and those with index files of a whole data set (`sidecars.indexes`), wids, energon and tfds.
        unit, piece: what a finished file and the file of a task are called: shard, zip, part.
        joining: joins the parts that tasks write to one file a split; None where a task writes a finished file.
        for_trainers: whether it is the archive of EG3D's and StyleGAN's trainers, who shuffle, crop and count by
            themselves: square RGB pictures of one size, in the sources' order, with lists of names.
        raw: whether it takes pictures as pixels.
        needs: a module that it needs and the extra that brings it, None where the core is enough.
        image: how pictures are stored by default.
        metadata: the kinds of --metadata that it takes.
        pattern: regular expression of the end of a finished file's name, behind NAME-SPLIT.
        glob: the same for shells.
    """

    name: str
    title: str
    note: str = ""
    tag: str
    readers: tuple[str, ...] = ()
    unit: str = "shard"
    piece: str = "shard"
    joining: Joining | None = None
    for_trainers: bool = False
    raw: bool = False
    needs: tuple[str, str] | None = None
    image: str = "keep"
    metadata: tuple[str, ...] = ("json",)
    pattern: str
    glob: str

    @abstractmethod
    def filename(self, stem: str, number: int, count: int) -> str:
        """The name of a task's file.

        Args:
            stem: the data set's name and the split, NAME-SPLIT.
            number, count: of the task among those of its split, from 0.
        """

    @abstractmethod
    def writer(self, file: str, sink: Sink, layout: Layout) -> ShardWriter:
        """What writes a task's file.

        Args:
            file: its name.
            layout: what every sample of the data set holds.
        """

    @abstractmethod
    def placed(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        """The samples of a finished file, in order, each checked against the schema, with where it ends.

        Raises:
            FormatError: at the first sample that breaks the format or the schema.
            SampleError: the same, where its key is known.
        """

    @abstractmethod
    def holds(self, layout: Layout, suffixes: Set[str]) -> str:
        """What a sample is made of, in Markdown.

        Args:
            suffixes: of the pictures.
        """

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:  # noqa: ARG002  # the same in all layouts
        """Where a sample holds an array (image, camera or landmarks), in Markdown."""
        return f"`{name}`"

    def loading(self) -> str:
        """Examples of other readers, for the card: a template in Markdown, see `sidecars.template`.

        The examples run in the folder of a data set. `sidecars.card.values.example_values` lists what they may name:
        `$name`, `$split`, `$file` and more.
        """
        return ""

    def index_names(self, file: str) -> tuple[str, ...]:  # noqa: ARG002  # most files tell where their samples are
        """The names of a finished file's index files; the last one tells the offsets of samples."""
        return ()

    def indexes(self, shard: ShardReceipt) -> tuple[bytes, ...]:  # noqa: ARG002  # see `index_names`
        """What is in these index files."""
        return ()

    def overhead(self, layout: Layout) -> int:
        """About how many bytes a sample takes beside its picture."""
        return sum(ARRAY_BYTES[name] for name in layout.arrays) + FIELD_BYTES

    def spans(self) -> Spans | None:
        """What loaders find samples and their parts by; None where loaders do not read the format."""
        return None

    def samples(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        """The samples of a finished file, in order, each checked against the schema.

        Raises:
            SampleError: at the first one that breaks the format or the schema.
        """
        return (sample for sample, _ in self._numbered(shard, layout))

    def describe(self, file: str, shard: memoryview, layout: Layout) -> ShardReceipt:
        """What is where in a finished file of that name, as its writer told, without checksums.

        Raises:
            SampleError: it breaks the format.
        """
        found = ReceiptBuilder()
        for sample, end in self._numbered(shard, layout):
            add_picture(found, sample, end)
        return found.build(file, len(shard))

    def _numbered(self, shard: memoryview, layout: Layout) -> Iterator[tuple[Sample, int]]:
        """As `placed`; a fault names the number of its sample."""
        number = 0
        try:
            for placed in self.placed(shard, layout):
                yield placed
                number += 1
        except FormatError as error:
            raise SampleError(str(error), number) from None

    def picture_bytes(self, sample: bytes, start: int, size: int, raw: bool) -> bytes:  # noqa: ARG002
        """The file of a sample's picture, or its pixels; at the end of a sample that has no spans.

        Args:
            sample: its bytes.
            start: where they start in their shard.
            size: of the picture, as the receipt tells it.
            raw: whether the data set holds pixels.

        Raises:
            FormatError: these are not a sample's bytes.
        """
        spans = self.spans()
        return sample[-size:] if spans is None else payload(spans, sample, raw)

    def member(self, key: str, suffix: str) -> str | None:  # noqa: ARG002  # most have none by key
        """The name of the member that holds a picture; None where there are no members, or the ledger tells it."""
        return None


def add_picture(built: ReceiptBuilder, sample: Sample, end: int, crc: int = 0) -> None:
    """Add a sample to a receipt that lists its picture alone."""
    built.add(sample.key, end, (SUFFIXES[sample.picture.kind],), (len(sample.picture.data),), crc)


class Encoded(Struct, frozen=True):
    """A sample's bytes.

    Attributes:
        pieces: one behind the other; a large picture is one of them and is not copied.
        suffixes: of its members, the picture's first: all of a tar's, picture and note in a part of a zip, the
            picture's alone of a record.
        sizes: payload bytes of each of these.
    """

    pieces: Sequence[bytes]
    suffixes: tuple[str, ...]
    sizes: tuple[int, ...]


class AppendingWriter:
    """A `ShardWriter` that keeps nothing back.

    Args:
        file: name of the shard.
        encode: gives equal bytes for equal samples.
        end: what stands behind the last sample.
    """

    def __init__(self, file: str, sink: Sink, encode: Callable[[Sample], Encoded], end: bytes = b"") -> None:
        self._file = file
        self._sink = sink
        self._encode = encode
        self._end = end
        self._written = ReceiptBuilder()

    def add(self, sample: Sample) -> int:
        """Write a sample; return its bytes."""
        encoded = self._encode(sample)
        crc = size = 0
        for piece in encoded.pieces:
            crc = crc32(piece, crc)
            size += len(piece)
        self._written.add(sample.key, self._written.at + size, encoded.suffixes, encoded.sizes, crc)
        self._sink.write(encoded.pieces)
        return size

    def close(self) -> ShardReceipt:
        """Write the end."""
        self._sink.write([self._end])
        return self._written.build(self._file, self._written.at + len(self._end))
