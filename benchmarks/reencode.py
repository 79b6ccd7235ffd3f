"""Exports in which the codec binds, by one worker and by two, beside the usual way: Pillow and ShardWriter.

The input is generated, 512x512 with a photo's noise. Each is timed as a whole command in turn; medians and ratios.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.export import generate

KINDS: Mapping[str, Sequence[str]] = {
    "with mirrors": (),
    "--image raw": ("--image", "raw", "--no-mirror"),
    "--image jpeg": ("--image", "jpeg", "--no-mirror"),
    "--image webp": ("--image", "webp", "--no-mirror"),
    "--resolution 256": ("--resolution", "256", "--no-mirror"),
}
_RIVAL = """
import io, sys
from pathlib import Path
import webdataset as wds
from PIL import Image, ImageOps
with wds.ShardWriter(sys.argv[2] + "/usual-%06d.tar", verbose=0) as writer:
    for path in sorted(Path(sys.argv[1]).iterdir()):
        out = io.BytesIO()
        ImageOps.mirror(Image.open(path)).save(out, "PNG")
        writer.write({"__key__": path.stem.replace("@", "-"), "png": path.read_bytes()})
        writer.write({"__key__": path.stem.replace("@", "-") + "_m", "png": out.getvalue()})
"""
USUAL = "with mirrors, Pillow and ShardWriter"


def seconds(command: Sequence[str], out: Path) -> float:
    """How long a command takes; what it wrote is removed."""
    out.mkdir()
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    spent = time.perf_counter() - start
    shutil.rmtree(out)
    return spent


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    spent: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        root, out = Path(name) / "LPFF", Path(name) / "out"
        generate(root, given.pictures, 512)
        ours = [
            sys.executable,
            "-m",
            "lpff_shards",
            "export",
            "--format",
            "wds",
            "--lpff",
            str(root),
            "--out",
            str(out),
        ]
        for _ in range(given.runs):
            for kind, options in KINDS.items():
                for workers in (1, 2):
                    command = [*ours, "--shards", "8", "--workers", str(workers), *options]
                    spent.setdefault((kind, workers), []).append(seconds(command, out))
            usual = [sys.executable, "-c", _RIVAL, str(root / "crop/eg3d"), str(out)]
            spent.setdefault((USUAL, 1), []).append(seconds(usual, out))
    print("| export | s, 1 worker | s, 2 workers | times as fast |\n|---|---|---|---|")
    for kind in KINDS:
        one, two = (statistics.median(spent[kind, workers]) for workers in (1, 2))
        print(f"| {kind} | {one:.2f} | {two:.2f} | {one / two:.2f} |")
    print(f"| {USUAL} | {statistics.median(spent[USUAL, 1]):.2f} | - | - |")


if __name__ == "__main__":
    main()
