"""Loading from a bucket beside loading from the folder: pictures a second, at once and with a wait before each answer.

The bucket is the tests' server of Google's interface on this machine, which keeps objects in memory; the wait is made
by the tests' proxy. No network is in it, so the figures tell what our side costs and what waiting does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path

import numpy as np

from lpff_shards import ExportOptions, PictureOptions, RunOptions, ShardOptions, SourceOptions, export
from lpff_shards.loaders import ShardSource
from lpff_shards.loaders.sampler import EpochSampler
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.prefix import BucketPrefix
from tests.servers.child import Child
from tests.servers.fault import Fault

BATCH = 32
SAMPLES = 512
IMAGES = ("raw", "jpeg")
BUCKET = "bucket-of-shards"


def shuffled(source: ShardSource) -> Iterator[int]:
    """Batches as `loaders.torch.loader` draws them, by one thread."""
    sampling = EpochSampler(counts=[len(source)], batch_size=BATCH)
    for epoch in count():
        for number in range(len(sampling)):
            yield len(source.batch(sampling.draw(epoch, number).indices)["index"])


def in_turn(source: ShardSource) -> Iterator[int]:
    """Samples one behind the other."""
    while True:
        yield from (1 for _ in source)


def rate(pictures: Iterator[int], seconds: float) -> float:
    """Pictures a second, the first ones left out."""
    next(pictures)
    total, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        total += next(pictures)
    return total / (time.perf_counter() - started)


def write(out: Path, image: str) -> None:
    """An export of demo pictures of 512x512."""
    export(
        ExportOptions(
            format="wds",
            out=str(out),
            sources=SourceOptions(demo=SAMPLES // 2),
            picture=PictureOptions(image=image, resolution=512),  # type: ignore[arg-type]
            shards=ShardOptions(shards=4),
            run=RunOptions(workers=1),
        )
    )


def copy(folder: Path, uri: str) -> None:
    """Puts an export into a bucket."""
    for path in folder.rglob("*"):
        if path.is_file():
            BucketPrefix(BucketPath.parse(uri)).keep(path, str(path.relative_to(folder)))


def measured(path: str, runs: int, seconds: float) -> str:
    """Two cells of the table: medians, in batches and in turn."""
    source = ShardSource(path)
    source.batch(np.arange(BATCH))
    found = [statistics.median(rate(way(source), seconds) for _ in range(runs)) for way in (shuffled, in_turn)]
    return " | ".join(f"{pictures:,.0f}" for pictures in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--wait", type=float, default=0.025, help="seconds before each answer")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, Child("gcs") as server, Child("proxy", server.url) as proxy:
        # A process keeps its connections, so what is at once goes through the proxy too.
        os.environ["STORAGE_EMULATOR_HOST"] = proxy.url
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/{BUCKET}", b"", method="PUT")).close()
        print("| pictures | where | batches, shuffled | in turn |\n|---|---|---|---|")
        for image in IMAGES:
            folder, uri = Path(work) / image, f"gs://{BUCKET}/{image}"
            write(folder, image)
            proxy.tell(do="break", faults=[], seed=0)
            copy(folder, uri)
            print(f"| {image} | folder | {measured(str(folder), given.runs, given.seconds)} |", flush=True)
            for wait in (0.0, given.wait):
                proxy.tell(do="break", faults=[asdict(Fault("slow", seconds=wait))], seed=0)
                where = f"bucket, answers after {1e3 * wait:.0f} ms"
                print(f"| {image} | {where} | {measured(uri, given.runs, given.seconds)} |", flush=True)


if __name__ == "__main__":
    main()
