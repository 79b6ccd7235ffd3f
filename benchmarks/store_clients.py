"""One library at work on one store, measured in a process of its own: `python -m benchmarks.store_clients JOB`."""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

PART = 8 << 20
READ = 450_000
SMALL = bytes(5_000)
NAMES = "f{:04}"


@dataclass(frozen=True)
class Job:
    """What one process measures: `count` calls on objects of `size` bytes, `at_once` of them at a time."""

    library: str
    url: str
    work: str
    count: int
    size: int
    objects: int
    at_once: int
    file: str


@dataclass(frozen=True)
class Took:
    """Seconds: passed, and of this process's own CPU time; the measured calls alone."""

    seconds: float
    cpu: float
    moved: int


class Client(Protocol):
    """What is measured, by one library."""

    def put(self, name: str, body: bytes) -> object:
        """A small object."""

    def put_file(self, name: str, path: str) -> object:
        """A file on the disk."""

    def write(self, name: str, chunks: list[bytes]) -> object:
        """An object piece by piece, as shards are written."""

    def read(self, name: str) -> int:
        """A whole object."""

    def read_range(self, name: str, start: int, length: int) -> int:
        """A range of an object."""


class Obstore:
    """obstore, with parts of 8 MiB, four under way at most."""

    def __init__(self, store: Any) -> None:
        import obstore

        self._api: Any = obstore
        self._store = store

    def put(self, name: str, body: bytes) -> object:
        return self._api.put(self._store, name, body)

    def put_file(self, name: str, path: str) -> object:
        return self._api.put(self._store, name, Path(path), chunk_size=PART, max_concurrency=4)

    def write(self, name: str, chunks: list[bytes]) -> None:
        with self._api.open_writer(self._store, name, buffer_size=PART, max_concurrency=4) as writer:
            for chunk in chunks:
                writer.write(chunk)

    def read(self, name: str) -> int:
        return len(self._api.get(self._store, name).bytes())

    def read_range(self, name: str, start: int, length: int) -> int:
        return len(self._api.get_range(self._store, name, start=start, length=length))


class Fsspec:
    """s3fs and gcsfs, with their own defaults for files, and blocks of 8 MiB for what is written piece by piece."""

    def __init__(self, system: Any) -> None:
        self._system = system

    def put(self, name: str, body: bytes) -> object:
        return self._system.pipe_file(f"bucket/{name}", body)

    def put_file(self, name: str, path: str) -> object:
        return self._system.put_file(path, f"bucket/{name}")

    def write(self, name: str, chunks: list[bytes]) -> None:
        with self._system.open(f"bucket/{name}", "wb", block_size=PART) as stream:
            for chunk in chunks:
                stream.write(chunk)

    def read(self, name: str) -> int:
        return len(self._system.cat_file(f"bucket/{name}"))

    def read_range(self, name: str, start: int, length: int) -> int:
        return len(self._system.cat_file(f"bucket/{name}", start=start, end=start + length))


def obstore_s3(url: str, **options: Any) -> Client:
    """obstore on S3; over plain HTTP it signs bodies (SHA-256) like over HTTPS, unless told not to."""
    from obstore.store import S3Store

    config: Any = {"access_key_id": "a", "secret_access_key": "b", "region": "us-east-1", **options}
    return Obstore(S3Store("bucket", endpoint=url, config=config, client_options={"allow_http": True}))


def obstore_gcs(url: str) -> Client:
    """obstore on Google Cloud Storage, by its XML interface."""
    from obstore.store import GCSStore

    account = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    return Obstore(GCSStore("bucket", service_account_key=json.dumps(account), client_options={"allow_http": True}))


def s3fs(url: str) -> Client:
    """s3fs; botocore signs bodies over plain HTTP, over HTTPS it does not."""
    import s3fs

    settings = {"client_kwargs": {"region_name": "us-east-1"}, "config_kwargs": {"max_pool_connections": 40}}
    return Fsspec(s3fs.S3FileSystem(key="a", secret="b", endpoint_url=url, use_listings_cache=False, **settings))


def gcsfs(url: str) -> Client:
    """gcsfs, by Google's JSON interface."""
    # Else it asks for the bucket's kind by gRPC, which no emulator speaks, and waits a minute for the answer.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    import gcsfs

    return Fsspec(gcsfs.GCSFileSystem(project="p", token="anon", endpoint_url=url, use_listings_cache=False))


LIBRARIES: dict[str, Callable[[str], Client]] = {
    "obstore s3": obstore_s3,
    "obstore s3, bodies not signed": partial(obstore_s3, unsigned_payload=True),
    "s3fs": s3fs,
    "obstore gcs": obstore_gcs,
    "gcsfs": gcsfs,
}


def calls(job: Job, client: Client) -> list[Callable[[], object]]:
    """The calls that are measured."""
    names = [NAMES.format(number % job.objects) for number in range(job.count)]
    match job.work:
        case "put":
            return [partial(client.put, f"small/{number}", SMALL) for number in range(job.count)]
        case "put_file":
            return [partial(client.put_file, name, job.file) for name in names]
        case "write":
            body = Path(job.file).read_bytes()
            chunks = [body[start : start + READ] for start in range(0, len(body), READ)]
            return [partial(client.write, name, chunks) for name in names]
        case "read":
            return [partial(client.read, name) for name in names]
        case "read_range":
            draw = random.Random(1)
            starts = [draw.randrange(job.size - READ) for _ in names]
            return [partial(client.read_range, name, start, READ) for name, start in zip(names, starts, strict=True)]
    raise ValueError(job.work)


def measure(job: Job) -> Took:
    """Makes the calls, after one that opens connections and loads what is loaded late."""
    client = LIBRARIES[job.library](job.url)
    todo = calls(job, client)
    todo[0]()
    cpu, start = _cpu(), time.perf_counter()
    if job.at_once == 1:
        for call in todo:
            call()
    else:
        with ThreadPoolExecutor(job.at_once) as pool:
            for done in [pool.submit(call) for call in todo]:
                done.result()
    each = {"put": len(SMALL), "read_range": READ}.get(job.work, job.size)
    return Took(time.perf_counter() - start, _cpu() - cpu, each * job.count)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Job(**json.loads(sys.argv[1]))))))
