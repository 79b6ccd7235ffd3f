"""ShardSource: any sample of an export by its number, one at a time or in batches."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import Annotations
from lpff_shards.formats.errors import FormatError
from lpff_shards.formats.pictures.decoding import PictureError
from lpff_shards.formats.registry import NAMES, get_format
from lpff_shards.loaders.files import ShardFiles, open_files
from lpff_shards.loaders.object_reader import ShardRanges, open_objects
from lpff_shards.loaders.samples import OtherSizeError, Reads, Recycler, Samples
from lpff_shards.loaders.shards import Span
from lpff_shards.manifest import Manifest, Shard, read_manifest
from lpff_shards.schemas.fields import FIELDS
from lpff_shards.schemas.text import choice_hint, did_you_mean
from lpff_shards.sidecars.sample_index import SampleIndex, SampleIndexError
from lpff_shards.storage.path import StoragePath, is_remote, place

Channels = Literal["last", "first"]
Part = TypeVar("Part")

_ARRAYS = {name: operator.attrgetter(name) for name in ("camera", "landmarks")}
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
        channels: `last` for images [height, width, 3], `first` for [3, height, width] (a view of the same memory).

    Attributes:
        manifest: of the export.
        split: the argument.
        shards: of the split, in order.
        channels: the argument.

    Raises:
        ShardsError: the export is missing or unfinished, has no such split, or a shard differs from its index file.
    """

    def __init__(self, path: str | StoragePath, split: str | None = "train", *, channels: Channels = "last") -> None:
        self._root = root = place(path)
        self.manifest: Manifest = read_manifest(root)
        self.shards: tuple[Shard, ...] = _of_split(root, self.manifest, split)
        if channels not in ("last", "first"):
            raise ShardsError(f"channels {channels!r} is not known", choice_hint(str(channels), ("last", "first")))
        self.split = split
        self.channels: Channels = channels
        self._shards: ShardFiles | ShardRanges
        if is_remote(root):
            self._shards, offsets = open_objects(root, self.shards)
        else:
            self._shards, offsets = open_files(Path(str(root)), self.manifest, self.shards)
        self._starts = np.concatenate([found[:-1] for found in offsets])
        self._ends = np.concatenate([found[1:] for found in offsets])
        self._firsts = np.cumsum([0, *(shard.samples for shard in self.shards)])
        self._memory = Recycler()
        self._samples = Samples(self.manifest)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one sample as a dict.

        Returns:
            `image` uint8 [height, width, 3] (or [3, height, width]), `camera` float32 [25] and `landmarks` float32
            [68, 2] if the data set has them, and `metadata`, the fields of docs/output.md.

        Raises:
            IndexError: the number is out of range.
            ShardsError: the sample is damaged.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Return several samples, each as `source[index]`; torch's DataLoader calls this."""
        reading = self._reading([self._number(index) for index in indices])
        return [self._sample(number, reads) for number, reads in reading]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._sample(number, reads) for number, reads in self._reading(range(len(self)), in_turn=True))

    @property
    def decodes(self) -> bool:
        """Whether decoding is slow: for all pictures except raw ones and PNGs without compression."""
        return not self.manifest.layout.raw and self.manifest.options.get("image") != "stored-png"

    @property
    def remote(self) -> bool:
        """Whether the export is in a bucket."""
        return is_remote(self._root)

    def batch(self, indices: Sequence[int] | NDArray[np.integer], fields: Sequence[str] = ()) -> dict[str, Any]:
        """Return a batch of samples, with their pictures in one array.

        Args:
            indices: numbers of the samples, at least one.
            fields: names of metadata fields to add.

        Returns:
            `index` int64 [n], `image` uint8 [n, height, width, 3] (or [n, 3, height, width]), `camera` float32 [n, 25],
            `landmarks` float32 [n, 68, 2], and each field: int64, bool or float32 [n], or a list of n strings.

        Raises:
            IndexError: a number is out of range.
            ShardsError: a sample is damaged, pictures differ in size, or a field is not known.
        """
        kinds = kinds_of(fields)
        images: NDArray[np.uint8] | None = None
        annotations: list[Annotations] = []
        numbers = [self._number(index) for index in indices]
        for row, (number, reads) in enumerate(self._reading(numbers)):
            into = None if images is None else images[row]
            pixels, found = self._read(number, reads, self._samples.load, into, bool(fields))
            if images is None:
                images = self._memory.take((len(numbers), *pixels.shape))
                images[row] = pixels
            annotations.append(found)
        if images is None:
            raise ShardsError("a batch of no samples was requested", "Request one or more")
        batch: dict[str, Any] = {"index": np.array(numbers), "image": self._turned(images)}
        for name, get in _ARRAYS.items():
            if get(annotations[0]) is not None:
                batch[name] = np.stack(list(map(get, annotations)))
        for name in fields:
            values = [sample.scalars[name] for sample in annotations]
            batch[name] = values if kinds[name] == "str" else np.array(values, _DTYPES[kinds[name]])
        return batch

    def column(self, name: str) -> NDArray[Any]:
        """Return a metadata field of all samples, in order, from samples.sqlite, or from the shards without that file.

        Returns:
            int64, bool or float32 [n], or strings as objects [n].

        Raises:
            ShardsError: the field is not known, or a sample is damaged.
        """
        kind = kinds_of([name])[name]
        try:
            with SampleIndex.open(self._root, self.manifest) as samples:
                column: NDArray[Any] = samples.column(name)
        except SampleIndexError:
            reading = self._reading(range(len(self)), in_turn=True)
            values = [self._read(number, reads, self._samples.fields)[name] for number, reads in reading]
            return np.array(values, object if kind == "str" else _DTYPES[kind])
        files, shards = {shard.file for shard in self.shards}, self.manifest.shards
        own: NDArray[Any] = column[np.repeat([s.file in files for s in shards], [s.samples for s in shards])]
        return own

    @property
    def files(self) -> list[StoragePath]:
        """Paths of the shards, in order."""
        return list(map(self._shards.path, range(len(self.shards))))

    def places(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return shard number and byte offset of each sample, int64 [n] each."""
        return np.searchsorted(self._firsts, indices, side="right") - 1, self._starts[indices]

    def stored(self, indices: Sequence[int] | NDArray[np.integer]) -> Iterator[bytes]:
        """Yield the stored bytes of samples: the members of a tar, or a record with its frame.

        Raises:
            IndexError: a number is out of range.
            ShardsError: a shard cannot be read.
        """
        for number, reads in self._reading([self._number(index) for index in indices]):
            shard, start, end = self._span(number)
            data = reads.read(shard, start, end - start)
            reads.check(shard)
            yield data

    def check_files(self, indices: NDArray[np.int64]) -> None:
        """Raise ShardsError for samples whose shard was replaced, for readers that open the files of a folder."""
        assert isinstance(self._shards, ShardFiles)
        for shard in np.unique(self.places(indices)[0]).tolist():
            self._shards.check_path(shard)

    def _number(self, index: int | np.integer) -> int:
        """Return a sample's number; a negative one counts from the end."""
        try:
            return range(len(self))[operator.index(index)]
        except IndexError:
            raise IndexError(f"sample {index} of {len(self)}") from None

    def _turned(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.moveaxis(images, -1, -3) if self.channels == "first" else images

    def _span(self, index: int) -> Span:
        """Return a sample's shard, and its start and end in it."""
        shard = int(np.searchsorted(self._firsts, index, side="right")) - 1
        return Span(shard, int(self._starts[index]), int(self._ends[index]))

    def _reading(self, numbers: Sequence[int], in_turn: bool = False) -> Iterator[tuple[int, Reads]]:
        """Yield each sample's number and reader; `in_turn` has few of many samples in memory at once."""
        read = self._shards.read_sequential if in_turn else self._shards.read_batch
        readers: Iterable[Reads] = read(map(self._span, numbers))
        return zip(numbers, readers, strict=False)

    def _sample(self, number: int, reads: Reads) -> dict[str, Any]:
        pixels, annotations = self._read(number, reads, self._samples.load, None, True)
        # Some decoders return read-only memory.
        sample: dict[str, Any] = {"image": self._turned(np.require(pixels, requirements="W"))}
        for name, get in _ARRAYS.items():
            if (array := get(annotations)) is not None:
                sample[name] = np.array(array)
        sample["metadata"] = annotations.scalars
        return sample

    def _read(self, index: int, reads: Reads, read: Callable[..., Part], *given: object) -> Part:
        """Read a sample by a method of `Samples`, and name it in errors."""
        span = self._span(index)
        try:
            return read(span, reads, *given)
        except (FormatError, PictureError) as error:
            raise self.damaged(index, error) from None
        except OtherSizeError as error:
            raise ShardsError(
                f"{self._named(index)} has a picture of {error}",
                "A batch needs pictures of one size: export with --resolution, or read samples one by one",
            ) from None
        finally:
            reads.check(span.shard)

    def damaged(self, index: int, error: Exception) -> ShardsError:
        """Return the error for a damaged sample."""
        return ShardsError(f"{self._named(index)} is damaged: {error}", "See lpff-shards verify --deep")

    def _named(self, index: int) -> str:
        shard = self._span(index).shard
        return f"{self._shards.path(shard)}: sample {index - int(self._firsts[shard])}"


def _of_split(root: StoragePath, manifest: Manifest, split: str | None) -> tuple[Shard, ...]:
    if get_format(manifest.format).spans() is None:
        read = " and ".join(name for name in NAMES if get_format(name).spans())
        raise ShardsError(f"{root} is of format {manifest.format}", f"Loaders read --format {read}")
    shards = tuple(shard for shard in manifest.shards if split in (None, shard.split))
    if not shards:
        hint = f"{did_you_mean(str(split), manifest.splits)}It has: {', '.join(manifest.splits)}"
        raise ShardsError(f"{root} has no split {split!r}", hint)
    return shards


def kinds_of(fields: Sequence[str]) -> dict[str, str]:
    """Return the kinds of metadata fields by name.

    Raises:
        ShardsError: a field is not known.
    """
    known = {f.name: f.kind for f in FIELDS}
    if isinstance(fields, str) or not isinstance(fields, Sequence):
        raise ShardsError(f"fields {fields!r} is not a list of names", "Pass one, such as ('key', 'yaw')")
    for name in fields:
        if name not in known:
            raise ShardsError(f"field {name!r} is not known", choice_hint(str(name), known))
    return {name: known[name] for name in fields}
