"""Data sets that Hugging Face's `datasets` wrote are read by `--dataset`."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from dataset_factories import picture
from PIL import Image

from lpff_shards.options.sources import SourceOptions
from lpff_shards.sources.demo import look_at
from lpff_shards.sources.registry import sources

datasets = pytest.importorskip("datasets")


def test_parquet_of_datasets(tmp_path: Path) -> None:
    """Pictures, cameras and licenses come back, by an id of the file and the picture's own name or its row."""
    poses = [look_at(0.1 * number, 0.0) for number in range(7)]
    rows = {
        "image": [Image.open(io.BytesIO(picture(str(number)))) for number in range(7)],
        "camera": [pose.tolist() for pose in poses],
        "license": ["CC-BY-4.0"] * 7,
    }
    features = datasets.Features({
        "image": datasets.Image(),
        "camera": datasets.Sequence(datasets.Value("float64")),
        "license": datasets.Value("string"),
    })  # fmt: skip
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    (source,) = sources(SourceOptions(dataset=(f"heads={tmp_path}",)))
    found = source.inventory()
    assert list(found.ids) == [f"train/{number:06d}" for number in range(7)] and not found.problems
    assert np.array_equal(found.cameras, np.array(poses))
    assert {credit.license.short for credit in found.credits} == {"CC-BY-4.0"}
    for number, blob in enumerate(found.blobs):
        pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in (blob.read(), picture(str(number)))]
        assert np.array_equal(*pixels)
