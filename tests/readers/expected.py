"""What an export holds, found by `tarfile`, Pillow and numpy alone; readers that others wrote must find the same."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

NAME = "demo_rebalanced_uniform"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Truth:
    """A sample: float32 [25], and uint8 height x width x 3."""

    camera: np.ndarray
    pixels: np.ndarray


def pixels(picture: bytes) -> np.ndarray:
    """A stored picture, decoded by Pillow."""
    return np.asarray(Image.open(io.BytesIO(picture)))


def truth(folder: Path, split: str) -> dict[str, Truth]:
    """The samples of a split of a folder of tars, by key."""
    members: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.glob(f"{NAME}-{split}-*.tar")):
        with tarfile.open(path) as archive:
            for member in archive:
                key, _, suffix = member.name.partition(".")
                file = archive.extractfile(member)
                assert file is not None
                assert suffix not in members.setdefault(key, {})
                members[key][suffix] = file.read()
    return {key: Truth(np.load(io.BytesIO(m["camera.npy"])), pixels(m["png"])) for key, m in members.items()}


def assert_same(found: Iterable[tuple[str, np.ndarray, np.ndarray]], expected: Mapping[str, Truth]) -> None:
    """A reader's samples are the split's, each once: key, camera and pixels."""
    samples = list(found)
    assert sorted(key for key, _, _ in samples) == sorted(expected)
    for key, camera, picture in samples:
        assert (camera.dtype, picture.dtype) == (np.float32, np.uint8)
        assert np.array_equal(camera, expected[key].camera), key
        assert np.array_equal(picture, expected[key].pixels), key
