"""The server that benchmarks use tells sizes as a store would, by both interfaces, and keeps nothing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest
from servers.child import Child


@pytest.fixture(scope="module")
def sink() -> Iterator[http.client.HTTPConnection]:
    """A connection to it."""
    with Child("sink") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        yield connection
        connection.close()


def _ask(
    sink: http.client.HTTPConnection, method: str, target: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes, http.client.HTTPResponse]:
    sink.request(method, target, body, {name.replace("_", "-"): text for name, text in headers.items()})
    answer = sink.getresponse()
    return answer.status, answer.read(), answer


def test_objects_are_as_large_as_what_was_put(sink: http.client.HTTPConnection) -> None:
    assert _ask(sink, "PUT", "/b/one", b"x" * 1000)[0] == 200
    assert _ask(sink, "GET", "/b/one")[:2] == (200, bytes(1000))
    assert _ask(sink, "GET", "/b/one", range="bytes=990-2000")[:2] == (206, bytes(10))
    assert _ask(sink, "HEAD", "/b/one")[2].getheader("Content-Length") == "1000"
    assert _ask(sink, "GET", "/b/none")[0] == 404


def test_parts_add_up(sink: http.client.HTTPConnection) -> None:
    begun = _ask(sink, "POST", "/b/two?uploads")[1]
    upload = begun.partition(b"<UploadId>")[2].partition(b"<")[0].decode()
    for part in (1, 2):
        _ask(sink, "PUT", f"/b/two?partNumber={part}&uploadId={upload}", b"x" * 500)
    assert _ask(sink, "GET", "/b/two")[0] == 404
    assert _ask(sink, "POST", f"/b/two?uploadId={upload}", b"<CompleteMultipartUpload/>")[0] == 200
    assert len(_ask(sink, "GET", "/b/two")[1]) == 1000


def test_google_s_resumable_uploads_add_up(sink: http.client.HTTPConnection) -> None:
    begun = _ask(sink, "POST", "/upload/storage/v1/b/b/o?uploadType=resumable", b'{"name": "three"}')[2]
    where = "/" + (begun.getheader("Location") or "").split("/", 3)[3]
    assert _ask(sink, "PUT", where, b"x" * 600, content_range="bytes 0-599/1000")[0] == 308
    status, told, _ = _ask(sink, "POST", where, b"x" * 400, content_range="bytes 600-999/1000")
    assert (status, json.loads(told)["size"]) == (200, "1000")
    assert len(_ask(sink, "GET", "/download/storage/v1/b/b/o/three?alt=media")[1]) == 1000
