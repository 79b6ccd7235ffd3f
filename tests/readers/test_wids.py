"""wids reads the tars by number, through its index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from readers.expected import NAME, Truth, assert_same

pytest.importorskip("torch", reason="torch, which wids needs, is not installed here")
wids = pytest.importorskip("wids", reason="wids is not installed here")


@pytest.mark.filterwarnings("ignore:String specifications for transformations:UserWarning")
def test_wids_reads_every_split_by_number(
    tars: Path, split: str, expected: Mapping[str, Truth], tmp_path: Path
) -> None:
    data_set = wids.ShardListDataset(f"{tars}/{NAME}-{split}.wids.json", cache_dir=str(tmp_path))
    samples = [data_set[number] for number in reversed(range(len(data_set)))]
    assert_same(((s["__key__"], s[".camera.npy"], np.asarray(s[".png"])) for s in samples), expected)
