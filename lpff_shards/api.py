"""Plan and write an export."""

from __future__ import annotations

import gc
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from lpff_shards.errors import Damaged, ShardsError
from lpff_shards.executors import get_executor
from lpff_shards.executors.processes import ShardDone, available_cores, may_fork
from lpff_shards.exporters.archive import assemble
from lpff_shards.exporters.attach import attach_channels
from lpff_shards.exporters.callbacks import ProgressCallback
from lpff_shards.exporters.conversion import conversion_options, planned_conversion
from lpff_shards.exporters.cropping import check_libraries
from lpff_shards.exporters.finish import finish, refuse_nothing
from lpff_shards.exporters.output_lock import acquire, owner_of, refuse_lost
from lpff_shards.exporters.preflight import (
    all_there,
    finished,
    refuse_full,
    refuse_gone,
    refuse_pictures,
    refuse_sources,
)
from lpff_shards.exporters.record_options import given_paths, last_component, published_names, recorded
from lpff_shards.exporters.shard import write_shard, write_shard_elsewhere
from lpff_shards.formats.registry import installed_format
from lpff_shards.manifest import Manifest, ShareDone
from lpff_shards.options.export import ExportOptions
from lpff_shards.planning.build import make_plan
from lpff_shards.planning.mix import Exclusions, mix
from lpff_shards.planning.plan import Output, Plan, Tasks
from lpff_shards.schemas.text import format_count
from lpff_shards.schemas.uris import is_uri
from lpff_shards.sidecars.folder import OutputFolder, Receipts, exclusion_hashes
from lpff_shards.sources.build import to_crop
from lpff_shards.sources.channels import read_channel, with_channels
from lpff_shards.sources.croppings import read_crops
from lpff_shards.sources.io.rar_unpacker import unpacked_in, when_unpacked
from lpff_shards.sources.registry import read_degree_table, read_exclusions, read_num_replicas, read_terms, sources
from lpff_shards.storage.local import BackgroundSync
from lpff_shards.storage.path import is_file, place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lpff_shards.planning.rebalance import Balances

SHOWN = 10
"""Most lines of a file in an error."""
LONGER = 600.0
"""Seconds that a finishing share waits for others that are finishing too."""


def plan_export(options: ExportOptions) -> Plan:
    """Return the plan of an export with these options: read listings and metadata, write nothing.

    Raises:
        ShardsError: a source cannot be read, or the options do not fit it.
    """
    # Planning creates millions of objects that stay: garbage collection would take a fifth of its time.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        if options.sources.export is not None:
            return planned_conversion(options, options.sources.export)
        counts, exclude = options.mix.num_replicas, options.mix.exclude
        num_replicas = read_num_replicas(counts) if counts is not None else None
        exclusions = read_exclusions(exclude) if exclude is not None else ()
        return (_updated if options.run.update else _plan)(options, num_replicas, exclusions)
    finally:
        if was_enabled:
            gc.enable()


def _updated(options: ExportOptions, num_replicas: NDArray[np.int64] | None, exclusions: tuple[str, ...]) -> Plan:
    """Return the plan of the export in the folder, without the samples of new exclusions."""
    folder = OutputFolder(place(options.out))
    owner = owner_of(folder)
    if owner is None:
        if is_file(folder.plan_file):
            raise Damaged(f"{folder.plan_file} is damaged", "Run the export's first command again, without --update")
        raise ShardsError(f"--update: {options.out} holds no export", "Leave --update out to write it")
    known = set(owner.exclusions)
    before = tuple(name for name in exclusions if exclusion_hashes([name])[0] in known)
    if lost := {*owner.exclusions, *owner.withdrawn}.difference(exclusion_hashes(exclusions)):
        raise ShardsError(
            f"--update only removes photos, but --exclude lacks {format_count(len(lost), 'name')} of earlier commands",
            "Put them back into the file, or export again with --overwrite",
        )
    named = frozenset(before)
    later = tuple(name for name in exclusions if name not in named)
    plan = _plan(options, num_replicas, before, excludes_later=bool(later))
    excluded = Exclusions(exclusions, met=before)
    updated = plan.taken_out(excluded, later)
    unused = excluded.unused
    if unused and not options.run.allow_missing:
        raise ShardsError(
            f"--update: {format_count(len(unused), 'line')} of --exclude {options.mix.exclude} "
            f"{'names' if len(unused) == 1 else 'name'} nothing that is or was in {options.out}: "
            f"{', '.join(unused[:SHOWN])}{' ...' if len(unused) > SHOWN else ''}",
            "Correct the file, or pass --allow-missing if it serves several exports",
        )
    return updated


def _plan(
    options: ExportOptions,
    num_replicas: NDArray[np.int64] | None,
    exclusions: tuple[str, ...],
    excludes_later: bool = False,
) -> Plan:
    out = place(options.out)
    refuse_sources(out, given_paths(options))
    crops = read_crops(options.sources, options.picture.resolution)
    inventories = [source.inventory() for source in sources(options.sources)]
    if crops:
        inventories = [to_crop(inventory, options.sources.alignment) for inventory in inventories]
    refuse_pictures(out, inventories)
    channels = [read_channel(given, options.sources.unpack_to) for given in options.sources.channels]
    inside = options.traits.channels == "inside"
    if channels:
        inventories = with_channels(inventories, channels, options.sources.mirrors)
    if channels and not inside:
        # `attach` adds them when the pictures are written.
        inventories = [replace(inventory, channels={}) for inventory in inventories]
    table = options.mix.degree_table
    degrees = read_degree_table(table) if table is not None else None
    mixed = mix(inventories, options, num_replicas, exclusions, excludes_later, degrees)
    decisive = recorded(options)
    if terms := read_terms(options.sources):
        decisive["terms"] = terms
    if crops:
        decisive["croppings"] = msgspec.to_builtins(crops.by_source)
    for option, path in (item for inventory in inventories for item in inventory.used.items()):
        # A file found next to a source counts like an option, and the card's command contains it.
        decisive[option] = decisive[option] or last_component(path)
    held = [one.channel for one in channels if inside]
    return make_plan(options, mixed, decisive, published_names(options), num_replicas, held, crops)


def compare_rules(plan: Plan, options: ExportOptions) -> Balances | None:
    """Return the effect of each rule of rebalancing on the training pictures, None without cameras or mix.

    Args:
        plan: of `plan_export` with these options.
    """
    if options.sources.export is not None:
        return None
    from lpff_shards.planning.rebalance import compare

    return compare(plan.mix.pool, plan.mix.weights, options.mix, options.shards.seed or 0)


def export(options: ExportOptions, observer: ProgressCallback | None = None) -> Manifest:
    """Write the shards, then the card and the manifest; resume an earlier run of the same plan.

    Raises:
        ShardsError: bad input, a folder with another plan, a full disk, a killed worker.
    """
    if options.run.task is not None:
        raise ShardsError(f"--task {options.run.task} is a share", "Call export_share, or leave it out")
    job = _Job(options, observer)
    with acquire(job.folder, job.plan, options.run.overwrite, job.observer.on_note):
        archives = job.finished(_joined(job.plan))
        _write_missing(job, _due(job.plan, archives), before=archives)
        job.observer.on_stage("finishing")
        return _finished(job, archives)


def convert_export(
    path: str,
    out: str,
    *,
    format: str | None = None,
    observer: ProgressCallback | None = None,
    **options: Any,
) -> Manifest:
    """Write a finished export as another one: the same samples, keys, order, splits and fields.

    Args:
        path: folder or bucket prefix of the export, which is only read.
        format: of the new export; None for that of the first.
        options: others of `ExportOptions`: name, metadata, picture, shards, run.

    Raises:
        ShardsError: the export is unfinished or damaged, or as `export`.
    """
    return export(conversion_options(path, out, format, **options), observer)


def export_share(options: ExportOptions, observer: ProgressCallback | None = None) -> ShareDone:
    """Write the share of the shards in `options.run.task`; the last share finishes the export.

    Shares may run at the same time, on several machines with the same folder. Each resumes its earlier run.

    Raises:
        ShardsError: as `export`, or no share is named.
    """
    share = options.run.task
    if share is None:
        raise ShardsError("no share is named", "Pass --task I/N, or call export")
    job = _Job(options, observer)
    own = list(share.tasks(len(job.plan)))
    with acquire(job.folder, job.plan, options.run.overwrite, job.observer.on_note, shared=True):
        archives = job.finished(_joined(job.plan), closely=False)
        due = set(_due(job.plan, archives))
        tasks = [task for task in own if task in due]
        _write_missing(job, tasks, others=len(job.plan) - len(tasks))
        # The share that finishes the export may run on another machine, which cannot flush these to the disk.
        job.folder.sync([job.plan.filenames[task] for task in tasks])
    job.observer.on_stage("finishing")
    refuse_gone(job.folder, job.plan, own)
    return ShareDone(_finished_by_the_last(job), len(own), len(job.plan))


class _Job:
    """A plan being written to a folder."""

    def __init__(self, options: ExportOptions, observer: ProgressCallback | None) -> None:
        self.observer = observer or ProgressCallback()
        # Clients of stores use threads, which a forked process would lack.
        in_buckets = any(map(is_uri, (options.out, *given_paths(options).values())))
        self.executor = get_executor(options.run, fork=may_fork() and not in_buckets)
        self.observer.on_stage("planning")
        installed_format(options.format)
        self.plan = when_unpacked(lambda: plan_export(options), self.observer.on_note)
        if crops := self.plan.settings.crops:
            for cropping in crops.by_source.values():
                check_libraries(cropping)
        self.observer.on_stage("checking")
        self.folder = OutputFolder(place(options.out))
        refuse_full(self.folder, self.plan)
        # Every writing machine must see them.
        unpacked = unpacked_in(options.sources.unpack_to) if options.sources.unpack_to else ()
        self.sources = (*options.sources.on_disk, *unpacked)
        if options.sources.unpack_to and not unpacked:
            self.observer.on_note(f"--unpack-to {options.sources.unpack_to} was not needed: nothing had to be unpacked")
        self.beside = options.sources.channel if options.traits.channels == "beside" else ()
        # They check files.
        self.workers = (None if self.executor.elsewhere else options.run.workers) or available_cores()

    def finished(self, files: Sequence[Output], closely: bool = True) -> set[str]:
        return finished(self.folder, self.plan, files, self.workers, self.observer.on_note, closely)


def _finished_by_the_last(job: _Job) -> Manifest | None:
    """Return the manifest once the shards of all shares exist; None before."""
    folder, plan = job.folder, job.plan
    if not all_there(folder, plan):
        return None
    with acquire(folder, plan, overwrite=False, on_note=job.observer.on_note, seconds=LONGER):
        # Another share may have finished first, or all shards existed before.
        done = folder.finished()
        archives = job.finished(_joined(plan), closely=False)
        due = _own_files(plan, _due(plan, archives))
        if len(job.finished(due, closely=False)) < len(due):
            # Another share is rewriting a shard, or must run again for one that was lost.
            if done is not None:
                folder.unfinish()
            return None
        return done or _finished(job, archives)


def _joined(plan: Plan) -> tuple[Output, ...]:
    return plan.outputs if plan.format.joining else ()


def _own_files(plan: Plan, tasks: Iterable[int]) -> list[Output]:
    """Return the shards or parts that tasks write."""
    return [Output(plan.filenames[task], "", range(task, task + 1)) for task in tasks]


def _due(plan: Plan, archives: Collection[str]) -> list[int]:
    """Return the tasks whose shards or parts must exist."""
    return [task for output in plan.outputs if output.file not in archives for task in output.tasks]


def _write_missing(job: _Job, tasks: Sequence[int], before: Collection[str] = (), others: int = 0) -> None:
    """Write the missing shards of tasks; `before` are complete zips, `others` the number of tasks of other shares."""
    folder, plan, observer = job.folder, job.plan, job.observer
    kept = job.finished(_own_files(plan, tasks))
    missing = [task for task in tasks if plan.filenames[task] not in kept]
    observer.on_plan(plan, len(plan) - others - len(missing), others)
    joined = [output.file for output in plan.outputs if output.file in before]
    own = [plan.filenames[task] for task in tasks if plan.filenames[task] in kept]
    observer.on_skipped_shards(Receipts(folder, [*joined, *own]))
    if missing:
        observer.on_stage("writing")
        folder.unfinish()
        _write(job, plan.tasks(missing))


def _write(job: _Job, tasks: Tasks) -> None:
    root, executor = job.folder.root, job.executor
    write = partial(write_shard, root)
    if executor.elsewhere:
        write = partial(write_shard_elsewhere, root, job.plan.digest, job.sources)
    with closing(executor.run(write, tasks, job.observer.on_progress)) as done, BackgroundSync() as disk:
        for _, written in done:
            receipt = written.result
            disk.submit(job.folder.path(receipt.file))
            values = (receipt.file, receipt.samples, receipt.bytes, written.seconds)
            job.observer.on_shard(ShardDone(*values, skipped=len(receipt.skipped)))


def _finished(job: _Job, archives: Collection[str]) -> Manifest:
    """Join the zips that are not among `archives`, and write the sidecars."""
    folder, plan = job.folder, job.plan
    due = [plan.filenames[task] for task in _due(plan, archives)]
    # `Receipts` would read many in advance.
    refuse_nothing(plan, map(folder.receipt, [*sorted(archives), *due]))
    refuse_lost(folder, plan)
    for output in _joined(plan):
        parts = [plan.filenames[task] for task in output.tasks]
        if output.file in archives:
            # Left by a run that was stopped between joining and removing.
            folder.drop_parts(parts)
            continue
        folder.unfinish()
        started = time.monotonic()
        whole = assemble(folder, plan, output, Receipts(folder, parts))
        job.observer.on_shard(ShardDone(whole.file, whole.samples, whole.bytes, time.monotonic() - started))
    manifest = finish(folder, plan, job.observer.on_note)
    if job.beside:
        attach_channels(folder.root, job.beside, job.workers, job.observer)
    return manifest
