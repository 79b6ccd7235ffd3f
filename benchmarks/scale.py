"""How planning, writing, finishing, checking and memory grow: exports of 10,000, 100,000 and 1,000,000 tiny pictures.

    python -m benchmarks.scale [--samples N ...] [--format wds|tfrecord] [--keep FOLDER] [--rounds N]

Each is a whole export of an LPFF in a zip (8x8 PNGs, all cameras, all records), 1,000 samples a shard, so that tasks,
receipts, index files and the ledger are as many as they would be; sizes take turns, and of several rounds the fastest
step counts. Printed are the seconds of each step with the CPU seconds of the main process beside them, how many times
as long as linear each step took by those, the peak of the main process, and what stands beside the shards.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.planning import poses, record

A_SHARD = 1000
STEPS = ("planning", "writing", "finishing", "verifying")
WHAT = ("shards", "index files", "receipts", "fields", "ledger", "attribution", "manifest", "other files")


@dataclass(frozen=True)
class Grown:
    """What an export of some size took.

    Attributes:
        seconds, cpu: of each step, by the clock and of the main process.
        peaks: MiB of the main process until each step's end; worker: of the largest of its workers.
        files, bytes: by what they are.
    """

    samples: int
    shards: int
    seconds: Mapping[str, float]
    cpu: Mapping[str, float]
    peaks: Mapping[str, float]
    worker: float
    files: Mapping[str, int]
    bytes: Mapping[str, int]


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


def run(source: Path, samples: int, out: Path, format: str) -> Grown:
    """Exports and verifies in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale_run", source, out, format, A_SHARD]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    told = json.loads(done.stdout)
    seconds, cpu, peaks = ({step: told["steps"][step][name] for step in STEPS} for name in ("seconds", "cpu", "peak"))
    return Grown(samples, told["shards"], seconds, cpu, peaks, told["worker"], *_beside(out))


def _beside(out: Path) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """How many files there are, and how large, by what they are."""
    files, sizes = Counter[str](), Counter[str]()
    for path in (path for path in out.rglob("*") if path.is_file()):
        what = _what(path.relative_to(out))
        files[what] += 1
        sizes[what] += path.stat().st_size
    return files, sizes


def _what(path: Path) -> str:
    names = {"samples.sqlite": "ledger", "manifest.json": "manifest"}
    folders = {"receipts": "receipts", "fields": "fields"}
    if path.name in names or path.parent.name in folders:
        return names.get(path.name) or folders[path.parent.name]
    if path.name.startswith("ATTRIBUTION"):
        return "attribution"
    if path.suffix == ".idx":
        return "index files"
    return "shards" if path.suffix == ".tar" or ".tfrecord-" in path.name else "other files"


def fastest(rounds: Sequence[Grown]) -> Grown:
    """Of several runs of one size the fastest of each step; of all else the last."""
    seconds, cpu = (
        {step: min(getattr(one, name)[step] for one in rounds) for step in STEPS} for name in ("seconds", "cpu")
    )
    last = rounds[-1]
    return Grown(last.samples, last.shards, seconds, cpu, last.peaks, last.worker, last.files, last.bytes)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--format", default="tfrecord")
    parser.add_argument("--keep", type=Path, help="make the data set here, and leave it for the next run")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    runs: dict[int, list[Grown]] = {samples: [] for samples in given.samples}
    with nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as name:
        for samples in given.samples * given.rounds:
            source = Path(name) / f"LPFF-{samples}.zip"
            if not source.is_file():
                write_lpff(source, samples)
            with tempfile.TemporaryDirectory(dir=name) as out:
                runs[samples].append(run(source, samples, Path(out) / "out", given.format))
    print_tables([fastest(rounds) for rounds in runs.values()])


def print_tables(grown: Sequence[Grown]) -> None:
    """Seconds, then what stands beside the shards."""
    first = grown[0]
    steps = " | ".join(f"{step}, s (CPU)" for step in STEPS)
    print(f"| samples | {steps} | times linear: planning, finishing | peak, MiB |")
    print(f"|---:|{'---:|' * len(STEPS)}---|---:|")
    for one in grown:
        cells = " | ".join(f"{one.seconds[step]:.1f} ({one.cpu[step]:.1f})" for step in STEPS)
        grows = (one.cpu[step] * first.samples / (one.samples * first.cpu[step]) for step in ("planning", "finishing"))
        linear = ", ".join(f"{times:.2f}" for times in grows)
        peaks = ", ".join(f"{one.peaks[step]:,.0f}" for step in ("planning", "finishing", "verifying"))
        print(f"| {one.samples:,} | {cells} | {linear} | {peaks}; worker {one.worker:,.0f} |")
    print(f"\n| samples | shards | {' | '.join(WHAT[1:])} |\n|---:|---:|{'---:|' * (len(WHAT) - 1)}")
    for one in grown:
        cells = " | ".join(f"{one.files.get(what, 0):,}: {one.bytes.get(what, 0) / 1e6:,.2f} MB" for what in WHAT[1:])
        print(f"| {one.samples:,} | {one.shards:,}: {one.bytes['shards'] / 1e6:,.0f} MB | {cells} |")


if __name__ == "__main__":
    main()
