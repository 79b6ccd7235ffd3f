"""ShardSource: any sample of an export by its number, alone or many at once into one batch."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.ledger.read import Ledger, LedgerError
from lpff_shards.loaders.files import ShardFiles
from lpff_shards.loaders.memory import Recycler
from lpff_shards.loaders.offsets import sample_offsets
from lpff_shards.loaders.pixels import decoded
from lpff_shards.loaders.spans import HEAD, Beside, Found, get_spans
from lpff_shards.manifest import Manifest, Shard, read_manifest
from lpff_shards.schemas.fields import FIELDS
from lpff_shards.spelling import choice_hint, did_you_mean
from lpff_shards.stores.place import Place, place
from lpff_shards.wire.decoding import PictureError, Pixels
from lpff_shards.wire.errors import WireError

Channels = Literal["last", "first"]


class Loaded(NamedTuple):
    """A sample as read: pixels uint8 [height, width, 3], and what stands beside them."""

    pixels: Pixels
    beside: Beside


class ShardSource:
    """The samples of an export, in the order of its shards, by number.

    A map-style `torch.utils.data.Dataset` and a Grain data source as it is. Samples are read at their recorded offsets;
    structure is checked, checksums are `verify`'s. Picklable; safe in threads and forked processes.

    Args:
        path: the folder that an export wrote, of format wds or tfrecord.
        split: whose samples; None for all splits, one behind the other.
        channels: `last` gives images [height, width, 3], `first` [3, height, width] (a view of the same memory).

    Attributes:
        manifest: of the export.
        shards: those of the split, in order.
        channels: as given.

    Raises:
        ShardsError: no finished export is there, it has no such split, or a shard is not as its index file says.
    """

    def __init__(self, path: str | Place, split: str | None = "train", *, channels: Channels = "last") -> None:
        self._root = root = place(path)
        self.manifest: Manifest = read_manifest(root)
        self.shards: tuple[Shard, ...] = _of_split(root, self.manifest, split)
        if channels not in ("last", "first"):
            raise ShardsError(f"channels {channels!r} is not known", choice_hint(str(channels), ("last", "first")))
        self.channels: Channels = channels
        offsets = [sample_offsets(root, shard) for shard in self.shards]
        self._starts = np.concatenate([found[:-1] for found in offsets])
        self._ends = np.concatenate([found[1:] for found in offsets])
        self._firsts = np.cumsum([0, *(shard.samples for shard in self.shards)])
        self._files = ShardFiles([root / shard.file for shard in self.shards])
        self._memory = Recycler()
        self._spans = get_spans(self.manifest.format)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample: `image` (uint8), `camera` (float32 [25]) and `landmarks` (float32 [68, 2]) where the data set
        holds them, and `metadata`, the fields of the README's table.

        Raises:
            IndexError: there is no such sample.
            ShardsError: its bytes are damaged.
        """
        number = self._number(index)
        loaded = self._load(number, None, scalars=True)
        # Some decoders hand out memory that is not to be written.
        pixels = np.require(loaded.pixels, requirements="W")
        return {"image": self._turned(pixels), **_arrays(loaded.beside), "metadata": loaded.beside.scalars}

    @property
    def decodes(self) -> bool:
        """Whether its pictures take a core long to decode: all but raw ones and PNGs without compression."""
        return not self.manifest.layout.raw and self.manifest.options.get("image") != "stored-png"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def batch(self, indices: Sequence[int] | NDArray[np.integer], fields: Sequence[str] = ()) -> dict[str, Any]:
        """Several samples at once, their pictures read straight into one array.

        Args:
            indices: numbers of the samples, at least one.
            fields: names of metadata fields that are wanted too.

        Returns:
            `index` int64 [n], `image` uint8 [n, height, width, 3] (or [n, 3, height, width]), `camera` float32 [n, 25],
            `landmarks` float32 [n, 68, 2], and each field: int64, bool or float32 [n], or a list of n strings.

        Raises:
            IndexError: there is no such sample.
            ShardsError: a sample is damaged, pictures differ in size, or a field is not known.
        """
        kinds = kinds_of(fields)
        images: NDArray[np.uint8] | None = None
        beside: list[Beside] = []
        numbers = [self._number(index) for index in indices]
        for row, number in enumerate(numbers):
            loaded = self._load(number, None if images is None else images[row], bool(fields))
            if images is None:
                images = self._memory.take((len(numbers), *loaded.pixels.shape))
                images[row] = loaded.pixels
            beside.append(loaded.beside)
        if images is None:
            raise ShardsError("a batch of no samples was asked for", "Ask for one or more")
        found: dict[str, Any] = {"index": np.array(numbers), "image": self._turned(images), **_stacked(beside)}
        for name in fields:
            values = [sample.scalars[name] for sample in beside]
            found[name] = values if kinds[name] == "str" else np.array(values, _DTYPES[kinds[name]])
        return found

    def column(self, name: str) -> NDArray[Any]:
        """One metadata field of all samples, in order, out of the ledger; of the shards themselves where that is gone.

        Returns:
            int64, bool or float32 [n], or strings as objects [n].

        Raises:
            ShardsError: the field is not known, or a sample is damaged.
        """
        kind = kinds_of([name])[name]
        try:
            with Ledger.open(self._root, self.manifest) as ledger:
                return self._own(ledger.strings(name) if kind == "str" else ledger.numbers(name))
        except LedgerError:
            values = [self._metadata(index)[name] for index in range(len(self))]
            return np.array(values, object if kind == "str" else _DTYPES[kind])

    def _own(self, column: NDArray[Any]) -> NDArray[Any]:
        """Of a column of the whole export the part of the split."""
        files, shards = {shard.file for shard in self.shards}, self.manifest.shards
        own: NDArray[Any] = column[np.repeat([s.file in files for s in shards], [s.samples for s in shards])]
        return own

    def places(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where samples lie, int64 [n] each: the number of a sample's shard, and the byte of it at which it starts."""
        return np.searchsorted(self._firsts, indices, side="right") - 1, self._starts[indices]

    def _number(self, index: int | np.integer) -> int:
        """A sample's number, counted from the end where it is negative."""
        try:
            return range(len(self))[operator.index(index)]
        except IndexError:
            raise IndexError(f"sample {index} of {len(self)}") from None

    def _turned(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.moveaxis(images, -1, -3) if self.channels == "first" else images

    def _place(self, index: int) -> tuple[int, int, int]:
        """A sample's shard, and where it starts and ends in it."""
        shard = int(np.searchsorted(self._firsts, index, side="right")) - 1
        return shard, int(self._starts[index]), int(self._ends[index])

    def _load(self, index: int, into: NDArray[np.uint8] | None, scalars: bool) -> Loaded:
        """Reads a sample, its pixels into an array [height, width, 3] where one is given."""
        shard, start, end = self._place(index)
        try:
            if self.manifest.layout.raw:
                return self._raw(shard, start, end, into, scalars)
            return self._file(shard, start, end, into, scalars)
        except (WireError, PictureError) as error:
            raise ShardsError(f"{self._named(index)} is damaged: {error}", "See lpff-shards verify") from None
        except _OtherSizeError as error:
            raise ShardsError(
                f"{self._named(index)} has a picture of {error}",
                "Pictures of several sizes make no batch: export with --resolution, or take them one by one",
            ) from None

    def _raw(self, shard: int, start: int, end: int, into: NDArray[np.uint8] | None, scalars: bool) -> Loaded:
        """A sample of raw pixels, which are read straight to where they belong."""
        head, found = self._found(shard, start, end)
        assert found.shape is not None
        pixels = np.empty(found.shape, np.uint8) if into is None else _fitting(into, found.shape)
        tail = bytearray(end - start - found.start - found.size)
        self._files.read_into(shard, start + found.start, [pixels.reshape(-1).data, tail])
        return Loaded(pixels, self._beside(head[: found.start], bytes(tail), scalars))

    def _file(self, shard: int, start: int, end: int, into: NDArray[np.uint8] | None, scalars: bool) -> Loaded:
        """A sample with a picture's file, which is decoded."""
        head, found = self._found(shard, start, end)
        stop = found.start + found.size
        # Read by itself, for decoders want bytes of their own, and a piece of larger ones would be copied.
        pixels = decoded(self._files.read(shard, start + found.start, found.size))
        if into is not None:
            _fitting(into, pixels.shape)[:] = pixels
        tail = self._files.read(shard, start + stop, end - start - stop)
        return Loaded(pixels, self._beside(head[: found.start], tail, scalars))

    def _found(self, shard: int, start: int, end: int) -> tuple[bytes, Found]:
        """A sample's first bytes, and where its picture is."""
        size = end - start
        head = self._files.read(shard, start, min(HEAD, size))
        found = self._spans.picture(head, self.manifest.layout.raw)
        if found is None:
            head = self._files.read(shard, start, size)
            found = self._spans.picture(head, self.manifest.layout.raw)
        return head, _whole(found, size)

    def _metadata(self, index: int) -> Mapping[str, Any]:
        """A sample's fields, without its picture."""
        shard, start, end = self._place(index)
        try:
            head, found = self._found(shard, start, end)
            stop = found.start + found.size
            tail = self._files.read(shard, start + stop, end - start - stop)
            return self._beside(head[: found.start], tail, scalars=True).scalars
        except WireError as error:
            raise ShardsError(f"{self._named(index)} is damaged: {error}", "See lpff-shards verify") from None

    def _beside(self, head: bytes, tail: bytes, scalars: bool) -> Beside:
        return self._spans.beside(head, tail, self.manifest.layout, scalars)

    def _named(self, index: int) -> str:
        shard, _, _ = self._place(index)
        return f"{self._files.path(shard)}: sample {index - int(self._firsts[shard])}"


class _OtherSizeError(Exception):
    """A picture that does not fit its batch; the text tells both sizes."""


_DTYPES: Mapping[str, type] = {"int": np.int64, "bool": np.bool_, "float": np.float32}


def _of_split(root: Place, manifest: Manifest, split: str | None) -> tuple[Shard, ...]:
    if manifest.format not in ("wds", "tfrecord"):
        raise ShardsError(f"{root} is of format {manifest.format}", "Loaders read --format wds and tfrecord")
    found = tuple(shard for shard in manifest.shards if split in (None, shard.split))
    if not found:
        hint = f"{did_you_mean(str(split), manifest.splits)}It has: {', '.join(manifest.splits)}"
        raise ShardsError(f"{root} has no split {split!r}", hint)
    return found


def kinds_of(fields: Sequence[str]) -> dict[str, str]:
    """The kinds of metadata fields by name.

    Raises:
        ShardsError: there is no such field.
    """
    known = {f.name: f.kind for f in FIELDS}
    if isinstance(fields, str) or not isinstance(fields, Sequence):
        raise ShardsError(f"fields {fields!r} is no list of names", "Give one, such as ('key', 'yaw')")
    for name in fields:
        if name not in known:
            raise ShardsError(f"field {name!r} is not known", choice_hint(str(name), known))
    return {name: known[name] for name in fields}


def _whole(found: Found | None, size: int) -> Found:
    """A picture that lies in its sample of so many bytes."""
    if found is None:
        raise WireError("it has no picture")
    if found.start + found.size > size:
        raise WireError("its picture is cut short")
    return found


def _fitting(into: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if into.shape != shape:
        raise _OtherSizeError(f"{shape[1]}x{shape[0]}, others of its batch of {into.shape[1]}x{into.shape[0]}")
    return into


def _arrays(beside: Beside) -> dict[str, NDArray[np.float32]]:
    found = {"camera": beside.camera, "landmarks": beside.landmarks}
    return {name: np.array(array) for name, array in found.items() if array is not None}


def _stacked(beside: Sequence[Beside]) -> dict[str, NDArray[np.float32]]:
    cameras = [sample.camera for sample in beside if sample.camera is not None]
    landmarks = [sample.landmarks for sample in beside if sample.landmarks is not None]
    return {name: np.stack(all) for name, all in (("camera", cameras), ("landmarks", landmarks)) if all}
