"""One export and its verification, for `benchmarks.scale`: a process of its own, so that its memory is this export's.

Prints JSON: of each step the wall seconds, the CPU seconds of this process and of its workers, and the peak MiB so far.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path

from benchmarks.memory import peak
from lpff_shards import ExportOptions, MixOptions, RunOptions, ShardOptions, SourceOptions, export, verify_export
from lpff_shards.exporters.callbacks import ProgressCallback, Step


class Clock(ProgressCallback):
    """Notes what each step took."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, float]] = {}
        self._step = ""
        self._since = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Wall seconds, CPU seconds of this process, and of workers that have ended."""
        workers = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.perf_counter(), time.process_time(), workers.ru_utime + workers.ru_stime

    def on_stage(self, step: Step) -> None:
        self.enter(step)

    def enter(self, step: str) -> None:
        """Ends the step before and begins one."""
        now = self._now()
        if self._step:
            wall, cpu, workers = (b - a for a, b in zip(self._since, now, strict=True))
            told = {"seconds": wall, "cpu": cpu, "workers": workers, "peak": peak(os.getpid())}
            self.steps[self._step] = told
        self._step, self._since = step, now


def main() -> None:
    """Exports, verifies, and tells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("out", type=Path)
    parser.add_argument("format")
    parser.add_argument("a_shard", type=int)
    given = parser.parse_args()
    clock = Clock()
    options = ExportOptions(
        format=given.format,
        out=str(given.out),
        sources=SourceOptions(lpff=given.source, mirror=False),
        mix=MixOptions(rebalance="lpff", as_="weights"),
        shards=ShardOptions(samples_per_shard=given.a_shard),
        run=RunOptions(),
    )
    manifest = export(options, clock)
    clock.enter("verifying")
    verdict = verify_export(given.out, workers=len(os.sched_getaffinity(0)))
    clock.enter("")
    if not verdict.ok:
        raise RuntimeError(f"{verdict.faults[0]}")
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"steps": clock.steps, "shards": len(manifest.shards), "worker": worker}))


if __name__ == "__main__":
    main()
