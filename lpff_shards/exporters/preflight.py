"""Whether an export can go where it is asked to: outside its sources, and onto a disk that has room for it."""

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
from lpff_shards.schemas.units import size
from lpff_shards.sidecars.folder import PARTS, OutputFolder
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import FileBlob
from lpff_shards.storage.path import Place, contains, is_remote, listed, place

_SURE = 0.98
_UNSURE = 0.25
"""The least that samples take of what is planned for them: of exact sizes, and of estimates."""


def refuse_sources(out: Place, given: Mapping[str, str], written: str = "--out") -> None:
    """Refuse to write into a data set that is read, or over a file of it.

    Its next listing would find the export's own files; and an export removes what it takes for its own.

    Args:
        out: where the export is to be.
        given: paths of data sets and of the files beside them, by the name of their option.
        written: the option that names `out`, for the error.

    Raises:
        ShardsError: `out` is one of the data sets, or in one of them, or one of the files has a name of an export's.
    """
    for name, path in given.items():
        source, option = place(path), flag(name)
        if contains(source, out):
            raise ShardsError(f"{written} {out} is the folder of {option} or in it", "Choose a folder beside it")
        if _is_ours(source.name) and contains(out, source):
            raise ShardsError(
                f"{written} {out} holds {option} {path}, named like a file of an export", "Choose another folder"
            )


def refuse_pictures(out: Place, inventories: Iterable[Inventory]) -> None:
    """Refuse to write into a folder of pictures that a link in a data set leads to.

    Raises:
        ShardsError: `out` is one, or in one.
    """
    for inventory in inventories:
        for blob in (inventory.blobs[0], inventory.blobs[-1]) if len(inventory) else ():
            if isinstance(blob, FileBlob) and contains(Path(blob.path).parent, out):
                raise ShardsError(f"--out {out} is in the folder of {blob.where}", "Choose a folder beside it")


def _is_ours(name: str) -> bool:
    return is_shard_name(name) or name in ONCE or name.endswith((".idx", ".wids.json", MANIFEST))


def refuse_full(folder: OutputFolder, plan: Plan) -> None:
    """Refuse an export for which the disk surely has no room, before anything is written or removed.

    Raises:
        ExportFailed: it needs more than is free and than its own shards take already.
    """
    there = {}
    fills = not is_remote(folder.root)
    with suppress(OSError):
        there = {**listed(folder.root), **listed(folder.root / PARTS)} if fills else {}
    ours = sum(one.size for name, one in there.items() if is_shard_name(name) or name.endswith(PART))
    needed = int(plan.sizes.sum()) if fills else 0
    if plan.format.joining:
        # A zip is put together beside its parts; for a bucket, in the folder for temporary files.
        needed += max(int(plan.sizes[plan.rows(output.tasks)].sum()) for output in plan.outputs)
    needed = int(needed * (_SURE if _is_exact(plan.settings.picture) else _UNSURE))
    disk, free = folder.storage.free()
    if free is not None and needed > free + ours:
        raise ExportFailed(
            f"the export takes {size(needed)} or more, and {disk} has room for {size(free + ours)}",
            "Free some space, or choose another disk",
        )


def _is_exact(picture: PictureOptions) -> bool:
    """Whether the sizes of samples are known before they are made."""
    if picture.resolution is None:
        return picture.kind == "keep"
    return picture.kind in ("raw", "stored-png")
