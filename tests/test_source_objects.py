"""What sources ask of buckets, without a store: objects in memory answer, and what is asked is looked at."""

from __future__ import annotations

import errno
import io
import pickle
import struct
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import wait_for

from lpff_shards.errors import ExportFailed
from lpff_shards.exporters import sample
from lpff_shards.exporters.sample import Fetching
from lpff_shards.sources.io import blobs as blob_module
from lpff_shards.sources.io.blobs import BlobError, FileBlob, ObjectBlob, ZipBlob, is_remote, read_range
from lpff_shards.sources.io.zip_tree import zip_tree
from lpff_shards.storage.bucket import BucketPath, Listed


@dataclass
class Memory:
    """Objects by key, and the requests that came: key, start and bytes."""

    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def find(self, path: BucketPath) -> bytes:
        if path.key not in self.objects:
            raise FileNotFoundError(errno.ENOENT, "there is no such object", str(path))
        return self.objects[path.key]

    def listed(self, key: str) -> Listed:
        return Listed(key, len(self.objects[key]), md5(self.objects[key], usedforsecurity=False).hexdigest())

    def blob(self, key: str, data: bytes) -> ObjectBlob:
        self.objects[key] = data
        return ObjectBlob(f"s3://b/{key}", len(data), self.listed(key).etag)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Buckets that are in memory."""
    made = Memory()

    def get(
        path: BucketPath, wanted: Callable[[Listed], bool], at: int = 0, size: int | None = None
    ) -> tuple[Listed, bytes]:
        data = made.find(path)
        found = made.listed(path.key)
        piece = data if size is None else data[at : at + size]
        made.asked.append((path.key, at, len(piece)))
        return found, piece if wanted(found) else b""

    def read_at(path: BucketPath, at: int, size: int) -> bytes:
        piece = made.find(path)[at : at + size]
        made.asked.append((path.key, at, len(piece)))
        return piece

    monkeypatch.setattr(BucketPath, "get", get)
    monkeypatch.setattr(BucketPath, "read_at", read_at)
    monkeypatch.setattr(BucketPath, "read_bytes", lambda path: read_at(path, 0, len(made.find(path))))
    monkeypatch.setattr(BucketPath, "size", lambda path: len(made.find(path)))
    return made


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large objects, as far as the code knows."""
    monkeypatch.setattr(blob_module, "PIECE", 100)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1000])
@pytest.mark.usefixtures("small_pieces")
def test_objects_come_in_few_requests(memory: Memory, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    blob = memory.blob("a/x.png", data)
    assert blob.read() == data
    assert len(memory.asked) == max(1, -(-size // 100))
    assert pickle.loads(pickle.dumps(blob)) == blob
    assert (blob.where, blob.stamp) == ("s3://b/a/x.png", ObjectBlob("s3://c/y", 7, blob.etag).stamp)
    assert len(pickle.dumps([memory.blob(f"a/{n:05d}.png", b"%d" % n) for n in range(1000)])) < 120_000


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("size", [50, 250])
def test_an_object_that_is_another_one(memory: Memory, size: int) -> None:
    blob = memory.blob("x", bytes(size))
    for data, words in (
        (bytes(size + 1), f"has {size + 1} bytes, not the {size} it had when the export was planned"),
        (b"", f"has 0 bytes, not the {size} it had when the export was planned"),
        (b"\1" * size, "has changed since the export was planned"),
    ):
        memory.objects["x"] = data
        with pytest.raises(BlobError, match=words):
            blob.read()
    del memory.objects["x"]
    with pytest.raises(BlobError, match="cannot be read: there is no such object"):
        blob.read()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.usefixtures("small_pieces")
@given(st.integers(0, 400), st.integers(0, 500), st.integers(0, 500))
def test_a_range_of_an_object(memory: Memory, size: int, at: int, count: int) -> None:
    data = bytes(n % 251 for n in range(size))
    memory.objects["x"] = data
    memory.asked.clear()
    assert read_range(BucketPath("s3", "b", "x"), at, count) == data[at : at + count]
    assert len(memory.asked) == max(1, -(-count // 100))


def _zip(members: int, extra: bytes, method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for number in range(members):
            info = zipfile.ZipInfo(f"F/{number:07d}é.png")
            info.extra, info.compress_type = extra, method
            archive.writestr(info, b"picture %d " % number * 9)
    return out.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("extra", [0, 28, 60, 61, 3000])
@pytest.mark.parametrize("members", [1, 3])
def test_a_member_is_one_request(memory: Memory, members: int, extra: int, method: int) -> None:
    memory.objects["F.zip"] = _zip(
        members, struct.pack("<HH", 0xCAFE, extra - 4) + bytes(extra - 4) if extra else b"", method
    )
    tree = zip_tree("--ffhq", "s3://b/F.zip")
    folder = tree and tree.sub("F")
    assert folder is not None
    for number, blob in enumerate(folder.files().blobs):
        assert isinstance(blob, ZipBlob) and is_remote(blob)
        assert blob.where == f"s3://b/F.zip:F/{number:07d}é.png"
        memory.asked.clear()
        assert pickle.loads(pickle.dumps(blob)).read() == b"picture %d " % number * 9
        assert len(memory.asked) == (2 if extra == 3000 else 1)
        # Less than there is in all: not every store takes a range that goes beyond.
        assert sum(memory.asked[0][1:]) < len(memory.objects["F.zip"])


def test_a_directory_comes_in_few_requests(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_module, "PIECE", 1 << 16)
    memory.objects["F.zip"] = _zip(3000, b"", zipfile.ZIP_STORED)
    tree = zip_tree("--ffhq", "s3://b/F.zip")
    folder = tree and tree.sub("F")
    assert folder is not None
    assert len(folder.files()) == 3000
    # The end, what stands before it, and a piece for every 64 KB of the directory of 3,000 members.
    assert len(memory.asked) <= 3 + -(-3000 * 64 // (1 << 16))


def test_a_zip_that_was_replaced_is_noticed(memory: Memory) -> None:
    memory.objects["F.zip"] = _zip(3, b"", zipfile.ZIP_STORED)
    tree = zip_tree("--ffhq", "s3://b/F.zip")
    folder = tree and tree.sub("F")
    assert folder is not None
    blob = list(folder.files().blobs)[2]
    for data, words in (
        (b"", "has no local header at its offset in the zip"),
        (memory.objects["F.zip"][: blob.header + 60], "is cut short in the zip: "),  # type: ignore[attr-defined]
        (memory.objects["F.zip"].replace(b"picture 2", b"picture 7"), "does not match its CRC-32 in the zip"),
    ):
        memory.objects["F.zip"] = data
        with pytest.raises(BlobError, match=words):
            blob.read()


def _blobs(memory: Memory, count: int, size: int = 4) -> list[ObjectBlob]:
    return [memory.blob(f"{n}", n.to_bytes(size, "big")) for n in range(count)]


def test_sixteen_are_fetched_at_once(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = _blobs(memory, 40)
    together = threading.Barrier(16)
    read, waited = ObjectBlob.read, []

    def waiting(blob: ObjectBlob) -> bytes:
        if len(waited) < 16:
            waited.append(blob)
            # Broken, and an error, unless as many ask at the same time.
            together.wait(10)
        return read(blob)

    monkeypatch.setattr(sample, "_read", waiting)
    before = threading.active_count()
    shard = Fetching(blobs)
    assert [shard.read(blob) for blob in blobs] == [n.to_bytes(4, "big") for n in range(40)]
    shard.close()
    # Nobody waits for them: a store may take minutes to answer.
    wait_for(lambda: threading.active_count() == before)


@pytest.mark.parametrize(("size", "most"), [(1, 17), (20, 3), (64, 1), (90, 1)])
def test_few_bytes_wait(memory: Memory, monkeypatch: pytest.MonkeyPatch, size: int, most: int) -> None:
    monkeypatch.setattr(sample, "AHEAD_BYTES", 64)
    blobs = _blobs(memory, 40, size)
    shard = Fetching(blobs)
    for number, blob in enumerate(blobs):
        assert shard.read(blob) == number.to_bytes(size, "big")
        # Asked for are those that were read, and those that wait.
        assert len(memory.asked) <= number + 1 + most
    shard.close()


def test_what_comes_again_or_is_passed_over(memory: Memory) -> None:
    blobs = _blobs(memory, 9)
    shard = Fetching([*blobs, *blobs])
    for number in (0, 0, 2, 5, 2, 8, 1):
        assert shard.read(blobs[number]) == number.to_bytes(4, "big")
    shard.close()
    assert [sum(key == f"{n}" for key, _, _ in memory.asked) for n in (0, 2, 5, 8)] == [2, 2, 1, 1]


def test_errors_come_in_their_turn(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = _blobs(memory, 9)
    del memory.objects["3"]
    shard = Fetching(blobs)
    for number, blob in enumerate(blobs):
        if number == 3:
            with pytest.raises(BlobError, match="cannot be read: there is no such object"):
                shard.read(blob)
        else:
            assert shard.read(blob) == number.to_bytes(4, "big")
    shard.close()

    def refused(path: BucketPath) -> bytes:
        raise PermissionError(errno.EACCES, "ExpiredToken", str(path))

    monkeypatch.setattr(memory, "find", refused)
    shard = Fetching(blobs)
    with pytest.raises(ExportFailed, match=r"s3://b/0 cannot be read: ExpiredToken\. Check rights"):
        shard.read(blobs[0])
    shard.close()


def test_what_is_not_waited_for_holds_nobody_up(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = _blobs(memory, 9)
    never = threading.Event()
    monkeypatch.setattr(sample, "_read", lambda blob: blob.read() if blob is blobs[0] else never.wait(30))
    shard = Fetching(blobs)
    assert shard.read(blobs[0]) == bytes(4)
    started = time.monotonic()
    shard.close()
    assert time.monotonic() - started < 10
    never.set()


def test_files_of_a_disk_are_read_in_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sample, "prefetch", lambda _, blobs, **__: iter(()) if not blobs else pytest.fail("asked ahead")
    )
    monkeypatch.setattr(FileBlob, "read", lambda blob: blob.path.encode())
    blobs = [FileBlob(f"{n}", 1) for n in range(3)]
    shard = Fetching(blobs)
    assert [shard.read(blob) for blob in blobs] == [b"0", b"1", b"2"]
