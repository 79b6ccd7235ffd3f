"""The report of FFHQ and LPFF rebalanced at full size: seconds of each step, peak memory and the size of the page.

The index of an export is written for 179,094 pictures and their copies, without shards: a report reads those for the
contact sheet alone, whose portraits are drawn here. FFHQ's poses are the published angles where they are given
(`--ffhq-angles`, a NumPy file of theta and phi, [2, 139914]), else poses that spread like them; LPFF's are those of a
large-pose set. Licenses and sizes are made up.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.density import points
from lpff_shards.manifest import Counts, Manifest, Shard
from lpff_shards.planning.density import density
from lpff_shards.planning.rebalance import LPFF_THRESHOLDS, lpff_replicas
from lpff_shards.report.contact_sheet import Rows, Shown
from lpff_shards.report.facts import Facts, export_facts
from lpff_shards.report.plots import draw_all
from lpff_shards.report.write import target, write
from lpff_shards.schemas.fields import FIELDS, PYTHON_TYPES, SCHEMA_VERSION, Layout, Scalar
from lpff_shards.schemas.filenames import SAMPLE_INDEX
from lpff_shards.schemas.receipt import ReceiptBuilder, ShardReceipt
from lpff_shards.sidecars.folder import Row
from lpff_shards.sidecars.sample_index import SampleIndex, count_poses, fingerprint, write_tables
from lpff_shards.sources import demo_render
from lpff_shards.sources.demo import look_at

FFHQ = 139_914
SHARDS = 512
SOURCES = ("ffhq", "lpff")
LICENSES = ("CC-BY-2.0", "CC-BY-NC-2.0", "CC0-1.0", "")

Angles = NDArray[np.float64]


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Prints the seconds that a step takes."""
    start = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - start:.2f} s")


def yaw_pitch(angles: Angles) -> Angles:
    """Yaw and pitch of theta and phi, [n, 2] to [n, 2], in radians."""
    theta, phi = angles.T
    x, y, z = np.cos(theta), np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi)
    return np.stack([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))], axis=1)


def make_export(root: Path, ffhq_angles: str | None) -> Manifest:
    """Writes the index of `ffhq_lpff_rebalanced`."""
    angles = points(ffhq_angles, 1.0)
    poses = yaw_pitch(angles)
    copies = lpff_replicas(density(angles, LPFF_THRESHOLDS)).astype(np.int64)
    picture = np.repeat(np.arange(len(poses)), copies)
    replica = np.arange(len(picture)) - (np.cumsum(copies) - copies)[picture]
    # Of another seed than the report deals with: dealt by the same one, samples would stand in their first order again.
    order = np.random.default_rng(2).permutation(len(picture))
    picture, replica, n = picture[order], replica[order], len(order)
    sizes = np.random.default_rng(1).normal(448e3, 60e3, n).clip(1e5).astype(np.int64)
    bounds = (np.arange(SHARDS + 1) * n // SHARDS).tolist()
    pieces = [slice(start, stop) for start, stop in pairwise(bounds)]
    shards = tuple(
        Shard(f"{number:06d}.tar", "train", piece.stop - piece.start, int(sizes[piece].sum()), "", "")
        for number, piece in enumerate(pieces)
    )
    manifest = Manifest(
        version=1,
        schema=SCHEMA_VERSION,
        generator="a benchmark",
        name="ffhq_lpff_rebalanced",
        format="wds",
        samples=n,
        plan="0" * 64,
        checksum="blake3",
        options={"rebalance": "lpff", "as": "replicas"},
        layout=Layout(False, True, True),
        counts=Counts(n, n, 0, 0),
        sources={},
        licenses={},
        splits={"train": n},
        filtered={},
        shards=shards,
    )
    outlines = (_receipt(shard.file, sizes[piece]) for shard, piece in zip(shards, pieces, strict=True))
    rows = (_rows(picture[piece], replica[piece], poses) for piece in pieces)
    before = count_poses(SOURCES, (np.arange(len(poses)) >= FFHQ).astype(np.int64), poses)
    write_tables(root / SAMPLE_INDEX, fingerprint(manifest), zip(outlines, rows, strict=True), before)
    return manifest


def _receipt(file: str, sizes: NDArray[np.int64]) -> ShardReceipt:
    built = ReceiptBuilder()
    for size in sizes.tolist():
        built.add("", built.at + size, ("png",), (size,))
    return built.build(file, built.at)


def _rows(pictures: NDArray[np.int64], replicas: NDArray[np.int64], poses: Angles) -> Iterator[Row]:
    blank: dict[str, Scalar] = {field.name: PYTHON_TYPES[field.kind]() for field in FIELDS}
    for picture, replica in zip(pictures.tolist(), replicas.tolist(), strict=True):
        photo = picture // 2
        known: dict[str, Scalar] = {
            "key": f"{picture}-{replica}",
            "dataset": SOURCES[picture >= FFHQ],
            "source_id": str(photo),
        }
        known |= {"mirrored": picture % 2 == 1, "replica": replica, "split": "train", "alignment": "eg3d"}
        known |= {"has_camera": True, "yaw": float(poses[picture, 0]), "pitch": float(poses[picture, 1])}
        known |= {"weight": 1.0, "license": LICENSES[photo % 4], "author": f"author {photo % 9999}"}
        yield tuple((blank | known | {"width": 512, "height": 512, "mode": "RGB"}).values())


def portraits(facts: Facts, rows: Rows) -> list[Shown]:
    """Portraits as the cameras of some samples see them."""
    cameras = [look_at(float(facts.yaw[row]), float(facts.pitch[row])) for row in rows]
    return [
        Shown(f"sample_{row}", Image.fromarray(demo_render.render(camera, demo_render.person(row), 96)))
        for row, camera in zip(rows, cameras, strict=True)
    ]


def main() -> None:
    """Prints seconds, memory and sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ffhq-angles", metavar="FILE")
    parser.add_argument("--out", metavar="FILE", help="keep the report as this HTML file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        manifest = make_export(root, given.ffhq_angles)
        start = time.perf_counter()
        with timed("columns from samples.sqlite"), SampleIndex.open(root, manifest) as index:
            facts = export_facts(root, manifest, index)
        print(f"{len(facts):,} samples of {int((facts.replica == 0).sum()):,} pictures")
        with timed("plots, contact sheet and page"):
            made = write(facts, lambda rows: portraits(facts, rows), target(given.out or root / "report.html"))
        print(f"together: {time.perf_counter() - start:.2f} s")
        with timed("of which all plots (drawn again)"):
            draw_all(facts)
        plots = sum(Path(plot).stat().st_size for plot in made.plots)
        print(f"page {made.bytes / 1e6:.2f} MB, {len(made.plots)} PNGs {plots / 1e6:.2f} MB")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
