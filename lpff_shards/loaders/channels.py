"""Channels of a source's samples: inside them, or attached in shards of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats import channels as kinds
from lpff_shards.formats.base import Annotations, Spans
from lpff_shards.formats.errors import FormatError
from lpff_shards.loaders.files import ShardFiles, Span, open_files, shards_of_split, unreadable
from lpff_shards.loaders.object_reader import FetchedSpan, ShardRanges, open_objects
from lpff_shards.manifest import Manifest
from lpff_shards.schemas.channels import Channel
from lpff_shards.schemas.fields import Layout, has_field
from lpff_shards.sidecars.attached import read_channel_manifest
from lpff_shards.storage.path import StoragePath, is_remote

_DAMAGED = "See lpff-shards verify --deep"


class _Beside(NamedTuple):
    """An attached channel: its shards, and the start and end of each sample."""

    layout: Layout
    shards: ShardFiles | ShardRanges
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    firsts: NDArray[np.int64]


class ChannelReader:
    """Reads the requested channels of samples; picklable and safe in threads, as `ShardSource`.

    Args:
        names: of channels inside the samples of the export, or attached to it.
        colors_last: whether PNGs of several colors are [height, width, colors], not [colors, height, width].

    Attributes:
        specs: the channels, by name.

    Raises:
        ShardsError: the export has no such channel, or it is of other samples.
    """

    def __init__(
        self,
        root: StoragePath,
        manifest: Manifest,
        split: str | None,
        spans: Spans,
        names: Sequence[str],
        colors_last: bool = True,
    ) -> None:
        own = {channel.name: channel for channel in manifest.layout.channels or ()}
        self.specs: dict[str, Channel] = {}
        self._root, self._spans = root, spans
        self._colors_last = colors_last
        self._beside: dict[str, _Beside] = {}
        for name in names:
            if name in own:
                self.specs[name] = own[name]
                continue
            found = read_channel_manifest(root, manifest, name)
            place, shards = root / name, shards_of_split(root / name, found, split)
            files, offsets = (
                open_objects(place, shards) if is_remote(place) else open_files(Path(str(place)), found, shards)
            )
            starts, ends = (np.concatenate([one[part] for one in offsets]) for part in (slice(-1), slice(1, None)))
            self._beside[name] = _Beside(
                found.layout, files, starts, ends, np.cumsum([0, *(shard.samples for shard in shards)])
            )
            self.specs[name] = (found.layout.channels or ())[0]

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the fields inside the samples that say whether a picture has a channel."""
        return tuple(
            has_field(one).name for name, one in self.specs.items() if one.optional and name not in self._beside
        )

    def contents(self, numbers: Sequence[int], inside: Sequence[Annotations]) -> Iterator[dict[str, Any]]:
        """Yield the contents of the channels of each sample, see `formats.channels.decode`, and any `has_NAME`.

        Args:
            inside: the samples' annotations, with the fields of `flags`.

        Raises:
            ShardsError: a file is damaged, or a shard cannot be read.
        """
        beside = {name: self._files(one, numbers) for name, one in self._beside.items()}
        for number, sample in zip(numbers, inside, strict=True):
            found: dict[str, Any] = {}
            for name, spec in self.specs.items():
                files = next(beside[name]) if name in beside else sample.channels
                try:
                    contents = kinds.decode(spec, files[name])
                except FormatError as error:
                    where = self._root / name if name in beside else self._root
                    raise ShardsError(f"{where}: sample {number} is damaged: {error}", _DAMAGED) from None
                turned = spec.kind == "png" and contents.ndim == 3 and not self._colors_last
                found[name] = np.moveaxis(contents, -1, 0) if turned else contents
                if spec.optional:
                    flag = has_field(spec).name
                    found[flag] = files[flag] == b"true" if name in beside else sample.scalars[flag]
            yield found

    def batch(self, numbers: Sequence[int], inside: Sequence[Annotations]) -> dict[str, Any]:
        """Return the contents of several samples by name, see `stacked`."""
        contents = list(self.contents(numbers, inside))
        return {name: stacked(name, [one[name] for one in contents]) for name in contents[0]}

    def _files(self, of: _Beside, numbers: Sequence[int]) -> Iterator[Mapping[str, bytes]]:
        def span(number: int) -> Span:
            shard = int(np.searchsorted(of.firsts, number, side="right")) - 1
            return Span(shard, int(of.starts[number]), int(of.ends[number]))

        spans = list(map(span, numbers))
        readers: Iterable[ShardFiles | FetchedSpan] = of.shards.read_batch(spans)
        for (shard, start, end), reads in zip(spans, readers, strict=False):
            try:
                data = reads.read(shard, start, end - start)
                reads.check(shard)
                yield self._spans.channels_of(data, of.layout)
            except OSError as error:
                raise unreadable(of.shards.paths[shard], error) from None
            except FormatError as error:
                raise ShardsError(f"{of.shards.paths[shard]}: a sample is damaged: {error}", _DAMAGED) from None


def names_of(specs: Mapping[str, Channel]) -> list[str]:
    """Return the names that channels have in a batch: each channel's, and `has_NAME` of optional ones."""
    return [*specs, *(has_field(spec).name for spec in specs.values() if spec.optional)]


def refuse_own_mirrors(specs: Mapping[str, Channel]) -> None:
    """Raise ShardsError for channels of which a loader cannot make mirrors."""
    if own := [name for name, spec in specs.items() if spec.mirror == "own"]:
        message = f"mirror=True cannot mirror the channel {own[0]}: its mirrors have files of their own"
        raise ShardsError(message, "Leave mirror out, and export with mirrors")


def stacked(name: str, contents: Sequence[Any]) -> Any:
    """Return the contents of a batch: arrays in one, also those of dicts; a list of texts, or of objects.

    Raises:
        ShardsError: the arrays differ in shape.
    """
    first = contents[0]
    if isinstance(first, dict) and all(isinstance(value, np.ndarray) for value in first.values()) and first:
        return {part: stacked(f"{name}/{part}", [one[part] for one in contents]) for part in first}
    if isinstance(first, bool):
        return np.array(contents)
    if not isinstance(first, np.ndarray):
        return list(contents)
    shapes = dict.fromkeys(str(list(one.shape)) for one in contents)
    if len(shapes) > 1:
        message = f"the {name} of a batch have several shapes: {' and '.join(shapes)}"
        raise ShardsError(message, "A batch needs files of one shape: read samples one by one")
    return np.stack(contents)


def mirror_channels(batch: dict[str, Any], specs: Mapping[str, Channel], flips: NDArray[np.bool_], last: bool) -> None:
    """Mirror the channels of some samples of a batch in place; `last`: colors are the last axis of pictures."""
    rows = np.flatnonzero(flips)
    for name, spec in specs.items() if len(rows) else ():
        if spec.mirror not in ("flip", "flip-last-axis"):
            continue
        for array in batch[name].values() if isinstance(batch[name], dict) else (batch[name],):
            across = -2 if spec.kind == "png" and array.ndim == 4 and last else -1
            # Of numbers without an axis there is only that of the batch.
            if array.ndim > 1:
                array[rows] = np.flip(array[rows], across)
