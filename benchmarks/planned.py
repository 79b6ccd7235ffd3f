"""A dry run in a process of its own, with its time and its peak memory."""

from __future__ import annotations

import subprocess
import sys

# VmHWM, not getrusage: the latter's peak begins with that of the process that started this one.
_CODE = """
import pathlib, re, sys, time
start = time.perf_counter()
from lpff_shards.cli import cli
cli.main(sys.argv[1:], standalone_mode=False)
seconds = time.perf_counter() - start
peak = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print("\\nmeasured", seconds, int(peak[1]) / 1024)
"""


def dry_run(*options: object) -> tuple[str, float, float]:
    """What `lpff-shards export --dry-run` prints, its seconds (imports included) and its peak resident MiB."""
    command = ["export", "--format", "wds", "--dry-run", "--out", "x", *map(str, options)]
    done = subprocess.run([sys.executable, "-c", _CODE, *command], check=True, capture_output=True, text=True)
    text, _, measured = done.stdout.rpartition("\nmeasured ")
    seconds, peak = map(float, measured.split())
    return text, seconds, peak
