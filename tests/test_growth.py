"""Twice the data set takes twice the work, not four times: counted, not timed. `benchmarks/scale.py` measures it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from lpff_shards import (
    ExportOptions,
    PictureOptions,
    RunOptions,
    ShardOptions,
    SourceOptions,
    export,
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
