"""Rank and world size come from one source; together, the processes of every launcher read each sample once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PROJECT
from launchers import LAUNCHED, environment, use

from lpff_shards import ExportOptions, PictureOptions, ShardOptions, ShardsError, SourceOptions, export
from lpff_shards.loaders.ranks import LAUNCHERS, rank_and_world_size, refuse_joined_since

Patch = pytest.MonkeyPatch

READ = """
import json, sys
from lpff_shards.loaders import ShardSource
from lpff_shards.loaders.sampler import EpochSampler
from lpff_shards.loaders.ranks import rank_and_world_size
source = ShardSource(sys.argv[1])
rank, world_size = rank_and_world_size(None, None, None)
drawn = EpochSampler(counts=[len(source)], batch_size=2, rank=rank, world_size=world_size)
batches = [source.batch(drawn.draw(0, number).indices, ("key",)) for number in range(len(drawn))]
print(json.dumps([key for batch in batches for key in batch["key"]]))
"""

BATCH_SCRIPT = {"SLURM_PROCID": 0, "SLURM_LOCALID": 0, "SLURM_NTASKS": 4, "SLURM_NPROCS": 4, "SLURM_JOB_ID": 7}


def test_a_task_of_slurm_without_its_step_is_an_error(monkeypatch: Patch) -> None:
    for rank in (1, 2, 3):
        use(monkeypatch, {**BATCH_SCRIPT, "SLURM_PROCID": rank})
        with pytest.raises(ShardsError, match=f"SLURM_PROCID is {rank} in the environment, and SLURM_STEP_NUM"):
            rank_and_world_size(None, None, None)


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_each_launcher_numbers_its_processes(launcher: str, monkeypatch: Patch) -> None:
    for rank in range(4):
        use(monkeypatch, LAUNCHED[launcher](rank))
        assert rank_and_world_size(None, None, None) == (rank, 4)
        assert rank_and_world_size(rank, None, None) == rank_and_world_size(None, 4, None) == (rank, 4)
        # What a user or a framework has given goes before the environment.
        assert rank_and_world_size(1, 7, None) == (1, 7)
        assert (
            rank_and_world_size(None, None, (5, 6))
            == rank_and_world_size(5, None, (5, 6))
            == rank_and_world_size(None, 6, (5, 6))
            == (5, 6)
        )


@pytest.mark.parametrize(
    "found",
    [
        {},
        BATCH_SCRIPT,
        {"SLURM_NTASKS": 4, "SLURM_JOB_ID": 7},
        {**BATCH_SCRIPT, "SLURM_STEP_NUM_TASKS": 1, "SLURM_STEP_ID": 4294967290},
        {"RANK": 0, "WORLD_SIZE": 1},
        {"WORLD_SIZE": 1},
        {"LOCAL_RANK": 0, "NODE_RANK": 0},
    ],
    ids=["nothing", "sbatch without srun", "salloc", "an interactive step", "one process", "WORLD_SIZE=1", "no size"],
)
def test_one_process_reads_everything(found: dict[str, int], monkeypatch: Patch) -> None:
    use(monkeypatch, found)
    assert rank_and_world_size(None, None, None) == rank_and_world_size(None, 1, None) == (0, 1)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"WORLD_SIZE": 4}, "WORLD_SIZE is 4 in the environment, and RANK is missing. Set RANK .or NODE_RANK, LOCAL"),
        ({"WORLD_SIZE": 4, "LOCAL_RANK": 1}, "RANK is missing"),
        ({"WORLD_SIZE": 4, "NODE_RANK": 1, "LOCAL_RANK": 1}, "RANK is missing.*LOCAL_WORLD_SIZE"),
        ({"WORLD_SIZE": 4, "NODE_RANK": 1, "LOCAL_RANK": 2, "LOCAL_WORLD_SIZE": 2}, "RANK is missing"),
        ({"WORLD_SIZE": 4, "NODE_RANK": 2, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 2}, "rank 4 of 4 is out of range"),
        ({"RANK": 1}, "RANK is 1 in the environment, and WORLD_SIZE is missing"),
        ({"RANK": 0}, "RANK is 0 in the environment, and WORLD_SIZE is missing"),
        ({"RANK": 4, "WORLD_SIZE": 4}, "rank 4 of 4 is out of range, by RANK and WORLD_SIZE of the environment"),
        ({"RANK": 0, "WORLD_SIZE": 0}, "rank 0 of 0 is out of range"),
        ({"RANK": "one", "WORLD_SIZE": 4}, "RANK is 'one' in the environment"),
        ({"RANK": "", "WORLD_SIZE": 4}, "RANK is '' in the environment"),
        ({"RANK": -1, "WORLD_SIZE": 4}, "RANK is '-1' in the environment"),
        ({"RANK": 1, "WORLD_SIZE": "4.0"}, "WORLD_SIZE is '4.0' in the environment"),
        ({"OMPI_COMM_WORLD_SIZE": 4}, "OMPI_COMM_WORLD_RANK is missing"),
        ({"PMI_RANK": 1}, "PMI_SIZE is missing"),
        ({"PMIX_RANK": 0}, "PMIX_RANK is 0 in the environment, and PMIX_SIZE is missing"),
        ({"SLURM_STEP_NUM_TASKS": 4}, "SLURM_PROCID is missing"),
        ({**BATCH_SCRIPT, "WORLD_SIZE": 4}, "RANK is missing"),
        ({"WORLD_SIZE": 4, **LAUNCHED["srun -n 4 in a job of 8"](1), "SLURM_STEP_NUM_TASKS": 8}, "RANK is missing"),
        ({"WORLD_SIZE": 1, **LAUNCHED["srun"](1)}, "WORLD_SIZE is 1 in the environment, and RANK is missing"),
        ({"RANK": 0, **LAUNCHED["srun"](1)}, "RANK is 0 in the environment, and WORLD_SIZE is missing"),
        ({"LOCAL_RANK": 1}, "LOCAL_RANK is 1 in the environment, and the rank among all processes is unknown"),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": 3}, "OMPI_COMM_WORLD_LOCAL_RANK is 3"),
    ],
    ids=str,
)
def test_half_an_environment_is_refused(found: dict[str, Any], words: str, monkeypatch: Patch) -> None:
    use(monkeypatch, found)
    with pytest.raises(ShardsError, match=words) as refused:
        rank_and_world_size(None, None, None)
    assert "ive rank and world_size" in refused.value.hint
    assert rank_and_world_size(2, 3, None) == (2, 3)


@pytest.mark.parametrize("rank", [0, 3])
def test_one_of_two_is_refused_without_a_launcher(rank: int, monkeypatch: Patch) -> None:
    for found in ({}, BATCH_SCRIPT):
        use(monkeypatch, found)
        with pytest.raises(ShardsError, match=f"rank {rank} was given alone.*Give rank and world_size, both"):
            rank_and_world_size(rank, None, None)
        with pytest.raises(ShardsError, match="world_size 4 was given alone"):
            rank_and_world_size(None, 4, None)


def test_what_was_given_is_that_of_its_source(monkeypatch: Patch) -> None:
    use(monkeypatch, LAUNCHED["torchrun"](1))
    by = "by RANK and WORLD_SIZE of the environment. Give rank and world_size, both"
    for size in (1, 2, 8):
        with pytest.raises(ShardsError, match=f"world_size {size} was given, but it is 4 {by}"):
            rank_and_world_size(None, size, None)
    for rank in (0, 4):
        with pytest.raises(ShardsError, match=f"rank {rank} was given, but it is 1 {by}"):
            rank_and_world_size(rank, None, None)
    with pytest.raises(ShardsError, match="world_size 4 was given, but it is 2 by the joined processes"):
        rank_and_world_size(None, 4, (0, 2))


@pytest.mark.parametrize(
    ("rank", "world_size"),
    [(-1, 4), (4, 4), (True, 4), (1.0, 4), ("1", 4), (0, 0), (0, True), (0, 4.0), (0, -1), (np.int64(4), 4)],
)
def test_numbers_out_of_range_are_refused(rank: Any, world_size: Any, monkeypatch: Patch) -> None:
    use(monkeypatch, LAUNCHED["torchrun"](1))
    with pytest.raises(ShardsError, match=r"(rank|world_size) .* is out of range"):
        rank_and_world_size(rank, world_size, None)
    for given in ((True, None), (-1, None), (1.0, None), (None, True), (None, 0), (None, 4.0)):
        with pytest.raises(ShardsError, match="is out of range"):
            rank_and_world_size(*given, None)  # type: ignore[arg-type]
    assert rank_and_world_size(np.int64(3), np.int64(4), None) == (3, 4)  # type: ignore[arg-type]


def test_processes_that_joined_since_are_refused() -> None:
    refuse_joined_since((0, 1), None)
    refuse_joined_since((1, 4), (1, 4))
    with pytest.raises(ShardsError, match=r"made as rank 0 of 1, and the process is now rank 1 of 4\. Make it after"):
        refuse_joined_since((0, 1), (1, 4))


def test_the_documentation_names_the_variables() -> None:
    text = (PROJECT / "docs/loading.md").read_text()
    assert [f"`{rank}`, `{size}`" in text for rank, size in LAUNCHERS[:-1]] == [True] * 5
    rows = [text.index(f"`{rank}`, `{size}`") for rank, size in LAUNCHERS[:-1]]
    assert rows == sorted(rows)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ranks") / "out"
    export(
        ExportOptions(
            format="wds",
            out=str(out),
            sources=SourceOptions(demo=11),
            picture=PictureOptions(image="raw", resolution=16),
            shards=ShardOptions(shards=2),
        )
    )
    return out


@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_four_processes_read_every_sample_once(launcher: str, small: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", READ, str(small)], env=environment(launcher, rank), stdout=subprocess.PIPE
        )
        for rank in range(4)
    ]
    read = [json.loads(process.communicate(timeout=60)[0]) for process in started]
    assert sorted(map(len, read)) == [5, 5, 6, 6]
    assert set(Counter(key for keys in read for key in keys).values()) == {1}
