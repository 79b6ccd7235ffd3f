"""The servers that tests of object stores run against are what they say: other people's clients work with them."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import wait_for
from servers.child import Child
from stores import OWNER, Bucket

MIB = 1 << 20


@pytest.fixture
def boto(s3: Bucket) -> Iterator[Any]:
    """AWS's own client."""
    config = pytest.importorskip("botocore.config").Config(retries={"total_max_attempts": 1})
    client = pytest.importorskip("boto3").client("s3", config=config)
    yield client
    client.close()


@pytest.fixture
def google(gcs: Bucket) -> Iterator[Any]:
    """Google's own client, its bucket."""
    storage = pytest.importorskip("google.cloud.storage", reason="google-cloud-storage is not installed here")
    credentials = pytest.importorskip("google.auth.credentials").AnonymousCredentials()
    client = storage.Client("project", credentials=credentials)
    yield client.bucket(gcs.name)
    client.close()


def test_s3_takes_whole_objects_and_uploads_in_parts(boto: Any, s3: Bucket) -> None:
    boto.put_object(Bucket=s3.name, Key="a/b.txt", Body=b"hello")
    upload = boto.create_multipart_upload(Bucket=s3.name, Key="parts")["UploadId"]
    assert s3.unfinished() == ["parts"]
    etags = [
        boto.upload_part(Bucket=s3.name, Key="parts", UploadId=upload, PartNumber=part, Body=body)["ETag"]
        for part, body in ((1, bytes(5 * MIB)), (2, b"end"))
    ]
    parts = [{"PartNumber": part, "ETag": etag} for part, etag in enumerate(etags, 1)]
    assert s3.names() == ["a/b.txt"]
    boto.complete_multipart_upload(Bucket=s3.name, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    assert s3.contents() == {"a/b.txt": b"hello", "parts": bytes(5 * MIB) + b"end"}
    assert s3.unfinished() == []


def test_s3_refuses_to_create_what_exists(boto: Any, s3: Bucket) -> None:
    boto.put_object(Bucket=s3.name, Key="one", Body=b"1", IfNoneMatch="*")
    with pytest.raises(boto.exceptions.ClientError, match="PreconditionFailed"):
        boto.put_object(Bucket=s3.name, Key="one", Body=b"2", IfNoneMatch="*")
    assert s3.read("one") == b"1"


def test_google_s_client_reads_what_its_own_parts_wrote(google: Any, gcs: Bucket, tmp_path: Path) -> None:
    manager = pytest.importorskip("google.cloud.storage.transfer_manager")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(12 * MIB + 7))
    options = {"chunk_size": 5 * MIB, "max_workers": 2, "worker_type": manager.THREAD, "checksum": "crc32c"}
    manager.upload_chunks_concurrently(str(source), google.blob("a/parts"), **options)
    assert gcs.counts().methods == {"POST": 2, "PUT": 3}
    blob = google.get_blob("a/parts")
    assert blob.md5_hash is None
    assert blob.size == 12 * MIB + 7
    assert blob.download_as_bytes() == source.read_bytes() == gcs.read("a/parts")
    assert blob.download_as_bytes(start=3, end=5, checksum=None) == source.read_bytes()[3:6]


def test_google_s_client_writes_lists_and_removes(google: Any, gcs: Bucket) -> None:
    for name in ("a/1", "a/b/2", "a/b/3", "a/c/4", "z"):
        gcs.put(name, name.encode())
    google.blob("a/ü ?").upload_from_string(b"new", if_generation_match=0)
    assert [blob.name for blob in google.list_blobs(page_size=2)] == ["a/1", "a/b/2", "a/b/3", "a/c/4", "a/ü ?", "z"]
    folded = google.list_blobs(prefix="a/", delimiter="/", page_size=1)
    assert [blob.name for blob in folded] == ["a/1", "a/ü ?"]
    assert folded.prefixes == {"a/b/", "a/c/"}
    google.delete_blob("z")
    assert gcs.names() == ["a/1", "a/b/2", "a/b/3", "a/c/4", "a/ü ?"]
    assert gcs.read("a/ü ?") == b"new"


def test_google_s_client_is_refused_what_its_conditions_do_not_allow(google: Any, gcs: Bucket) -> None:
    exceptions = pytest.importorskip("google.api_core.exceptions")
    google.blob("one").upload_from_string(b"1", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        google.blob("one").upload_from_string(b"2", if_generation_match=0)
    with pytest.raises(exceptions.NotFound):
        google.blob("none").download_as_bytes()
    assert gcs.contents() == {"one": b"1"}


def test_google_s_client_resumes_long_uploads(google: Any, gcs: Bucket) -> None:
    blob = google.blob("long", chunk_size=MIB)
    with blob.open("wb") as stream:
        stream.write(bytes(2 * MIB + 5))
    assert gcs.read("long") == bytes(2 * MIB + 5)


def test_names_may_be_percent_encoded_throughout(gcs: Bucket) -> None:
    gcs.put("a-b", b"1")
    url = f"{gcs.servers.server.url}/{gcs.name.replace('-', '%2D')}/a%2Db"
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"1"


def _ask(bucket: Bucket, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", bucket.servers.server.port)
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    connection.request(method, f"/{bucket.name}{path}", body, named)
    answer = connection.getresponse()
    told = answer.status, answer.read()
    connection.close()
    return told


def test_the_xml_interface_keeps_google_s_rules(gcs: Bucket) -> None:
    gcs.put("one", b"0123456789")
    assert _ask(gcs, "GET", "/one", range="bytes=2-3") == (206, b"23")
    assert _ask(gcs, "GET", "/one", range="bytes=-4") == (206, b"6789")
    assert _ask(gcs, "GET", "/one", range="bytes=10-")[0] == 416
    assert _ask(gcs, "PUT", "/one", b"new", x_goog_if_generation_match="0")[0] == 412
    assert _ask(gcs, "PUT", "/one", b"new", content_md5="AAAA")[0] == 400
    assert _ask(gcs, "GET", "/one", if_match='"other"')[0] == 412
    assert _ask(gcs, "POST", "/two?uploads", x_goog_if_generation_match="0")[0] == 400
    assert _ask(gcs, "GET", "/none")[0] == 404
    assert gcs.contents() == {"one": b"0123456789"}


def test_parts_that_google_refuses(gcs: Bucket) -> None:
    _, begun = _ask(gcs, "POST", "/two?uploads")
    upload = begun.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    etag = "900150983cd24fb0d6963f7d28e17f72"
    for part in (1, 2):
        assert _ask(gcs, "PUT", f"/two?partNumber={part}&uploadId={upload}", b"abc") == (200, b"")
    part = "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>"
    for parts, code in (
        ((part.format(1, etag), part.format(2, etag)), b"EntityTooSmall"),
        ((part.format(1, "other"),), b"InvalidPart"),
        ((part.format(2, etag), part.format(1, etag)), b"InvalidPartOrder"),
        ((), b"InvalidPartOrder"),
    ):
        body = f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()
        status, answer = _ask(gcs, "POST", f"/two?uploadId={upload}", body)
        assert (status, code in answer) == (400, True), answer
    assert (gcs.names(), gcs.unfinished()) == ([], ["two"])
    assert _ask(gcs, "DELETE", f"/two?uploadId={upload}")[0] == 204
    assert gcs.unfinished() == []


def test_a_body_cut_short_is_not_stored(gcs: Bucket) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gcs.servers.server.port)
    connection.putrequest("PUT", f"/{gcs.name}/cut")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"only this")
    connection.close()
    assert gcs.names() == []


def test_a_token_can_be_asked_for(gcs: Bucket) -> None:
    gcs.servers.server.tell(token="secret")
    try:
        assert _ask(gcs, "GET", "")[0] == 401
        assert _ask(gcs, "GET", "", authorization="Bearer secret")[0] == 200
    finally:
        gcs.servers.server.tell(token=None)


def test_many_objects_are_listed_in_pages(gcs: Bucket) -> None:
    for number in range(1001):
        gcs.put(f"{number:04}", b"")
    assert gcs.names() == [f"{number:04}" for number in range(1001)]


def test_servers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    code = "from servers.child import Child\nserver = Child('gcs')\nprint(server.pid, flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


def test_a_server_that_cannot_start_says_so() -> None:
    with pytest.raises(RuntimeError, match="ended with status 2"):
        Child("proxy")


def test_a_wrong_message_is_refused(gcs: Bucket) -> None:
    with pytest.raises(RuntimeError, match="KeyError"):
        gcs.servers.server.tell(nothing=1)


def test_a_client_that_waits_to_be_told_to_go_on(bucket: Bucket) -> None:
    with socket.create_connection(("127.0.0.1", bucket.servers.server.port), timeout=20) as connection:
        head = f"PUT /{bucket.name}/one HTTP/1.1\r\nHost: x\r\nAuthorization: {OWNER}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n".encode())
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert bucket.contents() == {"one": b"hello"}
