"""The peak memory of every process of an export: it must follow workers and picture size, never the data set.

Pictures passed through, few and ten times as many, some mirrored, and large ones that are made raw and small.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.export import generate

POLL_SECONDS = 0.02
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def peak(pid: int) -> float:
    """A process's peak resident MiB so far, 0 where it has ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def export_peaks(root: Path, out: Path, options: Sequence[str]) -> tuple[float, float]:
    """Peak MiB of the command's own process and of its largest worker, pages that they share counted in both."""
    command = [sys.executable, "-m", "lpff_shards", "export", "--format", "wds", "--lpff", str(root), "--out", str(out)]
    process = subprocess.Popen([*command, "--workers", "2", "--shards", "8", *options], stderr=subprocess.DEVNULL)
    own = worker = 0.0
    while process.poll() is None:
        own = max(own, peak(process.pid))
        worker = max(worker, *map(peak, children(process.pid)), 0.0)
        time.sleep(POLL_SECONDS)
    if process.returncode:
        raise RuntimeError(f"the export ended with {process.returncode}")
    return own, worker


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=4000)
    given = parser.parse_args()
    cases: list[tuple[str, int, int, tuple[str, ...]]] = [
        ("passed through", given.pictures, 128, ("--no-mirror",)),
        ("passed through", 10 * given.pictures, 128, ("--no-mirror",)),
        ("mirrored too", given.pictures // 20, 512, ()),
        ("--image raw --resolution 256", given.pictures // 40, 1024, ("--image", "raw", "--resolution", "256")),
    ]
    print("| export | pictures | main process, MiB | largest worker, MiB |\n|---|---|---|---|")
    for what, pictures, side, options in cases:
        with tempfile.TemporaryDirectory() as name:
            generate(Path(name) / "LPFF", pictures, side)
            own, worker = export_peaks(Path(name) / "LPFF", Path(name) / "out", options)
        print(f"| {what}, {side}x{side} | {pictures:,} | {own:.0f} | {worker:.0f} |")


if __name__ == "__main__":
    main()
