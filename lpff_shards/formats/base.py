"""The format contract: all that the other parts know of a format.

A format is a stateless object with a name, found by `registry.get_format`. It names its files, writes and reads the
samples of a shard, and gives the words that messages and the card use for its files. Outside `formats` nothing compares
names of formats; what differs between them is an attribute or a method here. The rules that every format keeps, which
`tests/test_formats.py` checks:

- `encode` gives equal bytes for equal samples, and `samples` reads them back.
- A shard is the encoded samples one behind the other, then `end`. A cut or a flipped bit is noticed when it is read,
  at the latest by the checksum in the manifest.
- A `joined` format writes parts, which `exporters.archive` joins to one file a split.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Protocol

from msgspec import Struct

from lpff_shards.formats.spans import Spans
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.outline import Outline
from lpff_shards.schemas.sample import Sample


class Encoded(Struct, frozen=True):
    """A sample's bytes.

    Attributes:
        pieces: one behind the other; a large picture is one of them and is not copied.
        suffixes: of its members, the picture's first: all of a tar's, picture and note in a part of a zip, the
            picture's alone of a record.
        sizes: payload bytes of each of these.
    """

    pieces: list[bytes]
    suffixes: tuple[str, ...]
    sizes: tuple[int, ...]


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


class Format(Protocol):
    """One format; see the rules above.

    Attributes:
        name: on the command line and in the manifest.
        container: what holds the samples: tar, records (tf.train.Example) or zip.
        title: of its files, in the card.
        tag: of the Hugging Face hub.
        unit, piece: what a finished file and the file of a task are called: shard, zip, part.
        joined: whether tasks write parts, which are joined to one file a split.
        for_trainers: whether it is the archive of EG3D's and StyleGAN's trainers, who shuffle, crop and count by
            themselves: square RGB pictures of one size, in the sources' order, with lists of names.
        image: how pictures are stored by default.
        metadata: the kinds of --metadata that it takes.
        pattern: regular expression of the end of a finished file's name, behind NAME-SPLIT.
        glob: the same for shells.
        end: what stands behind the last sample of a task's file.
    """

    name: str
    container: str
    title: str
    tag: str
    unit: str
    piece: str
    joined: bool
    for_trainers: bool
    image: str
    metadata: tuple[str, ...]
    pattern: str
    glob: str
    end: bytes

    def filename(self, stem: str, number: int, count: int) -> str:
        """The name of a task's file.

        Args:
            stem: the data set's name and the split, NAME-SPLIT.
            number, count: of the task among those of its split, from 0.
        """

    def index_names(self, file: str) -> tuple[str, ...]:
        """The names of a finished file's index files; the last one tells the offsets of samples."""

    def overhead(self, layout: Layout) -> int:
        """About how many bytes a sample takes beside its picture."""

    def encode(self, sample: Sample, layout: Layout) -> Encoded:
        """The bytes of one sample, in few pieces.

        Args:
            sample: to write; equal samples give equal bytes.
            layout: what every sample of the data set holds.
        """

    def samples(self, shard: memoryview, layout: Layout) -> Iterator[Sample]:
        """The samples of a finished file, in order, each checked against the schema.

        Raises:
            SampleError: at the first one that breaks the format or the schema.
        """

    def outline(self, file: str, shard: memoryview, layout: Layout) -> Outline:
        """What is where in a finished file of that name, as its receipt told.

        Raises:
            SampleError: it breaks the format.
        """

    def spans(self) -> Spans | None:
        """What loaders find samples and their parts by; None where loaders do not read the format."""

    def holds(self, layout: Layout, suffixes: Set[str]) -> str:
        """What a sample is made of, in Markdown.

        Args:
            suffixes: of the pictures.
        """

    def array(self, name: str, layout: Layout, suffixes: Set[str]) -> str:
        """Where a sample holds an array (image, camera or landmarks), in Markdown."""

    def member(self, key: str, suffix: str) -> str | None:
        """The name of the member that holds a picture; None where there are no members, or the ledger tells it."""
