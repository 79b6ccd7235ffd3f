"""Finishing an export: sidecar files from the receipts; and recreating them from the shards of a finished export."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress

import numpy as np
from msgspec import structs

from lpff_shards._version import __version__
from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.executors.processes import OnNote, OnShard, ShardDone
from lpff_shards.exporters.attach import follow
from lpff_shards.exporters.output_lock import locked
from lpff_shards.exporters.record_options import redact_paths
from lpff_shards.formats.base import SampleError
from lpff_shards.formats.registry import index_files, installed_format
from lpff_shards.manifest import (
    MANIFEST,
    MANIFEST_VERSION,
    Counts,
    Manifest,
    Shard,
    file_digest,
    keys_digest,
    read_manifest,
    to_json,
)
from lpff_shards.planning.plan import DIGEST_RULE, Plan
from lpff_shards.planning.survey import Survey, most_first
from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.schemas.fields import SCHEMA_VERSION
from lpff_shards.schemas.filenames import ATTRIBUTION, CARD, POSES, SAMPLE_INDEX, SUMS
from lpff_shards.schemas.receipt import ShardReceipt, sizes_of
from lpff_shards.schemas.record import LeftOut
from lpff_shards.sidecars.attached import refuse_channel
from lpff_shards.sidecars.attribution import lines, summary, write_table
from lpff_shards.sidecars.card import card, pose_picture
from lpff_shards.sidecars.folder import OutputFolder, Receipts, Row, Written, decode_rows, exclusion_hashes, row_of
from lpff_shards.sidecars.indexes import data_set_indexes
from lpff_shards.sidecars.sample_index import (
    PoseHistogram,
    SampleIndex,
    SampleIndexError,
    count_poses,
    fingerprint,
    write_tables,
)
from lpff_shards.storage.file_io import checksum_of
from lpff_shards.storage.path import StoragePath, place, read_whole
from lpff_shards.storage.prefetch import prefetch


def refuse_nothing(plan: Plan, receipts: Iterable[ShardReceipt]) -> None:
    """Raise ShardsError if all samples were left out."""
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


def finish(folder: OutputFolder, plan: Plan, on_note: OnNote = lambda _: None) -> Manifest:
    """Sync the shards to disk, write the sidecar files, and write the manifest last.

    Raises:
        ExportFailed: a receipt was changed during the export.
        OSError: the folder cannot be written.
    """
    receipts = Receipts(folder, [output.file for output in plan.outputs])
    manifest, indexes = _manifest(plan, receipts)
    folder.sync(receipts.names)
    once = dict(data_set_indexes(manifest, manifest.kinds.keys()))
    if manifest.checksum == "sha256":
        once[SUMS] = "".join(f"{shard.checksum}  {shard.file}\n" for shard in manifest.shards).encode()
    once |= {POSES: pose_picture(), CARD: card(manifest, manifest.kinds.keys()).encode()}
    files = {name: folder.write(name, data).digest for name, data in once.items()}

    def read(file: str) -> tuple[ShardReceipt, bytes]:
        receipt = folder.receipt(file)
        return receipt, folder.fields(receipt)

    with closing(prefetch(read, receipts.names)) as found:
        shards = ((receipt, decode_rows(rows)) for receipt, rows in found)
        sidecars = write_sidecars(folder, manifest, shards, poses_before(plan))
    files |= {name: written.digest for name, written in sidecars.items()}
    manifest = structs.replace(manifest, files=files | indexes)
    follow(folder.root, manifest, lambda number: folder.receipt(manifest.shards[number].file).keys, on_note)
    folder.write(MANIFEST, to_json(manifest))
    return manifest


def write_sidecars(
    folder: OutputFolder,
    manifest: Manifest,
    shards: Iterable[tuple[ShardReceipt, Iterable[Row]]],
    pool: PoseHistogram | None,
) -> dict[str, Written]:
    """Write samples.sqlite, then the attribution's table and summary from it; return them by name.

    Args:
        shards: each shard's receipt and its samples' rows.
        pool: poses before rebalancing; None if unknown.
    """
    table, text = ATTRIBUTION
    written = {
        SAMPLE_INDEX: folder.grow(SAMPLE_INDEX, lambda path: write_tables(path, fingerprint(manifest), shards, pool))
    }
    with SampleIndex.open(folder.root, manifest) as samples:
        written[table] = folder.grow(table, lambda path: write_table(path, lines(samples)))
        written[text] = folder.write(text, summary(manifest, samples).encode())
    return written


def poses_before(plan: Plan) -> PoseHistogram:
    """Count the poses of the requested training pictures with a camera, before rebalancing."""
    if plan.mix.poses is not None:
        return plan.mix.poses
    pool = plan.mix.pool
    centers, known = pool.cameras
    chosen = known & pool.written
    names = tuple(inventory.source for inventory in pool.entries.inventories)
    return count_poses(names, pool.entries.source[chosen].astype(np.int64), yaw_pitch(centers[chosen]))


def planned_manifest(plan: Plan) -> Manifest:
    """Return the manifest of an export before anything is written: with estimated bytes, and no checksums."""
    shards = tuple(
        Shard(output.file, output.split, len(plan.rows(output.tasks)), plan.planned_bytes(output.tasks), "", "")
        for output in plan.outputs
    )
    return Manifest(
        version=MANIFEST_VERSION,
        schema=SCHEMA_VERSION,
        generator=f"lpff-shards {__version__}",
        name=plan.name,
        format=plan.settings.format,
        splits=plan.by_split(),
        samples=plan.samples,
        plan=plan.digest,
        checksum=plan.settings.checksum,
        options=plan.options,
        layout=plan.settings.layout,
        counts=Counts(plan.samples, written=0, skipped=0, left_out=len(plan.problems)),
        sources=plan.by_source(),
        licenses=plan.by_license(),
        filtered=plan.mix.filtered,
        shards=shards,
        lists={name: int(times.sum()) for name, times in plan.lists.items()},
        skipped=plan.problems,
        notes=plan.notes,
        tombstones=plan.tombstones,
        rule=DIGEST_RULE,
        exclusions=exclusion_hashes(plan.mix.exclusions),
        withdrawn=exclusion_hashes(plan.mix.withdrawn),
    )


def _manifest(plan: Plan, receipts: Iterable[ShardReceipt]) -> tuple[Manifest, dict[str, str]]:
    """Return the manifest, without sidecar files, and the digests of the shards' index files by name."""
    shards: list[Shard] = []
    skipped: list[LeftOut] = []
    kinds: Counter[str] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    turned = 0
    indexes: dict[str, str] = {}
    for r, output in zip(receipts, plan.outputs, strict=True):
        if r.plan != plan.shard_digest(output.tasks.start):
            raise ExportFailed(f"{r.file} was replaced by another export", "Run one export at a time")
        shards.append(Shard(r.file, output.split, r.samples, r.bytes, r.checksum, keys_digest(r.keys)))
        skipped += r.skipped
        kinds.update(r.suffixes[member[0]][0] for member in r.members)
        sizes += sizes_of([r])
        turned += r.turned
        indexes |= {name: file_digest(data) for name, data in index_files(r).items()}
    pictures = Survey(most_first(kinds), most_first(sizes), turned)
    # Readers have no limits with the pictures of a zip, which are alike.
    reader_notes = () if plan.format.for_trainers else pictures.notes()
    names, left_out = plan.settings.published, plan.problems
    written = sum(shard.samples for shard in shards)
    kept = plan.without({skip.key for skip in skipped}) if skipped else plan
    manifest = structs.replace(
        planned_manifest(kept),
        samples=written,
        counts=Counts(plan.samples, written, len(skipped), len(left_out)),
        shards=tuple(shards),
        kinds=pictures.kinds,
        sizes={f"{width}x{height}": count for (width, height), count in pictures.sizes.items()},
        turned=turned,
        skipped=(*(structs.replace(s, file=redact_paths(s.file, names)) for s in left_out), *skipped),
        notes=tuple(redact_paths(note, names) for note in (*kept.set_notes, *reader_notes)),
    )
    return manifest, indexes


def index_export(path: str | StoragePath, on_shard: OnShard = lambda _: None) -> tuple[str, ...]:
    """Write index files, samples.sqlite and attribution that are missing or wrong, and return their names.

    Args:
        path: folder or bucket prefix of a finished export; its receipts are not needed.

    Raises:
        ShardsError: no manifest; a shard is missing, damaged or does not match the manifest; an export is running.
        OSError: the folder cannot be written.
    """
    refuse_channel(place(path), read_manifest(path))
    folder = OutputFolder(place(path))
    with locked(folder):
        manifest = read_manifest(folder.root)
        format = installed_format(manifest.format)
        kinds: set[str] = set()
        # Shards are read twice, so nothing is written if one is damaged, and no receipts are held.
        for shard in manifest.shards:
            started = time.monotonic()
            with _reading(path := folder.root / shard.file):
                data = read_whole(path)
                found = format.describe(shard.file, data, manifest.layout)
                if checksum_of(data, manifest.checksum) != shard.checksum or keys_digest(found.keys) != shard.keys:
                    raise SampleError("it is not the shard that the manifest lists", 0)
            on_shard(ShardDone(shard.file, len(found.keys), shard.bytes, time.monotonic() - started))
            kinds.update(suffixes[0] for suffixes in found.suffixes)
        written = {name: folder.write(name, data) for name, data in data_set_indexes(manifest, kinds).items()}

        def rows(path: StoragePath, data: memoryview) -> Iterator[Row]:
            with _reading(path):
                for sample in format.samples(data, manifest.layout):
                    yield row_of(sample.scalars)

        def shards() -> Iterator[tuple[ShardReceipt, Iterator[Row]]]:
            for shard in manifest.shards:
                with _reading(path := folder.root / shard.file):
                    data = read_whole(path)
                    found = format.describe(shard.file, data, manifest.layout)
                written.update({name: folder.write(name, index) for name, index in index_files(found).items()})
                yield found, rows(path, data)

        # Only the export's own samples.sqlite contains the poses before rebalancing.
        pool = None
        with suppress(SampleIndexError), SampleIndex.open(folder.root, manifest) as samples:
            pool = samples.pool()
        written |= write_sidecars(folder, manifest, shards(), pool)
        digests = {name: one.digest for name, one in written.items()}
        # Other versions of SQLite or of this program write the same contents as different bytes.
        folder.write(MANIFEST, to_json(structs.replace(manifest, files={**manifest.files, **digests})))
        return tuple(name for name, one in written.items() if one.changed)


@contextmanager
def _reading(path: StoragePath) -> Iterator[None]:
    """Raise ShardsError if the block cannot read a shard, or finds it damaged."""
    try:
        yield
    except OSError as error:
        raise ShardsError(f"{path} cannot be read: {error.strerror}", "Check the folder") from None
    except SampleError as error:
        reason = f"{path} is damaged: {error.reason}"
        raise ShardsError(reason, "Run lpff-shards verify, then export again") from None
