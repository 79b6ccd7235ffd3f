"""Locking the output: refuse a folder or prefix of another plan, and a second export at the same time.

Folders are locked. Buckets and some network file systems have no locks: there only one export can create plan.json,
which names the owning plan, and two exports of the same plan write the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeGuard

import msgspec
from msgspec.structs import replace

from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.processes import OnNote
from lpff_shards.formats.registry import beside_names, is_shard_name
from lpff_shards.manifest import MANIFEST
from lpff_shards.options.declaration import file_options, flag
from lpff_shards.options.mix import MixOptions
from lpff_shards.options.sources import ORIGIN, SourceOptions
from lpff_shards.planning.plan import DIGEST_RULE, Plan
from lpff_shards.schemas.filenames import STATE_FOLDER, report_files
from lpff_shards.schemas.sources import ADDED
from lpff_shards.schemas.text import format_count
from lpff_shards.sidecars.folder import (
    FIELDS,
    PARTS,
    RECEIPTS,
    OutputFolder,
    OutputState,
    exclusion_hashes,
    unknown_files,
)
from lpff_shards.storage.path import StoragePath, causes, is_file, is_folder, is_remote, names_in, remove, remove_tree

_OTHERS = ("dataset", "terms_of", "terms", ORIGIN, *ADDED)
_PATHS = frozenset({*file_options(SourceOptions), *file_options(MixOptions), *_OTHERS})
"""Recorded options that name files; their contents matter, not their names."""


@contextmanager
def acquire(
    folder: OutputFolder,
    plan: Plan,
    overwrite: bool,
    on_note: OnNote,
    seconds: float | None = None,
    shared: bool = False,
) -> Iterator[None]:
    """Hold a folder for a plan; refuse another plan's folder, and a second export at the same time.

    Args:
        overwrite: take over another plan's folder.
        on_note: called with notes for the user.
        seconds: how long to wait while others write the folder; None for a moment.
        shared: hold it together with other tasks of the plan.

    Raises:
        ShardsError: the folder contains another plan's shards or other files, or is in use.
        ExportFailed: the folder cannot be written, at any time.
    """
    claim = partial(_claim, folder, plan, overwrite, on_note)
    try:
        # The first check is read-only, so a refused folder stays unchanged.
        _check(folder, plan, overwrite)
        if shared:
            with folder.storage.share(lambda: _is_of(folder, plan), claim):
                yield
        else:
            with locked(folder, seconds) as alone:
                claim(alone)
                yield
    except OSError as error:
        raise ExportFailed(
            f"--out {folder.root} cannot be written: {error.filename or folder.root}: {error.strerror}",
            f"Check {causes(folder.root)}, then run the same command again; finished shards are kept",
        ) from None


@contextmanager
def locked(folder: OutputFolder, seconds: float | None = None) -> Iterator[bool]:
    """Lock a folder, or raise ShardsError; yield whether it is locked: False in a bucket or without locks."""
    folder.refuse_odd()
    with folder.storage.lock(seconds) as alone:
        try:
            yield alone
        finally:
            folder.storage.clear_unfinished(alone)


def refuse_lost(folder: OutputFolder, plan: Plan) -> None:
    """Raise ExportFailed if the plan of another export has taken over the folder."""
    if not _is_of(folder, plan):
        raise ExportFailed(f"{folder.root} was taken over by another export", "Run one export at a time")


def _claim(folder: OutputFolder, plan: Plan, overwrite: bool, on_note: OnNote, alone: bool) -> None:
    """Make a plan the owner of a folder, which with `alone` is locked against other writers."""
    _check(folder, plan, overwrite)
    folder.storage.clear_unfinished(alone)
    owner, withdrawn = _owner(folder, plan), exclusion_hashes(plan.mix.withdrawn)
    if not _owns(owner, plan):
        _take_over(folder, plan, overwrite, on_note)
        return
    if damaged := folder.owner() is None:
        on_note(f"{folder.plan_file} was missing or damaged; it is rewritten from the files next to it")
    if damaged or owner.withdrawn != withdrawn:
        # A plan that owns the folder names all ids that earlier updates removed.
        folder.own(replace(owner, withdrawn=withdrawn))


def owner_of(folder: OutputFolder) -> OutputState | None:
    """Return the plan that owns a folder, from its plan.json or the manifest of a finished export."""
    if (owner := folder.owner()) is not None:
        return owner
    # A manifest of another version is refused later.
    with suppress(ShardsError):
        if (done := folder.finished()) is not None:
            return OutputState.of_manifest(done)
    return None


def _owner(folder: OutputFolder, plan: Plan) -> OutputState | None:
    """As `owner_of`; for a damaged plan.json of an unfinished export this plan, if all receipts are of it."""
    owner = owner_of(folder)
    if owner is not None or not is_file(folder.plan_file):
        return owner
    receipts = [folder.read_receipt(name) for name in folder.with_receipts()]
    same = bool(receipts) and all(receipt is not None and receipt.plan == plan.digest for receipt in receipts)
    return _owner_by(plan) if same else None


def _owner_by(plan: Plan) -> OutputState:
    hashes = (exclusion_hashes(names) for names in (plan.mix.exclusions, plan.mix.withdrawn))
    return OutputState(DIGEST_RULE, plan.digest, plan.options, tuple(one.file for one in plan.outputs), *hashes)


def _is_of(folder: OutputFolder, plan: Plan) -> bool:
    return _owns(folder.owner(), plan)


def _owns(owner: OutputState | None, plan: Plan) -> TypeGuard[OutputState]:
    if owner is None or (owner.rule, owner.plan) != (DIGEST_RULE, plan.digest):
        return False
    return not owner.missing_exclusions(plan.mix.withdrawn)


def _check(folder: OutputFolder, plan: Plan, overwrite: bool) -> None:
    folder.refuse_odd()
    if not overwrite:
        # A manifest of another version is not replaced.
        folder.finished()
    owner = _owner(folder, plan)
    while (refusal := _refusal(folder, plan, overwrite, owner)) is not None:
        before, owner = owner, _owner(folder, plan)
        if owner == before:
            raise refusal
        # Another export started in the meantime and may own these files.


def _refusal(folder: OutputFolder, plan: Plan, overwrite: bool, owner: OutputState | None) -> ShardsError | None:
    root = folder.root
    if _owns(owner, plan):
        return None
    if owner is not None and not overwrite:
        return _of_another(root, owner, plan)
    there, written = names_in(root), _written(folder, owner)
    foreign = unknown_files(there, plan.name, written)
    if not written and not is_file(folder.plan_file):
        foreign += _namesakes(root, there, plan)
    if foreign:
        return ShardsError(
            f"--out {root} already holds {foreign[0]}, which lpff-shards did not write there",
            "Choose another folder",
        )
    if not overwrite and written:
        return ShardsError(
            f"--out {root} holds shards, and {folder.plan_file} is missing or damaged",
            "Choose another folder, or pass --overwrite to write them again",
        )
    return None


def _of_another(root: StoragePath, owner: OutputState, plan: Plan) -> ShardsError:
    if owner.rule == DIGEST_RULE and owner.plan == plan.digest:
        gone = format_count(owner.missing_exclusions(plan.mix.withdrawn), "name")
        return ShardsError(
            f"--out {root}: this would bring back {gone} that an earlier --update removed",
            "Pass --update with an --exclude file that lists them, or --overwrite",
        )
    if owner.rule != DIGEST_RULE:
        return ShardsError(
            f"--out {root} holds an export of another version (rule {owner.rule} of its digest, not {DIGEST_RULE})",
            "Use the version that wrote it, choose another folder, or pass --overwrite",
        )
    return ShardsError(
        f"--out {root} already holds a different export (changed: {_difference(owner, plan)})",
        "Use another --out, repeat the original options, or pass --overwrite "
        "(--update removes what --exclude names since)",
    )


def _difference(owner: OutputState, plan: Plan) -> str:
    mine: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(plan.options))
    names = [name for name in {**owner.options, **mine} if owner.options.get(name) != mine.get(name)]
    if set(names) <= _PATHS:
        files = [flag(name) for name in ("exclude", "num_replicas") if mine.get(name)]
        return f"the contents of {' or '.join(['the sources', *files])}"
    # Options that only one of the versions has are listed only if no other option differs.
    both = [name for name in names if name in owner.options and name in mine and name not in _PATHS]

    def text(value: object) -> str:
        return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

    changed = ((name, text(owner.options.get(name)), text(mine.get(name))) for name in both or names)
    return ", ".join(f"{flag(name)} {old} -> {new}" for name, old, new in changed)


def _namesakes(root: StoragePath, there: Collection[str], plan: Plan) -> list[str]:
    """Return files with names that this export would write."""
    reserved = [MANIFEST, *sorted(beside_names(output.file for output in plan.outputs)), *report_files()]
    folders = {name.rpartition("/")[0] for name in reserved if "/" in name}
    known = {*there, *(f"{folder}/{name}" for folder in folders for name in names_in(root / folder))}
    return [name for name in reserved if name in known]


def _written(folder: OutputFolder, owner: OutputState | None) -> set[str]:
    return {name for name in (*folder.with_receipts(), *(owner.shards if owner else ())) if is_shard_name(name)}


def _take_over(folder: OutputFolder, plan: Plan, overwrite: bool, on_note: OnNote) -> None:
    damaged = not is_remote(folder.root) and is_file(folder.plan_file) and folder.owner() is None
    if not (overwrite and is_folder(folder.root / STATE_FOLDER)) and not damaged:
        _own_first(folder, plan, on_note)
        return
    if is_remote(folder.root):
        # Refuse an unwritable bucket before its files are removed.
        folder.storage.write(f"{STATE_FOLDER}/tried", b"")
        remove(folder.root / STATE_FOLDER, ["tried"])
    # The manifest is removed first: without it the folder counts as unfinished.
    folder.unfinish()
    shards = _written(folder, folder.owner())
    removals: list[Callable[[], None]] = [lambda: remove(folder.root, [*shards, *beside_names(shards)])]
    removals += [partial(remove_tree, folder.root / name) for name in (PARTS, FIELDS, RECEIPTS)]
    for removal in removals:
        # Without locks another task of this plan may be faster and already be writing its shards.
        if _is_of(folder, plan):
            return
        removal()
    folder.own(_owner_by(plan))


def _own_first(folder: OutputFolder, plan: Plan, on_note: OnNote) -> None:
    """Claim a folder that had no owner; files in it now may belong to a faster export, and are kept."""
    try:
        if not folder.own(_owner_by(plan), new=True):
            on_note(f"the store of {folder.root} cannot prevent a second export that starts at the same time")
    except FileExistsError:
        # Another export was faster: of the same plan, or of another one, which `_check` refuses.
        _check(folder, plan, overwrite=False)
        if not _is_of(folder, plan):
            raise ShardsError(f"--out {folder.root}: {folder.plan_file} is damaged", "Pass --overwrite") from None
