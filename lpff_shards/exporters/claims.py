"""Which export may write a folder or prefix: another plan's is refused, and a second export at the same time.

Folders are locked. Buckets have no locks: the plan that owns a prefix is an object that only one can create, and two
exports of the same plan write the same bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeGuard

from msgspec.structs import replace

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.exporters import locks
from lpff_shards.exporters.folder import ONCE, OutputFolder
from lpff_shards.exporters.ownership import SHARD_NAME, Owner, difference, marks, strangers
from lpff_shards.index_names import index_names, wids_name
from lpff_shards.manifest import MANIFEST
from lpff_shards.plan import Plan
from lpff_shards.report_names import report_files
from lpff_shards.stores.bucket import BucketPath
from lpff_shards.stores.place import Place, names_in, remove


@contextmanager
def claimed(folder: OutputFolder, plan: Plan, overwrite: bool, seconds: float | None = None) -> Iterator[None]:
    """Holds a folder for a plan: refuses another plan's, and a second export at the same time.

    Args:
        overwrite: take another plan's folder.
        seconds: how long to wait for others that write it; None for a moment.

    Raises:
        ShardsError: another plan's shards or someone's own files are in it, or it is in use.
        ExportFailed: it cannot be written, at whatever moment.
    """
    with _telling(folder):
        # Looked at first without a trace, so that a folder that is refused stays as it was.
        _check(folder, plan, overwrite)
        with locked(folder, seconds):
            _claim(folder, plan, overwrite)
            try:
                yield
            finally:
                folder.clear_partial()


@contextmanager
def shared(folder: OutputFolder, plan: Plan, overwrite: bool) -> Iterator[None]:
    """Holds a folder for a share of a plan, together with its other shares; raises what `claimed` does."""
    with _telling(folder):
        _check(folder, plan, overwrite)
        if isinstance(folder.state, BucketPath):
            _claim(folder, plan, overwrite)
            yield
            return
        folder.state.mkdir(parents=True, exist_ok=True)
        with locks.opened(folder.state / "lock") as lock:
            locks.join(lock, str(folder.root), lambda: _is_of(folder, plan), lambda: _claim(folder, plan, overwrite))
            yield


@contextmanager
def locked(folder: OutputFolder, seconds: float | None = None) -> Iterator[None]:
    """Keeps others from writing a folder at the same time; a bucket's prefix it does not.

    Raises:
        ShardsError: another one does.
        OSError: the folder cannot be written.
    """
    if isinstance(folder.state, BucketPath):
        yield
        return
    folder.state.mkdir(parents=True, exist_ok=True)
    with locks.opened(folder.state / "lock") as lock:
        locks.exclude_all(lock, str(folder.root), seconds)
        yield


def refuse_lost(folder: OutputFolder, plan: Plan) -> None:
    """Refuses to finish what another export has taken over meanwhile.

    Raises:
        ExportFailed: it has.
    """
    if not _is_of(folder, plan):
        raise ExportFailed(f"{folder.root} was taken over by another export", "Run one of them at a time")


@contextmanager
def _telling(folder: OutputFolder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportFailed(
            f"--out {folder.root} cannot be written: {error.filename or folder.root}: {error.strerror}",
            f"Mend that ({folder.troubles}), then run the same command again: finished shards are kept",
        ) from None


def _claim(folder: OutputFolder, plan: Plan, overwrite: bool) -> None:
    """Makes a folder a plan's own, while nobody else writes it."""
    _check(folder, plan, overwrite)
    if isinstance(folder.receipts, Path):
        folder.receipts.mkdir(exist_ok=True)
    folder.clear_partial()
    owner = folder.owner()
    if not _owns(owner, plan):
        _take_over(folder, plan, overwrite)
    elif owner.withdrawn != (withdrawn := marks(plan.mix.withdrawn)):
        # They name all that earlier updates did, or it would not own it.
        folder.own(replace(owner, withdrawn=withdrawn))


def _is_of(folder: OutputFolder, plan: Plan) -> bool:
    return _owns(folder.owner(), plan)


def _owns(owner: Owner | None, plan: Plan) -> TypeGuard[Owner]:
    return owner is not None and owner.plan == plan.digest and not owner.forgotten(plan.mix.withdrawn)


def _check(folder: OutputFolder, plan: Plan, overwrite: bool) -> None:
    """Refuses where the plan may not write."""
    root = folder.root
    if isinstance(root, Path) and root.exists() and not root.is_dir():
        raise ShardsError(f"--out {root} is not a folder", "Give a folder; it is made where it is missing")
    owner = folder.owner()
    while (refusal := _refusal(folder, plan, overwrite, owner)) is not None:
        before, owner = owner, folder.owner()
        if owner == before:
            raise refusal
        # Another export began meanwhile, and what seemed nobody's may be its.


def _refusal(folder: OutputFolder, plan: Plan, overwrite: bool, owner: Owner | None) -> ShardsError | None:
    root = folder.root
    if _owns(owner, plan):
        return None
    if owner is not None and not overwrite:
        return _of_another(root, owner, plan)
    there, written = names_in(root), _written(folder, owner)
    foreign = strangers(there, plan.name, written)
    if not written and not folder.plan_file.is_file():
        foreign += _namesakes(root, there, plan)
    if foreign:
        return ShardsError(
            f"--out {root} already holds {foreign[0]}, which lpff-shards did not write there",
            "Choose another folder",
        )
    if not overwrite and written:
        return ShardsError(
            f"--out {root} holds shards, and {folder.plan_file} is missing or damaged",
            "Choose another folder, or give --overwrite to write them anew",
        )
    return None


def _of_another(root: Place, owner: Owner, plan: Plan) -> ShardsError:
    if owner.plan == plan.digest:
        return ShardsError(
            f"--out {root}: --update took out {owner.forgotten(plan.mix.withdrawn)} ids that this would put back",
            "Give --update and an --exclude file that names them, or --overwrite",
        )
    return ShardsError(
        f"--out {root} holds another plan's shards: {difference(owner, plan)}",
        "Choose another folder, repeat the options of the first export, or give --overwrite "
        "(--update takes out what --exclude names since)",
    )


def _namesakes(root: Place, there: Collection[str], plan: Plan) -> list[str]:
    """Files with names of an export's own, in a folder that no export has written."""
    ours = [MANIFEST, *ONCE, *sorted(_indexes(output.file for output in plan.outputs)), *report_files()]
    folders = {name.rpartition("/")[0] for name in ours if "/" in name}
    known = {*there, *(f"{folder}/{name}" for folder in folders for name in names_in(root / folder))}
    return [name for name in ours if name in known]


def _indexes(shards: Iterable[str]) -> set[str]:
    """Names of the index files that belong to shards."""
    return {index for shard in shards for index in (*index_names(shard), wids_name(shard))}


def _written(folder: OutputFolder, owner: Owner | None) -> set[str]:
    """Names of the shards that exports have written here, as far as plan and receipts tell."""
    told = {name.removesuffix(".json") for name in names_in(folder.receipts)}
    return {name for name in (*told, *(owner.shards if owner else ())) if SHARD_NAME.fullmatch(name)}


def _take_over(folder: OutputFolder, plan: Plan, overwrite: bool) -> None:
    files = tuple(output.file for output in plan.outputs)
    owner = Owner(plan.digest, plan.options, files, marks(plan.mix.exclusions), marks(plan.mix.withdrawn))
    if isinstance(folder.state, BucketPath):
        if not (overwrite and folder.state.is_dir()):
            _own_first(folder, plan, owner)
            return
        _try_writing(folder.state)
    # The manifest goes first: without it the folder counts as unfinished whatever happens next.
    folder.unfinish()
    shards = _written(folder, folder.owner())
    removals: list[Callable[[], None]] = [lambda: remove(folder.root, [*ONCE, *shards, *_indexes(shards)])]
    removals += [partial(_remove_tree, ours) for ours in (folder.parts, folder.state / "fields", folder.receipts)]
    for removal in removals:
        # In a bucket another share of this plan may be faster, and at its shards already.
        if isinstance(folder.state, BucketPath) and _is_of(folder, plan):
            return
        removal()
    if isinstance(folder.receipts, Path):
        folder.receipts.mkdir()
    folder.own(owner)


def _try_writing(state: BucketPath) -> None:
    """Learns whether anything may be written, before what is there is removed; folders tell by their lock."""
    (state / "tried").replace(b"")
    remove(state, ["tried"])


def _own_first(folder: OutputFolder, plan: Plan, owner: Owner) -> None:
    """Claims what nobody owned a moment ago; whatever lies there now may be a faster export's, and stays."""
    try:
        folder.own(owner, new=True)
    except FileExistsError:
        # Another export was a moment faster: of the same plan, or one that is to be told.
        _check(folder, plan, overwrite=False)
        if not _is_of(folder, plan):
            raise ShardsError(f"--out {folder.root}: {folder.plan_file} is damaged", "Give --overwrite") from None


def _remove_tree(place: Place) -> None:
    if isinstance(place, BucketPath):
        place.remove_all()
    else:
        shutil.rmtree(place, ignore_errors=True)
