"""The reader of EG3D, StyleGAN2-ada and LPFF's forks, by what their archive is said to be, without our code."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

PICTURES = {".png", ".jpg", ".webp"}
FORK_MODES = ("FFHQ", "LPFF", "FFHQ_LPFF", "FFHQ_rebalanced", "FFHQ_LPFF_rebalanced")
"""What `--camera_sample_mode` of LPFF's forks takes."""


@dataclass
class Trained:
    """What a trainer sees of a zip."""

    names: list[str]
    pixels: dict[str, np.ndarray]
    labels: dict[str, np.ndarray] | None
    lists: dict[str, list[str]]
    snapshots: dict[str, list[int]]
    lines: list[dict[str, object]]

    def counts(self, camera_sample_mode: str | None = None) -> list[str]:
        """The names that a trainer trains on: every picture file, or those of the list that LPFF's forks are given."""
        if camera_sample_mode is None:
            return self.names
        assert camera_sample_mode in FORK_MODES
        names = sorted(self.lists[f"{camera_sample_mode}.json"])
        assert set(names) <= set(self.names)
        return names

    @property
    def by_key(self) -> dict[str, str]:
        """Names by the samples' keys."""
        return {str(line["key"]): str(line["name"]) for line in self.lines}


def read(path: Path) -> Trained:
    """Reads a zip and refuses what trainers refuse."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        infos = archive.infolist()
        data = {info.filename: archive.read(info) for info in infos}
    assert {(i.compress_type, i.date_time, i.external_attr >> 16) for i in infos} == {
        (zipfile.ZIP_STORED, (1980, 1, 1, 0, 0, 0), 0o100644)
    }
    names = sorted(name for name in data if Path(name).suffix in PICTURES)
    pixels = {name: _pixels(data[name]) for name in names}
    shapes = {shape.shape for shape in pixels.values()}
    assert len(shapes) <= 1
    for height, width, channels in shapes:
        assert height == width == 2 ** int(np.log2(width))
        assert channels == 3
    others = [i.filename for i in infos if i.filename not in pixels]
    assert [i.filename for i in infos] == [*names, *others]
    assert (others[0], others[-1]) == ("dataset.json", "samples.jsonl")
    found = json.loads(data["dataset.json"])["labels"]
    labels = None if found is None else {name: np.array(numbers).astype(np.float32) for name, numbers in found}
    assert labels is None or ([*labels] == names and all(label.shape == (25,) for label in labels.values()))
    extra = {name: json.loads(data[name]) for name in others[1:-1]}
    lists = {name: value for name, value in extra.items() if not name.endswith("_snap_idxs.json")}
    snapshots = {name.removesuffix("_snap_idxs.json"): extra[name] for name in extra if name not in lists}
    for name, indices in snapshots.items():
        assert name in FORK_MODES and len(indices) == 16
        assert all(0 <= index < len(lists[f"{name}.json"]) for index in indices)
    # The forks sort names, and snapshots index the sorted ones.
    assert all(value == sorted(value) for value in lists.values())
    lines = [json.loads(line) for line in data["samples.jsonl"].splitlines()]
    assert [line["name"] for line in lines] == names
    return Trained(names, pixels, labels, lists, snapshots, lines)


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)
