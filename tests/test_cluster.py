"""docs/cluster.md: its batch script runs as an array of processes, as Slurm would start them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pages
from fake_datasets import link_all, write_all
from running import contents
from stores import Bucket

BLOCKS = [block.code for block in pages.blocks((pages.DOCS / "cluster.md").read_text())]
SCRIPT = next(code for code in BLOCKS if "#SBATCH" in code)
RECIPE = next(code for code in BLOCKS if "gs://BUCKET" in code)
TASKS = 4


def _start(folder: Path, script: str = SCRIPT, **more: object) -> subprocess.Popen[str]:
    given = {name: str(value) for name, value in more.items()}
    environment = os.environ | {"PATH": f"{pages.shims(folder)}:{os.environ['PATH']}"} | given
    command = ["bash", "-euc", script]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def test_the_script_is_an_array_of_so_many() -> None:
    assert SCRIPT.startswith("#!/bin/bash\n")
    assert f"--array=1-{TASKS}\n" in SCRIPT


def test_the_script_s_shares_make_what_one_export_makes(tmp_path: Path) -> None:
    fake_datasets = write_all(tmp_path / "fake_datasets")
    alone, array = (link_all(fake_datasets, tmp_path / name) for name in ("alone", "array"))
    array_of = {"SLURM_ARRAY_TASK_COUNT": TASKS, "SLURM_CPUS_PER_TASK": 1}
    whole = _start(alone, SLURM_ARRAY_TASK_COUNT=1, SLURM_CPUS_PER_TASK=1, SLURM_ARRAY_TASK_ID=1)
    jobs = [_start(array, **array_of, SLURM_ARRAY_TASK_ID=number) for number in range(1, TASKS + 1)]
    told = [job.communicate(timeout=120)[1] for job in (whole, *jobs)]
    assert [job.returncode for job in (whole, *jobs)] == [0] * (1 + TASKS), told
    assert contents(array / "shared-shards") == contents(alone / "shared-shards")


def test_the_bucket_s_recipe_writes_what_a_folder_would(bucket: Bucket, tmp_path: Path) -> None:
    here = link_all(write_all(tmp_path / "fake_datasets"), tmp_path / "here")
    recipe = RECIPE.replace("gs://BUCKET", bucket.uri)
    export = recipe.partition("lpff-shards verify")[0].replace(f"{bucket.uri}/faces", "faces")
    for script in (recipe, export):
        job = _start(here, script)
        assert job.communicate(timeout=120)[1] is not None
        assert job.returncode == 0
    shards = [path.name for path in (here / "faces").iterdir() if path.is_file()]
    assert {name: bucket.read(f"faces/{name}") for name in shards} == {
        name: (here / "faces" / name).read_bytes() for name in shards
    }
