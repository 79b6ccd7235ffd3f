"""Joining the parts that tasks wrote into one file with a receipt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import blake3
import numpy as np
from isal.isal_zlib import crc32
from msgspec import structs

from lpff_shards.errors import ExportFailed
from lpff_shards.exporters import copy_range
from lpff_shards.formats.join_zip import Contents
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.plan import Output, Plan
from lpff_shards.schemas.archive import picture_stem
from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.schemas.receipt import ShardReceipt, sizes_of
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.sidecars.sample_index import row_groups
from lpff_shards.storage.background_sync import BackgroundSync, to_disk
from lpff_shards.storage.checksums import hasher
from lpff_shards.storage.full_reads import pread_fully
from lpff_shards.storage.path import causes, on_disk


def assemble(folder: OutputFolder, plan: Plan, output: Output, parts: Sequence[ShardReceipt]) -> ShardReceipt:
    """Write a joined file and its receipt, then remove its parts.

    Args:
        output: an output of the plan; its format joins parts.
        parts: receipts of its parts, in order.

    Raises:
        ExportFailed: the disk is full or the folder cannot be written.
    """
    try:
        # A receipt is read from its file at each use, and only joining needs whole ones.
        known = [structs.replace(part, keys=(), offsets=(), crcs=(), members=()) for part in parts]
        with folder.storage.staging_path(output.file) as growing:
            written = _joined(folder, plan, output.file, parts, _contents(plan, output, known), growing)
            fields = b"".join(map(folder.fields, known))
            receipt = _receipt(plan, output, known, growing, written, row_groups.digest(fields))
            # The parts are deleted next, so the file must survive a power cut.
            to_disk(growing)
            folder.publish(partial(folder.storage.keep, growing, output.file), receipt, fields, {})
        folder.sync([output.file])
        folder.drop_parts([part.file for part in known])
    except OSError as error:
        raise ExportFailed(
            f"{folder.root / output.file} cannot be written: {error.strerror}",
            f"Check {causes(folder.root)}, then run the same command again; finished parts are kept",
        ) from None
    return receipt


def stamp(stamps: Sequence[str]) -> str:
    """Return a hash that changes when a source file of any of the tasks changes, see `ShardTask.stamp`."""
    return blake3.blake3("".join(stamps).encode()).hexdigest(length=16)


class _Target:
    """Append to an open file; see `formats.join_zip.Target`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file.fileno()

    def write(self, data: bytes) -> None:
        copy_range.write(self._file, data)

    def copy(self, source: BinaryIO, start: int, size: int) -> None:
        copy_range.copy(source.fileno(), self._file, start, size)


def _joined(
    folder: OutputFolder, plan: Plan, file: str, parts: Sequence[ShardReceipt], contents: Contents, growing: Path
) -> ShardReceipt:
    join = plan.format.joining
    assert join is not None, "the format joins parts"
    with BackgroundSync() as disk, growing.open("wb", buffering=0) as target:

        def opened() -> Iterator[tuple[BinaryIO, ShardReceipt]]:
            for part in parts:
                with on_disk(folder.path(part.file)) as path, path.open("rb") as source:
                    yield source, part
                disk.keep_up(growing)

        return join(file, opened(), contents, _Target(target), lambda name: Path(f"{growing}.{name}"))


def _contents(plan: Plan, output: Output, parts: Sequence[ShardReceipt]) -> Contents:
    lost = {skip.key for part in parts for skip in part.skipped}
    rows = np.array([row for row in plan.rows(output.tasks) if plan.keys[row] not in lost], np.int64)
    entries = plan.entries.take(rows)
    centers, known = entries.centers()
    return Contents(
        stems=picture_stems(entries),
        yaw=np.where(known, yaw_pitch(centers)[:, 0], 0.0),
        lists={one.name: one.times[rows] for one in plan.lists},
        cameras=plan.settings.layout.camera,
    )


def picture_stems(entries: Entries) -> list[str]:
    """Return the name of each entry's picture without suffix: numbered from 0, copies share the number."""
    columns = np.stack([entries.source.astype(np.int64), entries.row, entries.flip.astype(np.int64)])
    is_first = np.ones(len(entries), bool)
    is_first[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    numbers = (np.cumsum(is_first) - 1).tolist()
    return [picture_stem(number, copy) for number, copy in zip(numbers, entries.replica.tolist(), strict=True)]


def _receipt(
    plan: Plan, output: Output, parts: Sequence[ShardReceipt], growing: Path, written: ShardReceipt, fields: str
) -> ShardReceipt:
    """Read the joined file again for its checksums, and return its receipt."""
    checksum = hasher(plan.settings.checksum)
    crcs = []
    with growing.open("rb", buffering=0) as file:
        for start, end in pairwise(written.offsets):
            data = copy_range.read(file.fileno(), start, end - start)
            crcs.append(crc32(data))
            checksum.update(data)
        at = written.offsets[-1]
        while data := pread_fully(file.fileno(), copy_range.BLOCK, at):
            checksum.update(data)
            at += len(data)
    return structs.replace(
        written,
        plan=plan.shard_digest(output.tasks.start),
        sources=stamp([part.sources for part in parts]),
        bytes=at,
        algorithm=plan.settings.checksum,
        checksum=checksum.hexdigest(),
        crcs=tuple(crcs),
        fields=fields,
        skipped=tuple(skip for part in parts for skip in part.skipped),
        sizes=tuple((*size, count) for size, count in sizes_of(parts).items()),
        turned=sum(part.turned for part in parts),
    )
