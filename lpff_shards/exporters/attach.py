"""`attach`: shards of a channel beside those of a finished export, with the same keys in the same order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from msgspec import structs

from lpff_shards._version import __version__
from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.executors.processes import LocalExecutor, OnNote, ShardDone, available_cores, may_fork
from lpff_shards.exporters.callbacks import ProgressCallback
from lpff_shards.exporters.channel_shards import ChannelTask, ChannelTasks, keep_samples, write_channel
from lpff_shards.exporters.output_lock import locked
from lpff_shards.exporters.preflight import is_unchanged, refuse_sources
from lpff_shards.exporters.record_options import last_component
from lpff_shards.formats.registry import get_format, index_files, index_names, installed_format, wids_name
from lpff_shards.manifest import (
    MANIFEST,
    MANIFEST_VERSION,
    Counts,
    Manifest,
    Shard,
    file_digest,
    keys_digest,
    read_manifest,
    to_json,
)
from lpff_shards.options.channels import GivenChannel, given_channels
from lpff_shards.schemas.channels import Channel, refuse_long_names
from lpff_shards.schemas.fields import SCHEMA_VERSION, Layout, has_field
from lpff_shards.schemas.text import format_count
from lpff_shards.sidecars.attached import RESERVED, channels_in, is_current
from lpff_shards.sidecars.folder import FIELDS, RECEIPTS, OutputFolder
from lpff_shards.sidecars.indexes import data_set_indexes
from lpff_shards.sidecars.sample_index import SampleIndex
from lpff_shards.sources.channels import MIRROR, ChannelSource, read_channel
from lpff_shards.sources.inventory import ChannelFiles
from lpff_shards.sources.io.rar_unpacker import when_unpacked
from lpff_shards.storage.bucket import Listed
from lpff_shards.storage.path import StoragePath, is_remote, listed, names_in, place, remove

_COLUMNS = ("key", "dataset", "source_id", "width", "height", "mirrored", "replica")


def attach_channels(
    path: str | StoragePath,
    channel: Sequence[str],
    workers: int | None = None,
    observer: ProgressCallback | None = None,
) -> tuple[Manifest, ...]:
    """Write the shards of channels beside those of a finished export, each into a folder with the channel's name.

    A shard that an earlier run finished from unchanged files is kept. The export's own files do not change.

    Args:
        path: folder or bucket prefix of the export.
        channel: `NAME=PATH[,KIND]` each, as in `--channel`.
        workers: processes; by default one per core.

    Returns:
        The manifests of the channels.

    Raises:
        ShardsError: the export is unfinished or has a channel of this name inside, or a picture lacks a file.
        ExportFailed: the folder cannot be written.
    """
    root, given = place(path), given_channels(channel)
    if not given:
        raise ShardsError("no channel was given", "Give --channel NAME=PATH")
    manifest = read_manifest(root)
    format = installed_format(manifest.format)
    if format.channels == "none" or manifest.layout.attached:
        raise ShardsError(f"{root} cannot have channels", "Give the folder of an export of lpff-shards")
    for one in given:
        _refuse(root, manifest, one)
    return tuple(_attach(root, manifest, one, workers, observer or ProgressCallback()) for one in given)


def _refuse(root: StoragePath, manifest: Manifest, given: GivenChannel) -> None:
    taken = {*(f.name for f in manifest.layout.fields), *(c.name for c in manifest.layout.channels or ())}
    if given.name in taken or f"has_{given.name}" in taken:
        hint = "Choose another name, or export again without it"
        raise ShardsError(f"--channel {given.name}: the samples of {root} have a {given.name} already", hint)
    folder = root / given.name
    if given.name in RESERVED or (given.name not in channels_in(root) and names_in(folder)):
        raise ShardsError(f"--channel {given.name}: {folder} holds other files", "Choose another name")
    refuse_sources(folder, {f"channel {given.name}": given.path}, "the channel's folder")


def _attach(
    root: StoragePath, manifest: Manifest, given: GivenChannel, workers: int | None, observer: ProgressCallback
) -> Manifest:
    folder = OutputFolder(root / given.name)
    observer.on_stage("planning")
    tasks = _planned(root, manifest, when_unpacked(lambda: read_channel(given), observer.on_note), observer)
    fork = may_fork() and not is_remote(root)
    with locked(folder):
        _drop_others(folder, tasks)
        there = listed(folder.root)
        missing = [number for number in range(len(tasks)) if not _is_written(folder, tasks[number], there)]
        if missing:
            folder.unfinish()
            observer.on_stage("writing")
        write = partial(write_channel, folder.root)
        executor = LocalExecutor(workers or available_cores(), fork)
        try:
            with closing(executor.run(write, replace(tasks, numbers=missing), observer.on_progress)) as written:
                for _, shard in written:
                    done = shard.result
                    observer.on_shard(ShardDone(done.file, done.samples, done.bytes, shard.seconds))
        except BadInput as bad:
            # All samples of the export need a file, so none is left out.
            raise ShardsError(
                f"{bad.file}: {bad.id}: {bad.reason}", "Fix it, then run the same command again"
            ) from None
        what = f"{given.name}={last_component(given.path)}{given.words}"
        return _finish(folder, manifest, tasks.layout, {"channel": [what]})


def _planned(root: StoragePath, manifest: Manifest, source: ChannelSource, observer: ProgressCallback) -> ChannelTasks:
    """Return the tasks of a channel.

    Raises:
        ShardsError: a picture lacks a file, a file may be of two data sets, or none is of a picture.
    """
    with SampleIndex.open(root, manifest) as index:
        columns = {name: index.column(name) for name in _COLUMNS}
    channel = source.channel
    refuse_long_names(columns["key"].tolist(), [channel])
    pictures = list(zip(columns["dataset"].tolist(), columns["source_id"].tolist(), strict=True))
    source = source.unwrapped(manifest.sources, (id for _, id in pictures))
    different = dict.fromkeys(pictures)
    rows = {picture: [source.row(picture[0], picture[1] + end) for end in ("", MIRROR)] for picture in different}
    if note := source.unused((*picture, found) for picture, found in rows.items()):
        observer.on_note(note)
    own, mirror = np.array([rows[picture] for picture in pictures], np.int64).reshape(-1, 2).T
    of_mirror = (mirror >= 0) | (own >= 0 if channel.mirror != "own" else np.zeros(len(own), bool))
    lost = np.flatnonzero(~np.where(columns["mirrored"], of_mirror, own >= 0))
    if len(lost) and not channel.optional:
        key, id, is_own = columns["key"][lost[0]], pictures[lost[0]][1], channel.mirror == "own"
        name = source.named(f"{id}{MIRROR if columns['mirrored'][lost[0]] and is_own else ''}")
        message = f"{format_count(len(lost), 'sample')} of {len(own):,} have no file, such as {key}: there is no {name}"
        words = ",same or ,flip-last-axis (arrays of mirrors), or ,optional" if is_own else ",optional"
        raise ShardsError(f"--channel {channel.name}: {message}", f"Add the files, or write {words} after the path")
    has = (Channel(has_field(channel).name, "json", "same"),) if channel.optional else ()
    layout = Layout(raw=False, camera=False, landmarks=False, channels=(channel, *has), attached=True)
    numbers = range(len(manifest.shards))
    return ChannelTasks(manifest, source, layout, columns, ChannelFiles(source.blobs, own, mirror), numbers)


def _is_written(folder: OutputFolder, task: ChannelTask, there: Mapping[str, Listed]) -> bool:
    """Return whether an earlier run wrote a shard, from the same files, and its index files."""
    receipt = folder.read_receipt(task.file)
    if receipt is None or task.file not in there or receipt.plan != task.digest:
        return False
    whole = (receipt.keys, receipt.algorithm) == (tuple(one.key for one in task.samples), task.checksum)
    if not whole or not folder.storage.same(task.file, there[task.file], receipt):
        return False
    return all(is_unchanged(folder, name, data, there) for name, data in index_files(receipt).items())


def _drop_others(folder: OutputFolder, tasks: ChannelTasks) -> None:
    """Remove shards that an earlier export had and this one has not."""
    format, name = get_format(tasks.manifest.format), tasks.source.channel.name
    due = {format.attached_name(shard.file, name) for shard in tasks.manifest.shards}
    if others := sorted(folder.with_receipts() - due):
        folder.unfinish()
        _drop(folder, others)


def _drop(folder: OutputFolder, files: Sequence[str]) -> None:
    """Remove shards: their receipts first, so that what is left is not taken for finished."""
    remove(folder.root, [f"{RECEIPTS}/{file}.json" for file in files])
    others = (name for file in files for name in (f"{FIELDS}/{file}.gz", file, *index_names(file), wids_name(file)))
    remove(folder.root, list(dict.fromkeys(others)))


def _finish(folder: OutputFolder, of: Manifest, layout: Layout, options: Mapping[str, Any]) -> Manifest:
    """Write the manifest of a channel, whose shards are complete."""
    format, name = get_format(of.format), folder.root.name
    shards, files = [], dict[str, str]()
    for shard in of.shards:
        receipt = folder.receipt(format.attached_name(shard.file, name))
        numbers = (receipt.samples, receipt.bytes)
        shards.append(Shard(receipt.file, shard.split, *numbers, receipt.checksum, keys_digest(receipt.keys)))
        files |= {index: file_digest(data) for index, data in index_files(receipt).items()}
    manifest = Manifest(
        version=MANIFEST_VERSION,
        schema=SCHEMA_VERSION,
        generator=f"lpff-shards {__version__}",
        name=of.name,
        format=of.format,
        samples=of.samples,
        plan=of.plan,
        checksum=of.checksum,
        options=options,
        layout=layout,
        counts=Counts(of.samples, of.samples, 0, 0),
        sources={},
        licenses={},
        splits=of.splits,
        filtered={},
        shards=tuple(shards),
    )
    if not is_current(manifest, name, of):
        raise ShardsError(f"{folder.root} does not fit its export, which changed meanwhile", "Run attach again")
    folder.sync([shard.file for shard in shards])
    once = {index: folder.write(index, data).digest for index, data in data_set_indexes(manifest, set()).items()}
    manifest = structs.replace(manifest, files=files | once)
    folder.write(MANIFEST, to_json(manifest))
    return manifest


def follow(root: StoragePath, of: Manifest, keys: Callable[[int], Sequence[str]], on_note: OnNote) -> None:
    """Take the samples out of an export's attached channels that `--update` took out of it.

    Args:
        of: the manifest that the export gets.
        keys: of the samples of its shard of a number.
    """
    format = get_format(of.format)
    for name, channel in channels_in(root).items():
        folder = OutputFolder(root / name)
        with locked(folder):
            if channel is None:
                # An unfinished one is written anew by its command.
                _drop(folder, sorted(folder.with_receipts()))
                continue
            if is_current(channel, name, of):
                continue
            if channel.plan != of.plan:
                on_note(f"{folder.root} is of another export: run lpff-shards attach again")
                continue
            folder.unfinish()
            if not folder.with_receipts().issuperset(shard.file for shard in channel.shards):
                # A copy of the export without its state: what is withdrawn must not stay.
                _drop(folder, [shard.file for shard in channel.shards])
                on_note(f"{folder.root} was removed, since it lacks its receipts: run lpff-shards attach again")
                continue
            known = {shard.file: shard.keys for shard in channel.shards}
            for number, shard in enumerate(of.shards):
                file = format.attached_name(shard.file, name)
                if known[file] != shard.keys:
                    keep_samples(folder, channel, file, keys(number))
            _finish(folder, of, channel.layout, channel.options)
