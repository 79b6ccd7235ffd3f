"""Disturbs the writing of shards on a Ray cluster, whose workers import this module: stalls, or a killed worker."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from lpff_shards.exporters.shard import write_shard_elsewhere as write_undisturbed
from lpff_shards.planning.plan import ShardTask
from lpff_shards.schemas.receipt import ShardReceipt

AT = 3
"""The sample of a shard at which it is disturbed."""
SECONDS = 60.0

STALL, DIE = "stall", "die"
ORDER, ATTEMPTS, STALLED, DIED = "order", "attempts", "stalled", "died"
"""Files beside the output: what is to happen (`stall NODE`, `stall` anywhere, `die`), and what has."""


def write_shard_elsewhere(
    root: Path, plan: str, sources: tuple[str, ...], task: ShardTask, on_sample: Callable[[int], None]
) -> ShardReceipt:
    """Writes a shard; at its third sample what was ordered happens, once in all."""
    beside = Path(root).absolute().parent
    with (beside / ATTEMPTS).open("a") as file:
        file.write(f"{task.filename}\n")
    samples = 0

    def disturbed(size: int) -> None:
        nonlocal samples
        on_sample(size)
        samples += 1
        if samples == AT and (beside / ORDER).is_file():
            _obey(root, beside, (beside / ORDER).read_text().split())

    return write_undisturbed(root, plan, sources, task, disturbed)


def _obey(root: Path, beside: Path, order: list[str]) -> None:
    if order == [DIE] and _first(beside / DIED):
        os.kill(os.getpid(), signal.SIGKILL)
    if order == [STALL] and any((root / ".lpff-shards").glob("receipts/*")) and _first(beside / STALLED):
        _wait(lambda: False)
    if order[1:]:
        import ray

        if ray.get_runtime_context().get_node_id() == order[1] and _first(beside / STALLED):
            _wait(lambda: False)
        # Other nodes must not do all the work before that one has begun.
        _wait((beside / STALLED).exists)


def _first(mark: Path) -> bool:
    with contextlib.suppress(FileExistsError):
        mark.touch(exist_ok=False)
        return True
    return False


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not until() and time.monotonic() < deadline:
        time.sleep(0.01)


def doubled(task: bytes, on_sample: Callable[[int], None]) -> bytes:
    """Work that a cluster can do without an export."""
    on_sample(len(task))
    return task + task


def faulty(task: bytes, on_sample: Callable[[int], None]) -> bytes:
    """Work with a fault of its own."""
    raise ZeroDivisionError(task)
