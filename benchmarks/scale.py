"""How planning, writing, finishing and memory grow: exports of 10,000, 100,000 and 1,000,000 tiny pictures.

    python -m benchmarks.scale [--samples N ...] [--format wds|tfrecord] [--keep FOLDER]

Each is a whole run of the command on an LPFF in a zip (8x8 PNGs, all cameras, all records), 1,000 samples a shard, so
that tasks, receipts, index files and the ledger are as many as they would be. Printed is what `--verbose` says of each
step, the peak memory of the command's own process, and how many times as long as linear each step took.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import nullcontext
from pathlib import Path

from PIL import Image

from benchmarks.memory import peak
from benchmarks.planning import poses, record

A_SHARD = 1000
STEPS = ("planning", "writing", "finishing")
_STEP = re.compile(r"(planning|checking|writing|finishing) ([\d.,]+) s")


def write_lpff(path: Path, pictures: int) -> None:
    """LPFF in a zip, stored: crops, cameras, records."""
    draw, info = random.Random(pictures), {}
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 150, 120)).save(out, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        for _ in range(pictures):
            user, photo = f"{draw.randrange(10**8, 10**9)}@N0{draw.randrange(10)}", str(draw.randrange(10**10, 10**11))
            info[f"{user}_{photo}_01"] = record(user, photo)
            archive.writestr(zipfile.ZipInfo(f"crop/eg3d/{user}_{photo}_01.png"), out.getvalue())
        archive.writestr("info.json", json.dumps(info))
        archive.writestr("camera_parameters.json", json.dumps(dict(zip(info, poses(pictures, 0.7, 0.3), strict=True))))


def run(source: Path, out: Path, format: str) -> tuple[dict[str, float], float]:
    """The seconds of each step of an export, and its own process's peak MiB."""
    options = ("--rebalance", "lpff", "--as", "weights", "--no-mirror", "--samples-per-shard", str(A_SHARD), "-v")
    command = [sys.executable, "-m", "lpff_shards", "export", "--format", format, "--lpff", str(source)]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([*command, *options, "--out", str(out)], stdout=log, stderr=log)
        most = 0.0
        while process.poll() is None:
            most = max(most, peak(process.pid))
            time.sleep(0.05)
        log.seek(0)
        said = log.read()
    if process.returncode:
        raise RuntimeError(said[-2000:])
    return {step: float(seconds.replace(",", "")) for step, seconds in _STEP.findall(said)}, most


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--format", default="tfrecord")
    parser.add_argument("--keep", type=Path, help="make the data set here, and leave it for the next run")
    given = parser.parse_args()
    print("| samples | planning, s | writing, s | finishing, s | own peak, MiB | times linear: planning, finishing |")
    print("|---:|---:|---:|---:|---:|---|")
    first: dict[str, float] = {}
    for samples in given.samples:
        with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as name:
            source = Path(name) / f"LPFF-{samples}.zip"
            if not source.is_file():
                write_lpff(source, samples)
            with tempfile.TemporaryDirectory(dir=name) as out:
                steps, most = run(source, Path(out) / "out", given.format)
        steps_a_sample = {step: steps.get(step, 0.0) / samples for step in STEPS}
        first = first or steps_a_sample
        grown = [steps_a_sample[step] / first[step] if first[step] else 0.0 for step in ("planning", "finishing")]
        cells = " | ".join(f"{steps.get(step, 0.0):.1f}" for step in STEPS)
        print(f"| {samples:,} | {cells} | {most:,.0f} | {grown[0]:.2f}, {grown[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
