"""Credentials and endpoints of stores are found where the providers' own tools look for them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from running import run, run_after
from stores import Bucket, service_account

from lpff_shards.storage.connect import region_of

DEMO = ("export", "--format", "wds", "--demo", 2, "--resolution", 16, "--workers", 1)


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of whoever runs the tests, and no asking of a cloud's machines for theirs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    aws = ("PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION", "DEFAULT_REGION")
    for name in (*(f"AWS_{it}" for it in aws), "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def _profile(s3: Bucket, home: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Moves what the environment says of a bucket into a profile."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL", *names):
        monkeypatch.delenv(name, raising=False)
    (home / ".aws").mkdir()
    (home / ".aws/credentials").write_text("[lab]\naws_access_key_id = a-key\naws_secret_access_key = a-secret\n")
    (home / ".aws/config").write_text(f"[profile lab]\nregion = us-east-1\nendpoint_url = {s3.endpoint}\n")
    monkeypatch.setenv("AWS_PROFILE", "lab")


def test_a_profile_of_aws(s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    _profile(s3, tmp_path, monkeypatch)
    done = run(*DEMO, "--out", s3.uri)
    assert done.returncode == 0, done.stderr
    assert "manifest.json" in s3.names()
    monkeypatch.setenv("AWS_PROFILE", "another")
    done = run("verify", s3.uri)
    assert done.returncode == 2
    assert f"there are no credentials for {s3.uri}: The config profile (another) could not be found" in done.stderr


def test_keys_and_an_endpoint_of_the_environment(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert run(*DEMO, "--out", s3.uri).returncode == 0


@pytest.mark.parametrize("lone", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_one_key_without_the_other_is_one_error(monkeypatch: pytest.MonkeyPatch, lone: str) -> None:
    monkeypatch.setenv(lone, "a-key")
    done = run("verify", "s3://bucket/x")
    assert done.returncode == 2
    assert done.stderr.startswith(f"lpff-shards: {lone} is set but AWS_")
    assert done.stderr.endswith(" is not. Set both, or neither and AWS_PROFILE\n")


class _Regions(BaseHTTPRequestHandler):
    """Answers as S3 does to who may not look into a bucket."""

    def do_HEAD(self) -> None:
        self.send_response({"/here": 200, "/there": 301, "/secret": 403}.get(self.path, 404))
        if self.path in ("/here", "/there", "/secret"):
            self.send_header("x-amz-bucket-region", f"{self.path[1:]}-east-1")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def regions() -> Iterator[str]:
    """The address of a server that tells where buckets are."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Regions) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_region_of_a_bucket(regions: str) -> None:
    assert {name: region_of(name, regions) for name in ("here", "there", "secret", "nowhere")} == {
        "here": "here-east-1",
        "there": "there-east-1",
        "secret": "secret-east-1",
        "nowhere": None,
    }
    assert region_of("here", "http://127.0.0.1:9") is None


SEEN = """
import sys
import obstore.store
from lpff_shards.storage import connect
asked = connect.region_of
connect.region_of = lambda bucket: asked(bucket, {server!r})
obstore.store.S3Store = lambda bucket, config, **_: sys.exit("region: " + config.get("region", "the environment's"))
"""


@pytest.mark.parametrize("keys", [True, False])
def test_a_region_that_nothing_names_is_asked_for(
    regions: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keys: bool
) -> None:
    if keys:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    else:
        pytest.importorskip("boto3")
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws/credentials").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    prelude = SEEN.format(server=regions)
    assert run_after(prelude, "verify", "s3://there/x").stderr == "region: there-east-1\n"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert run_after(prelude, "verify", "s3://there/x").stderr == "region: the environment's\n"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_ENDPOINT_URL", regions)
    assert run_after(prelude, "verify", "s3://there/x").stderr == "region: the environment's\n"


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9", "minio:9000", "http://", "http://a:port", "ftp://a", "http://a b"])
def test_an_endpoint_that_is_no_url_is_one_error(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    done = run("verify", "s3://bucket/x")
    assert done.returncode == 2
    assert done.stderr == (
        f"lpff-shards: the endpoint of s3, {endpoint!r}, is not the URL of a server. "
        "Write http://HOST:PORT or https://HOST\n"
    )


def test_no_credentials_are_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    pytest.importorskip("google.auth")
    told = {
        "s3": "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "gs": "Run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
    }
    for scheme, hint in told.items():
        for command in ((*DEMO, "--out", f"{scheme}://bucket/x"), ("verify", f"{scheme}://bucket/x")):
            done = run(*command)
            assert done.returncode == 2
            assert f"there are no credentials for {scheme}://bucket. {hint}" in done.stderr
            assert len(done.stderr.splitlines()) <= 2


def test_a_key_file_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("google.auth")
    (tmp_path / "key.json").write_text("{}")
    for file in (tmp_path / "key.json", tmp_path / "nowhere.json", tmp_path):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        done = run("verify", "gs://bucket/x")
        assert done.returncode == 2
        assert f"GOOGLE_APPLICATION_CREDENTIALS is set to {file}, which contains no credentials: " in done.stderr


@pytest.mark.parametrize("name", ["AWS_SKIP_SIGNATURE", "AWS_UNSIGNED_PAYLOAD"])
def test_a_switch_is_on_or_off(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "maybe")
    done = run("verify", "s3://bucket/x")
    assert done.returncode == 2
    assert f"{name} is set to 'maybe', which is neither true nor false. Set {name}=true or =false" in done.stderr


def test_a_service_account(gcs: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    (tmp_path / "account.json").write_text(json.dumps(service_account(gcs.endpoint)))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    done = run(*DEMO, "--out", gcs.uri)
    assert done.returncode == 0, done.stderr
    assert "manifest.json" in gcs.names()


FIRST_IMPORTS = """
import sys, threading, time
from importlib.abc import MetaPathFinder
from lpff_shards.storage.connect import load_library

class Slow(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "obstore.store":
            half.set()
            time.sleep(0.3)

half = threading.Event()
sys.meta_path.insert(0, Slow())
first = threading.Thread(target=load_library, args=("s3", "bucket"))
first.start()
half.wait()
load_library("s3", "bucket")
assert hasattr(sys.modules["obstore"], "get")
first.join()
"""


def test_a_second_thread_waits_until_the_library_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_IMPORTS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
