"""Twice the data set takes twice the work, not four times: counted, not timed. `benchmarks/scale.py` measures it."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import pytest
from dataset_factories import write_lpff, zip_folder

from lpff_shards import ExportOptions, PictureOptions, RunOptions, ShardOptions, SourceOptions, plan_export

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
