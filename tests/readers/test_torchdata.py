"""torchdata's StatefulDataLoader goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from readers.expected import NAME, Truth, assert_same

pytest.importorskip("torch", reason="torch is not installed here")
wds = pytest.importorskip("webdataset", reason="webdataset is not installed here")
stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed here")

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",
    "ignore:The given NumPy array is not writable:UserWarning",
    "ignore:'set_vital' is deprecated:UserWarning",
)


def _loader(tars: Path, split: str, workers: int) -> Any:
    shards = sorted(map(str, tars.glob(f"{NAME}-{split}-*.tar")))
    data_set = wds.WebDataset(shards, shardshuffle=False, empty_check=False).decode("rgb8")
    return stateful.StatefulDataLoader(
        data_set.to_tuple("__key__", "camera.npy", "png"), batch_size=None, num_workers=workers
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_stateful_data_loader_resumes(tars: Path, split: str, expected: Mapping[str, Truth], workers: int) -> None:
    stopped = _loader(tars, split, workers)
    found = list(islice(iter(stopped), 7))
    resumed = _loader(tars, split, workers)
    resumed.load_state_dict(stopped.state_dict())
    found += list(resumed)
    assert_same(((key, camera.numpy(), picture.numpy()) for key, camera, picture in found), expected)
