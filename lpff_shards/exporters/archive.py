"""Joining the parts that tasks wrote into one file with a receipt."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import blake3
import numpy as np
from isal.isal_zlib import crc32
from msgspec import structs

from lpff_shards.errors import ExportFailed
from lpff_shards.formats.join_zip import Contents
from lpff_shards.manifest import file_digest
from lpff_shards.planning.plan import Output, Plan
from lpff_shards.schemas.archive import picture_stem
from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.schemas.receipt import ShardReceipt, sizes_of
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.storage.file_io import hasher, pread_fully, write_fully
from lpff_shards.storage.local import BackgroundSync, to_disk
from lpff_shards.storage.path import causes, on_disk

BLOCK = 1 << 20
_REFUSALS = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY})


def assemble(folder: OutputFolder, plan: Plan, output: Output, parts: Iterable[ShardReceipt]) -> ShardReceipt:
    """Write a joined file of the plan and its receipt from the receipts of its parts, then remove the parts.

    Raises:
        ExportFailed: the disk is full or the folder cannot be written.
    """
    join = plan.format.joining
    assert join is not None, "the format joins parts"
    try:
        # A receipt is read from its file at each use, and only joining needs whole ones.
        known = [structs.replace(part, keys=(), offsets=(), crcs=(), members=()) for part in parts]
        with folder.storage.staging_path(output.file) as growing:
            with BackgroundSync() as disk, growing.open("wb", buffering=0) as target:

                def opened() -> Iterator[tuple[BinaryIO, ShardReceipt]]:
                    for part in parts:
                        with on_disk(folder.path(part.file)) as path, path.open("rb") as source:
                            yield source, part
                        disk.keep_up(growing)

                contents, scratch = _contents(plan, output, known), lambda name: Path(f"{growing}.{name}")
                written = join(output.file, opened(), contents, _Target(target), scratch)
            fields = b"".join(map(folder.fields, known))
            receipt = _receipt(plan, output, known, growing, written, file_digest(fields))
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
        write_fully(self._file, data)

    def copy(self, source: BinaryIO, start: int, size: int) -> None:
        copy_range(source.fileno(), self._file, start, size)


def _contents(plan: Plan, output: Output, parts: Sequence[ShardReceipt]) -> Contents:
    lost = {skip.key for part in parts for skip in part.skipped}
    rows = np.array([row for row in plan.rows(output.tasks) if plan.keys[row] not in lost], np.int64)
    entries = plan.entries.take(rows)
    centers, known = entries.centers()
    # Pictures are numbered from 0, and copies share the number.
    columns = np.stack([entries.source.astype(np.int64), entries.row, entries.flip.astype(np.int64)])
    is_first = np.ones(len(entries), bool)
    is_first[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    numbers = (np.cumsum(is_first) - 1).tolist()
    return Contents(
        stems=[picture_stem(number, copy) for number, copy in zip(numbers, entries.replica.tolist(), strict=True)],
        yaw=np.where(known, yaw_pitch(centers)[:, 0], 0.0),
        lists={name: times[rows] for name, times in plan.lists.items()},
        cameras=plan.settings.layout.camera,
    )


def _receipt(
    plan: Plan, output: Output, parts: Sequence[ShardReceipt], growing: Path, written: ShardReceipt, fields: str
) -> ShardReceipt:
    """Read the joined file again for its checksums, and return its receipt."""
    checksum = hasher(plan.settings.checksum)
    crcs = []
    with growing.open("rb", buffering=0) as file:
        for start, end in pairwise(written.offsets):
            data = read_exactly(file.fileno(), start, end - start)
            crcs.append(crc32(data))
            checksum.update(data)
        at = written.offsets[-1]
        while data := pread_fully(file.fileno(), BLOCK, at):
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


def copy_range(source: int, target: int, start: int, size: int) -> None:
    """Copy bytes of one open file to the current position of another, in the kernel until it refuses."""
    done = 0
    while done < size and hasattr(os, "copy_file_range"):
        try:
            copied = os.copy_file_range(source, target, size - done, start + done)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            break
        if not copied:
            break
        done += copied
    while done < size:
        data = read_exactly(source, start + done, min(BLOCK, size - done))
        write_fully(target, data)
        done += len(data)


def read_exactly(source: int, start: int, size: int) -> bytes:
    """Return `size` bytes of an open file; raise OSError if it ends early."""
    data = pread_fully(source, size, start)
    if len(data) < size:
        raise OSError(errno.EIO, "a part ends early")
    return data
