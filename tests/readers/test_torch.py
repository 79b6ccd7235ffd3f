"""torch's DataLoader hands on what webdataset reads in its workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from readers.expected import NAME, Truth, assert_same

torch = pytest.importorskip("torch", reason="torch is not installed here")
wds = pytest.importorskip("webdataset", reason="webdataset is not installed here")

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore:The given NumPy array is not writable:UserWarning"
)


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader_reads_every_split_in_batches(
    tars: Path, split: str, expected: Mapping[str, Truth], workers: int
) -> None:
    shards = sorted(map(str, tars.glob(f"{NAME}-{split}-*.tar")))
    data_set = wds.WebDataset(shards, shardshuffle=False, empty_check=False).decode("rgb8")
    loader = torch.utils.data.DataLoader(
        data_set.to_tuple("__key__", "camera.npy", "png"), batch_size=5, num_workers=workers
    )
    samples = (sample for batch in loader for sample in zip(*batch, strict=True))
    assert_same(((key, camera.numpy(), picture.numpy()) for key, camera, picture in samples), expected)
