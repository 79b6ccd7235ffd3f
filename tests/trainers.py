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


@dataclass
class Trained:
    """What a trainer sees of a zip."""

    names: list[str]
    pixels: dict[str, np.ndarray]
    labels: dict[str, np.ndarray] | None
    lists: dict[str, list[str]]
    lines: list[dict[str, object]]

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
    lists = {name: json.loads(data[name]) for name in others[1:-1]}
    lines = [json.loads(line) for line in data["samples.jsonl"].splitlines()]
    assert [line["name"] for line in lines] == names
    return Trained(names, pixels, labels, lists, lines)


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        return np.asarray(image)
