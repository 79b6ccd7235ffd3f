"""Buckets in memory as Google Cloud Storage describes them: objects with generations, unfinished uploads in parts."""

from __future__ import annotations

import base64
import hashlib
import itertools
import threading
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

import google_crc32c


class Refused(Exception):
    """A request that the store does not grant: an HTTP status, a code of the XML API, and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Blob:
    """One generation of one object."""

    body: bytes
    generation: int
    etag: str
    md5: str | None
    crc32c: str
    content_type: str
    metadata: Mapping[str, str]
    changed: float


@dataclass
class Upload:
    """An upload in parts that is not finished: parts by number."""

    key: str
    content_type: str
    metadata: Mapping[str, str]
    started: float
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)


@dataclass
class Bucket:
    """Objects and unfinished uploads of one bucket."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """A page of a listing; `after` is the name to go on after, where there is more."""

    blobs: list[tuple[str, Blob]]
    prefixes: list[str]
    after: str | None


class Buckets:
    """All buckets; every method is safe to call from several threads."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.RLock()
        self._numbers = itertools.count(1_700_000_000_000_000)

    def create(self, name: str) -> None:
        """Makes a bucket; 409 where it exists."""
        with self._lock:
            if name in self._buckets:
                raise Refused(409, "BucketAlreadyOwnedByYou", "The bucket exists.")
            self._buckets[name] = Bucket()

    def bucket(self, name: str) -> Bucket:
        """A bucket; 404 where there is none."""
        with self._lock:
            if name not in self._buckets:
                raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
            return self._buckets[name]

    def put(
        self,
        bucket: str,
        key: str,
        body: bytes,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        if_generation: int | None = None,
    ) -> Blob:
        """Stores an object as a whole; 412 where another generation is there than asked for (0: none may be)."""
        md5 = hashlib.md5(body, usedforsecurity=False)
        sums = (md5.hexdigest(), base64.b64encode(md5.digest()).decode(), crc32c(body))
        with self._lock:
            self._check_generation(bucket, key, if_generation)
            return self._keep(bucket, key, body, sums, content_type, metadata or {})

    def get(self, bucket: str, key: str, generation: int | None = None) -> Blob:
        """An object; 404 where it, or that generation of it, is not."""
        with self._lock:
            blob = self.bucket(bucket).blobs.get(key)
            if blob is None or generation not in (None, blob.generation):
                raise Refused(404, "NoSuchKey", "The specified key does not exist.")
            return blob

    def delete(self, bucket: str, key: str, if_generation: int | None = None) -> None:
        """Removes an object."""
        with self._lock:
            self.get(bucket, key)
            self._check_generation(bucket, key, if_generation)
            del self.bucket(bucket).blobs[key]

    def page(self, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> Page:
        """Names in the order of their bytes; where the delimiter follows the prefix, names are folded into prefixes."""
        with self._lock:
            blobs = dict(self.bucket(bucket).blobs)
        names = sorted((name for name in blobs if name.startswith(prefix)), key=str.encode)
        found: list[tuple[str, Blob]] = []
        prefixes: list[str] = []
        last = after
        for name in names[bisect_right(names, after.encode(), key=str.encode) :]:
            head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
            folded = prefix + head + cut if cut else ""
            if folded and (folded == after or (prefixes and prefixes[-1] == folded)):
                continue
            if len(found) + len(prefixes) == limit:
                return Page(found, prefixes, last)
            if folded:
                prefixes.append(folded)
            else:
                found.append((name, blobs[name]))
            last = folded or name
        return Page(found, prefixes, None)

    def begin(self, bucket: str, key: str, content_type: str, metadata: Mapping[str, str]) -> str:
        """Begins an upload in parts; its id."""
        with self._lock:
            upload_id = f"upload-{next(self._numbers)}"
            self.bucket(bucket).uploads[upload_id] = Upload(key, content_type, metadata, time.time())
            return upload_id

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        """An upload that is not finished; 404 where there is none."""
        with self._lock:
            upload = self.bucket(bucket).uploads.get(upload_id)
            if upload is None or upload.key != key:
                raise Refused(404, "NoSuchUpload", "The requested upload was not found.")
            return upload

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        """Forgets an upload and its parts."""
        with self._lock:
            self.upload(bucket, key, upload_id)
            del self.bucket(bucket).uploads[upload_id]

    def finish(self, bucket: str, key: str, upload_id: str, parts: list[tuple[int, str]]) -> Blob:
        """Makes one object of the parts that are named, by number and etag."""
        with self._lock:
            upload = self.upload(bucket, key, upload_id)
            bodies = [_part(upload, number, etag) for number, etag in parts]
            if parts != sorted(set(parts)) or not parts:
                raise Refused(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
            if any(len(body) < 5 << 20 for body in bodies[:-1]):
                raise Refused(400, "EntityTooSmall", "A part but the last is smaller than 5 MiB.")
            body = bodies[0] if len(bodies) == 1 else b"".join(bodies)
            sums = (f"{upload_id}-{len(bodies)}", None, crc32c(body))
            blob = self._keep(bucket, key, body, sums, upload.content_type, upload.metadata)
            del self.bucket(bucket).uploads[upload_id]
            return blob

    def _keep(
        self,
        bucket: str,
        key: str,
        body: bytes,
        sums: tuple[str, str | None, str],
        content_type: str,
        metadata: Mapping[str, str],
    ) -> Blob:
        etag, md5, crc = sums
        blob = Blob(body, next(self._numbers), etag, md5, crc, content_type, metadata, time.time())
        self.bucket(bucket).blobs[key] = blob
        return blob

    def _check_generation(self, bucket: str, key: str, asked: int | None) -> None:
        there = self.bucket(bucket).blobs.get(key)
        if asked is not None and asked != (there.generation if there else 0):
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")


def crc32c(body: bytes) -> str:
    """The checksum as Google writes it: base64 of four bytes, big-endian."""
    return base64.b64encode(google_crc32c.value(body).to_bytes(4, "big")).decode()


def _part(upload: Upload, number: int, etag: str) -> bytes:
    there = upload.parts.get(number)
    if there is None or there[0] != etag.strip('"'):
        raise Refused(400, "InvalidPart", f"Part {number} was not found, or its etag is another.")
    return there[1]
