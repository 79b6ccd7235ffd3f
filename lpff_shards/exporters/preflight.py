"""Checks before shards are written: the output is no source, its disk has room, and which shards are finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.processes import OnNote
from lpff_shards.exporters.archive import stamp
from lpff_shards.exporters.shard import still_left_out
from lpff_shards.formats.registry import index_files, is_shard_name
from lpff_shards.manifest import MANIFEST
from lpff_shards.options.declaration import flag
from lpff_shards.options.export import PictureOptions
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.filenames import ONCE, PART
from lpff_shards.schemas.left_out import LeftOut
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.units import format_bytes
from lpff_shards.sidecars.folder import PARTS, OutputFolder, shard_name
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import FileBlob
from lpff_shards.storage.path import StoragePath, contains, is_remote, listed, place, read_if_there
from lpff_shards.storage.prefetch import ASKED, prefetch

_SURE = 0.98
_UNSURE = 0.25
"""Smallest share of the planned bytes that samples take: for exact sizes, and for estimates."""


def refuse_sources(out: StoragePath, given: Mapping[str, str], written: str = "--out") -> None:
    """Refuse to write into a source data set, or over one of its files.

    The next listing of the source would contain the export's files, and an export removes files named like its own.

    Args:
        out: the output.
        given: paths of data sets and of their metadata files, by option name.
        written: the option that names `out`, for the error.

    Raises:
        ShardsError: `out` is a data set or in one, or a source file in `out` is named like an export's file.
    """
    for name, path in given.items():
        source, option = place(path), flag(name)
        if contains(source, out):
            raise ShardsError(f"{written} {out} is the folder of {option} or in it", "Choose a folder next to it")
        if _is_export_name(source.name) and contains(out, source):
            raise ShardsError(
                f"{written} {out} contains {option} {path}, named like an export's file", "Choose another folder"
            )


def refuse_pictures(out: StoragePath, inventories: Iterable[Inventory]) -> None:
    """Refuse to write into a folder of pictures that a link in a data set points to.

    Raises:
        ShardsError: `out` is in such a folder.
    """
    for inventory in inventories:
        for blob in (inventory.blobs[0], inventory.blobs[-1]) if len(inventory) else ():
            if isinstance(blob, FileBlob) and contains(Path(blob.path).parent, out):
                raise ShardsError(f"--out {out} is in the folder of {blob.where}", "Choose a folder next to it")


def _is_export_name(name: str) -> bool:
    return is_shard_name(name) or name in ONCE or name.endswith((".idx", ".wids.json", MANIFEST))


def refuse_full(folder: OutputFolder, plan: Plan) -> None:
    """Refuse an export that is certainly too large for the disk, before anything is written or removed.

    Raises:
        ExportFailed: it needs more than the free space plus the space of shards already there.
    """
    there = {}
    fills = not is_remote(folder.root)
    with suppress(OSError):
        there = {**listed(folder.root), **listed(folder.root / PARTS)} if fills else {}
    present = sum(one.size for name, one in there.items() if is_shard_name(name) or name.endswith(PART))
    needed = int(plan.sizes.sum()) if fills else 0
    if plan.format.joining:
        # A zip is joined next to its parts; for a bucket, in the folder for temporary files.
        needed += max(int(plan.sizes[plan.rows(output.tasks)].sum()) for output in plan.outputs)
    needed = int(needed * (_SURE if _is_exact(plan.settings.picture) else _UNSURE))
    disk, free = folder.storage.free()
    if free is not None and needed > free + present:
        raise ExportFailed(
            f"the export needs at least {format_bytes(needed)}, and {disk} has room for {format_bytes(free + present)}",
            "Free some space, or choose another disk",
        )


def _is_exact(picture: PictureOptions) -> bool:
    """Return whether the sizes of samples are known in advance."""
    if picture.resolution is None:
        return picture.kind == "keep"
    return picture.kind in ("raw", "stored-png")


def finished_archives(
    folder: OutputFolder, plan: Plan, workers: int, on_note: OnNote, closely: bool = True
) -> set[int]:
    """Return the output numbers of complete zips; empty for other formats.

    Args:
        on_note: called with a note about damaged receipts.
        closely: also read their bytes and check their sources.
    """
    if plan.format.joining is None:
        return set()
    tasks = [output.tasks for output in plan.outputs]
    names = [output.file for output in plan.outputs]
    return _found(folder, plan, range(len(names)), names, tasks, workers, closely, on_note)


def finished_tasks(
    folder: OutputFolder, plan: Plan, tasks: Sequence[int], workers: int, on_note: OnNote, closely: bool = True
) -> set[int]:
    """Return the tasks with a complete shard or part of a zip.

    Args:
        tasks: tasks to check.
        on_note: called with a note about damaged receipts.
        closely: also read their bytes and check their sources.
    """
    names = [plan.filenames[task] for task in tasks]
    return _found(folder, plan, tasks, names, [range(task, task + 1) for task in tasks], workers, closely, on_note)


def rewrite_indexes(folder: OutputFolder, receipts: Iterable[ShardReceipt]) -> None:
    """Write missing or wrong index files of finished shards; in a bucket the listing shows which.

    Raises:
        OSError: a file cannot be read or written.
    """
    there = listed(folder.root) if is_remote(folder.root) else {}
    for receipt in receipts:
        for name, data in index_files(receipt).items():
            if (name not in there or there[name].size != len(data)) and read_if_there(folder.root / name) != data:
                folder.write(name, data)


def all_there(folder: OutputFolder, plan: Plan) -> bool:
    """Return whether each task, or its joined file, has a receipt; receipts are not read."""
    names = folder.with_receipts()
    return all(
        output.file in names or all(plan.filenames[task] in names for task in output.tasks) for output in plan.outputs
    )


def refuse_gone(folder: OutputFolder, plan: Plan, tasks: Iterable[int]) -> None:
    """Raise an error if receipts of finished tasks are gone: in a bucket another export may have taken over.

    Raises:
        ExportFailed: a receipt is missing.
    """
    names = folder.with_receipts()
    whole = {task for output in plan.outputs if output.file in names for task in output.tasks}
    if any(plan.filenames[task] not in names for task in tasks if task not in whole):
        raise ExportFailed(
            f"shards of this task are missing from {folder.root}: another task has taken it over",
            "Run this task again; start tasks with --overwrite one after the other",
        )


def _found(
    folder: OutputFolder,
    plan: Plan,
    numbers: Sequence[int],
    names: Sequence[str],
    tasks: Sequence[range],
    workers: int,
    closely: bool,
    on_note: OnNote,
) -> set[int]:
    """Return the numbers of complete files."""
    with_receipts = folder.with_receipts()
    files = {**listed(folder.root), **listed(folder.root / PARTS)} if with_receipts else {}
    damaged: list[str] = []

    def is_whole(name: str, tasks: range) -> bool:
        if name not in with_receipts or name not in files:
            return False
        receipt = folder.read_receipt(name)
        if receipt is None:
            damaged.append(name)
            return False
        if receipt.plan != plan.shard_digest(tasks.start) or receipt.algorithm != plan.settings.checksum:
            return False
        rows = plan.rows(tasks)
        keys = plan.keys[rows.start : rows.stop]
        if not receipt.fits(name, keys) or (receipt.skipped and plan.settings.on_error == "fail"):
            return False
        if files[name].size != receipt.bytes:
            return False
        if not closely:
            return True
        if not _same_sources(plan, name, tasks, receipt) or folder.read_fields(receipt) is None:
            return False
        return folder.storage.same(shard_name(name), files[name], receipt)

    threads = max(workers, ASKED) if is_remote(folder.root) else workers
    with closing(prefetch(lambda shard: is_whole(*shard), zip(names, tasks, strict=True), threads)) as whole:
        found = {number for number, so in zip(numbers, whole, strict=True) if so}
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        on_note(f"the receipt of {min(damaged)}{more} is damaged; the shard is written again")
    return found


def _same_sources(plan: Plan, name: str, tasks: range, receipt: ShardReceipt) -> bool:
    """Return whether the source files are unchanged and skipped samples still cannot be made."""
    skipped: Mapping[str, LeftOut] = {skip.key: skip for skip in receipt.skipped}
    stamps = []
    for number in tasks:
        task = plan.task(number)
        stamps.append(task.stamp())
        lost = [skipped[entry.key] for entry in task.entries if entry.key in skipped]
        if not still_left_out(task, lost):
            return False
    return receipt.sources == (stamps[0] if name == plan.filenames[tasks.start] else stamp(stamps))
