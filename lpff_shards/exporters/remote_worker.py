"""Writing a shard on a machine that may not be the export's: it must see the same output and sources as that one."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path

from lpff_shards.errors import ExportFailed
from lpff_shards.executors.processes import OnSample
from lpff_shards.exporters.shard import write_shard
from lpff_shards.planning.plan import ShardTask
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.storage.path import Place, absolute, exists, is_folder

PATIENCE = 5.0
"""Seconds that a file of one machine may take to be seen by another."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a machine must see.

    Attributes:
        plan: digest of the plan that owns the output.
        sources: paths of the data sets that lie in no bucket.
    """

    plan: str
    sources: tuple[str, ...]

    def refuse_unseen(self, folder: OutputFolder) -> None:
        """Refuses a machine that does not see them.

        Raises:
            ExportFailed: one is missing.
        """
        deadline = time.monotonic() + PATIENCE
        while (unseen := self._unseen(folder)) is not None:
            if time.monotonic() >= deadline:
                raise ExportFailed(
                    f"the node {platform.node()} does not see {unseen}",
                    "Every node must see the output and the sources at the same paths: put them on a file system that "
                    "all share, or into a bucket",
                )
            time.sleep(PATIENCE / 20)

    def _unseen(self, folder: OutputFolder) -> str | None:
        """What is not seen, if anything: without its pictures every sample could be left out as a bad one."""
        for source in map(Path, self.sources):
            # A folder on which nothing is mounted is there, and empty.
            if not exists(source) or (is_folder(source) and next(source.iterdir(), None) is None):
                return str(source.absolute())
        owner = folder.owner()
        if owner is None or owner.plan != self.plan:
            return f"the export in {absolute(folder.root)}"
        return None


def write_shard_elsewhere(root: Place, seen: Seen, task: ShardTask, on_sample: OnSample) -> ShardReceipt:
    """Writes a task's shard and its receipt, and waits until they are on disk: only this machine can bring them there.

    Raises:
        ExportFailed: this machine does not see what it must; and as `write_shard`, with its other errors.
    """
    folder = OutputFolder(root)
    try:
        seen.refuse_unseen(folder)
        receipt = write_shard(root, task, on_sample)
        folder.sync([receipt.file])
    except OSError as error:
        raise ExportFailed(
            f"{error.filename or root} cannot be used: {error.strerror}", "Fix that and run it again"
        ) from None
    return receipt
