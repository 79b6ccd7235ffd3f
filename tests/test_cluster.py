"""docs/cluster.md: its batch script runs as an array of processes, as Slurm would start them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pages
from running import contents
from standins import link_all, write_all

SCRIPT = next(b.code for b in pages.blocks((pages.DOCS / "cluster.md").read_text()) if "#SBATCH" in b.code)
TASKS = 4


def _start(folder: Path, **more: object) -> subprocess.Popen[str]:
    given = {name: str(value) for name, value in more.items()}
    environment = os.environ | {"PATH": f"{pages.shims(folder)}:{os.environ['PATH']}"} | given
    command = ["bash", "-c", SCRIPT]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def test_the_script_is_an_array_of_so_many() -> None:
    assert SCRIPT.startswith("#!/bin/bash\n")
    assert f"--array=1-{TASKS}\n" in SCRIPT


def test_the_script_s_shares_make_what_one_export_makes(tmp_path: Path) -> None:
    standins = write_all(tmp_path / "standins")
    alone, array = (link_all(standins, tmp_path / name) for name in ("alone", "array"))
    array_of = {"SLURM_ARRAY_TASK_COUNT": TASKS, "SLURM_CPUS_PER_TASK": 1}
    whole = _start(alone, SLURM_ARRAY_TASK_COUNT=1, SLURM_CPUS_PER_TASK=1, SLURM_ARRAY_TASK_ID=1)
    jobs = [_start(array, **array_of, SLURM_ARRAY_TASK_ID=number) for number in range(1, TASKS + 1)]
    told = [job.communicate(timeout=120)[1] for job in (whole, *jobs)]
    assert [job.returncode for job in (whole, *jobs)] == [0] * (1 + TASKS), told
    assert contents(array / "shared-shards") == contents(alone / "shared-shards")
