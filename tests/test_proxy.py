"""The proxy that breaks requests: each fault does what it says, to the requests that it is for, in every run."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from running import wait_for
from servers.fault import KINDS, Fault, Faults, expired_gcs, expired_s3
from stores import OWNER, Bucket

BODY = os.urandom(300_001)


class Client:
    """A connection through a bucket's proxy, kept for all its requests."""

    def __init__(self, bucket: Bucket) -> None:
        where = urlsplit(bucket.endpoint)
        self._bucket = bucket.name
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)

    def ask(self, method: str, name: str, body: bytes | None = None) -> tuple[int, bytes]:
        """The answer's status and body."""
        headers = {"Authorization": OWNER, "Content-Length": str(len(body or b""))}
        self._connection.request(method, f"/{self._bucket}/{name}", body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    @property
    def port(self) -> int | None:
        """This side's port, while the connection is open."""
        return self._connection.sock.getsockname()[1] if self._connection.sock else None

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


@pytest.fixture
def client(bucket: Bucket) -> Iterator[Client]:
    """Fresh, as the bucket is."""
    made = Client(bucket)
    yield made
    made.close()


def test_without_faults_everything_passes_over_one_connection(bucket: Bucket, client: Client) -> None:
    ports = set()
    for method, body in (("PUT", BODY), ("GET", None), ("HEAD", None), ("DELETE", None), ("GET", None)):
        status, told = client.ask(method, "one", body)
        assert (status, told == BODY) == {"DELETE": (204, False)}.get(
            method, (status, method == "GET" and status == 200)
        )
        ports.add(client.port)
    assert status == 404
    assert len(ports) == 1
    assert bucket.counts().methods == {"PUT": 1, "GET": 2, "HEAD": 1, "DELETE": 1}


def test_an_answer_in_the_server_s_place(bucket: Bucket, client: Client) -> None:
    bucket.break_with(Fault("error", method="PUT"))
    status, answer = client.ask("PUT", "one", BODY)
    assert (status, b"<Code>SlowDown</Code>" in answer) == (503, True)
    assert bucket.names() == []
    assert client.ask("GET", "one")[0] == 404, "the connection goes on"


def test_tokens_that_are_too_old(bucket: Bucket, client: Client) -> None:
    bucket.break_with(expired_s3(times=1), expired_gcs())
    (first, token), (second, _) = client.ask("GET", "one"), client.ask("GET", "one")
    assert (first, second, b"ExpiredToken" in token) == (400, 401, True)


@pytest.mark.parametrize("kind", ["reset", "reset-upload"])
def test_a_reset_before_the_server_has_the_request(bucket: Bucket, client: Client, kind: str) -> None:
    bucket.break_with(Fault(kind))  # type: ignore[arg-type]
    with pytest.raises(ConnectionError):
        client.ask("PUT", "one", BODY * 40)
    assert bucket.names() == []


def test_an_answer_that_is_lost(bucket: Bucket, client: Client) -> None:
    bucket.break_with(Fault("lost-answer"))
    with pytest.raises(ConnectionError):
        client.ask("PUT", "one", BODY)
    assert bucket.contents() == {"one": BODY}


@pytest.mark.parametrize(
    ("kind", "error"), [("reset-answer", ConnectionError), ("short-answer", http.client.IncompleteRead)]
)
def test_an_answer_that_breaks_off(bucket: Bucket, client: Client, kind: str, error: type[Exception]) -> None:
    bucket.put("one", BODY)
    bucket.break_with(Fault(kind, at=0.25))  # type: ignore[arg-type]
    with pytest.raises(error) as caught:
        client.ask("GET", "one")
    if isinstance(caught.value, http.client.IncompleteRead):
        assert caught.value.partial == BODY[: len(BODY) // 4]


def test_an_upload_that_is_taken_for_whole_too_early(bucket: Bucket, client: Client) -> None:
    bucket.break_with(Fault("short-upload", at=0.1))
    assert client.ask("PUT", "one", BODY)[0] == 200
    assert bucket.contents() == {"one": BODY[:30_000]}


def test_a_slow_answer(bucket: Bucket, client: Client) -> None:
    bucket.break_with(Fault("slow", seconds=0.2))
    start = time.monotonic()
    assert client.ask("PUT", "one", BODY)[0] == 200
    assert time.monotonic() - start >= 0.2


def test_a_held_upload_goes_on_when_it_is_released(bucket: Bucket, client: Client) -> None:
    bucket.break_with(Fault("hold", method="PUT"))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.ask, "PUT", "one", BODY)
        wait_for(lambda: bucket.counts().held)
        assert bucket.names() == []
        assert not answer.done()
        bucket.release()
        assert answer.result()[0] == 200
    assert bucket.contents() == {"one": BODY}


def test_a_client_killed_while_its_upload_is_held_leaves_nothing(bucket: Bucket) -> None:
    bucket.break_with(Fault("hold", method="PUT"))
    code = f"""
import http.client
connection = http.client.HTTPConnection({urlsplit(bucket.endpoint).netloc!r})
connection.request("PUT", "/{bucket.name}/one", bytes(50_000), {{"Authorization": {OWNER!r}}})
connection.getresponse()
"""
    with subprocess.Popen([sys.executable, "-c", code]) as child:
        wait_for(lambda: bucket.counts().held)
        child.kill()
    wait_for(lambda: not bucket.counts().held)
    bucket.release()
    assert bucket.names() == []


def test_which_requests_are_hit(bucket: Bucket, client: Client) -> None:
    bucket.break_with(
        Fault("error", method="PUT", path=r"/a b\.tar$", skip=1, every=2, times=2),
        Fault("error", method="GET|HEAD", status=500, code="InternalError"),
    )
    statuses = [client.ask("PUT", "a%20b.tar", b"1")[0] for _ in range(9)]
    assert statuses == [200, 200, 503, 200, 503, 200, 200, 200, 200]
    assert client.ask("PUT", "ab.tar", b"2")[0] == 200
    assert [client.ask(method, "x")[0] for method in ("GET", "HEAD")] == [500, 500]
    assert (bucket.counts().hit, bucket.counts().methods) == ([2, 2], {"PUT": 10, "GET": 1, "HEAD": 1})
    bucket.break_with()
    assert bucket.counts().methods == {}


def test_a_share_of_requests_is_hit_whatever_their_order() -> None:
    requests = [("PUT", f"/b/{name}?partNumber=1&uploadId={{}}") for name in range(2000)]

    def hit(order: int, upload: str, seed: int) -> set[tuple[str, str]]:
        faults = Faults((Fault("error", share=0.1),), seed)
        return {request for request in requests[::order] if faults.choose(request[0], request[1].format(upload))}

    first = hit(1, "x", 1)
    assert 140 < len(first) < 260
    assert hit(-1, "y", 1) == first
    assert hit(1, "x", 2) != first


def test_the_same_request_is_not_hit_for_ever() -> None:
    faults = Faults((Fault("error", share=0.5),))
    hits = [faults.choose("GET", "/b/one") is not None for _ in range(100)]
    assert 30 < sum(hits) < 70


def test_a_client_that_waits_to_be_told_to_go_on(gcs: Bucket) -> None:
    where = urlsplit(gcs.endpoint)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        head = f"PUT /{gcs.name}/one HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    assert gcs.contents() == {"one": b"hello"}


def test_every_kind_of_fault_is_tested() -> None:
    assert set(KINDS) == {
        *("error", "reset", "reset-upload", "lost-answer", "reset-answer", "short-answer", "short-upload", "slow"),
        "hold",
    }
    with pytest.raises(ValueError, match="no such fault"):
        Fault("explode")  # type: ignore[arg-type]
