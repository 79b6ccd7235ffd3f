"""--engine ray into buckets: what one machine writes, though a worker is killed in the middle of a shard."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import running
from running import children, contents, run, wait_for
from servers.fault import Fault
from stores import Bucket
from test_buckets import same

pytest.importorskip("ray", reason="ray is not installed here: pip install 'lpff-shards[ray]'")

DEMO = ("export", "--format", "wds", "--demo", 12, "--resolution", 16, "--shards", 6)
# The cluster is of this machine's own, so its workers have the environment that leads to the bucket.
ON_RAY = ("--engine", "ray", "--workers", 2)


def _workers(pid: int) -> list[int]:
    """The processes below a process in which Ray does a task of ours."""
    below = children(pid)
    own = [child for child in below if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::attempt")]
    return [*own, *(worker for child in below for worker in _workers(child))]


def test_a_cluster_fills_a_bucket(bucket: Bucket, tmp_path: Path) -> None:
    assert run(*DEMO, "--workers", 1, "--out", tmp_path / "out").returncode == 0
    done = run(*DEMO, *ON_RAY, "--out", bucket.uri)
    assert done.returncode == 0, done.stderr
    same(bucket.contents(), contents(tmp_path / "out"))


def test_a_worker_is_killed_in_the_middle_of_an_upload(s3: Bucket, tmp_path: Path) -> None:
    assert run(*DEMO, "--workers", 1, "--out", tmp_path / "out").returncode == 0
    name = "demo-train-000003.tar"
    s3.break_with(Fault("hold", method="PUT", path=f"/{name}$", times=1))
    pid = running.forks().start(*DEMO, *ON_RAY, "--out", s3.uri)
    # The other worker has nothing left to do then.
    wait_for(lambda: s3.counts().held and "demo-train-000005.tar" in s3.names() and len(_workers(pid)) == 1)
    os.kill(_workers(pid)[0], signal.SIGKILL)
    done = running.forks().end()
    assert done.returncode == 0, done.stderr
    s3.break_with()
    same(s3.contents(), contents(tmp_path / "out"))
