"""The picture of the pose conventions: what the script draws now, small, and beside every export's card."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image

from lpff_shards import ExportOptions, PictureOptions, RunOptions, SourceOptions, export
from lpff_shards.formats.registry import NAMES as FORMATS
from lpff_shards.sidecars.card import pose_picture

MOST_BYTES = 100_000
TOLERANCE = 1.0
"""Levels of 255 by which pixels may differ on average: a palette of few colors, another version's smoothing."""


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float64)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """docs/draw_poses.py."""
    pytest.importorskip("matplotlib", reason="matplotlib, which draws the picture, is not installed here")
    spec = importlib.util.spec_from_file_location("draw_poses", PROJECT / "docs/draw_poses.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_what_the_script_draws_now(script: ModuleType) -> None:
    drawn, kept = script.draw().astype(np.float64), _pixels(pose_picture())
    assert drawn.shape == kept.shape
    assert np.abs(drawn - kept).mean() < TOLERANCE
    # Heads that look the other way, as a wrong sign would show them, do not pass.
    row, middle = slice(600, 600 + script.HEAD), script.WIDTH // 2
    wrong = kept.copy()
    wrong[row, :middle] = kept[row, middle:]
    assert np.abs(drawn - wrong).mean() > TOLERANCE


def test_the_documentation_shows_the_same_picture() -> None:
    assert (PROJECT / "docs/poses.png").read_bytes() == pose_picture()
    assert len(pose_picture()) < MOST_BYTES
    with Image.open(io.BytesIO(pose_picture())) as picture:
        assert (picture.width, picture.mode) == (1400, "P")


@pytest.mark.parametrize("format", FORMATS)
def test_every_export_has_it_beside_its_card(format: str, tmp_path: Path) -> None:
    export(
        ExportOptions(
            format=format,  # type: ignore[arg-type]
            out=str(tmp_path),
            sources=SourceOptions(demo=1, mirror=False),
            picture=PictureOptions(resolution=16),
            run=RunOptions(workers=1),
        )
    )
    assert (tmp_path / "poses.png").read_bytes() == pose_picture()
