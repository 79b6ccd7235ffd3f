"""How a data set was made: the exact command, and the versions that it was made with."""

from __future__ import annotations

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.escaping import markdown
from lpff_shards.sidecars.card.command import command
from lpff_shards.sidecars.card.markdown import fenced, table


def making(manifest: Manifest) -> str:
    """The command and the versions."""
    skips = bool(manifest.counts.skipped or manifest.counts.left_out)
    line = command(manifest.options, out=manifest.name, skips=skips)
    rows = (
        ("written by", manifest.generator),
        ("plan", f"`{manifest.plan}`"),
        ("schema of the fields", f"version {manifest.schema}"),
        ("checksums", f"{manifest.checksum}, in `manifest.json`; checked by `lpff-shards verify`"),
    )
    return (
        f"## How it was made\n\n{fenced(line, 'sh')}\n"
        "What is not named had its default. Of paths only the last part is recorded, and of `--out` nothing. The same "
        f"sources, options and version give the same bytes.\n{_update(manifest)}\n{table(('', ''), rows)}"
    )


def _update(manifest: Manifest) -> str:
    """How withdrawn pictures were taken out, where some were."""
    if not manifest.tombstones:
        return ""
    count, exclude = len(manifest.tombstones), markdown(str(manifest.options.get("exclude")))
    return (
        f"\nThen the same command with `--update` took out {count:,} samples that {exclude} names since: their shards "
        "were written again without them, the others stayed as they were. `manifest.json` lists them as `tombstones`.\n"
    )
