"""One export of each format, with mirrors, replicas and three splits, for every reader."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from lpff_shards import (
    ExportOptions,
    MixOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    SourceOptions,
    export,
    read_manifest,
)
from readers.expected import SPLITS, Truth, truth

READERS = (
    *("webdataset", "wids", "torch", "torchdata", "datasets", "megatron-energon", "nvidia-dali-cuda130"),
    *("grain", "jax", "tensorflow-cpu", "tensorflow-datasets"),
)


def pytest_report_header() -> str:
    """The readers of this environment."""
    return f"readers: {', '.join(filter(None, map(_installed, READERS))) or 'none'}"


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _export(out: Path, format: str, picture: PictureOptions) -> Path:
    export(
        ExportOptions(
            format=format,
            out=str(out),
            sources=SourceOptions(demo=36),
            picture=picture,
            mix=MixOptions(rebalance="uniform", splits="train=0.4,val=0.3,test=0.3"),
            shards=ShardOptions(shards=6),
            run=RunOptions(workers=1),
        )
    )
    return out


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_in_shared_memory() -> Iterator[None]:
    """Grain's arrays are freed here: forked workers of another test would free them, and their owner find them gone."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def tars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tars."""
    return _export(tmp_path_factory.mktemp("tars") / "out", "wds", PictureOptions(resolution=64))


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of TFRecords with the same samples."""
    return _export(tmp_path_factory.mktemp("records") / "out", "tfrecord", PictureOptions(resolution=64))


@pytest.fixture(scope="session")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Parquet files with the same samples."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed here")
    return _export(tmp_path_factory.mktemp("parquet") / "out", "parquet", PictureOptions(resolution=64))


@pytest.fixture(scope="session")
def arrayrecords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ArrayRecord files with the same samples."""
    pytest.importorskip("array_record", reason="array-record is not installed here")
    return _export(tmp_path_factory.mktemp("arrayrecord") / "out", "arrayrecord", PictureOptions(resolution=64))


@pytest.fixture(params=SPLITS)
def split(request: pytest.FixtureRequest) -> str:
    """Each split in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def truths(tars: Path) -> Mapping[str, Mapping[str, Truth]]:
    """Every split's samples; several shards hold them, and mirrors and replicas are among them."""
    found = {split: truth(tars, split) for split in SPLITS}
    assert {split: len(samples) for split, samples in found.items()} == dict(read_manifest(tars).splits)
    assert {"m", "r01"} <= {key.rpartition("_")[2] for key in found["train"]}
    return found


@pytest.fixture
def expected(truths: Mapping[str, Mapping[str, Truth]], split: str) -> Mapping[str, Truth]:
    """The split's samples."""
    return truths[split]
