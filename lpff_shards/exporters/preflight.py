"""Checking the output before an export: it is outside the sources, and its disk has room."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.formats.registry import is_shard_name
from lpff_shards.manifest import MANIFEST
from lpff_shards.options.declaration import flag
from lpff_shards.options.export import PictureOptions
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.filenames import ONCE, PART
from lpff_shards.schemas.text import format_bytes
from lpff_shards.sidecars.folder import PARTS, OutputFolder
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import FileBlob
from lpff_shards.storage.path import StoragePath, contains, is_remote, listed, place

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
