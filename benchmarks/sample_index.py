"""The ledger of a million samples: writing it, and finding a photo in it from the command line.

    python -m benchmarks.sample_index [SAMPLES] [RUNS]

The samples are made up: a quarter as many photos, each with its mirror and a copy of both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

from lpff_shards.manifest import MANIFEST, Counts, Manifest, Shard, to_json
from lpff_shards.schemas.fields import SCHEMA_VERSION, Layout
from lpff_shards.schemas.filenames import SAMPLE_INDEX
from lpff_shards.schemas.keys import sample_key
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.sidecars.attribution import lines, write_table
from lpff_shards.sidecars.folder import Row
from lpff_shards.sidecars.sample_index import SampleIndex, fingerprint, write_tables

A_SHARD = 1000
BYTES = 450_000
SPREAD = 7919
"""A prime: the samples of a photo lie in shards far from one another."""


def _row(sample: int, photos: int) -> Row:
    photo, mirrored, replica = sample * SPREAD % photos, sample // photos % 2 == 1, sample // photos // 2
    id = f"{10_000 + photo // 4}@N00_{photo:09d}_01"
    flip = "; mirrored" if mirrored else ""
    key = sample_key("lpff", id, mirrored, replica)
    return (
        *(key, "lpff", id, f"{photo:09d}", 1, mirrored, replica, "train", "", "eg3d", "eg3d"),
        *(True, photo % 157 / 100, photo % 61 / 100, False, "", 0.5, 1.0, "CC-BY-2.0"),
        *("https://creativecommons.org/licenses/by/2.0/", f"Author {photo // 4}", f"{10_000 + photo // 4}@N00"),
        *(f"Photo number {photo}", f"https://www.flickr.com/photos/{photo // 4}/{photo}/", "", ""),
        *(f"aligned and cropped as for EG3D{flip}", 512, 512, "RGB", 1, ""),
    )


def _shards(manifest: Manifest) -> Iterator[tuple[ShardReceipt, Iterator[Row]]]:
    built = ReceiptBuilder()
    for number in range(A_SHARD):
        built.add("", BYTES * (number + 1), ("png", "json"), (BYTES - 2000, 500))
    for number, shard in enumerate(manifest.shards):
        rows = (_row(number * A_SHARD + sample, manifest.samples // 4) for sample in range(A_SHARD))
        yield built.build(shard.file, BYTES * A_SHARD), rows


def _manifest(samples: int) -> Manifest:
    files = [f"big-train-{number:06d}.tar" for number in range(samples // A_SHARD)]
    return Manifest(
        version=1,
        schema=SCHEMA_VERSION,
        generator="benchmark",
        name="big",
        format="wds",
        samples=samples,
        plan="0" * 64,
        checksum="blake3",
        options={},
        layout=Layout(raw=False, camera=True, landmarks=False),
        counts=Counts(samples, samples, 0, 0),
        sources={"lpff": samples},
        licenses={"CC-BY-2.0": samples},
        splits={"train": samples},
        filtered={},
        shards=tuple(Shard(file, "train", A_SHARD, A_SHARD * BYTES, "0" * 64, "0" * 32) for file in files),
    )


def main() -> None:
    samples, runs = (int(word) for word in [*sys.argv[1:], *("1000000", "5")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as folder:
        root, manifest = Path(folder), _manifest(samples - samples % A_SHARD)
        (root / MANIFEST).write_bytes(to_json(manifest))
        start = time.perf_counter()
        write_tables(root / SAMPLE_INDEX, fingerprint(manifest), _shards(manifest), None)
        took, size = time.perf_counter() - start, (root / SAMPLE_INDEX).stat().st_size
        print(f"{manifest.samples:,} samples: written in {took:.1f} s, {size / 1e6:.0f} MB")
        with SampleIndex.open(root, manifest) as ledger:
            start = time.perf_counter()
            write_table(root / "a.csv", lines(ledger))
            print(f"ATTRIBUTION.csv in {time.perf_counter() - start:.1f} s")
            start = time.perf_counter()
            ledger.column("yaw")
            print(f"column yaw in {time.perf_counter() - start:.2f} s")
        print(f"peak memory {getrusage(RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
        for name in (sample_key("lpff", "10033@N00_000000133_01", True, 1), "000000133", "Author 33", "nobody"):
            print(f"lpff-shards trace {name!r}: {_traced(name, root, runs):.2f} s")


def _traced(name: str, root: Path, runs: int) -> float:
    """Seconds of the whole command, the median."""
    command = [sys.executable, "-m", "lpff_shards", "trace", name, str(root)]
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
