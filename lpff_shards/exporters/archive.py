"""Joining the parts that tasks wrote into one file with a receipt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import blake3
import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from lpff_shards.errors import ExportFailed
from lpff_shards.exporters.shard import TRIES, ShardSink
from lpff_shards.formats.join_zip import Contents
from lpff_shards.manifest import file_digest
from lpff_shards.planning.plan import Output, Plan
from lpff_shards.schemas.archive import picture_stem
from lpff_shards.schemas.fields import FIELDS
from lpff_shards.schemas.receipt import ShardReceipt, sizes_of
from lpff_shards.sidecars.folder import OutputFolder, decode_rows
from lpff_shards.storage.bucket import retry_on_disconnect
from lpff_shards.storage.file_io import hasher
from lpff_shards.storage.path import causes, on_disk

_YAW = [field.name for field in FIELDS].index("yaw")


def assemble(folder: OutputFolder, plan: Plan, output: Output, parts: Iterable[ShardReceipt]) -> ShardReceipt:
    """Write a joined file of the plan and its receipt from the receipts of its parts, then remove the parts.

    Raises:
        ExportFailed: the disk is full or the folder cannot be written.
    """
    join = plan.format.joining
    assert join is not None, "the format joins parts"
    # A receipt is read from its file at each use, and only joining needs whole ones.
    known = [structs.replace(part, keys=(), offsets=(), crcs=(), members=()) for part in parts]

    def opened() -> Iterator[tuple[IO[bytes], ShardReceipt]]:
        for part in parts:
            with on_disk(folder.path(part.file)) as path, path.open("rb") as source:
                yield source, part

    def write() -> ShardReceipt:
        with (
            folder.storage.atomic_file(output.file, sum(part.bytes for part in known)) as growing,
            folder.storage.staging_path(f"{output.file}.texts") as texts,
        ):
            sink = ShardSink(growing, hasher(plan.settings.checksum), lambda: texts)
            fields = b"".join(map(folder.fields, known))
            yaw = np.fromiter((row[_YAW] for row in decode_rows(fields)), np.float64)
            written = join(output.file, opened(), _contents(plan, output, known, yaw), sink)
            sink.flush()
            receipt = structs.replace(
                written,
                plan=plan.shard_digest(output.tasks.start),
                sources=stamp([part.sources for part in known]),
                algorithm=plan.settings.checksum,
                checksum=sink.checksum.hexdigest(),
                fields=file_digest(fields),
                skipped=tuple(skip for part in known for skip in part.skipped),
                sizes=tuple((*size, count) for size, count in sizes_of(known).items()),
                turned=sum(part.turned for part in known),
            )
            folder.publish(growing.finish, receipt, fields, {})
        return receipt

    try:
        receipt = retry_on_disconnect(write, TRIES)
        # The parts are deleted next, so the file must survive a power cut.
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


def _contents(plan: Plan, output: Output, parts: Sequence[ShardReceipt], yaw: NDArray[np.float64]) -> Contents:
    """Return what a zip holds besides the samples of its parts; `yaw` is that of each sample, in radians."""
    lost = {skip.key for part in parts for skip in part.skipped}
    rows = np.array([row for row in plan.rows(output.tasks) if plan.keys[row] not in lost], np.int64)
    entries = plan.entries.take(rows)
    # Pictures are numbered from 0, and copies share the number.
    columns = np.stack([entries.source.astype(np.int64), entries.row, entries.flip.astype(np.int64)])
    is_first = np.ones(len(entries), bool)
    is_first[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    numbers = (np.cumsum(is_first) - 1).tolist()
    return Contents(
        stems=[picture_stem(number, copy) for number, copy in zip(numbers, entries.replica.tolist(), strict=True)],
        yaw=yaw,
        lists={name: times[rows] for name, times in plan.lists.items()},
        cameras=plan.settings.layout.camera,
    )
