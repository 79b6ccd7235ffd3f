"""The export as functions: what it would write, and writing it."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from msgspec import structs

import lpff_shards
from lpff_shards.errors import ShardsError
from lpff_shards.exporters.accounts import write_accounts
from lpff_shards.exporters.archive import assemble
from lpff_shards.exporters.folder import CARD, POSES, SUMS, OutputFolder, marks
from lpff_shards.exporters.indexes import catalogue as indexes
from lpff_shards.exporters.resume import finished_archives, finished_tasks
from lpff_shards.exporters.settling import Settling
from lpff_shards.exporters.shard import write_shard
from lpff_shards.exporters.squares import common_side
from lpff_shards.ledger.pieces import decode
from lpff_shards.ledger.pool import Pool, count_poses
from lpff_shards.manifest import (
    MANIFEST,
    MANIFEST_VERSION,
    Counts,
    Manifest,
    Shard,
    ShardReceipt,
    checksum_lines,
    keys_digest,
    to_json,
)
from lpff_shards.mixing.entries import Entries
from lpff_shards.mixing.filters import excluded_rows
from lpff_shards.mixing.mix import Extras, mix
from lpff_shards.name_lists import name_lists
from lpff_shards.options import ExportOptions
from lpff_shards.plan import Plan, Settings, Tasks
from lpff_shards.planning import layout, make_plan
from lpff_shards.processes import Progress, ShardDone, available_cores, clocked, may_fork, run
from lpff_shards.provenance import published, published_names, recorded
from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.schemas.fields import SCHEMA_VERSION
from lpff_shards.schemas.left_out import LeftOut
from lpff_shards.sources.catalogue import sources
from lpff_shards.sources.exclusions import read_exclusions
from lpff_shards.sources.num_replicas import read_num_replicas

if TYPE_CHECKING:
    from lpff_shards.mixing.balance import Balances


Step = Literal["planning", "checking", "writing", "finishing"]
"""What an export does, one after the other; checking is of what an earlier run left."""


class Observer(Protocol):
    """Told how an export goes on."""

    def planned(self, plan: Plan, finished: int) -> None:
        """The plan is made; `finished` of its shards are there already from an earlier run."""

    def wrote(self, progress: Progress) -> None:
        """Samples were written."""

    def entered(self, step: Step) -> None:
        """A step of the export begins; the one before it is over."""

    def kept(self, receipts: Iterable[ShardReceipt]) -> None:
        """These shards are there already from an earlier run, whole."""

    def shard_done(self, shard: ShardDone) -> None:
        """A shard was written."""


class Silent:
    """An observer that says nothing."""

    def planned(self, plan: Plan, finished: int) -> None: ...

    def wrote(self, progress: Progress) -> None: ...

    def entered(self, step: Step) -> None: ...

    def kept(self, receipts: Iterable[ShardReceipt]) -> None: ...

    def shard_done(self, shard: ShardDone) -> None: ...


def plan_export(options: ExportOptions) -> Plan:
    """What an export with these options would write; reads listings and metadata, writes nothing.

    Raises:
        ShardsError: a source cannot be read, or the options do not fit it.
    """
    with _no_garbage_collection():
        extras = _extras(options)
        return _updated(options, extras) if options.run.update else _plan(options, extras)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Planning makes millions of objects that stay: looking through them for garbage would take a fifth of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _updated(options: ExportOptions, extras: Extras) -> Plan:
    """The plan of the export in the folder, less what was excluded since."""
    owner = OutputFolder(Path(options.out)).owner()
    if owner is None:
        raise ShardsError(f"--update: {options.out} holds no export", "Leave --update out to write it")
    known = set(owner.exclusions)
    before = tuple(name for name in extras.exclusions if marks([name])[0] in known)
    if lost := len(owner.exclusions) - len(before):
        raise ShardsError(
            f"--update only takes out, and {lost} ids of the export's --exclude are not in this one",
            "Put them back, or export anew with --overwrite",
        )
    later = tuple(name for name in extras.exclusions if name not in before)
    plan = _plan(options, replace(extras, exclusions=before, later=later))
    used = set(before)
    gone = plan.entries.gather([excluded_rows(inventory, extras.exclusions, used) for inventory in plan.inventories])
    unused = tuple(name for name in extras.exclusions if name not in used)
    return plan.taken_out(gone, unused)


def _plan(options: ExportOptions, extras: Extras) -> Plan:
    inventories = [source.inventory() for source in sources(options.sources)]
    mixed = mix(
        inventories,
        options.mix,
        extras,
        mirror=options.sources.mirrors,
        seed=options.shards.seed or 0,
        strict=options.run.on_error == "fail",
    )
    picture = options.resolved_picture
    settings = Settings(
        format=options.format,
        layout=layout(mixed.entries.inventories, picture, options.metadata == "msgpack"),
        picture=picture,
        checksum=options.run.checksum,
        on_error=options.run.on_error,
        published=published_names(options),
        side=_side(mixed.entries, options) if options.format == "zip" else None,
        lists=name_lists(options),
    )
    return make_plan(options.dataset_name, mixed, settings, options.resolved_shards, recorded(options))


def _side(entries: Entries, options: ExportOptions) -> int:
    """The side of all pictures of a zip, in pixels."""
    columns = zip(entries.source.tolist(), entries.row.tolist(), strict=True)
    return options.picture.resolution or common_side([entries.inventories[s].blobs[row] for s, row in columns])


def compare_rules(plan: Plan, options: ExportOptions) -> Balances | None:
    """What each rule of rebalancing makes of the plan's training pictures, before anything is written.

    Args:
        plan: made by `plan_export` with these options.

    Returns:
        All rules side by side; None where no camera is known.
    """
    from lpff_shards.mixing.balance import compare

    return compare(plan.mix, options.mix)


def _extras(options: ExportOptions) -> Extras:
    """What the files say that the mix was asked to follow."""
    counts, exclude = options.mix.num_replicas, options.mix.exclude
    return Extras(
        num_replicas=read_num_replicas(counts) if counts is not None else None,
        exclusions=read_exclusions(exclude) if exclude is not None else (),
    )


def export(options: ExportOptions, observer: Observer | None = None) -> Manifest:
    """Writes the shards, then the card and the manifest; goes on where an earlier run of the same plan stopped.

    Raises:
        ShardsError: bad input, a folder that is another plan's, a full disk, a killed worker.
    """
    observer = observer or Silent()
    fork = may_fork()
    observer.entered("planning")
    planned = plan_export(options)
    workers = options.run.workers or available_cores()
    folder = OutputFolder(Path(options.out))
    observer.entered("checking")
    with folder.claimed(planned, options.run.overwrite):
        archives = finished_archives(folder, planned, workers)
        due = [task for number, output in enumerate(planned.outputs) if number not in archives for task in output.tasks]
        receipts = finished_tasks(folder, planned, due, workers)
        for receipt in receipts.values():
            for name, data in indexes.of_shard(receipt).items():
                folder.mend(name, data)
        missing = [task for task in due if task not in receipts]
        observer.planned(planned, len(planned) - len(missing))
        observer.kept([*archives.values(), *receipts.values()])
        if missing:
            observer.entered("writing")
            folder.unfinish()
            _write(folder, planned.tasks(missing), receipts, min(workers, len(missing)), fork, observer)
        observer.entered("finishing")
        _refuse_nothing(planned, [*archives.values(), *receipts.values()])
        return _finish(folder, planned, _outputs(folder, planned, archives, receipts, observer), options)


def _write(
    folder: OutputFolder,
    tasks: Tasks,
    receipts: dict[int, ShardReceipt],
    workers: int,
    fork: bool,
    observer: Observer,
) -> None:
    """Writes the missing shards and adds their receipts."""
    work = partial(clocked, partial(write_shard, folder.root))
    with closing(run(work, tasks, workers, fork, observer.wrote)) as done, Settling() as disk:
        for number, written in done:
            receipt = written.result
            receipts[tasks.indices[number]] = receipt
            disk.settle(folder.path(receipt.file))
            observer.shard_done(ShardDone(receipt.file, receipt.samples, receipt.bytes, written.seconds))


def _outputs(
    folder: OutputFolder,
    plan: Plan,
    archives: dict[int, ShardReceipt],
    receipts: dict[int, ShardReceipt],
    observer: Observer,
) -> list[ShardReceipt]:
    """The receipts of the finished data set's files; zips that are missing are put together of their parts."""
    if plan.settings.format != "zip":
        return [receipts[task] for task in range(len(plan))]
    for number, output in enumerate(plan.outputs):
        if number in archives:
            # A run that was stopped between the two has left them.
            folder.drop_parts([plan.filenames[task] for task in output.tasks])
        else:
            folder.unfinish()
            started = time.monotonic()
            whole = assemble(folder, plan, output, [receipts[task] for task in output.tasks])
            observer.shard_done(ShardDone(whole.file, whole.samples, whole.bytes, time.monotonic() - started))
            archives[number] = whole
    return [archives[number] for number in range(len(plan.outputs))]


def _refuse_nothing(plan: Plan, receipts: Iterable[ShardReceipt]) -> None:
    """Refuses to finish a data set of which nothing is left."""
    skipped: list[LeftOut] = []
    for receipt in receipts:
        if receipt.samples:
            return
        skipped += receipt.skipped
    raise ShardsError(
        f"there is nothing to write: all {plan.samples} samples were left out, such as {skipped[0].id}: "
        f"{skipped[0].reason}",
        "Check the sources",
    )


def _finish(folder: OutputFolder, plan: Plan, receipts: list[ShardReceipt], options: ExportOptions) -> Manifest:
    """Makes everything durable, then writes what says that the data set is whole."""
    from lpff_shards.exporters.card import card, pose_picture

    manifest = _manifest(plan, receipts)
    suffixes = {members[0] for receipt in receipts for members in receipt.suffixes}
    folder.sync([receipt.file for receipt in receipts])
    if options.run.checksum == "sha256":
        folder.write(SUMS, checksum_lines(manifest).encode())
    for name, data in indexes.of_data_set(manifest, receipts).items():
        folder.write(name, data)
    shards = ((receipt, decode(folder.fields(receipt))) for receipt in receipts)
    write_accounts(folder, manifest, shards, _pool(plan))
    folder.write(POSES, pose_picture())
    folder.write(CARD, card(manifest, suffixes).encode())
    folder.write(MANIFEST, to_json(manifest))
    return manifest


def _pool(plan: Plan) -> Pool:
    """The poses of the training pictures before rebalancing, those that were asked for and have a camera."""
    pool = plan.mix.pool
    centres, known = pool.cameras
    chosen = known & pool.written
    names = tuple(inventory.source for inventory in pool.entries.inventories)
    return count_poses(names, pool.entries.source[chosen].astype(np.int64), yaw_pitch(centres[chosen]))


def _manifest(plan: Plan, receipts: list[ShardReceipt]) -> Manifest:
    names = plan.settings.published
    left_out = plan.problems
    skipped = [skip for receipt in receipts for skip in receipt.skipped]
    written = sum(receipt.samples for receipt in receipts)
    lost = {skip.key for skip in skipped}
    kept = plan if not lost else plan.without(lost)
    return Manifest(
        version=MANIFEST_VERSION,
        schema=SCHEMA_VERSION,
        generator=f"lpff-shards {lpff_shards.__version__}",
        name=plan.name,
        format=plan.settings.format,
        splits=kept.by_split(),
        samples=written,
        plan=plan.digest,
        checksum=plan.settings.checksum,
        options=plan.options,
        layout=plan.settings.layout,
        counts=Counts(plan.samples, written, len(skipped), len(left_out)),
        sources=kept.by_source(),
        licenses=kept.by_licence(),
        filtered=plan.mix.filtered,
        shards=tuple(
            Shard(r.file, output.split, r.samples, r.bytes, r.checksum, keys_digest(r.keys))
            for r, output in zip(receipts, plan.outputs, strict=True)
        ),
        skipped=(*(structs.replace(s, file=published(s.file, names)) for s in left_out), *skipped),
        notes=tuple(published(note, names) for note in kept.notes),
        tombstones=plan.tombstones,
    )
