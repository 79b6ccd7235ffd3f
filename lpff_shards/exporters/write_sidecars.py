"""What tells of every sample of an export, beside its shards: the ledger, and whose photos they are."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.filenames import ATTRIBUTION, LEDGER
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.attribution import lines, summary, write_table
from lpff_shards.sidecars.folder import OutputFolder, Written
from lpff_shards.sidecars.sample_index.read import Ledger
from lpff_shards.sidecars.sample_index.row_groups import Row
from lpff_shards.sidecars.sample_index.tables import PoseHistogram, facts, write_ledger


def write_sidecars(
    folder: OutputFolder,
    manifest: Manifest,
    shards: Iterable[tuple[ShardReceipt, Iterable[Row]]],
    pool: PoseHistogram | None,
) -> dict[str, Written]:
    """Writes the ledger, then by it the table and the summary of attribution; returns them by name.

    Args:
        shards: what is where in each, and its samples' rows.
        pool: the poses before rebalancing, None where they are not known.

    Raises:
        OSError: the folder cannot be written.
    """
    table, text = ATTRIBUTION
    written = {LEDGER: folder.grow(LEDGER, partial(_write_ledger, manifest, shards, pool))}
    with Ledger.open(folder.root, manifest) as ledger:
        written[table] = folder.grow(table, lambda path: write_table(path, lines(ledger)))
        written[text] = folder.write(text, summary(manifest, ledger).encode())
    return written


def _write_ledger(
    manifest: Manifest, shards: Iterable[tuple[ShardReceipt, Iterable[Row]]], pool: PoseHistogram | None, path: Path
) -> None:
    write_ledger(path, facts(manifest), shards, pool)
