"""Hugging Face's datasets load folders of tars and of Parquet files by the head of README.md, without a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from lpff_shards.schemas.fields import FIELDS
from readers.expected import SPLITS, Truth, assert_same


@pytest.fixture(scope="module")
def datasets() -> Iterator[ModuleType]:
    """The package, told on import that there is no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
        yield pytest.importorskip("datasets", reason="Hugging Face's datasets are not installed here")


@pytest.mark.parametrize("streaming", [True, False])
def test_load_dataset_reads_every_split(
    datasets: ModuleType, tars: Path, truths: Mapping[str, Mapping[str, Truth]], streaming: bool, tmp_path: Path
) -> None:
    loaded = datasets.load_dataset(str(tars), streaming=streaming, cache_dir=str(tmp_path))
    assert set(loaded) == set(SPLITS)
    for split in SPLITS:
        found = ((s["json"]["key"], np.float32(s["camera.npy"]), np.asarray(s["png"])) for s in loaded[split])
        assert_same(found, truths[split])


@pytest.mark.parametrize("streaming", [True, False])
def test_parquet_files_give_pictures_and_typed_columns(
    datasets: ModuleType, parquet: Path, truths: Mapping[str, Mapping[str, Truth]], streaming: bool, tmp_path: Path
) -> None:
    loaded = datasets.load_dataset(str(parquet), streaming=streaming, cache_dir=str(tmp_path))
    assert set(loaded) == set(SPLITS)
    for split in SPLITS:
        found = ((s["key"], np.float32(s["camera"]), np.asarray(s["image"])) for s in loaded[split])
        assert_same(found, truths[split])
    features = loaded["train"].features
    assert features["image"] == datasets.Image()
    kinds = {"str": "string", "int": "int64", "bool": "bool", "float": "float32"}
    assert {f.name: features[f.name].dtype for f in FIELDS} == {f.name: kinds[f.kind] for f in FIELDS}
