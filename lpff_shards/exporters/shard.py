"""The life of one shard: written under a temporary name, renamed when whole, then its receipt."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lpff_shards.checksums import Hasher, hasher
from lpff_shards.errors import BadInput, ExportFailed
from lpff_shards.exporters.catalogue import get_format
from lpff_shards.exporters.darkroom import Darkroom
from lpff_shards.exporters.folder import OutputFolder
from lpff_shards.exporters.sample import make_sample
from lpff_shards.manifest import ShardReceipt
from lpff_shards.plan import ShardTask
from lpff_shards.processes import OnSample
from lpff_shards.schemas.left_out import LeftOut


def write_shard(root: Path, task: ShardTask, on_sample: OnSample) -> ShardReceipt:
    """Writes a task's shard and its receipt.

    Raises:
        BadInput: under `fail`, a sample cannot be made.
        ExportFailed: the disk is full or the folder cannot be written.
    """
    folder = OutputFolder(root)
    partial = folder.partial(task.filename)
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            receipt = _write_samples(task, fd, on_sample)
        finally:
            os.close(fd)
        folder.publish(task.filename, receipt)
    except OSError as error:
        raise ExportFailed(
            f"{root / task.filename} cannot be written: {error.strerror}",
            "Mend that (free space, rights), then run the same command again: finished shards are kept",
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return receipt


def _write_samples(task: ShardTask, fd: int, on_sample: OnSample) -> ShardReceipt:
    format, settings = get_format(task.settings.format), task.settings
    checksum = hasher(settings.checksum)
    darkroom = Darkroom(task.entries, settings.picture)
    keys: list[str] = []
    offsets: list[int] = [0]
    marks: list[str] = []
    skipped: list[LeftOut] = []
    for entry in task.entries:
        try:
            sample = make_sample(entry, settings, darkroom)
        except BadInput as error:
            if settings.on_error == "fail":
                raise
            skipped.append(LeftOut(error.file, error.id, error.reason, entry.key))
            on_sample(0)
            continue
        written = _append(fd, format.encode(sample, settings.layout), checksum)
        keys.append(entry.key)
        offsets.append(offsets[-1] + written)
        marks.append(checksum.mark())
        on_sample(written)
    size = offsets[-1] + _append(fd, [format.end], checksum)
    return ShardReceipt(
        file=task.filename,
        plan=task.digest,
        sources=task.stamp(),
        samples=len(keys),
        bytes=size,
        algorithm=settings.checksum,
        checksum=checksum.hexdigest(),
        keys=tuple(keys),
        offsets=tuple(offsets),
        marks=tuple(marks),
        skipped=tuple(skipped),
    )


def _append(fd: int, pieces: Sequence[bytes], checksum: Hasher) -> int:
    """Writes pieces in one call where the system takes them whole; returns their length."""
    length = sum(map(len, pieces))
    written = os.writev(fd, pieces)
    if written != length:
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(fd, rest) :]
    for piece in pieces:
        checksum.update(piece)
    return length
