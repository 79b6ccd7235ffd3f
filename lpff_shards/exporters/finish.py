"""Finishing an export: sidecar files are written from the receipts once all shards exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from lpff_shards._version import __version__
from lpff_shards.errors import ExportFailed, ShardsError
from lpff_shards.exporters.record_options import redact_paths
from lpff_shards.formats.registry import index_files
from lpff_shards.manifest import (
    MANIFEST,
    MANIFEST_VERSION,
    Counts,
    Manifest,
    Shard,
    checksum_lines,
    file_digest,
    keys_digest,
    to_json,
)
from lpff_shards.planning.plan import DIGEST_RULE, Plan
from lpff_shards.planning.survey import Survey, most_first
from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.schemas.fields import SCHEMA_VERSION
from lpff_shards.schemas.filenames import ATTRIBUTION, CARD, POSES, SAMPLE_INDEX, SUMS
from lpff_shards.schemas.receipt import ShardReceipt, sizes_of
from lpff_shards.schemas.record import LeftOut
from lpff_shards.sidecars.attribution import lines, summary, write_table
from lpff_shards.sidecars.card import card, pose_picture
from lpff_shards.sidecars.folder import OutputFolder, Receipts, Written, exclusion_hashes
from lpff_shards.sidecars.indexes import data_set_indexes
from lpff_shards.sidecars.sample_index import SampleIndex
from lpff_shards.sidecars.sample_tables import PoseHistogram, Row, count_poses, decode_rows, fingerprint, write_tables
from lpff_shards.storage.prefetch import prefetch


def refuse_nothing(plan: Plan, receipts: Iterable[ShardReceipt]) -> None:
    """Refuse to finish an empty data set.

    Raises:
        ShardsError: all samples were left out.
    """
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


def finish(folder: OutputFolder, plan: Plan) -> Manifest:
    """Sync the shards to disk, write the sidecar files, and write the manifest last.

    Raises:
        ExportFailed: a receipt was changed during the export.
        OSError: the folder cannot be written.
    """
    receipts = Receipts(folder, [output.file for output in plan.outputs])
    totals = _totals(plan, receipts)
    manifest = _manifest(plan, totals)
    folder.sync([shard.file for shard in totals.shards])
    once = dict(data_set_indexes(manifest, totals.pictures.kinds.keys()))
    if manifest.checksum == "sha256":
        once[SUMS] = checksum_lines(manifest).encode()
    once |= {POSES: pose_picture(), CARD: card(manifest, totals.pictures.kinds.keys()).encode()}
    files = {name: folder.write(name, data).digest for name, data in once.items()}

    def read(file: str) -> tuple[ShardReceipt, bytes]:
        receipt = folder.receipt(file)
        return receipt, folder.fields(receipt)

    with closing(prefetch(read, receipts.names)) as found:
        shards = ((receipt, decode_rows(rows)) for receipt, rows in found)
        sidecars = write_sidecars(folder, manifest, shards, _pool(plan))
    files |= {name: written.digest for name, written in sidecars.items()}
    files |= totals.indexes
    manifest = structs.replace(manifest, files=files)
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

    Raises:
        OSError: the folder cannot be written.
    """
    table, text = ATTRIBUTION
    written = {
        SAMPLE_INDEX: folder.grow(SAMPLE_INDEX, lambda path: write_tables(path, fingerprint(manifest), shards, pool))
    }
    with SampleIndex.open(folder.root, manifest) as samples:
        written[table] = folder.grow(table, lambda path: write_table(path, lines(samples)))
        written[text] = folder.write(text, summary(manifest, samples).encode())
    return written


def _pool(plan: Plan) -> PoseHistogram:
    """Count the poses of the requested training pictures with a camera, before rebalancing."""
    pool = plan.mix.pool
    centers, known = pool.cameras
    chosen = known & pool.written
    names = tuple(inventory.source for inventory in pool.entries.inventories)
    return count_poses(names, pool.entries.source[chosen].astype(np.int64), yaw_pitch(centers[chosen]))


@dataclass(frozen=True, slots=True)
class _Totals:
    """The manifest's facts from all receipts.

    Attributes:
        skipped: samples that were left out.
        pictures: counts of their kinds and sizes.
        indexes: digests of the shards' index files, by name.
    """

    shards: tuple[Shard, ...]
    skipped: tuple[LeftOut, ...]
    pictures: Survey
    indexes: Mapping[str, str]


def _totals(plan: Plan, receipts: Iterable[ShardReceipt]) -> _Totals:
    shards: list[Shard] = []
    skipped: list[LeftOut] = []
    kinds: Counter[str] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    turned = 0
    digests: dict[str, str] = {}
    for r, output in zip(receipts, plan.outputs, strict=True):
        if r.plan != plan.shard_digest(output.tasks.start):
            raise ExportFailed(f"{r.file} was replaced by another export", "Run one export at a time")
        shards.append(Shard(r.file, output.split, r.samples, r.bytes, r.checksum, keys_digest(r.keys)))
        skipped += r.skipped
        kinds.update(r.suffixes[member[0]][0] for member in r.members)
        sizes += sizes_of([r])
        turned += r.turned
        digests |= {name: file_digest(data) for name, data in index_files(r).items()}
    pictures = Survey(most_first(kinds), most_first(sizes), turned)
    return _Totals(tuple(shards), tuple(skipped), pictures, digests)


def _reader_notes(plan: Plan, totals: _Totals) -> Iterable[str]:
    """Return limits that readers have with the pictures; a zip has none, since its pictures are alike."""
    return () if plan.format.for_trainers else totals.pictures.notes()


def _manifest(plan: Plan, totals: _Totals) -> Manifest:
    names = plan.settings.published
    left_out = plan.problems
    written = sum(shard.samples for shard in totals.shards)
    lost = {skip.key for skip in totals.skipped}
    kept = plan if not lost else plan.without(lost)
    return Manifest(
        version=MANIFEST_VERSION,
        schema=SCHEMA_VERSION,
        generator=f"lpff-shards {__version__}",
        name=plan.name,
        format=plan.settings.format,
        splits=kept.by_split(),
        samples=written,
        plan=plan.digest,
        checksum=plan.settings.checksum,
        options=plan.options,
        layout=plan.settings.layout,
        counts=Counts(plan.samples, written, len(totals.skipped), len(left_out)),
        sources=kept.by_source(),
        licenses=kept.by_license(),
        filtered=plan.mix.filtered,
        shards=totals.shards,
        kinds=totals.pictures.kinds,
        sizes={f"{width}x{height}": count for (width, height), count in totals.pictures.sizes.items()},
        turned=totals.pictures.turned,
        lists={name: int(times.sum()) for name, times in kept.lists.items()},
        skipped=(*(structs.replace(s, file=redact_paths(s.file, names)) for s in left_out), *totals.skipped),
        notes=tuple(redact_paths(note, names) for note in (*kept.set_notes, *_reader_notes(plan, totals))),
        tombstones=plan.tombstones,
        rule=DIGEST_RULE,
        exclusions=exclusion_hashes(plan.mix.exclusions),
        withdrawn=exclusion_hashes(plan.mix.withdrawn),
    )
