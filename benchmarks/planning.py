"""The dry run of `ffhq_lpff_rebalanced` at full size, and of a million pictures: seconds and peak memory.

LPFF is generated as the published folder with `camera_parameters.json` and `info.json`, FFHQ as EG3D's zip with its
`dataset.json`. Pictures are a few bytes, since planning does not read them.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from benchmarks.planned import dry_run
from lpff_shards.sources.demo import look_at

FFHQ_PHOTOS = 69_957
LPFF_PICTURES = 19_590
MILLION = 1_000_000
PICTURE = b"\x89PNG"


def poses(count: int, yaw: float, pitch: float) -> list[list[float]]:
    """Cameras that spread by that much."""
    draw = np.random.default_rng(count)
    found = zip(draw.normal(0, yaw, count).tolist(), draw.normal(0, pitch, count).tolist(), strict=True)
    return [look_at(max(-1.5, min(1.5, y)), max(-0.8, min(0.8, p))).tolist() for y, p in found]


def write_ffhq(path: Path, photos: int) -> None:
    """EG3D's FFHQ, pictures and mirrors."""
    labels = []
    with zipfile.ZipFile(path, "w") as archive:
        for photo, camera in enumerate(poses(photos, 0.27, 0.13)):
            mirrored = [-n if place in (1, 2, 3, 4, 8) else n for place, n in enumerate(camera)]
            for name, numbers in ((f"{photo:05d}.png", camera), (f"{photo:05d}_mirror.png", mirrored)):
                archive.writestr(zipfile.ZipInfo(name), PICTURE)
                labels.append([name, numbers])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))


def write_lpff(root: Path, pictures: int) -> None:
    """LPFF: crops, cameras and records."""
    draw = random.Random(pictures)
    crops = root / "crop/eg3d"
    crops.mkdir(parents=True)
    info = {}
    for _ in range(pictures):
        user, photo = f"{draw.randrange(10**8, 10**9)}@N0{draw.randrange(10)}", str(draw.randrange(10**10, 10**11))
        id = f"{user}_{photo}_01"
        (crops / f"{id}.png").write_bytes(PICTURE)
        info[id] = record(user, photo)
    cameras = dict(zip(info, poses(pictures, 0.7, 0.3), strict=True))
    (root / "camera_parameters.json").write_text(json.dumps(cameras))
    (root / "info.json").write_text(json.dumps(info))


def record(user: str, photo: str) -> dict[str, object]:
    """A record with every field of the published info.json."""
    live = f"https://live.staticflickr.com/5727/{photo}"
    image = {"photo_id": photo, "user_id": user, "photo_url": f"https://www.flickr.com/photos/{user}/{photo}/"}
    image |= {"server": "5727", "secret": "809c964c3a", "originalsecret": "4840597377", "originalformat": "jpg"}
    image |= {"low_resolution_download_url": f"{live}_z_d.jpg", "high_resolution_download_url": f"{live}_o_d.jpg"}
    license = {"name": "Attribution License", "url": "https://creativecommons.org/licenses/by/2.0/"}
    return {"raw_image_name": f"{user}_{photo}", "image_info": {**image, "license": license, "username": user}}


def measure(root: Path, pictures: int, *options: str) -> None:
    """Plans FFHQ with an LPFF of that many pictures."""
    lpff = root / str(pictures)
    if not lpff.is_dir():
        write_lpff(lpff, pictures)
    text, seconds, peak = dry_run("--ffhq", root / "FFHQ.zip", "--lpff", lpff, "--rebalance", "lpff", *options)
    total = 2 * FFHQ_PHOTOS + pictures
    print(f"{total:,} pictures: {seconds:.1f} s, peak {peak:.0f} MiB; {text.splitlines()[0]}")


def main() -> None:
    """Prints seconds and peak memory of both."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_ffhq(root / "FFHQ.zip", FFHQ_PHOTOS)
        measure(root, LPFF_PICTURES)
        measure(root, LPFF_PICTURES, "--splits", "train=0.96,val=0.02,test=0.02")
        measure(root, MILLION - 2 * FFHQ_PHOTOS)


if __name__ == "__main__":
    main()
