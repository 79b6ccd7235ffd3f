"""Peak memory and time of planning FFHQ with a metadata file of the real one's size (255 MB, 70,000 records).

Both layouts are generated as published: StyleGAN-aligned folders of thousands, and EG3D's zip of 140,000 pictures with
its dataset.json. Pictures are four bytes, since planning does not read them.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.planned import dry_run
from lpff_shards.sources.demo import look_at

PICTURES = 70_000


def points(draw: random.Random) -> list[list[float]]:
    """68 landmarks with the digits that the published file has."""
    return [[round(draw.uniform(0, 1024), 2), round(draw.uniform(0, 1024), 2)] for _ in range(68)]


def record(index: int) -> dict[str, Any]:
    """A record with every field of the published file."""
    draw = random.Random(index)
    file = {"file_size": 1306330, "file_md5": draw.randbytes(16).hex(), "pixel_size": [1024, 1024]}
    file["pixel_md5"] = draw.randbytes(16).hex()
    name = f"{index // 1000 * 1000:05d}/{index:05d}.png"
    return {
        "category": "training" if index < 60_000 else "validation",
        "metadata": {
            "photo_url": f"https://www.flickr.com/photos/{draw.getrandbits(26)}@N00/{draw.getrandbits(33)}/",
            "photo_title": f"DSCF{draw.getrandbits(20)}.JPG",
            "author": f"Author {draw.getrandbits(15)}",
            "country": "",
            "license": "Attribution-NonCommercial License",
            "license_url": "https://creativecommons.org/licenses/by-nc/2.0/",
            "date_uploaded": "2007-08-16",
            "date_crawled": "2018-10-10",
        },
        "image": {"file_path": f"images1024x1024/{name}", **file, "face_landmarks": points(draw)},
        "thumbnail": {"file_path": f"thumbnails128x128/{name}", **file},
        "in_the_wild": {
            "file_path": f"in-the-wild-images/{name}",
            **file,
            "face_rect": [667, 410, 1438, 1181],
            "face_landmarks": points(draw),
            "face_quad": [[round(draw.uniform(0, 3000), 2) for _ in range(2)] for _ in range(4)],
        },
    }


def generate(root: Path, pictures: int) -> None:
    """Writes v2.json, streaming, the StyleGAN-aligned folders, and EG3D's zip."""
    with (root / "v2.json").open("w") as file:
        file.write("{")
        for index in range(pictures):
            file.write(f'{"," if index else ""}\n"{index}": {json.dumps(record(index))}')
        file.write("\n}\n")
    for index in range(pictures):
        folder = root / "ffhq/images1024x1024" / f"{index // 1000 * 1000:05d}"
        if index % 1000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{index:05d}.png").write_bytes(b"\x89PNG")
    labels = []
    with zipfile.ZipFile(root / "ffhq.zip", "w") as archive:
        for index in range(pictures):
            for name in (f"{index:05d}.png", f"{index:05d}_mirror.png"):
                archive.writestr(name, b"\x89PNG")
                labels.append([name, look_at(index / pictures - 0.5, 0.1).tolist()])
        archive.writestr("dataset.json", json.dumps({"labels": labels}))


def measure(title: str, *options: str) -> None:
    """Plans, and prints time and peak memory."""
    _, seconds, peak = dry_run(*options)
    print(f"{title}: planned in {seconds:.1f} s, peak {peak:.0f} MiB")


def main() -> None:
    """Prints seconds and peak resident memory of both dry runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=PICTURES)
    pictures = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        generate(root, pictures)
        metadata = ("--ffhq-metadata", str(root / "v2.json"))
        print(f"{pictures:,} records, {(root / 'v2.json').stat().st_size / 1e6:.0f} MB of JSON")
        measure("stylegan, folders", "--alignment", "stylegan", "--ffhq", str(root / "ffhq"), *metadata)
        measure("eg3d, zip", "--ffhq", str(root / "ffhq.zip"), *metadata)


if __name__ == "__main__":
    main()
