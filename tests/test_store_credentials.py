"""Credentials and endpoints of stores are found where the providers' own tools look for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running import run
from stores import Bucket, service_account

DEMO = ("export", "--format", "wds", "--demo", 2, "--resolution", 16, "--workers", 1)


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of whoever runs the tests, and no asking of a cloud's machines for theirs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"):
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


def test_a_service_account(gcs: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    (tmp_path / "account.json").write_text(json.dumps(service_account(gcs.endpoint)))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    done = run(*DEMO, "--out", gcs.uri)
    assert done.returncode == 0, done.stderr
    assert "manifest.json" in gcs.names()
