"""What it costs to open the first bytes of every picture of FFHQ and LPFF while planning: in a zip, a folder, a bucket.

Medians of interleaved runs. The bucket is the tests' server of Google's interface on this machine, with a wait before
each answer that the tests' proxy makes.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
import urllib.request
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from lpff_shards.planning.survey import SAMPLED
from lpff_shards.schemas.columns import Structs
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.files import headers
from lpff_shards.sources.io.tree import open_tree
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.prefix import BucketPrefix
from tests.servers.child import Child
from tests.servers.fault import Fault

PICTURES = 179_094
BUCKET = "bucket-of-pictures"


def write(root: Path, count: int) -> None:
    """The same small picture many times, in a folder and in a zip."""
    out = io.BytesIO()
    Image.new("RGB", (512, 512), "teal").save(out, "PNG")
    (root / "folder").mkdir()
    with zipfile.ZipFile(root / "pictures.zip", "w") as archive:
        for number in range(count):
            archive.writestr(zipfile.ZipInfo(f"{number:06d}.png"), out.getvalue())
            (root / f"folder/{number:06d}.png").write_bytes(out.getvalue())


def opened(blobs: Structs[Blob]) -> float:
    """Seconds to read all their headers."""
    started = time.perf_counter()
    assert all(header is not None for header in headers(blobs))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--wait", type=float, default=0.02, help="seconds before each answer of the bucket")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, Child("gcs") as server, Child("proxy", server.url) as proxy:
        root = Path(work)
        write(root, given.pictures)
        os.environ["STORAGE_EMULATOR_HOST"] = proxy.url
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/{BUCKET}", b"", method="PUT")).close()
        proxy.tell(do="break", faults=[], seed=0)
        BucketPrefix(BucketPath("gs", BUCKET)).keep(root / "pictures.zip", "pictures.zip")
        places = (root / "pictures.zip", root / "folder", f"gs://{BUCKET}/pictures.zip")
        blobs = [open_tree("--ffhq", str(place)).files().blobs for place in places]
        proxy.tell(do="break", faults=[asdict(Fault("slow", seconds=given.wait))], seed=0)
        seconds: dict[str, list[float]] = {}
        for _ in range(given.runs):
            for where, found in zip(("zip", "folder"), blobs[:2], strict=True):
                seconds.setdefault(f"{where}, {given.pictures:,} pictures", []).append(opened(found))
            where = f"zip in a bucket, {SAMPLED:,} pictures, answers after {1e3 * given.wait:.0f} ms"
            seconds.setdefault(where, []).append(opened(blobs[2].take(np.arange(SAMPLED))))
        print("| where | s |\n|---|---|")
        for where, runs in seconds.items():
            print(f"| {where} | {statistics.median(runs):.2f} |")


if __name__ == "__main__":
    main()
