"""Our loaders beside others, on the same pictures, cores and batch size, interleaved: medians and ratios.

The input is generated as `benchmarks.export` does, and exported once in each way of storing pictures. Every contestant
runs in a process of its own, for some seconds a round, with each number of workers; the best number counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.export import generate
from benchmarks.loading_rivals import BATCH, SIDE, write_archive
from lpff_shards.loaders.bench import Run, Work
from lpff_shards.options.bench import BenchOptions

WORKERS = (0, 1, 2)

STORED: Mapping[str, Sequence[str]] = {
    "png": ("--format", "wds"),
    "raw": ("--format", "wds", "--image", "raw"),
    "jpeg": ("--format", "wds", "--image", "jpeg"),
    "webp": ("--format", "wds", "--image", "webp"),
    "png-records": ("--format", "tfrecord"),
    "raw-records": ("--format", "tfrecord", "--image", "raw"),
    "fast-png": ("--format", "wds", "--image", "fast-png"),
    "stored-png": ("--format", "wds", "--image", "stored-png"),
    "zip": ("--format", "zip"),
}
ARCHIVE = "archive"
"""The zip that the trainers' own tools write."""


class Contestant(NamedTuple):
    """A way to load: `ours` by the name that `lpff_shards.loaders.bench` has for it."""

    name: str
    loader: str
    stored: str
    ours: bool
    workers: Sequence[int]
    needs: str = "torch"


CONTESTANTS = (
    Contestant("limit: the same bytes copied once", "limit", "raw", False, (0,), "numpy"),
    Contestant("ShardSource, raw", "source", "raw", True, (0,), "numpy"),
    Contestant("loaders.torch.loader, raw", "torch.loader", "raw", True, WORKERS),
    Contestant("loaders.torch.stream, raw", "torch.stream", "raw", True, WORKERS),
    Contestant("loaders.jax.loader, raw", "jax", "raw", True, (0,), "grain"),
    Contestant("plain webdataset, raw", "webdataset", "raw", False, WORKERS),
    Contestant("EG3D's way: its zip of stored PNGs, pyspng", "trainers-archive", ARCHIVE, False, WORKERS),
    Contestant("EG3D's way, over --format zip", "trainers-archive", "zip", False, WORKERS),
    Contestant("loaders.torch.loader, stored-png", "torch.loader", "stored-png", True, WORKERS),
    Contestant("loaders.torch.loader, fast-png", "torch.loader", "fast-png", True, WORKERS),
    Contestant("plain webdataset and Pillow, fast-png", "webdataset", "fast-png", False, WORKERS),
    Contestant("loaders.torch.loader, png", "torch.loader", "png", True, WORKERS),
    Contestant("plain webdataset and Pillow, png", "webdataset", "png", False, WORKERS),
    Contestant("loaders.torch.loader, jpeg", "torch.loader", "jpeg", True, WORKERS),
    Contestant("plain webdataset and Pillow, jpeg", "webdataset", "jpeg", False, WORKERS),
    Contestant("loaders.torch.loader, webp", "torch.loader", "webp", True, WORKERS),
    Contestant("plain webdataset and Pillow, webp", "webdataset", "webp", False, WORKERS),
    Contestant("loaders.tensorflow.dataset, raw records", "tensorflow", "raw-records", True, (0,), "tensorflow"),
    Contestant("loaders.tensorflow.dataset, png records", "tensorflow", "png-records", True, (0,), "tensorflow"),
    Contestant("plain tf.data, png records", "tf-data", "png-records", False, (0,), "tensorflow"),
)

RATIOS = (
    ("loaders.torch.loader, raw", "plain webdataset and Pillow, png", 25.0),
    ("loaders.torch.loader, raw", "EG3D's way: its zip of stored PNGs, pyspng", 8.0),
    ("loaders.torch.stream, raw", "plain webdataset, raw", 2.0),
    ("loaders.tensorflow.dataset, raw records", "limit: the same bytes copied once", 0.7),
    ("loaders.tensorflow.dataset, png records", "plain tf.data, png records", 1.5),
    ("loaders.torch.loader, fast-png", "plain webdataset and Pillow, png", 3.0),
    ("loaders.torch.loader, png", "plain webdataset and Pillow, png", 2.0),
    ("loaders.torch.loader, jpeg", "plain webdataset and Pillow, jpeg", 1.5),
    ("loaders.torch.loader, webp", "plain webdataset and Pillow, webp", 1.5),
)
"""Ours, the rival, and the aim."""


def export(root: Path, work: Path, stored: Sequence[str]) -> None:
    """Exports the pictures in the ways that are asked for."""
    for name in stored:
        if name == ARCHIVE:
            write_archive(root, work / name)
            continue
        command = [sys.executable, "-m", "lpff_shards", "export", "--lpff", str(root), "--no-mirror"]
        subprocess.run([*command, *STORED[name], "--out", str(work / name)], check=True, capture_output=True)


def once(one: Contestant, path: Path, workers: int, seconds: float) -> Run:
    """One contestant's run."""
    # The files are read first, so that each finds them in memory.
    for file in path.iterdir():
        if file.is_file():
            with file.open("rb", buffering=0) as shard:
                while shard.read(1 << 24):
                    pass
    if one.ours:
        # A number that the loader takes for itself where it has no worker processes.
        told = None if one.workers == (0,) else workers
        options = BenchOptions(path=str(path), batch_size=BATCH, seconds=seconds)
        work: Work = (Run(one.loader, told), options, "")
        words = ["lpff_shards.loaders.bench", msgspec.json.encode(work).decode()]
    else:
        words = ["benchmarks.loading_rivals", one.loader, str(path), str(workers), str(seconds)]
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, text=True, env=env)
    run = msgspec.json.decode(done.stdout.splitlines()[-1], type=Run)
    if run.problem:
        raise SystemExit(f"{one.name}: {run.problem}")
    return run


def rounds(chosen: Sequence[Contestant], work: Path, runs: int, seconds: float) -> dict[str, dict[int, float]]:
    """Median rate of each contestant by its number of workers."""
    rates: dict[str, dict[int, list[float]]] = {one.name: {n: [] for n in one.workers} for one in chosen}
    for _ in range(runs):
        for one in chosen:
            for workers in one.workers:
                rates[one.name][workers].append(once(one, work / one.stored, workers, seconds).rate)
    return {name: {n: statistics.median(found) for n, found in by.items()} for name, by in rates.items()}


def tables(rates: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    """Rates and ratios as Markdown."""
    yield "| loader | workers 0 | 1 | 2 | best, times the limit |\n|---|---|---|---|---|"
    limit = next((max(by.values()) for name, by in rates.items() if name.startswith("limit")), 0.0)
    for name, by in rates.items():
        cells = [f"{by[n]:,.0f}" if n in by else "-" for n in WORKERS]
        share = f"{max(by.values()) / limit:.3f}" if limit else "-"
        yield f"| {name} | {' | '.join(cells)} | {share} |"
    yield "\n| ours | rival | ratio | aim |\n|---|---|---|---|"
    for ours, rival, aim in RATIOS:
        if ours in rates and rival in rates:
            yield f"| {ours} | {rival} | {max(rates[ours].values()) / max(rates[rival].values()):.1f} | {aim:g} |"


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", nargs="*", help="names that contain one of these words")
    parser.add_argument("--work", help="folder for input and exports")
    parser.add_argument("--json", help="file to write the medians to")
    given = parser.parse_args()
    chosen = []
    for one in CONTESTANTS:
        if importlib.util.find_spec(one.needs) is None:
            print(f"left out: {one.name}, {one.needs} is not installed")
        elif not given.only or any(word in one.name for word in given.only):
            chosen.append(one)
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        work = Path(name)
        size = generate(work / "LPFF", given.pictures, SIDE)
        print(
            f"{given.pictures:,} pictures of {SIDE}x{SIDE}, {size / given.pictures / 1e3:.0f} KB, batches of {BATCH}\n"
        )
        export(work / "LPFF", work, sorted({one.stored for one in chosen}))
        rates = rounds(chosen, work, given.runs, given.seconds)
    print("\n".join(tables(rates)))
    if given.json:
        Path(given.json).write_text(json.dumps(rates, indent=1))


if __name__ == "__main__":
    main()
