"""Exports into buckets: the bytes of a folder's, whole or not at all, whatever the store or the process suffers."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import running
from running import changed, contents, run, run_after, wait_for
from servers.fault import Fault, expired_gcs, expired_s3
from stores import Bucket

from lpff_shards.storage.bucket import BucketPath

STATE = ".lpff-shards"
DEMO = ("export", "--demo", 12, "--resolution", 16, "--shards", 3, "--seed", 4)
FORMATS = ("wds", "tfrecord", "zip", "parquet", "arrayrecord")


def _command(format: str, out: object, *more: object) -> tuple[object, ...]:
    sizes = () if format == "zip" else DEMO[5:]
    return changed((*DEMO[:5], *sizes, "--format", format, "--out", out, "--workers", 1), *more)


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, bytes]]:
    """What an export to a folder writes, by format."""
    found = {}
    for format in FORMATS:
        out = tmp_path_factory.mktemp(format) / "out"
        done = run(*_command(format, out))
        assert done.returncode == 0, done.stderr
        found[format] = contents(out)
    return found


def same(found: Mapping[str, bytes], whole: Mapping[str, bytes]) -> None:
    """All files are a folder's; receipts tell the store's mark of the shard too."""
    assert set(found) == set(whole)
    for name, data in whole.items():
        if name.startswith(f"{STATE}/receipts/"):
            told = json.loads(found[name])
            assert told.pop("etag")
            assert {**told, "seal": ""} == {**json.loads(data), "seal": ""}
        else:
            assert found[name] == data, name


def _below(bucket: Bucket, prefix: str) -> dict[str, bytes]:
    found = bucket.contents()
    assert all(name.startswith(f"{prefix}/") for name in found)
    return {name.removeprefix(f"{prefix}/"): data for name, data in found.items()}


@pytest.mark.parametrize(
    ("bucket", "format"),
    [*(("s3", format) for format in FORMATS), ("gcs", "wds"), ("gcs", "zip")],
    indirect=["bucket"],
)
def test_a_bucket_holds_what_a_folder_does(bucket: Bucket, wholes: Mapping[str, dict[str, bytes]], format: str) -> None:
    out = f"{bucket.uri}/a/b c"
    done = run(*_command(format, out))
    assert done.returncode == 0, done.stderr
    assert f", in {out}\n" in done.stdout
    same(_below(bucket, "a/b c"), wholes[format])
    assert not bucket.unfinished()
    again = run(*_command(format, out))
    assert "of them finished before" in again.stderr or format == "zip"
    assert again.returncode == 0, again.stderr
    same(_below(bucket, "a/b c"), wholes[format])
    verified = run("verify", out)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "all whole" in verified.stdout


@pytest.mark.parametrize(("bucket", "format"), [("s3", "wds"), ("gcs", "zip")], indirect=["bucket"])
def test_shares_fill_a_bucket(bucket: Bucket, wholes: Mapping[str, dict[str, bytes]], format: str) -> None:
    for share in (3, 1, 4, 2):
        assert f"{STATE}/manifest.json" not in bucket.names()
        done = run(*_command(format, bucket.uri, "--task", f"{share}/4"))
        assert done.returncode == 0, done.stderr
    same(bucket.contents(), wholes[format])


def test_workers_are_started_afresh(s3: Bucket, wholes: Mapping[str, dict[str, bytes]]) -> None:
    done = run(*_command("wds", s3.uri, "--workers", 2))
    assert done.returncode == 0, done.stderr
    same(s3.contents(), wholes["wds"])
    verified = run("verify", s3.uri, "--workers", 2, "--deep")
    assert verified.returncode == 0, verified.stdout + verified.stderr


RESETS = tuple(Fault(kind, share=0.025) for kind in ("error", "reset", "reset-upload", "lost-answer"))  # type: ignore[arg-type]


def test_one_request_in_ten_fails(bucket: Bucket, wholes: Mapping[str, dict[str, bytes]]) -> None:
    bucket.break_with(*RESETS, seed=1)
    done = run(*_command("wds", bucket.uri))
    hit = bucket.counts()
    assert done.returncode == 0, done.stderr
    assert sum(hit.hit) >= 0.05 * sum(hit.methods.values())
    bucket.break_with()
    same(bucket.contents(), wholes["wds"])


def test_parts_of_a_shard_fail_too(bucket: Bucket, tmp_path: Path) -> None:
    large = ("export", "--format", "wds", "--demo", 9, "--no-mirror", "--resolution", 1024, "--image", "raw")
    assert run(*large, "--workers", 1, "--out", tmp_path / "out").returncode == 0
    bucket.break_with(
        *(Fault(kind, path="uploads", method="POST", times=1) for kind in ("reset",)),
        *(Fault(kind, path="uploadId", method="POST", times=1) for kind in ("reset", "lost-answer")),
        *(Fault(kind, path="partNumber", times=1) for kind in ("error", "reset", "reset-upload", "lost-answer")),
        Fault("short-answer", path="list-type", times=1),
        Fault("reset-answer", path="list-type", times=1),
    )
    done = run(*large, "--workers", 1, "--out", bucket.uri)
    assert done.returncode == 0, done.stderr
    assert bucket.counts().hit == [1] * 9
    same(bucket.contents(), contents(tmp_path / "out"))


def test_slow_answers_are_waited_for(s3: Bucket, wholes: Mapping[str, dict[str, bytes]]) -> None:
    s3.break_with(Fault("slow", method="PUT", every=10, seconds=0.3))
    assert run(*_command("wds", s3.uri)).returncode == 0
    same(s3.contents(), wholes["wds"])


@pytest.mark.parametrize("name", ["demo-train-000001.tar", "manifest.json"])
def test_an_object_cut_short_is_told_and_written_again(
    s3: Bucket, wholes: Mapping[str, dict[str, bytes]], name: str
) -> None:
    s3.break_with(Fault("short-upload", method="PUT", path=f"/{name}$", times=1))
    done = run(*_command("wds", s3.uri))
    assert done.returncode == 1
    assert re.search(rf"{name}[^\n]*has \d+ bytes after \d+ bytes were sent", done.stderr), done.stderr
    assert done.stderr.count("lpff-shards:") == 1
    assert run(*_command("wds", s3.uri)).returncode == 0
    same(s3.contents(), wholes["wds"])


def test_credentials_that_expire_are_one_error_and_then_it_goes_on(
    bucket: Bucket, wholes: Mapping[str, dict[str, bytes]]
) -> None:
    expired = expired_s3 if bucket.scheme == "s3" else expired_gcs
    bucket.break_with(expired(method="PUT|POST", skip=10))
    done = run(*_command("wds", bucket.uri))
    assert done.returncode == 1
    assert ("ExpiredToken" if bucket.scheme == "s3" else "AuthenticationRequired") in done.stderr
    assert "Traceback" not in done.stderr
    assert "run the same command again; finished shards are kept" in done.stderr
    assert "manifest.json" not in bucket.names()
    bucket.break_with()
    done = run(*_command("wds", bucket.uri))
    assert done.returncode == 0, done.stderr
    assert "of them finished before" in done.stderr
    same(bucket.contents(), wholes["wds"])


def test_a_store_that_is_down_is_told(monkeypatch: pytest.MonkeyPatch, s3: Bucket) -> None:
    s3.break_with(Fault("error", status=403, code="AccessDenied"))
    for command in (_command("wds", s3.uri), ("verify", s3.uri), ("trace", "x", s3.uri)):
        done = run(*command)
        assert done.returncode in (1, 2)
        assert s3.uri in done.stderr
        assert "AccessDenied" in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2
        assert "Traceback" not in done.stderr


def test_no_bucket_is_one_error(bucket: Bucket) -> None:
    missing = f"{bucket.scheme}://no-such-bucket/x"
    for command in (_command("wds", missing), ("verify", missing)):
        done = run(*command)
        assert done.returncode in (1, 2)
        assert missing in done.stderr
        assert "there is no such bucket" in done.stderr
        assert "Traceback" not in done.stderr


def _held(bucket: Bucket, path: str) -> int:
    """Starts an export whose shard of a name hangs in the middle of its upload; returns its process id."""
    bucket.break_with(Fault("hold", method="PUT", path=path))
    pid = running.forks().start(*_command("wds", bucket.uri))
    wait_for(lambda: bucket.counts().held)
    return pid


def _killed(bucket: Bucket, name: str, pid: int) -> dict[str, bytes]:
    """Kills an export that hangs; what the bucket holds then, before what was sent gets any further."""
    os.kill(pid, signal.SIGKILL)
    assert running.forks().end().returncode == -signal.SIGKILL
    before = bucket.contents()
    assert name not in before
    assert "manifest.json" not in before
    bucket.break_with()
    return before


KILLS = ("demo-train-000001.tar", "demo-train-000001.tar.json", "samples.sqlite", "manifest.json")


@pytest.mark.parametrize(
    ("bucket", "name"), [*(("s3", name) for name in KILLS), ("gcs", KILLS[0]), ("gcs", KILLS[-1])], indirect=["bucket"]
)
def test_killed_before_an_object_is_through(bucket: Bucket, wholes: Mapping[str, dict[str, bytes]], name: str) -> None:
    pid = _held(bucket, f"/{name}$")
    before = _killed(bucket, name, pid)
    same(before, {n: data for n, data in wholes["wds"].items() if n in before})
    done = run(*_command("wds", bucket.uri))
    assert done.returncode == 0, done.stderr
    same(bucket.contents(), wholes["wds"])


def test_killed_between_the_parts_of_a_shard(bucket: Bucket, tmp_path: Path) -> None:
    large = ("export", "--format", "tfrecord", "--demo", 12, "--no-mirror", "--resolution", 1024, "--image", "raw")
    assert run(*large, "--workers", 1, "--out", tmp_path / "out").returncode == 0
    bucket.break_with(Fault("hold", method="PUT", path="partNumber=3"))
    pid = running.forks().start(*large, "--workers", 1, "--out", bucket.uri)
    wait_for(lambda: bucket.counts().held)
    name = "demo-train.tfrecord-00000-of-00001"
    assert set(_killed(bucket, name, pid)) == {f"{STATE}/plan.json"}
    # What is left of it nobody sees; the bucket's rules take it away.
    assert bucket.unfinished() == [name]
    done = run(*large, "--workers", 1, "--out", bucket.uri)
    assert done.returncode == 0, done.stderr
    same(bucket.contents(), contents(tmp_path / "out"))


def test_ctrl_c_is_heard_while_the_store_does_not_answer(s3: Bucket, wholes: Mapping[str, dict[str, bytes]]) -> None:
    pid = _held(s3, "/demo-train-000001.tar")
    started = time.monotonic()
    os.kill(pid, signal.SIGINT)
    done = running.forks().end()
    assert done.returncode == 130, done.stderr
    assert time.monotonic() - started < 20
    s3.break_with()
    assert run(*_command("wds", s3.uri)).returncode == 0
    same(s3.contents(), wholes["wds"])


def test_another_plan_is_refused_and_may_take_over(s3: Bucket) -> None:
    assert run(*_command("wds", s3.uri)).returncode == 0
    before = s3.contents()
    other = run(*_command("tfrecord", s3.uri))
    assert other.returncode == 2
    assert "already holds a different export (changed: --format wds -> tfrecord" in other.stderr
    assert s3.contents() == before
    assert run(*_command("tfrecord", s3.uri, "--overwrite")).returncode == 0
    assert not [name for name in s3.names() if ".tar" in name or ".nv-meta" in name]
    assert run("verify", s3.uri).returncode == 0
    assert [name for name in s3.names() if name.startswith("dali/")]
    assert run(*_command("wds", s3.uri, "--overwrite")).returncode == 0
    assert s3.contents().keys() == before.keys()


def test_the_slower_of_two_plans_removes_nothing(s3: Bucket) -> None:
    faster = [sys.executable, "-m", "lpff_shards", *map(str, _command("wds", s3.uri, "--quiet"))]
    # The faster export begins and ends after the slower one has looked, and before it claims the prefix.
    prelude = f"""
import subprocess
from lpff_shards.exporters import output_lock
claim = output_lock._take_over
def late(*given):
    subprocess.run({faster!r}, check=True)
    claim(*given)
output_lock._take_over = late
"""
    slower = run_after(prelude, *_command("tfrecord", s3.uri))
    assert slower.returncode == 2, slower.stderr
    assert "already holds a different export (changed: --format wds -> tfrecord" in slower.stderr
    assert not [name for name in s3.names() if "tfrecord" in name]
    assert run("verify", s3.uri).returncode == 0


def test_a_plan_that_cannot_be_read_gives_way_to_overwrite(s3: Bucket) -> None:
    s3.put(f"{STATE}/plan.json", b"not a plan")
    refused = run(*_command("wds", s3.uri))
    assert refused.returncode == 2
    assert f"{STATE}/plan.json is damaged. Pass --overwrite" in refused.stderr
    assert s3.names() == [f"{STATE}/plan.json"]
    assert run(*_command("wds", s3.uri, "--overwrite")).returncode == 0
    assert run("verify", s3.uri).returncode == 0


@pytest.mark.parametrize("more", [(), ("--quiet",)])
def test_a_store_without_conditional_writes_is_written_and_said_to_be_unsure(
    s3: Bucket, wholes: Mapping[str, dict[str, bytes]], more: tuple[str, ...]
) -> None:
    unknown = Fault("error", method="PUT", header="If-None-Match", status=501, code="NotImplemented")
    s3.break_with(unknown)
    done = run(*_command("wds", s3.uri), *more)
    assert done.returncode == 0, done.stderr
    assert s3.counts().hit == [1]
    assert done.stderr.count("note: the store of ") == (0 if more else 1)
    same(s3.contents(), wholes["wds"])
    # It looks first, so that another plan's export stays as it is.
    other = run(*_command("tfrecord", s3.uri))
    assert (other.returncode, "already holds a different export" in other.stderr) == (2, True)
    assert run(*_command("wds", s3.uri)).returncode == 0
    with pytest.raises(FileExistsError):
        BucketPath.parse(f"{s3.uri}/{STATE}/plan.json").create(b"another")
    same(s3.contents(), wholes["wds"])


def test_a_store_that_is_busy_is_asked_again_for_a_new_object(bucket: Bucket) -> None:
    busy = Fault("error", method="PUT", times=2)
    bucket.break_with(busy)
    place = BucketPath.parse(f"{bucket.uri}/new")
    assert place.create(b"first")
    assert bucket.counts().hit == [2]
    with pytest.raises(FileExistsError):
        place.create(b"second")
    assert bucket.read("new") == b"first"


@pytest.mark.parametrize(("more", "looks"), [((), 1), ((), 3), (("--task", "2/2"), 3)])
def test_an_export_that_begins_meanwhile_is_seen(
    s3: Bucket, wholes: Mapping[str, dict[str, bytes]], more: tuple[str, ...], looks: int
) -> None:
    faster = [sys.executable, "-m", "lpff_shards", *map(str, _command("wds", s3.uri, "--quiet"))]
    faster += ["--task", "1/2"] if more else []
    # It begins when the slower one has found the prefix nobody's, for the first time or again.
    prelude = f"""
import subprocess
from lpff_shards.sidecars.folder import OutputFolder
look, looks = OutputFolder.owner, []
def late(self):
    found = look(self)
    looks.append(found)
    if len(looks) == {looks}:
        subprocess.run({faster!r}, check=True)
    return found
OutputFolder.owner = late
"""
    slower = run_after(prelude, *_command("wds", s3.uri, *more))
    assert slower.returncode == 0, slower.stderr
    same(s3.contents(), wholes["wds"])


def test_nothing_is_removed_where_nothing_can_be_written(s3: Bucket) -> None:
    assert run(*_command("wds", s3.uri)).returncode == 0
    before = s3.contents()
    s3.break_with(Fault("error", method="PUT", status=403, code="AccessDenied"))
    done = run(*_command("tfrecord", s3.uri, "--overwrite"))
    assert done.returncode == 1, done.stderr
    assert s3.contents() == before


def test_a_full_scratch_disk_is_no_fault_of_the_export(s3: Bucket) -> None:
    assert run(*_command("wds", s3.uri)).returncode == 0
    prelude = """
import errno
from lpff_shards.storage.bucket import BucketPath
def full(self, path):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))
BucketPath.fetch = full
"""
    assert run_after(prelude, "verify", s3.uri).returncode == 0
    done = run_after(prelude, "trace", "00000003", s3.uri)
    assert (
        "is full: No space left on device. Free some space, or set TMPDIR to a folder on a larger disk" in done.stderr
    )
    assert "fault" not in done.stdout
    assert done.returncode == 2


@pytest.mark.parametrize("name", ["README.md", "report/index.html", "demo-train.wids.json", ".nv-meta/split.yaml"])
def test_someone_s_own_object_is_not_overwritten(s3: Bucket, name: str) -> None:
    s3.put(f"x/{name}", b"mine")
    done = run(*_command("wds", f"{s3.uri}/x"))
    assert done.returncode == 2
    assert f"already holds {name}, which lpff-shards did not write there" in done.stderr
    assert s3.contents() == {f"x/{name}": b"mine"}


def test_an_object_that_was_changed_is_written_again(bucket: Bucket, wholes: Mapping[str, dict[str, bytes]]) -> None:
    assert run(*_command("wds", bucket.uri)).returncode == 0
    name = "demo-train-000000.tar"
    data = bytearray(bucket.read(name))
    data[len(data) // 2] ^= 1
    bucket.put(name, bytes(data))
    found = run("verify", bucket.uri)
    assert found.returncode == 1
    assert name in found.stdout
    bucket.remove("demo-train-000001.tar")
    done = run(*_command("wds", bucket.uri))
    assert done.returncode == 0, done.stderr
    assert "1 of them finished before" in done.stderr
    same(bucket.contents(), wholes["wds"])


def test_index_files_that_are_gone_or_cut_are_written_again(s3: Bucket, wholes: Mapping[str, dict[str, bytes]]) -> None:
    assert run(*_command("wds", s3.uri)).returncode == 0
    s3.remove("demo-train-000000.idx")
    s3.put("demo-train-000001.tar.idx", b"short")
    s3.break_with()
    assert run(*_command("wds", s3.uri)).returncode == 0
    # The shards themselves are neither read nor sent again.
    assert s3.counts().methods["PUT"] < 25
    same(s3.contents(), wholes["wds"])


def test_withdrawn_photos_are_taken_out(s3: Bucket, tmp_path: Path) -> None:
    (tmp_path / "gone.txt").write_text("00000003\n")
    options = ("--exclude", tmp_path / "gone.txt", "--update")
    for out in (tmp_path / "out", s3.uri):
        assert run(*_command("wds", out)).returncode == 0
        done = run(*_command("wds", out, *options))
        assert done.returncode == 0, done.stderr
    same(s3.contents(), contents(tmp_path / "out"))


def test_what_else_reads_an_export_takes_uris(bucket: Bucket, tmp_path: Path) -> None:
    assert run(*_command("wds", bucket.uri)).returncode == 0
    key = json.loads(bucket.read(f"{STATE}/receipts/demo-train-000000.tar.json"))["keys"][0]
    traced = run("trace", key, bucket.uri)
    assert traced.returncode == 0, traced.stderr
    assert "demo-train-000000.tar" in traced.stdout
    bucket.remove("samples.sqlite")
    bucket.remove("demo-train-000000.tar.idx")
    assert run("trace", key, bucket.uri).returncode == 2
    indexed = run("index", bucket.uri)
    assert indexed.returncode == 0, indexed.stderr
    assert f"{bucket.uri}: 2 files written" in indexed.stdout
    assert run("verify", bucket.uri).returncode == 0


def test_reports_go_into_the_bucket_or_out_of_it(s3: Bucket, tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    assert run(*_command("wds", s3.uri)).returncode == 0
    done = run("report", s3.uri)
    assert done.returncode == 0, done.stderr
    assert f"in {s3.uri}/report/index.html" in done.stdout
    page = s3.read("report/index.html")
    assert run("report", s3.uri, "--out", tmp_path / "a.html").returncode == 0
    assert (tmp_path / "a.html").read_bytes() == page
    refused = run("report", s3.uri, "--out", f"{s3.uri}/mine.html")
    assert refused.returncode == 2
    assert "is in the export's own folder" in refused.stderr
    # An export that changes what is there takes it away.
    s3.remove("demo-train-000000.tar")
    assert run(*_command("wds", s3.uri)).returncode == 0
    assert not [name for name in s3.names() if name.startswith("report/")]


def test_without_the_library_it_is_one_error(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['obstore'] = None; sys.modules['obstore.exceptions'] = None"
    done = running.run_after(hide, *_command("wds", "gs://bucket/x"))
    assert done.returncode == 2
    assert "gs://bucket needs obstore, which is not installed. pip install 'lpff-shards[gcs]'" in done.stderr
