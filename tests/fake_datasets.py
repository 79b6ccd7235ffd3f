"""Small stand-ins of the data sets that the documentation names, under the names that its commands use."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
from dataset_factories import (
    LPFF_IDS,
    UP_IDS,
    Json,
    lpff_info,
    picture,
    points,
    write_ffhq_eg3d,
    write_ffhq_stylegan,
    write_ffhq_v2,
    write_lpff,
    write_unsplash_pexels,
    zip_folder,
)
from dataset_factories import dump as write_json
from dataset_factories import edit as edit_json

from lpff_shards.sources.demo import look_at

SIDE = 16
FFHQ_PHOTOS = 20
LPFF_PICTURES = 24
LPFF_LICENSES = (
    ("Attribution License", "https://creativecommons.org/licenses/by/2.0/"),
    ("Attribution-ShareAlike License", "https://creativecommons.org/licenses/by-sa/2.0/"),
    ("Public Domain Mark", "https://creativecommons.org/publicdomain/mark/1.0/"),
    ("Public Domain Dedication (CC0)", "https://creativecommons.org/publicdomain/zero/1.0/"),
)
FFHQ_LICENSES = (
    ("Attribution-NonCommercial License", "https://creativecommons.org/licenses/by-nc/2.0/"),
    ("Attribution License", "https://creativecommons.org/licenses/by/2.0/"),
    ("United States Government Work", "http://www.usa.gov/copyright.shtml"),
    ("Public Domain Dedication (CC0)", "https://creativecommons.org/publicdomain/zero/1.0/"),
)


def write_all(root: Path) -> Path:
    """Writes them: pictures of 16x16 whose cameras spread, photos of many authors under every published license."""
    ids = lpff_ids()
    write_lpff(root / "LPFF", ids, size=SIDE)
    edit_json(root / "LPFF/info.json", _licensed)
    write_unsplash_pexels(root / "Unsplash-Pexels", UP_IDS, size=SIDE)
    write_ffhq_eg3d(root / "FFHQ_512", FFHQ_PHOTOS, size=SIDE)
    (root / "dataset.json").write_bytes((root / "FFHQ_512/dataset.json").read_bytes())
    zip_folder(root / "FFHQ_512", root / "FFHQ_512.zip")
    write_own(root)
    write_ffhq_stylegan(root, FFHQ_PHOTOS, size=SIDE)
    write_ffhq_v2(root / "ffhq-dataset-v2.json", range(FFHQ_PHOTOS), size=SIDE)
    edit_json(root / "ffhq-dataset-v2.json", _ffhq_licensed)
    write_ffhq_stylegan(root, FFHQ_PHOTOS, "in-the-wild-images", SIDE)
    write_json(root / "FFHQ_num_replicas.json", {str(n): 1 + n % 4 for n in range(2 * FFHQ_PHOTOS)})
    return root


def lpff_ids() -> list[str]:
    """Two faces of one photo, and photos of other authors."""
    draw = random.Random(7)
    others = LPFF_PICTURES - len(LPFF_IDS)
    photos = [f"{draw.randrange(10**7, 10**9)}@N0{n % 10}_{draw.randrange(10**9, 10**11)}" for n in range(others)]
    return [*LPFF_IDS, *(f"{photo}_01" for photo in photos)]


def write_own(root: Path) -> None:
    """A set with EG3D's labels in folders, and one with NeRF's transforms.json."""
    poses = {
        f"{name}/{number:04d}": look_at(0.3 * number - 0.6, 0.1) for name in ("anna", "ben") for number in range(5)
    }
    for id in poses:
        for path in (root / "heads" / f"{id}.png", root / "captures" / f"{id}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(id, SIDE))
    write_json(root / "heads/dataset.json", {"labels": [[f"{id}.png", pose.tolist()] for id, pose in poses.items()]})
    frames = [
        {"file_path": id, "transform_matrix": (pose[:16].reshape(4, 4) * [1.0, -1.0, -1.0, 1.0]).tolist()}
        for id, pose in poses.items()
    ]
    write_json(root / "captures/transforms.json", {"camera_angle_x": 0.24, "frames": frames})
    for id in poses:
        (root / "masks" / id).parent.mkdir(parents=True, exist_ok=True)
        (root / "latents" / id).parent.mkdir(parents=True, exist_ok=True)
        (root / "masks" / f"{id}.png").write_bytes(picture(f"mask of {id}", SIDE))
        np.save(root / "latents" / f"{id}.npy", np.zeros(512, np.float32))
    lines = [json.dumps({"file_name": f"{id}.png", "text": f"a face of {id.partition('/')[0]}"}) for id in poses]
    (root / "captions.jsonl").write_text("\n".join(lines))


def _licensed(info: Json) -> Json:
    """LPFF's records, the licenses in turn."""
    for number, id in enumerate(sorted(info)):
        name, url = LPFF_LICENSES[number % len(LPFF_LICENSES)]
        info[id] = lpff_info(id)
        info[id]["image_info"]["license"] = {"name": name, "url": url}
    return info


def _ffhq_licensed(records: Json) -> Json:
    for number, record in enumerate(records.values()):
        name, url = FFHQ_LICENSES[number % len(FFHQ_LICENSES)]
        record["metadata"] |= {"license": name, "license_url": url}
        record["in_the_wild"]["face_landmarks"] = points(f"wild {number}", SIDE)
    return records


def link_all(root: Path, folder: Path) -> Path:
    """Makes the stand-ins appear in another folder, at no cost."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in root.iterdir():
        (folder / path.name).symlink_to(path)
    return folder
