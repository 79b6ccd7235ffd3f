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
from lpff_shards.options.sources import EXPORT
from lpff_shards.planning.plan import Output, Plan
from lpff_shards.schemas.filenames import ONCE, PART
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.schemas.text import format_bytes
from lpff_shards.sidecars.folder import PARTS, OutputFolder, shard_name
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import FileBlob
from lpff_shards.storage.bucket import Listed
from lpff_shards.storage.path import StoragePath, contains, free_space, is_remote, listed, place, read_if_there
from lpff_shards.storage.prefetch import ASKED, prefetch

_ENDINGS = (".idx", ".wids.json", MANIFEST)
_SURE = 0.98
_UNSURE = 0.25
"""Smallest share of the planned bytes that samples take: for exact sizes, and for estimates."""


def refuse_sources(out: StoragePath, given: Mapping[str, str], written: str = "--out") -> None:
    """Refuse to write into a source data set, whose next listing would contain the files, or over one of its files.

    Args:
        given: paths of data sets and of their metadata files, by option name.
        written: the option that names `out`, for the error.

    Raises:
        ShardsError: `out` is a data set or in one, or a source file in `out` is named like an export's file.
    """
    for name, path in given.items():
        source, option = place(path), "PATH" if name == EXPORT else flag(name)
        if contains(source, out):
            raise ShardsError(f"{written} {out} is the folder of {option} or in it", "Choose a folder next to it")
        is_export_name = is_shard_name(source.name) or source.name in ONCE or source.name.endswith(_ENDINGS)
        if is_export_name and contains(out, source):
            raise ShardsError(
                f"{written} {out} contains {option} {path}, named like an export's file", "Choose another folder"
            )


def refuse_pictures(out: StoragePath, inventories: Iterable[Inventory]) -> None:
    """Raise ShardsError if `out` is in a folder of pictures that a link in a data set points to."""
    for inventory in inventories:
        for blob in (inventory.blobs[0], inventory.blobs[-1]) if len(inventory) else ():
            if isinstance(blob, FileBlob) and contains(Path(blob.path).parent, out):
                raise ShardsError(f"--out {out} is in the folder of {blob.where}", "Choose a folder next to it")


def refuse_full(folder: OutputFolder, plan: Plan) -> None:
    """Raise ExportFailed if an export is certainly too large for the disk, before anything is written or removed."""
    there = {}
    fills = not is_remote(folder.root)
    with suppress(OSError):
        there = {**listed(folder.root), **listed(folder.root / PARTS)} if fills else {}
    present = sum(one.size for name, one in there.items() if is_shard_name(name) or name.endswith(PART))
    needed = int(plan.sizes.sum()) if fills else 0
    if plan.format.joining:
        # A zip is joined next to its parts; parts in a bucket are fetched one by one into a temporary file.
        own = (range(task, task + 1) for task in range(len(plan)))
        needed += max(map(plan.planned_bytes, (output.tasks for output in plan.outputs) if fills else own))
    picture = plan.settings.picture
    exact = ("keep",) if picture.resolution is None else ("raw", "stored-png")
    needed = int(needed * (_SURE if picture.kind in exact else _UNSURE))
    disk, free = free_space(folder.root)
    if free is not None and needed > free + present:
        raise ExportFailed(
            f"the export needs at least {format_bytes(needed)}, and {disk} has room for {format_bytes(free + present)}",
            "Free some space, or choose another disk",
        )


def all_there(folder: OutputFolder, plan: Plan) -> bool:
    """Return whether each task, or its joined file, has a receipt; receipts are not read."""
    return len(_with_receipts(folder, plan)) == len(plan)


def refuse_gone(folder: OutputFolder, plan: Plan, tasks: Iterable[int]) -> None:
    """Raise ExportFailed if receipts of finished tasks are gone: in a bucket another export may have taken over."""
    if not _with_receipts(folder, plan).issuperset(tasks):
        raise ExportFailed(
            f"shards of this task are missing from {folder.root}: another task has taken it over",
            "Run this task again; start tasks with --overwrite one after the other",
        )


def _with_receipts(folder: OutputFolder, plan: Plan) -> set[int]:
    """Return the tasks with a receipt of their own or of their joined file."""
    names = folder.with_receipts()
    tasks = ((task, output.file) for output in plan.outputs for task in output.tasks)
    return {task for task, whole in tasks if whole in names or plan.filenames[task] in names}


def finished(
    folder: OutputFolder, plan: Plan, files: Sequence[Output], workers: int, on_note: OnNote, closely: bool = True
) -> set[str]:
    """Return the names of complete shards, zips or parts of zips, made by an earlier run from unchanged sources.

    Args:
        files: those to check.
        on_note: called with a note about damaged receipts.
        closely: also read their bytes, check their sources, and write index files that are missing or wrong.
    """
    with_receipts = folder.with_receipts()
    there = {**listed(folder.root), **listed(folder.root / PARTS)} if with_receipts else {}
    remote = is_remote(folder.root)
    damaged: list[str] = []

    def is_whole(output: Output) -> bool:
        name, tasks = output.file, output.tasks
        if name not in with_receipts or name not in there:
            return False
        receipt = folder.read_receipt(name)
        if receipt is None:
            damaged.append(name)
            return False
        rows = plan.rows(tasks)
        whole = (
            receipt.plan == plan.shard_digest(tasks.start)
            and receipt.algorithm == plan.settings.checksum
            and receipt.fits(name, plan.keys[rows.start : rows.stop])
            and not (receipt.skipped and plan.settings.on_error == "fail")
            and there[name].size == receipt.bytes
        )
        if not whole or not closely:
            return whole
        if not _same_sources(plan, name, tasks, receipt) or folder.read_fields(receipt) is None:
            return False
        if not folder.storage.same(shard_name(name), there[name], receipt):
            return False
        for index, data in index_files(receipt).items():
            if not is_unchanged(folder, index, data, there):
                folder.write(index, data)
        return True

    threads = max(workers, ASKED) if remote else workers
    with closing(prefetch(is_whole, files, threads)) as whole:
        found = {output.file for output, so in zip(files, whole, strict=True) if so}
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        on_note(f"the receipt of {min(damaged)}{more} is damaged; the shard is written again")
    return found


def is_unchanged(folder: OutputFolder, name: str, data: bytes, there: Mapping[str, Listed]) -> bool:
    """Return whether a file has these bytes; the listing of a bucket shows whether it is wrong."""
    listed_so = is_remote(folder.root) and name in there and there[name].size == len(data)
    return listed_so or read_if_there(folder.root / name) == data


def _same_sources(plan: Plan, name: str, tasks: range, receipt: ShardReceipt) -> bool:
    """Return whether the source files are unchanged and skipped samples still cannot be made."""
    skipped = {skip.key: skip for skip in receipt.skipped}
    stamps = []
    for number in tasks:
        task = plan.task(number)
        stamps.append(task.stamp())
        if not still_left_out(task, [skipped[entry.key] for entry in task.entries if entry.key in skipped]):
            return False
    return receipt.sources == (stamps[0] if name == plan.filenames[tasks.start] else stamp(stamps))
