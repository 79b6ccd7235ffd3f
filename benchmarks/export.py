"""Whole exports beside other writers, interleaved: medians, ratios, with every file synced at the end and without.

The input is generated: an LPFF folder of noisy portraits whose PNGs are as large as photos' (`--side 512` gives about
440 KB). Ours are timed as whole commands, start-up, planning, cameras, metadata, checksums and receipts included;
rivals inside their process, imports left out. Rivals that are not installed are left out, and it is said.

Each writes N pictures and 3N: the difference is the marginal cost, without start-up. A process's cost is that times
the number of processes.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.planning import poses, record
from benchmarks.rivals import CROPS, RIVALS, touch_memory

DEFAULT = "lpff-shards wds, 2 workers"
DISTINCT = 40
ROOM = 1.3
"""Memory that is made ready before each run, in times the pictures' bytes."""

OURS: Mapping[str, Sequence[str]] = {
    "lpff-shards wds, 1 worker": ("--format", "wds", "--workers", "1"),
    "lpff-shards wds, 2 workers": ("--format", "wds", "--workers", "2"),
    "lpff-shards wds, 2 workers, sha256": ("--format", "wds", "--workers", "2", "--checksum", "sha256"),
    "lpff-shards tfrecord, 1 worker": ("--format", "tfrecord", "--workers", "1"),
    "lpff-shards tfrecord, 2 workers": ("--format", "tfrecord", "--workers", "2"),
}
# Ours has no option that makes a manifest lie, so for the table without syncs fsync itself is made to do nothing.
_UNSYNCED = "import os; os.fsync = lambda fd: None; from lpff_shards.cli import main; main()"
_SYNCED = "from lpff_shards.cli import main; main()"


def portrait(number: int, side: int) -> bytes:
    """A PNG that packs as a photo does: smooth shapes and a photo's noise."""
    draw = np.random.default_rng(number)
    small = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), np.int16)
    noise = draw.normal(0, 4.2, (side, side, 3)).astype(np.int16)
    out = io.BytesIO()
    Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def generate(root: Path, pictures: int, side: int) -> int:
    """Writes the LPFF folder and returns the pictures' bytes; a few distinct pictures, each file with its own copy."""
    distinct = [portrait(number, side) for number in range(min(DISTINCT, pictures))]
    (root / CROPS).mkdir(parents=True)
    info = {}
    for number in range(pictures):
        id = f"{100_000_000 + number // 3}@N0{number % 10}_{20_000_000_000 + number}_01"
        (root / CROPS / f"{id}.png").write_bytes(distinct[number % len(distinct)])
        user, photo, _ = id.split("_")
        info[id] = record(user, photo)
    cameras = dict(zip(info, poses(pictures, 0.7, 0.3), strict=True))
    (root / "camera_parameters.json").write_text(json.dumps(cameras))
    (root / "info.json").write_text(json.dumps(info))
    return sum(path.stat().st_size for path in (root / CROPS).iterdir())


def ours(options: Sequence[str], root: Path, out: Path, synced: bool, size: int) -> float:
    """Seconds of a whole command of ours."""
    code = _SYNCED if synced else _UNSYNCED
    command = [sys.executable, "-c", code, "export", "--lpff", str(root), "--no-mirror", "--out", str(out)]
    touch_memory(size)
    start = time.perf_counter()
    subprocess.run([*command, *options], check=True, capture_output=True)
    return time.perf_counter() - start


def rival(name: str, root: Path, out: Path, synced: bool, size: int) -> float:
    """Seconds of a rival, as it says."""
    out.mkdir()
    command = [sys.executable, "-m", "benchmarks.rivals", name, str(root), str(out), str(int(synced)), str(size)]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    return float(done.stdout.split()[-1])


def contestants() -> list[str]:
    """Those that can run here; says which cannot."""
    found = list(OURS)
    for name, (modules, _) in RIVALS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            print(f"left out: {name}, {missing[0]} is not installed")
        else:
            found.append(name)
    return found


def warm(root: Path) -> None:
    """Reads the input, so that it is in memory for each contestant."""
    for path in root.rglob("*"):
        if path.is_file():
            path.read_bytes()


def measure(
    names: Sequence[str], inputs: Mapping[Path, int], out: Path, runs: int, synced: bool
) -> list[dict[str, float]]:
    """Median seconds of each with each input (folder and bytes), run in turn as often as asked."""
    seconds: list[dict[str, list[float]]] = [{name: [] for name in names} for _ in inputs]
    for _ in range(runs):
        for name in names:
            for (root, size), found in zip(inputs.items(), seconds, strict=True):
                # What the one before left unwritten must not slow this one, nor what the system forgot of the input.
                os.sync()
                warm(root)
                room = int(size * ROOM)
                if name in OURS:
                    found[name].append(ours(OURS[name], root, out, synced, room))
                else:
                    found[name].append(rival(name, root, out, synced, room))
                shutil.rmtree(out)
    return [{name: statistics.median(values) for name, values in found.items()} for found in seconds]


def marginal(few: float, many: float, pictures: int) -> float:
    """Milliseconds for each further picture, from the seconds of N and of 3N."""
    return 1000 * (many - few) / (2 * pictures)


def processes(name: str) -> int:
    """The number of processes that a contestant writes with."""
    return 2 if "2 workers" in name or "2 processes" in name else 1


def show(title: str, few: Mapping[str, float], many: Mapping[str, float], pictures: int, size: int) -> None:
    """A table: seconds of N, start-up, cost of a further picture, and how many times that of our default."""
    base = marginal(few[DEFAULT], many[DEFAULT], pictures)
    print(f"\n{title}\n\n| writer | s | MB/s | start-up, s | ms a further picture | by a process | times ours |")
    print("|---|---|---|---|---|---|---|")
    for name, seconds in few.items():
        each = marginal(seconds, many[name], pictures)
        cells = f"{seconds:.2f} | {size / seconds / 1e6:,.0f} | {seconds - each * pictures / 1000:.2f}"
        print(f"| {name} | {cells} | {each:.3f} | {each * processes(name):.3f} | {each / base:.2f} |")


def main() -> None:
    """Prints both tables, and all numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names that contain one of these words")
    parser.add_argument("--synced", action="store_true", help="only with every file synced")
    parser.add_argument("--work", help="folder for input and output, on the disk to measure")
    parser.add_argument("--json", help="file to write the medians to")
    given = parser.parse_args()
    names = [n for n in contestants() if not given.only or any(word in n for word in [*given.only, DEFAULT])]
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        work = Path(name)
        roots = {times: work / f"LPFF-{times}" for times in (1, 3)}
        inputs = {root: generate(root, times * given.pictures, given.side) for times, root in roots.items()}
        size = inputs[roots[1]]
        print(
            f"{given.pictures:,} pictures, {size / given.pictures / 1e3:.0f} KB each, {size / 1e9:.2f} GB, and 3 times"
        )
        found = {
            title: measure(names, inputs, work / "out", given.runs, synced)
            for title, synced in (("synced", True), ("not synced", False))[: 1 if given.synced else 2]
        }
    for title, (few, many) in found.items():
        show(title, few, many, given.pictures, size)
    if given.json:
        Path(given.json).write_text(json.dumps({"pictures": given.pictures, "bytes": size, "seconds": found}, indent=1))


if __name__ == "__main__":
    main()
