"""Recreating missing index files of a finished export from its shards, as exports write them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from msgspec import structs

from lpff_shards.errors import ShardsError
from lpff_shards.executors.processes import OnShard, ShardDone
from lpff_shards.exporters.finish import write_sidecars
from lpff_shards.exporters.output_lock import locked
from lpff_shards.formats.base import Format, SampleError
from lpff_shards.formats.registry import index_files, installed_format
from lpff_shards.manifest import MANIFEST, Manifest, keys_digest, read_manifest, to_json
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.sidecars.indexes import data_set_indexes
from lpff_shards.sidecars.sample_index import SampleIndex, SampleIndexError
from lpff_shards.sidecars.sample_tables import PoseHistogram, Row
from lpff_shards.storage.checksums import checksum_of
from lpff_shards.storage.path import StoragePath, place, read_whole


def index_export(path: str | StoragePath, on_shard: OnShard = lambda _: None) -> tuple[str, ...]:
    """Write index files, samples.sqlite and attribution that are missing or wrong, and return their names.

    Args:
        path: folder or bucket prefix of a finished export; its receipts are not needed.
        on_shard: called after each shard that was read.

    Raises:
        ShardsError: no manifest; a shard is missing, damaged or does not match the manifest; an export is running.
        OSError: the folder cannot be written.
    """
    read_manifest(path)
    folder = OutputFolder(place(path))
    with locked(folder):
        return _indexed(folder, on_shard)


def _indexed(folder: OutputFolder, on_shard: OnShard) -> tuple[str, ...]:
    root = folder.root
    manifest = read_manifest(root)
    format = installed_format(manifest.format)
    # Shards are read twice, so nothing is written if one is damaged, and no receipts are held.
    kinds = {suffixes[0] for found in _checked(root, manifest, format, on_shard) for suffixes in found.suffixes}
    written = {name: folder.write(name, data) for name, data in data_set_indexes(manifest, kinds).items()}

    def shards() -> Iterator[tuple[ShardReceipt, Iterator[Row]]]:
        for shard in manifest.shards:
            data, found = _described(root, manifest, format, shard.file)
            written.update({name: folder.write(name, index) for name, index in index_files(found).items()})
            yield found, _rows(root / shard.file, manifest, format, data)

    written |= write_sidecars(folder, manifest, shards(), _pool(root, manifest))
    digests = {name: one.digest for name, one in written.items()}
    # Other versions of SQLite or of this program write the same contents as different bytes.
    folder.write(MANIFEST, to_json(structs.replace(manifest, files={**manifest.files, **digests})))
    return tuple(name for name, one in written.items() if one.changed)


def _checked(root: StoragePath, manifest: Manifest, format: Format, on_shard: OnShard) -> Iterator[ShardReceipt]:
    """Compare each shard with the manifest, and yield its contents."""
    for shard in manifest.shards:
        started = time.monotonic()
        data, found = _described(root, manifest, format, shard.file)
        if checksum_of(data, manifest.checksum) != shard.checksum or keys_digest(found.keys) != shard.keys:
            raise _damaged(root / shard.file, "it is not the shard that the manifest lists")
        on_shard(ShardDone(shard.file, len(found.keys), shard.bytes, time.monotonic() - started))
        yield found


def _described(root: StoragePath, manifest: Manifest, format: Format, file: str) -> tuple[memoryview, ShardReceipt]:
    """Return a shard's bytes and a receipt of its contents."""
    try:
        data = read_whole(root / file)
        return data, format.describe(file, data, manifest.layout)
    except OSError as error:
        raise ShardsError(f"{root / file} cannot be read: {error.strerror}", "Check the folder") from None
    except SampleError as error:
        raise _damaged(root / file, error.reason) from None


def _rows(path: StoragePath, manifest: Manifest, format: Format, data: memoryview) -> Iterator[Row]:
    """Yield the fields of a shard's samples."""
    try:
        for sample in format.samples(data, manifest.layout):
            yield tuple(sample.scalars.values())
    except SampleError as error:
        raise _damaged(path, error.reason) from None


def _pool(root: StoragePath, manifest: Manifest) -> PoseHistogram | None:
    """Return the poses before rebalancing; only the export's own samples.sqlite contains them."""
    try:
        with SampleIndex.open(root, manifest) as samples:
            return samples.pool()
    except SampleIndexError:
        return None


def _damaged(path: StoragePath, reason: str) -> ShardsError:
    return ShardsError(f"{path} is damaged: {reason}", "Run lpff-shards verify, then export again")
