"""Buckets on loopback: fixtures `s3`, `gcs` and `bucket` (both in turn), each fresh, behind a proxy that breaks things.

Servers start when a test first asks for them, one of a kind for each process of the tests. A bucket is reached as users
reach it: by a URI, with the credentials and the endpoint in the environment.
"""

from __future__ import annotations

import itertools
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from servers.child import Child
from servers.fault import Fault

S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "a-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
# moto looks for a signature, not at it; our server asks for nothing unless it is told to.
OWNER = "AWS4-HMAC-SHA256 Credential=a-key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Counts:
    """What came through since faults were set: requests by method, hits of each fault; and requests held now."""

    methods: dict[str, int]
    hit: list[int]
    held: int


@dataclass(frozen=True)
class Proxied:
    """A server and the proxy in front of it."""

    server: Child
    proxy: Child

    def close(self) -> None:
        """Ends both."""
        self.proxy.close()
        self.server.close()


@dataclass(frozen=True)
class Bucket:
    """A fresh bucket; what looks into it goes past the proxy, so that faults and counts are the tested code's alone."""

    scheme: str
    name: str
    servers: Proxied

    @property
    def uri(self) -> str:
        """As users write it: s3://NAME or gs://NAME."""
        return f"{self.scheme}://{self.name}"

    @property
    def endpoint(self) -> str:
        """The URL of the proxy, through which the environment leads."""
        return self.servers.proxy.url

    def break_with(self, *faults: Fault, seed: int = 0) -> None:
        """From now on these faults hit; without any, none does. Counting begins anew, and held requests go on."""
        self.servers.proxy.tell(do="break", faults=[asdict(fault) for fault in faults], seed=seed)

    def counts(self) -> Counts:
        """What came through since the faults were set."""
        return Counts(**self.servers.proxy.tell(do="count"))

    def release(self) -> None:
        """Lets held requests go on."""
        self.servers.proxy.tell(do="release")

    def names(self) -> list[str]:
        """Every object's name, in order."""
        found: list[str] = []
        query = "list-type=2"
        while True:
            page = ElementTree.fromstring(self._fetch("GET", f"?{query}"))
            found += [name.text or "" for name in page.iterfind("{*}Contents/{*}Key")]
            more = page.findtext("{*}NextContinuationToken")
            if not more:
                return found
            query = f"list-type=2&continuation-token={quote(more, safe='')}"

    def read(self, name: str) -> bytes:
        """An object's bytes."""
        return self._fetch("GET", f"/{quote(name)}")

    def contents(self) -> dict[str, bytes]:
        """Every object's bytes, by name."""
        return {name: self.read(name) for name in self.names()}

    def put(self, name: str, body: bytes) -> None:
        """Stores an object."""
        self._fetch("PUT", f"/{quote(name)}", body)

    def remove(self, name: str) -> None:
        """Removes an object."""
        self._fetch("DELETE", f"/{quote(name)}")

    def unfinished(self) -> list[str]:
        """The names of uploads in parts that were neither finished nor aborted."""
        page = ElementTree.fromstring(self._fetch("GET", "?uploads"))
        return [name.text or "" for name in page.iterfind("{*}Upload/{*}Key")]

    def create(self) -> None:
        """Makes the bucket."""
        self._fetch("PUT", "")

    def _fetch(self, method: str, path: str, body: bytes | None = None) -> bytes:
        url = f"{self.servers.server.url}/{self.name}{path}"
        headers = {"Authorization": OWNER, "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            data: bytes = answer.read()
            return data


@pytest.fixture(scope="session")
def s3_servers() -> Iterator[Proxied]:
    """moto's server and its proxy."""
    pytest.importorskip("moto", reason="moto is not installed here")
    pytest.importorskip("flask", reason="moto is installed without its server")
    yield from _proxied("s3")


@pytest.fixture(scope="session")
def gcs_servers() -> Iterator[Proxied]:
    """Our server of Google Cloud Storage's interface and its proxy."""
    yield from _proxied("gcs")


@pytest.fixture
def s3(s3_servers: Proxied, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A fresh bucket of S3; the environment leads there."""
    for name, text in {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": s3_servers.proxy.url}.items():
        monkeypatch.setenv(name, text)
    return _fresh("s3", s3_servers)


@pytest.fixture
def gcs(gcs_servers: Proxied, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A fresh bucket of Google Cloud Storage; the environment leads there."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_servers.proxy.url)
    return _fresh("gs", gcs_servers)


@pytest.fixture(params=["s3", "gcs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    """A fresh bucket of either."""
    found: Bucket = request.getfixturevalue(request.param)
    return found


def service_account(endpoint: str) -> dict[str, Any]:
    """What a service account's file says that leads obstore to another server, and asks it for no token."""
    return {
        "gcs_base_url": endpoint,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }


def _proxied(module: str) -> Iterator[Proxied]:
    server = Child(module)
    both = Proxied(server, Child("proxy", server.url))
    yield both
    both.close()


def _fresh(scheme: str, servers: Proxied) -> Bucket:
    made = Bucket(scheme, f"bucket-{next(_numbers)}", servers)
    made.break_with()
    made.create()
    return made
