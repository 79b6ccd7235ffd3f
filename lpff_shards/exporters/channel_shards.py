"""The shards of an attached channel: their tasks, writing one, and following an export that lost samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import blake3
import msgspec
import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from lpff_shards.errors import Damaged
from lpff_shards.executors.processes import OnSample
from lpff_shards.exporters.channels import Pair, channel_file, chosen
from lpff_shards.exporters.sample import Fetching
from lpff_shards.exporters.shard import ShardSink, publish
from lpff_shards.formats.base import SampleError
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.options.export import Checksum
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.sample import NO_PICTURE, Sample
from lpff_shards.sidecars.folder import OutputFolder, encode_rows
from lpff_shards.sources.channels import ChannelSource
from lpff_shards.sources.inventory import ChannelFiles
from lpff_shards.storage.path import StoragePath, read_whole

_NO_FIELDS = encode_rows(())


class ChannelSample(Struct, frozen=True):
    """A sample that gets a file: its key, picture's id and size, whether it is mirrored, its copy, and its files."""

    key: str
    id: str
    size: tuple[int, int]
    mirrored: bool
    replica: int
    files: Pair


class ChannelTask(Struct, frozen=True):
    """A shard of a channel to write, picklable; `digest` changes with its samples, its files and the channel."""

    file: str
    digest: str
    format: str
    layout: Layout
    checksum: Checksum
    samples: tuple[ChannelSample, ...]


@dataclass(frozen=True, eq=False)
class ChannelTasks(Sequence[ChannelTask]):
    """The tasks of a channel, made on access.

    Attributes:
        numbers: of the export's shards.
        columns: fields of all samples, from samples.sqlite.
        files: of the channel, by sample.
    """

    manifest: Manifest
    source: ChannelSource
    layout: Layout
    columns: Mapping[str, NDArray[Any]]
    files: ChannelFiles
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, at: int) -> ChannelTask:  # type: ignore[override]  # executors take no slices
        shards, number = self.manifest.shards, self.numbers[at]
        start = sum(shard.samples for shard in shards[:number])
        rows = np.arange(start, start + shards[number].samples)
        names = ("key", "source_id", "width", "height", "mirrored", "replica")
        fields = zip(*(self.columns[name][rows].tolist() for name in names), strict=True)
        samples = tuple(
            ChannelSample(key, id, (width, height), mirrored, replica, pair)
            for (key, id, width, height, mirrored, replica), pair in zip(
                fields, self.files.take(rows).pairs(), strict=True
            )
        )
        format, channel = get_format(self.manifest.format), self.source.channel
        file = format.attached_name(shards[number].file, channel.name)
        # Times of unpacked files are often alike, so names and sizes count too.
        stamps = [[blob and (blob.where, blob.size, blob.stamp) for blob in sample.files] for sample in samples]
        seal = [self.layout, [(sample.key, sample.mirrored, sample.size) for sample in samples], stamps]
        digest = blake3.blake3(msgspec.json.encode(seal)).hexdigest(length=16)
        return ChannelTask(file, digest, self.manifest.format, self.layout, self.manifest.checksum, samples)


def write_channel(root: StoragePath, task: ChannelTask, on_sample: OnSample) -> ShardReceipt:
    """Write a shard of a channel and its receipt.

    Raises:
        BadInput: a file cannot be read, or is not like the others.
        ExportFailed: the disk is full or the folder or bucket cannot be written.
    """
    channel, *has = task.layout.channels or ()

    def write(sink: ShardSink) -> tuple[ShardReceipt, bytes]:
        needed = (chosen(one.files, channel, one.mirrored)[0] for one in task.samples)
        fetching = Fetching([blob for blob in needed if blob is not None])
        writer = get_format(task.format).writer(task.file, sink, task.layout)
        try:
            for one in task.samples:
                file, there = channel_file(one.files, channel, one.mirrored, one.size, one.id, fetching.read)
                files = {channel.name: file, **{flag.name: msgspec.json.encode(there) for flag in has}}
                on_sample(writer.add(_sample(one.key, one.replica, files)))
        finally:
            fetching.close()
        return structs.replace(writer.close(), plan=task.digest), _NO_FIELDS

    size = sum(blob.size for one in task.samples for blob in one.files if blob is not None)
    return publish(OutputFolder(root), task.file, size, task.checksum, write)


def _sample(key: str, replica: int, files: Mapping[str, bytes]) -> Sample:
    return Sample(key, NO_PICTURE, None, None, {"key": key, "replica": replica}, files)


def keep_samples(folder: OutputFolder, channel: Manifest, file: str, keys: Sequence[str]) -> None:
    """Write a shard of a channel again with only the samples of these keys, from its own bytes.

    Raises:
        Damaged: the shard is damaged, or lacks one of the keys.
        ExportFailed: the disk is full or the folder or bucket cannot be written.
    """
    format, kept = get_format(channel.format), frozenset(keys)
    receipt = folder.receipt(file)

    def write(sink: ShardSink) -> tuple[ShardReceipt, bytes]:
        writer = format.writer(file, sink, channel.layout)
        for sample in format.samples(read_whole(folder.path(file)), channel.layout):
            if sample.key in kept:
                writer.add(_sample(sample.key, int(sample.scalars.get("replica", 0)), sample.channels))
        written = writer.close()
        if list(written.keys) != list(keys):
            raise SampleError("it lacks samples of the export", 0)
        return structs.replace(written, plan=receipt.plan), _NO_FIELDS

    try:
        publish(folder, file, receipt.bytes, channel.checksum, write)
    except SampleError as error:
        message = f"{folder.path(file)} is damaged: {error.reason}"
        raise Damaged(message, f"Remove {folder.root}, and run lpff-shards attach again") from None
