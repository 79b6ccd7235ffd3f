"""Twice the data set takes twice the work, not four times: counted, not timed. `benchmarks/scale.py` measures it."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from pathlib import Path

import pytest
from layouts import write_lpff, zip_folder

from lpff_shards import (
    ExportOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    SourceOptions,
    export,
    plan_export,
    verify_export,
)
from lpff_shards.ledger import facts as facts_module
from lpff_shards.ledger.read import Ledger

SAMPLES = 24


def _options(out: Path, a_shard: int) -> ExportOptions:
    return ExportOptions(
        format="tfrecord",
        out=str(out),
        sources=SourceOptions(demo=SAMPLES // 2),
        picture=PictureOptions(resolution=8),
        shards=ShardOptions(samples_per_shard=a_shard),
        run=RunOptions(workers=1),
    )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a ledger is opened, and the list of shards hashed for it."""
    counts: Counter[str] = Counter()
    hashed, opened = facts_module.blake3.blake3, Ledger.open_known

    class Hashing:
        @staticmethod
        def blake3(*given: object) -> object:
            counts["shard lists hashed"] += 1
            return hashed(*given)

    def open_known(*given: object) -> Ledger:
        counts["ledgers opened"] += 1
        return opened(*given)

    monkeypatch.setattr(facts_module, "blake3", Hashing)
    monkeypatch.setattr(Ledger, "open_known", open_known)
    return counts


@pytest.mark.parametrize("a_shard", [12, 2])
def test_verify_hashes_the_list_of_shards_as_often_however_many_there_are(
    tmp_path: Path, calls: Counter[str], a_shard: int
) -> None:
    manifest = export(_options(tmp_path / "out", a_shard))
    calls.clear()
    assert verify_export(tmp_path / "out").ok
    # Once for all shards, once for what lies beside them; a ledger is opened for each shard, and once for the whole.
    assert calls == {"shard lists hashed": 2, "ledgers opened": len(manifest.shards) + 1}


@pytest.mark.parametrize("zipped", [False, True])
def test_a_plan_holds_no_object_a_picture(tmp_path: Path, zipped: bool) -> None:
    def planned(pictures: int) -> int:
        """How many objects a plan of so many pictures leaves in memory."""
        root = write_lpff(tmp_path / f"{pictures}", [f"{n}@N00_{n * 7919}_01" for n in range(pictures)], ["eg3d"])
        place = zip_folder(root, tmp_path / f"{pictures}.zip") if zipped else root
        sources = SourceOptions(lpff=str(place))
        gc.collect()
        before = sys.getallocatedblocks()
        plan = plan_export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources))
        gc.collect()
        assert plan.samples == 2 * pictures
        return sys.getallocatedblocks() - before

    planned(10)
    few, many = planned(60), planned(180)
    assert many - few < 120
