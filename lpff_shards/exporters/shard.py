"""Writing one shard: under a temporary name, with its checksum, renamed when complete, then its receipt."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from msgspec import structs

from lpff_shards.errors import BadInput, ExportFailed
from lpff_shards.executors.processes import OnSample
from lpff_shards.exporters.convert import convert_sample, stored_samples
from lpff_shards.exporters.record_options import redact_paths
from lpff_shards.exporters.sample import ImageCache, make_sample
from lpff_shards.formats.registry import get_format, index_files
from lpff_shards.manifest import file_digest
from lpff_shards.options.export import Checksum
from lpff_shards.planning.plan import Settings, ShardTask
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.record import Entry, LeftOut
from lpff_shards.schemas.sample import Sample
from lpff_shards.sidecars.folder import OutputFolder, Row, encode_rows, row_of, shard_name
from lpff_shards.storage.base import AtomicFileWriter
from lpff_shards.storage.bucket import retry_on_disconnect
from lpff_shards.storage.file_io import Hasher, hasher
from lpff_shards.storage.path import StoragePath, causes, exists, is_folder

TRIES = 3
"""Attempts to write a shard if the connection to its store breaks."""
PATIENCE = 5.0
"""Seconds until a file written by one machine must be visible to another."""


def write_shard(root: StoragePath, task: ShardTask, on_sample: OnSample) -> ShardReceipt:
    """Write a task's shard and its receipt.

    Raises:
        BadInput: a sample cannot be made and `on_error` is `fail`.
        ExportFailed: the disk is full or the folder or bucket cannot be written.
    """
    reported = 0

    def write(sink: ShardSink) -> tuple[ShardReceipt, bytes]:
        samples = 0

        def once(size: int) -> None:
            """Report each sample once, even if its shard is written again."""
            nonlocal samples, reported
            samples += 1
            if samples > reported:
                reported = samples
                on_sample(size)

        with _maker(task.entries, task.settings) as make:
            return _write_samples(task, make, sink, once)

    return publish(OutputFolder(root), task.filename, task.planned, task.settings.checksum, write)


def publish(
    folder: OutputFolder,
    file: str,
    planned: int,
    checksum: Checksum,
    write: Callable[[ShardSink], tuple[ShardReceipt, bytes]],
) -> ShardReceipt:
    """Write a shard by `write`, which returns its receipt without checksum and its fields; give it its name.

    Args:
        planned: estimated bytes.

    Raises:
        ExportFailed: the disk is full or the folder or bucket cannot be written.
    """

    def once() -> ShardReceipt:
        with folder.storage.atomic_file(shard_name(file), planned) as growing, ExitStack() as files:
            made = folder.storage.staging_path(f"{file}.made")
            sink = ShardSink(growing, hasher(checksum), lambda: files.enter_context(made))
            written, fields = write(sink)
            sink.flush()
            summed, kept = sink.checksum.hexdigest(), file_digest(fields)
            receipt = structs.replace(written, algorithm=checksum, checksum=summed, fields=kept)
            folder.publish(growing.finish, receipt, fields, index_files(receipt))
        return receipt

    try:
        # Uploaded bytes are no longer in memory, so a broken upload starts again from the samples.
        return retry_on_disconnect(once, TRIES)
    except OSError as error:
        raise ExportFailed(
            f"{folder.path(file)} cannot be written: {error.strerror}",
            f"Check {causes(folder.root)}, then run the same command again; finished shards are kept",
        ) from None


def write_shard_elsewhere(
    root: StoragePath, plan: str, sources: tuple[str, ...], task: ShardTask, on_sample: OnSample
) -> ShardReceipt:
    """As `write_shard` on another machine: `refuse_unseen`, and sync the shard, which no other machine can do."""
    folder = OutputFolder(root)
    try:
        refuse_unseen(folder, plan, sources)
        receipt = write_shard(root, task, on_sample)
        folder.sync([receipt.file])
    except OSError as error:
        raise ExportFailed(
            f"{error.filename or root} cannot be used: {error.strerror}", "Fix that and run it again"
        ) from None
    return receipt


def refuse_unseen(folder: OutputFolder, plan: str, sources: Iterable[str]) -> None:
    """Raise ExportFailed on a machine without access to the output, owned by `plan`, or to a source on a disk.

    Without source files every sample could be skipped as bad.
    """
    deadline = time.monotonic() + PATIENCE
    while (unseen := _unseen(folder, plan, sources)) is not None:
        if time.monotonic() >= deadline:
            raise ExportFailed(
                f"the node {platform.node()} has no access to {unseen}",
                "Every node needs the output and the sources at the same paths: put them on a shared file system "
                "or into a bucket",
            )
        time.sleep(PATIENCE / 20)


def _unseen(folder: OutputFolder, plan: str, sources: Iterable[str]) -> str | None:
    for source in map(Path, sources):
        # An unmounted mount point exists and is empty.
        if not exists(source) or (is_folder(source) and next(source.iterdir(), None) is None):
            return str(source.absolute())
    owner = folder.owner()
    return None if owner is not None and owner.plan == plan else f"the export in {folder.root.absolute()}"


@contextmanager
def _maker(entries: Sequence[Entry], settings: Settings) -> Iterator[Callable[[Entry], Sample]]:
    """Yield a function that makes the samples of entries, called in their order; it raises as `make_sample`."""
    if settings.source is not None:
        with closing(stored_samples(entries, settings.source)) as stored:
            yield lambda entry: convert_sample(entry, next(stored), settings)
        return
    with closing(ImageCache(entries, settings.picture, settings.side, settings.crops)) as images:
        yield lambda entry: make_sample(entry, settings, images)


def _write_samples(
    task: ShardTask, make: Callable[[Entry], Sample], sink: ShardSink, on_sample: OnSample
) -> tuple[ShardReceipt, bytes]:
    settings = task.settings
    writer = get_format(settings.format).writer(task.filename, sink, settings.layout)
    rows: list[Row] = []
    skipped: list[LeftOut] = []
    sizes: Counter[tuple[int, int]] = Counter()
    turned = 0
    for entry in task.entries:
        try:
            sample = make(entry)
        except BadInput as error:
            if settings.on_error == "fail":
                raise
            skipped.append(_left_out(entry, error, settings))
            on_sample(0)
            continue
        sizes[sample.picture.width, sample.picture.height] += 1
        turned += sample.scalars["exif_orientation"] != 1
        rows.append(row_of(sample.scalars))
        on_sample(writer.add(sample))
    receipt = structs.replace(
        writer.close(),
        plan=task.digest,
        sources=task.stamp(),
        skipped=tuple(skipped),
        sizes=tuple((*size, count) for size, count in sizes.items()),
        turned=turned,
    )
    return receipt, encode_rows(rows)


def still_left_out(task: ShardTask, skipped: Sequence[LeftOut]) -> bool:
    """Return whether a finished shard's skipped samples still fail alike: a file may have been missing for a moment."""
    lost = {skip.key for skip in skipped}
    entries = tuple(entry for entry in task.entries if entry.key in lost)
    found = []
    with _maker(entries, task.settings) as make:
        for entry in entries:
            try:
                make(entry)
            except BadInput as error:
                found.append(_left_out(entry, error, task.settings))
    return found == list(skipped)


def _left_out(entry: Entry, error: BadInput, settings: Settings) -> LeftOut:
    return LeftOut(redact_paths(error.file, settings.published), error.id, error.reason, entry.key)


BLOCK = 1 << 20
"""Bytes gathered for one write: they stay in a core's cache between the checksum and the write."""

MOST_PIECES = 512
"""Pieces written by one call; systems accept at most 1,024."""


class ShardSink:
    """Gathers the bytes of a shard's writer and writes them in large blocks.

    Args:
        checksum: updated with every byte.
        file: returns a path for a library that can write only files.
    """

    def __init__(self, shard: AtomicFileWriter, checksum: Hasher, file: Callable[[], Path]) -> None:
        self._shard = shard
        self.checksum = checksum
        self.file = file
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append bytes."""
        self._waiting += pieces
        self._waiting_bytes += sum(map(len, pieces))
        if self._waiting_bytes >= BLOCK or len(self._waiting) >= MOST_PIECES:
            self.flush()

    def flush(self) -> None:
        for start in range(0, len(self._waiting), MOST_PIECES):
            self._shard.write(self._waiting[start : start + MOST_PIECES])
        for piece in self._waiting:
            self.checksum.update(piece)
        self._waiting, self._waiting_bytes = [], 0
