"""As many workers as a container may use: the quota of its control groups, in either version; and their memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

from lpff_shards.executors import processes
from lpff_shards.executors.processes import available_cores, cpu_quota

ALL = sys.maxsize
HALF, TWO_AND_A_HALF, NONE = ("50000", "100000"), ("250000", "100000"), ("-1", "100000")


def _group(mounted: Path, path: str, version: int, quota: tuple[str, str]) -> None:
    group = mounted / ("cpu" if version == 1 else "") / path
    group.mkdir(parents=True, exist_ok=True)
    if version == 2:
        (group / "cpu.max").write_text(f"{'max' if quota is NONE else quota[0]} {quota[1]}\n")
    else:
        (group / "cpu.cfs_quota_us").write_text(f"{quota[0]}\n")
        (group / "cpu.cfs_period_us").write_text(f"{quota[1]}\n")


@pytest.mark.parametrize(
    ("version", "told", "quotas", "cores"),
    [
        (1, "4:cpu,cpuacct:/job", {"job": HALF}, 1),
        (1, "4:cpu,cpuacct:/job", {"job": NONE}, ALL),
        (1, "4:cpu,cpuacct:/pod/job", {"pod": HALF, "pod/job": TWO_AND_A_HALF}, 1),
        (1, "4:cpu,cpuacct:/pod/job", {"pod": TWO_AND_A_HALF, "pod/job": NONE}, 3),
        # Docker shows a container the path outside, and mounts its own group.
        (1, "4:cpu,cpuacct:/docker/1f", {"": TWO_AND_A_HALF}, 3),
        (1, "4:memory:/job", {"job": HALF}, ALL),
        (2, "0::/job", {"job": HALF}, 1),
        (2, "0::/job", {"job": NONE}, ALL),
        (2, "0::/pod/job", {"pod": HALF, "pod/job": NONE}, 1),
        (2, "0::/", {"": TWO_AND_A_HALF}, 3),
        (2, "0::/../other", {"": HALF}, 1),
        (2, "1:name=systemd:/job\n0::/job", {"job": ("400000", "100000")}, 4),
        (2, "nonsense", {"job": HALF}, ALL),
    ],
)
def test_the_least_quota_of_its_groups_is_a_process_s(
    tmp_path: Path, version: int, told: str, quotas: dict[str, tuple[str, str]], cores: int
) -> None:
    for path, quota in quotas.items():
        _group(tmp_path / "mounted", path, version, quota)
    (tmp_path / "cgroup").write_text(f"{told}\n")
    assert cpu_quota(tmp_path / "cgroup", tmp_path / "mounted") == cores


def test_cores_are_those_of_the_affinity_and_of_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    affinity = len(os.sched_getaffinity(0))
    for quota, cores in ((1, 1), (affinity + 1, affinity), (0, 1)):
        monkeypatch.setattr(processes, "cpu_quota", lambda quota=quota: quota)
        assert available_cores() == cores


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "nothing", tmp_path) == ALL


def _limited() -> tuple[Path, dict[str, str]]:
    """The folder under which a group with half a core can be made here, and what its files must say."""
    first, unified = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    if (first / "cpu.cfs_quota_us").exists():
        return first, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}
    return unified, {"cpu.max": "50000 100000"}


def test_half_a_core_of_a_real_group_is_one(tmp_path: Path) -> None:
    folder, limits = _limited()
    group = folder / f"lpff-shards-{os.getpid()}"
    try:
        group.mkdir()
        for name, text in limits.items():
            (group / name).write_text(text)
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    code = "import lpff_shards.executors.processes as p; print(p.available_cores())"
    command = f"echo $$ > {group}/cgroup.procs && exec {sys.executable} -c '{code}'"
    try:
        done = subprocess.run(["sh", "-c", command], cwd=PROJECT, capture_output=True, text=True, check=False)
    finally:
        group.rmdir()
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


FAULTS = """
import resource, sys
import numpy as np
from lpff_shards.executors.worker import keep_freed_memory
from lpff_shards.formats.pictures import png
pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
data = png.encode(pixels)
if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(10):
    png.decode(data)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    png.decode(data)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_that_is_kept_needs_no_new_pages() -> None:
    given, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("given back", "kept")
    )
    # A picture has 192 pages.
    assert kept < 20 < 150 < given
