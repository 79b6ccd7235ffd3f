"""What a ledger says of the export that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping

import blake3

from lpff_shards.manifest import Manifest
from lpff_shards.sidecars.sample_index.tables import VERSION


def facts(manifest: Manifest) -> Mapping[str, str]:
    """Facts by which a ledger is known to be an export's; samples taken out since make it another's."""
    shards = "".join(f"{shard.file} {shard.checksum}\n" for shard in manifest.shards)
    return {
        "version": str(VERSION),
        "schema": str(manifest.schema),
        "name": manifest.name,
        "format": manifest.format,
        "plan": manifest.plan,
        "samples": str(manifest.samples),
        "shards": blake3.blake3(shards.encode()).hexdigest(length=16),
    }
