"""webdataset 1.x reads the tars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from readers.expected import NAME, Truth, assert_same

wds = pytest.importorskip("webdataset", reason="webdataset is not installed here")

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


def test_webdataset_reads_every_split(tars: Path, split: str, expected: Mapping[str, Truth]) -> None:
    last = len(list(tars.glob(f"{NAME}-{split}-*.tar"))) - 1
    pattern = f"{tars}/{NAME}-{split}-{{000000..{last:06d}}}.tar"
    samples = wds.WebDataset(pattern, shardshuffle=False).decode("rgb8")
    assert_same(((s["json"]["key"], s["camera.npy"], s["png"]) for s in samples), expected)
