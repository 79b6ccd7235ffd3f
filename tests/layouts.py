"""Tiny data sets in the published layouts; what they hold is told by ids alone, so that tests can say it again."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lpff_shards.sources.demo import look_at

Json = Any

ALIGNMENTS = ("eg3d", "stylegan", "realign2400", "raw")
FOLDERS = {"eg3d": "crop/eg3d", "stylegan": "crop/stylegan", "realign2400": "realign2400", "raw": "raw"}
# The first two are faces of one photo.
LPFF_IDS = ("100004356@N06_21795165006_01", "100004356@N06_21795165006_02", "99873466@N00_3071459241_01")
UP_IDS = ("guess-attic-girl-woman-pretty_01", "guess-attic-girl-woman-pretty_02", "wYu7Rc2bqzE_01")
LICENCES = (
    ("Attribution License", "https://creativecommons.org/licenses/by/2.0/"),
    ("Attribution-ShareAlike License", "https://creativecommons.org/licenses/by-sa/2.0/"),
    ("Attribution-NonCommercial License", "https://creativecommons.org/licenses/by-nc/2.0/"),
)


def picture(name: str, size: int = 8, kind: str = "PNG") -> bytes:
    """A picture file of noise that is the same for the same name."""
    pixels = np.frombuffer(random.Random(name).randbytes(size * size * 3), np.uint8).reshape(size, size, 3)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def camera(name: str) -> list[float]:
    """The camera of an id."""
    draw = random.Random(f"camera {name}").uniform
    return [float(n) for n in look_at(draw(-1.2, 1.2), draw(-0.5, 0.5), draw(-0.1, 0.1))]


def mirrored(numbers: Sequence[float]) -> list[float]:
    """The camera of the mirrored picture, by the published rule."""
    return [-n if place in (1, 2, 3, 4, 8) else n for place, n in enumerate(numbers)]


def points(name: str, size: int = 8) -> list[list[float]]:
    """The 68 landmarks of an id, in numbers that float32 holds exactly."""
    draw = random.Random(f"points {name}")
    return [[draw.randrange(size * 8) / 8, draw.randrange(size * 8) / 8] for _ in range(68)]


def dump(path: Path, value: Json) -> Path:
    """Writes JSON as Python's json does, NaN and all."""
    return write(path, json.dumps(value, indent=1).encode())


def edit(path: Path, change: Callable[[Json], Json]) -> None:
    """Changes a JSON file."""
    dump(path, change(json.loads(path.read_text())))


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def lpff_info(id: str) -> Json:
    """LPFF's record of an id."""
    user, photo, _ = id.split("_")
    name, url = LICENCES[int(photo) % 2]
    live = f"https://live.staticflickr.com/5727/{photo}"
    image = {"photo_id": photo, "user_id": user, "photo_url": f"https://www.flickr.com/photos/{user}/{photo}/"}
    image |= {"server": "5727", "secret": "809c964c3a", "originalsecret": "4840597377", "originalformat": "jpg"}
    image |= {"low_resolution_download_url": f"{live}_z_d.jpg", "high_resolution_download_url": f"{live}_o_d.jpg"}
    return {
        "raw_image_name": f"{user}_{photo}",
        "image_info": image | {"license": {"name": name, "url": url}, "username": f"Zoë {user}"},
    }


def up_info(id: str) -> Json:
    """Unsplash-Pexels' record of an id."""
    slug = id[:-3]
    return (
        f"https://images.pexels.com/photos/34525/{slug}.jpg" if "-" in slug else f"https://unsplash.com/photos/{slug}"
    )


def write_portraits(
    root: Path, ids: Iterable[str], info: Callable[[str], Json], alignments: Iterable[str] = ALIGNMENTS, size: int = 8
) -> Path:
    """The layout that LPFF and Unsplash-Pexels share."""
    ids = list(ids)
    for alignment in alignments:
        names = {f"{id}.png" for id in ids} if alignment != "raw" else {f"{id[:-3]}.jpg" for id in ids}
        for name in names:
            kind = "JPEG" if alignment == "raw" else "PNG"
            write(root / FOLDERS[alignment] / name, picture(f"{alignment} {name}", size, kind))
    dump(root / "camera_parameters.json", {id: camera(id) for id in ids})
    dump(root / "info.json", {id: info(id) for id in ids})
    for alignment in ("raw", "realign2400"):
        dump(root / f"{alignment}_lm.json", {id: points(f"{alignment} {id}", size) for id in ids})
    return root


def write_lpff(
    root: Path, ids: Iterable[str] = LPFF_IDS, alignments: Iterable[str] = ALIGNMENTS, size: int = 8
) -> Path:
    return write_portraits(root, ids, lpff_info, alignments, size)


def write_unsplash_pexels(
    root: Path, ids: Iterable[str] = UP_IDS, alignments: Iterable[str] = ALIGNMENTS, size: int = 8
) -> Path:
    return write_portraits(root, ids, up_info, alignments, size)


def eg3d_name(photo: int, mirror: bool, naming: str) -> str:
    """The name of a picture of EG3D's FFHQ: `id` is 00000.png, `index` is 00000/img00000000.png."""
    if naming == "id":
        return f"{photo:05d}{'_mirror' * mirror}.png"
    index = 2 * photo + mirror
    return f"{index // 1000:05d}/img{index:08d}.png"


def write_ffhq_eg3d(
    root: Path, photos: int | Sequence[int] = 3, naming: str = "id", labels: str = "dataset.json", size: int = 8
) -> Path:
    """EG3D's FFHQ: pictures, mirrors and cameras; the mirrors are noise of their own, to be told apart."""
    found = []
    for photo in range(photos) if isinstance(photos, int) else photos:
        numbers = camera(f"{photo:05d}")
        for mirror in (False, True):
            name = eg3d_name(photo, mirror, naming)
            write(root / name, picture(f"ffhq {photo} {mirror}", size))
            found.append([name, mirrored(numbers) if mirror else numbers])
    dump(root / labels, {"labels": found})
    return root


def write_ffhq_stylegan(
    root: Path, photos: int | Sequence[int] = 3, folder: str = "images1024x1024", size: int = 8
) -> Path:
    """FFHQ's own download; `folder` may be empty."""
    for photo in range(photos) if isinstance(photos, int) else photos:
        name = f"{photo // 1000 * 1000:05d}/{photo:05d}.png"
        write(root / folder / name, picture(f"stylegan {photo}", size))
    return root


def v2_record(index: int, size: int = 8) -> Json:
    """FFHQ's record of a photo in ffhq-dataset-v2.json."""
    name, url = LICENCES[index % 3]
    file = {"file_size": 1306330, "file_md5": "ddeaeea6", "pixel_size": [size, size], "pixel_md5": "47238b44"}
    folder = f"{index // 1000 * 1000:05d}"
    return {
        "category": "training" if index % 2 == 0 else "validation",
        "metadata": {
            "photo_url": f"https://www.flickr.com/photos/frumkin{index}/{1133484654 + index}/",
            "photo_title": f"DSCF{index:04d}.JPG",
            "author": f'Jérémy "{index}" Frumkin',
            **{"country": "", "license": name, "license_url": url},
            **{"date_uploaded": "2007-08-16", "date_crawled": "2018-10-10"},
        },
        "image": {
            "file_path": f"images1024x1024/{folder}/{index:05d}.png",
            **file,
            "face_landmarks": points(f"ffhq {index}", size),
        },
        "thumbnail": {"file_path": f"thumbnails128x128/{folder}/{index:05d}.png", **file},
        "in_the_wild": {
            "file_path": f"in-the-wild-images/{folder}/{index:05d}.png",
            **file,
            "face_rect": [667, 410, 1438, 1181],
            "face_landmarks": [[x + 600.5, y + 400] for x, y in points(f"wild {index}", size)],
            "face_quad": [[0.5, 0.25], [1, 7], [7, 7], [7, 1]],
        },
    }


def write_ffhq_v2(path: Path, indices: Iterable[int], size: int = 8) -> Path:
    return dump(path, {str(index): v2_record(index, size) for index in indices})


def zip_folder(folder: Path, path: Path, deflated: bool = False, wrapper: str = "") -> Path:
    """A zip of a folder's files, stored or deflated, in one more folder where `wrapper` names it."""
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file() and p != path):
            archive.write(file, Path(wrapper) / file.relative_to(folder))
    return path
