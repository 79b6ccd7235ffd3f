"""Resuming: find shards that earlier runs of the same plan finished from unchanged sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing

from lpff_shards.errors import ExportFailed
from lpff_shards.executors.processes import OnNote
from lpff_shards.exporters.archive import stamp
from lpff_shards.exporters.shard import still_left_out
from lpff_shards.formats.registry import index_files
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.record import LeftOut
from lpff_shards.sidecars.folder import PARTS, OutputFolder, shard_name
from lpff_shards.storage.path import is_remote, listed, read_if_there
from lpff_shards.storage.prefetch import ASKED, prefetch


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
