"""Megatron Energon finds no fault in the folders of tars, and reads them with and without a cooker."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpff_shards import ExportOptions, PictureOptions, SourceOptions, export
from lpff_shards.options.export import ImageKind, Metadata
from readers.expected import Truth, assert_same

energon = pytest.importorskip("megatron.energon", reason="Megatron Energon is not installed here")

pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but:UserWarning")


def _batches(folder: Path, split: str, **more: Any) -> Iterator[Any]:
    config = energon.WorkerConfig(rank=0, world_size=1, num_workers=2)
    data_set = energon.get_val_dataset(folder, split_part=split, worker_config=config, batch_size=4, **more)
    return iter(energon.get_loader(data_set))


def _pixels(picture: Any) -> np.ndarray:
    """Energon hands out numbers from 0 to 1, channels first."""
    return np.rint(picture.numpy() * 255).astype(np.uint8).transpose(1, 2, 0)


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("energon")
    return subprocess.run([command, "lint", folder], capture_output=True, text=True, check=False)


def test_lint_finds_no_fault(tars: Path) -> None:
    done = _lint(tars)
    assert done.returncode == 0, done.stderr
    assert not re.search("Error|Skipping", done.stdout + done.stderr), "it goes on after errors of samples"


def test_energon_reads_every_split(tars: Path, split: str, expected: Mapping[str, Truth]) -> None:
    samples = (
        (key, camera, _pixels(picture))
        for batch in _batches(tars, split)
        for key, camera, picture in zip(batch.label_name["key"], batch.label, batch.image, strict=True)
    )
    assert_same(samples, expected)


@energon.stateless
def _cooked(sample: dict[str, Any]) -> Any:
    basics = energon.basic_sample_keys(sample)
    return energon.ImageSample(**basics, image=(sample["json"]["key"], sample["camera.npy"], sample["png"]))


class _Cook(energon.DefaultTaskEncoder):
    cookers = (energon.Cooker(_cooked),)

    @energon.stateless
    def batch(self, samples: list[Any]) -> list[Any]:
        return samples


def test_energon_reads_every_split_with_a_cooker(tars: Path, split: str, expected: Mapping[str, Truth]) -> None:
    batches = _batches(tars, split, dataset_config="crude.yaml", task_encoder=_Cook())
    samples = (sample.image for batch in batches for sample in batch)
    assert_same(((key, camera, _pixels(picture)) for key, camera, picture in samples), expected)


@pytest.mark.parametrize(("image", "metadata"), [("jpeg", "json"), ("webp", "msgpack"), ("raw", "msgpack")])
def test_energon_reads_whatever_samples_are_made_of(image: ImageKind, metadata: Metadata, tmp_path: Path) -> None:
    sources, picture = SourceOptions(demo=3), PictureOptions(image=image, resolution=32)
    export(ExportOptions(format="wds", out=str(tmp_path), sources=sources, picture=picture, metadata=metadata))
    batches = list(_batches(tmp_path, "train"))
    assert sum(len(batch.label_name["key"]) for batch in batches) == 6
    assert {np.float32(camera).shape for batch in batches for camera in batch.label} == {(25,)}
    assert all(len(batch.image) == len(batch.label) for batch in batches)
