"""Joining a split's zip from its parts: pictures, dataset.json, the lists of names, samples.jsonl.

Pictures are copied inside the kernel, and texts are collected in files, so that memory stays bounded. LPFF's forks read
the lists of names, and the pictures of their snapshots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path

import blake3
import msgspec
import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from lpff_shards.errors import ExportFailed
from lpff_shards.exporters import copy_range
from lpff_shards.exporters.zip_writer import Archive, Text
from lpff_shards.formats.zip import Note
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.plan import NameList, Output, Plan
from lpff_shards.schemas.archive import FORK_LISTS, LABELS, SAMPLES, SNAPSHOT_PICTURES, SNAPSHOTS, picture_stem
from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.schemas.receipt import ShardReceipt, sizes_of
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.sidecars.sample_index import row_groups
from lpff_shards.storage.background_sync import Settling, to_disk
from lpff_shards.storage.checksums import hasher
from lpff_shards.storage.full_reads import pread_fully
from lpff_shards.storage.path import on_disk


def assemble(folder: OutputFolder, plan: Plan, output: Output, parts: Sequence[ShardReceipt]) -> ShardReceipt:
    """Writes a zip and its receipt, then removes its parts.

    Args:
        output: of the plan, a zip.
        parts: the receipts of its parts, in order.

    Raises:
        ExportFailed: the disk is full or the folder cannot be written.
    """
    try:
        with folder.storage.room(output.file) as growing:
            offsets = _written(folder, plan, output, parts, growing)
            fields = b"".join(folder.fields(part) for part in parts)
            receipt = _receipt(plan, output, parts, growing, offsets, row_groups.digest(fields))
            # The parts go then: the zip must not be lost to a power cut.
            to_disk(growing)
            folder.publish(partial(folder.storage.keep, growing, output.file), receipt, fields, {})
        folder.sync([output.file])
        folder.drop_parts([part.file for part in parts])
    except OSError as error:
        raise ExportFailed(
            f"{folder.root / output.file} cannot be written: {error.strerror}",
            f"Check {folder.storage.causes}, then run the same command again; finished parts are kept",
        ) from None
    return receipt


def stamp(stamps: Sequence[str]) -> str:
    """What tells that source files of several tasks have changed, see `ShardTask.stamp`."""
    return blake3.blake3("".join(stamps).encode()).hexdigest(length=16)


def _written(
    folder: OutputFolder, plan: Plan, output: Output, parts: Sequence[ShardReceipt], growing: Path
) -> list[int]:
    """Writes the zip; returns where each picture's local header starts, and the end of the last one."""
    with ExitStack() as stack:
        disk = stack.enter_context(Settling())
        archive = Archive(stack.enter_context(growing.open("wb", buffering=0)).fileno())
        entries, lists = _held(plan, output, parts)
        stems = iter(picture_stems(entries))
        members = (LABELS, *list_members(lists), SAMPLES)
        texts = {name: stack.enter_context(Text(growing.with_name(f"{growing.name}.{name}"), name)) for name in members}
        labels, samples = texts[LABELS], texts[SAMPLES]
        labels.write(b'{"labels": [' if plan.settings.layout.camera else b'{"labels": null')
        names: list[str] = []
        offsets = [0]
        for part in parts:
            with on_disk(folder.path(part.file)) as path:
                for name in _pictures(path, part, stems, archive, labels, samples):
                    names.append(name)
                    offsets.append(archive.at)
            disk.keep_up(growing)
        labels.write(b"\n]}\n" if plan.settings.layout.camera else b"}\n")
        for name, lines in list_lines(lists, names, entries):
            texts[name].write_lines(lines)
        for text in texts.values():
            text.add_to(archive)
        archive.finish()
        return offsets


def _held(plan: Plan, output: Output, parts: Sequence[ShardReceipt]) -> tuple[Entries, list[NameList]]:
    """The entries that a zip holds, in its order, and its lists of them."""
    lost = {skip.key for part in parts for skip in part.skipped}
    rows = np.array([row for row in plan.rows(output.tasks) if plan.keys[row] not in lost], np.int64)
    return plan.entries.take(rows), [one.take(rows) for one in plan.lists]


def _pictures(
    path: Path, part: ShardReceipt, stems: Iterator[str], archive: Archive, labels: Text, samples: Text
) -> Iterator[str]:
    """Adds a part's pictures to a zip with their labels and fields, and yields their names.

    Args:
        stems: gives each picture's name in turn, less its suffix.
    """
    with path.open("rb", buffering=0) as file:
        source = file.fileno()
        spans = zip(part.offsets, part.offsets[1:], part.members, strict=False)
        for start, end, (kinds, size, _) in spans:
            note = msgspec.json.decode(copy_range.read(source, start + size, end - start - size), type=Note)
            name = f"{next(stems)}.{part.suffixes[kinds][0]}"
            if bytes(note.label) != b"null":
                labels.write(b'%b\n["%b", %b]' % (b"," if archive.at else b"", name.encode(), note.label))
            samples.write(b'{"name":"%b",%b\n' % (name.encode(), bytes(note.fields)[1:]))
            archive.add(name, note.crc, source, start, size)
            yield name


def _receipt(
    plan: Plan, output: Output, parts: Sequence[ShardReceipt], growing: Path, offsets: Sequence[int], fields: str
) -> ShardReceipt:
    checksum = hasher(plan.settings.checksum)
    crcs = []
    with growing.open("rb", buffering=0) as file:
        for start, end in pairwise(offsets):
            data = copy_range.read(file.fileno(), start, end - start)
            crcs.append(crc32(data))
            checksum.update(data)
        at = offsets[-1]
        while data := pread_fully(file.fileno(), copy_range.BLOCK, at):
            checksum.update(data)
            at += len(data)
    lists = list(dict.fromkeys(suffixes[:1] for part in parts for suffixes in part.suffixes))
    members = ((lists.index(part.suffixes[kinds][:1]), size) for part in parts for kinds, size, _ in part.members)
    return ShardReceipt(
        file=output.file,
        plan=plan.shard_digest(output.tasks.start),
        sources=stamp([part.sources for part in parts]),
        samples=len(crcs),
        bytes=at,
        algorithm=plan.settings.checksum,
        checksum=checksum.hexdigest(),
        keys=tuple(key for part in parts for key in part.keys),
        offsets=tuple(offsets),
        crcs=tuple(crcs),
        suffixes=tuple(lists),
        members=tuple(members),
        fields=fields,
        skipped=tuple(skip for part in parts for skip in part.skipped),
        sizes=tuple((*size, count) for size, count in sizes_of(parts).items()),
        turned=sum(part.turned for part in parts),
    )


def picture_stems(entries: Entries) -> list[str]:
    """The name of each entry's picture, less its suffix: pictures are numbered from 0, copies share the number."""
    columns = np.stack([entries.source.astype(np.int64), entries.row, entries.flip.astype(np.int64)])
    is_first = np.ones(len(entries), bool)
    is_first[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    numbers = (np.cumsum(is_first) - 1).tolist()
    return [picture_stem(number, copy) for number, copy in zip(numbers, entries.replica.tolist(), strict=True)]


def list_members(lists: Iterable[NameList]) -> Iterator[str]:
    """The members that hold lists, each with its snapshot's where the forks look for one."""
    for one in lists:
        yield f"{one.name}.json"
        if _has_snapshot(one):
            yield f"{one.name}{SNAPSHOTS}"


def list_lines(
    lists: Iterable[NameList], names: Sequence[str], entries: Entries
) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Each of these members with its items as JSON.

    Args:
        names: of the pictures, with their suffix; they are in the order in which the forks sort them.
        entries: of the pictures, in the same order.
    """
    centers, known = entries.centers()
    yaw = np.where(known, yaw_pitch(centers)[:, 0], 0.0)
    for one in lists:
        at = np.repeat(np.arange(len(names)), one.times)
        yield f"{one.name}.json", (b'"%b"' % names[row].encode() for row in at.tolist())
        if _has_snapshot(one):
            yield f"{one.name}{SNAPSHOTS}", (b"%d" % index for index in snapshot(yaw[at]).tolist())


def snapshot(yaw: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which 16 names of a list a snapshot shows: from the least yaw to the largest, at equal shares of the list.

    Args:
        yaw: of each name, float64 [n], n at least 1; a list of fewer than 16 names repeats some.

    Returns:
        int64 [16], indices into the list.
    """
    order = np.argsort(yaw, kind="stable")
    return order[(2 * np.arange(SNAPSHOT_PICTURES) + 1) * len(yaw) // (2 * SNAPSHOT_PICTURES)]


def _has_snapshot(one: NameList) -> bool:
    return one.name in FORK_LISTS and bool(one.times.any())
