"""ShardSource: any sample of an export by its number, one at a time or in batches."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import HEAD, Annotations
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError, Pixels, decoded
from lpff_shards.formats.registry import NAMES, get_format
from lpff_shards.loaders.channels import ChannelReader
from lpff_shards.loaders.files import ShardFiles, Span, open_files, shards_of_split, unreadable
from lpff_shards.loaders.object_reader import FetchedSpan, ShardRanges, open_objects
from lpff_shards.loaders.recycler import Recycler, Take
from lpff_shards.manifest import Manifest, read_manifest
from lpff_shards.schemas.channels import Channel
from lpff_shards.schemas.fields import FIELDS, Layout
from lpff_shards.schemas.text import choice_hint
from lpff_shards.sidecars.attached import refuse_channel
from lpff_shards.sidecars.sample_index import SampleIndex, SampleIndexError
from lpff_shards.storage.path import StoragePath, is_remote, place

Order = Literal["last", "first"]
Reads = ShardFiles | FetchedSpan
"""Reads bytes of shards, or of one fetched span."""

_NO_PIXELS = np.empty((0, 0, 3), np.uint8)
_ARRAYS = {name: operator.attrgetter(name) for name in ("camera", "landmarks")}
_INDEXED = frozenset(field.name for field in FIELDS)
_DTYPES: Mapping[str, type] = {"int": np.int64, "bool": np.bool_, "float": np.float32}


class ShardSource:
    """The samples of an export by number, in the order of its shards.

    A map-style `torch.utils.data.Dataset` and a Grain data source. Samples are read at their recorded offsets. Their
    structure is checked, but not their checksums (`lpff-shards verify` checks those). Picklable and safe in threads; a
    folder also in forked processes. Buckets are read by ranges, all samples of a batch at once; worker processes must
    be spawned.

    Args:
        path: folder or URI of an export of format wds or tfrecord.
        split: the split to read; None for all splits, one after another.
        channels: names of channels to read, such as `("mask",)`. A word instead is `order`, as it was called before.
        order: `last` for images [height, width, 3], `first` for [3, height, width] (a view of the same memory).

    Attributes:
        manifest: of the export.
        split, order: the arguments.
        shards: of the split, in order.
        channels: the requested channels by name, see `schemas.channels.Channel`.

    Raises:
        ShardsError: the export is missing or unfinished, has no such split, or a shard differs from its index file.
    """

    def __init__(
        self,
        path: str | StoragePath,
        split: str | None = "train",
        *,
        channels: Sequence[str] | Order = (),
        order: Order = "last",
    ) -> None:
        self._root = root = place(path)
        self.manifest: Manifest = read_manifest(root)
        spans = get_format(self.manifest.format).spans()
        if spans is None:
            read = " and ".join(name for name in NAMES if get_format(name).spans())
            raise ShardsError(f"{root} is of format {self.manifest.format}", f"Loaders read --format {read}")
        self.shards = shards_of_split(root, self.manifest, split)
        names, word = ((), channels) if channels in ("last", "first") else (channels, order)
        refuse_no_list(names, "channels")
        if word not in ("last", "first"):
            raise ShardsError(f"order {word!r} is not known", choice_hint(str(word), ("last", "first")))
        refuse_channel(root, self.manifest)
        self.split = split
        self.order: Order = word
        self._channels = ChannelReader(root, self.manifest, split, spans, names, word == "last")
        self.channels: Mapping[str, Channel] = self._channels.specs
        self._shards: ShardFiles | ShardRanges
        if is_remote(root):
            self._shards, offsets = open_objects(root, self.shards)
        else:
            self._shards, offsets = open_files(Path(str(root)), self.manifest, self.shards)
        self._starts = np.concatenate([found[:-1] for found in offsets])
        self._ends = np.concatenate([found[1:] for found in offsets])
        self._spans = spans
        self._firsts = np.cumsum([0, *(shard.samples for shard in self.shards)])
        self._memory = Recycler()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one sample as a dict.

        Returns:
            `image` uint8 [height, width, 3] (or [3, height, width]), `camera` float32 [25] and `landmarks` float32
            [68, 2] if the data set has them, `metadata`, the fields of docs/output.md, and the requested channels, see
            `formats.channels.decode`.

        Raises:
            IndexError: the number is out of range.
            ShardsError: the sample is damaged.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return several samples, each as `source[index]`; torch's DataLoader calls this."""
        return list(self._load([self._number(index) for index in indices]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._load(range(len(self)), in_turn=True)

    @property
    def decodes(self) -> bool:
        """Whether pictures must be decoded: all except raw ones."""
        return not self.manifest.layout.raw

    @property
    def remote(self) -> bool:
        """Whether the export is in a bucket."""
        return is_remote(self._root)

    def batch(
        self, indices: Sequence[int] | NDArray[np.integer], fields: Sequence[str] = (), take: Take | None = None
    ) -> dict[str, Any]:
        """Return a batch of samples, with their pictures in one array.

        Args:
            indices: numbers of the samples, at least one.
            fields: names of metadata fields to add.
            take: returns memory for the pictures; by default that of earlier batches, after their deletion.

        Returns:
            `index` int64 [n], `image` uint8 [n, height, width, 3] (or [n, 3, height, width]), `camera` float32 [n, 25],
            `landmarks` float32 [n, 68, 2], each field: int64, bool or float32 [n], or a list of n strings; and each
            requested channel: an array [n, ...], a dict of arrays, or a list, and `has_NAME`, bool [n], if optional.

        Raises:
            IndexError: a number is out of range.
            ShardsError: a sample is damaged, pictures differ in size, or a field is not known.
        """
        kinds = kinds_of(fields, self.manifest.layout)
        numbers = list(map(self._number, indices))
        if not numbers:
            raise ShardsError("a batch of no samples was requested", "Request one or more")
        images: NDArray[np.uint8] = np.empty(0, np.uint8)
        annotations: list[Annotations] = []

        def take_row(shape: tuple[int, ...]) -> Pixels:
            nonlocal images
            row = len(annotations)
            if row == 0:
                images = (take or self._memory.take)((len(numbers), *shape))
            if images.shape[1:] != shape:
                height, width = images.shape[1:3]
                raise ShardsError(
                    f"{self._named(numbers[row])} has a picture of {shape[1]}x{shape[0]}, "
                    f"others of its batch of {width}x{height}",
                    "A batch needs pictures of one size: export with --resolution, or read samples one by one",
                )
            pixels: Pixels = images[row]
            return pixels

        scalars = bool(fields) or bool(self._channels.flags)
        for number, reads in self._reading(numbers):
            annotations.append(self._read(number, reads, take_row, scalars)[1])
        batch: dict[str, Any] = {"index": np.array(numbers), "image": self._turned(images)}
        for name, get in _ARRAYS.items():
            if get(annotations[0]) is not None:
                batch[name] = np.stack(list(map(get, annotations)))
        for name in fields:
            values = [sample.scalars[name] for sample in annotations]
            batch[name] = values if kinds[name] == "str" else np.array(values, _DTYPES[kinds[name]])
        return {**batch, **self._channels.batch(numbers, annotations)} if self.channels else batch

    def column(self, name: str) -> NDArray[Any]:
        """Return a metadata field of all samples, in order, from samples.sqlite, or from the shards without that file.

        Returns:
            int64, bool or float32 [n], or strings as objects [n].

        Raises:
            ShardsError: the field is not known, or a sample is damaged.
        """
        kind = kinds_of([name], self.manifest.layout)[name]
        try:
            if name not in _INDEXED:
                raise SampleIndexError(f"{name} is in no samples.sqlite")
            with SampleIndex.open(self._root, self.manifest) as samples:
                column: NDArray[Any] = samples.column(name)
        except SampleIndexError:
            reading = self._reading(range(len(self)), in_turn=True)
            values = [self._read(number, reads, picture=False)[1].scalars[name] for number, reads in reading]
            return np.array(values, object if kind == "str" else _DTYPES[kind])
        files, shards = {shard.file for shard in self.shards}, self.manifest.shards
        own: NDArray[Any] = column[np.repeat([s.file in files for s in shards], [s.samples for s in shards])]
        return own

    @property
    def files(self) -> list[StoragePath]:
        """Paths of the shards."""
        return list(self._shards.paths)

    def stored(self, indices: Sequence[int] | NDArray[np.integer]) -> Iterator[bytes]:
        """Yield the stored bytes of samples: the members of a tar, or a record with its frame.

        Raises:
            IndexError: a number is out of range.
            ShardsError: a shard cannot be read.
        """
        for number, reads in self._reading([self._number(index) for index in indices]):
            shard, start, end = self._span(number)
            try:
                data = reads.read(shard, start, end - start)
            except OSError as error:
                raise unreadable(self._shards.paths[shard], error) from None
            reads.check(shard)
            yield data

    def _number(self, index: int | np.integer) -> int:
        try:
            return range(len(self))[operator.index(index)]
        except IndexError:
            raise IndexError(f"sample {index} of {len(self)}") from None

    def _turned(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.moveaxis(images, -1, -3) if self.order == "first" else images

    def _span(self, index: int) -> Span:
        shard = int(np.searchsorted(self._firsts, index, side="right")) - 1
        return Span(shard, int(self._starts[index]), int(self._ends[index]))

    def _reading(self, numbers: Sequence[int], in_turn: bool = False) -> Iterator[tuple[int, Reads]]:
        """Yield each sample's number and reader; `in_turn` has few of many samples in memory at once."""
        read = self._shards.read_sequential if in_turn else self._shards.read_batch
        readers: Iterable[Reads] = read(map(self._span, numbers))
        return zip(numbers, readers, strict=False)

    def _load(self, numbers: Sequence[int], in_turn: bool = False) -> Iterator[dict[str, Any]]:
        for number, reads in self._reading(numbers, in_turn):
            pixels, annotations = self._read(number, reads)
            # Some decoders return read-only memory.
            sample: dict[str, Any] = {"image": self._turned(np.require(pixels, requirements="W"))}
            for name, get in _ARRAYS.items():
                if (array := get(annotations)) is not None:
                    sample[name] = np.array(array)
            more = next(self._channels.contents([number], [annotations])) if self.channels else {}
            yield {**sample, **more, "metadata": annotations.scalars}

    def _read(
        self,
        number: int,
        reads: Reads,
        take: Callable[[tuple[int, ...]], Pixels] | None = None,
        scalars: bool = True,
        picture: bool = True,
    ) -> tuple[Pixels, Annotations]:
        """Return a sample's pixels uint8 [height, width, 3], empty without `picture`, and its annotations.

        Args:
            take: returns the array for pixels of a shape.
        """
        shard, start, end = self._span(number)
        size, layout = end - start, self.manifest.layout
        try:
            head = reads.read(shard, start, min(HEAD, size))
            found = self._spans.picture(head, size, layout.raw)
            if found is None:
                head = reads.read(shard, start, size)
                found = self._spans.picture(head, size, layout.raw)
            if found is None:
                raise FormatError("it has no picture")
            at, stop = start + found.start, start + found.start + found.size
            if stop > end:
                raise FormatError("its picture is cut short")
            pixels, rest = _NO_PIXELS, bytearray(end - stop)
            if picture and found.shape is not None:
                # Raw pixels are read directly into their array.
                pixels = take(found.shape) if take else np.empty(found.shape, np.uint8)
                reads.read_into(shard, at, [pixels.reshape(-1).data, rest])
            else:
                if picture:
                    # Read separately: decoders need bytes, and slicing larger ones would copy.
                    pixels = decoded(reads.read(shard, at, found.size))
                if picture and take:
                    row = take(pixels.shape)
                    row[:] = pixels
                reads.read_into(shard, stop, [rest])
            return pixels, self._spans.annotations(head[: found.start], bytes(rest), layout, scalars)
        except (FormatError, PictureError) as error:
            raise self._damaged(number, error) from None
        except OSError as error:
            raise unreadable(self._shards.paths[shard], error) from None
        finally:
            reads.check(shard)

    def _damaged(self, index: int, error: Exception) -> ShardsError:
        return ShardsError(f"{self._named(index)} is damaged: {error}", "See lpff-shards verify --deep")

    def _named(self, index: int) -> str:
        shard = self._span(index).shard
        return f"{self._shards.paths[shard]}: sample {index - int(self._firsts[shard])}"


def refuse_no_list(names: Sequence[str], what: str = "fields") -> None:
    """Raise ShardsError if `names` is not a list."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        example = "('key', 'yaw')" if what == "fields" else "('mask',)"
        raise ShardsError(f"{what} {names!r} is not a list of names", f"Pass one, such as {example}")


def kinds_of(fields: Sequence[str], layout: Layout) -> dict[str, str]:
    """Return the kinds of metadata fields by name; raise ShardsError if one is not known."""
    refuse_no_list(fields)
    known = {f.name: f.kind for f in layout.fields}
    for name in fields:
        if name not in known:
            raise ShardsError(f"field {name!r} is not known", choice_hint(str(name), known))
    return {name: known[name] for name in fields}
