"""Requests as the GCS server sees them, its answers, and what both interfaces share: ranges and preconditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

from .blobs import Blob, Refused

METADATA = "x-goog-meta-"


@dataclass(frozen=True)
class Request:
    """One request: the path's pieces are still percent-encoded, header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    host: str

    @property
    def metadata(self) -> dict[str, str]:
        """The user's own metadata, from headers."""
        return {name[len(METADATA) :]: text for name, text in self.headers.items() if name.startswith(METADATA)}

    @property
    def content_type(self) -> str:
        """The type that the body, or the object to be, has."""
        return self.headers.get("content-type", "application/octet-stream")


@dataclass(frozen=True)
class Answer:
    """One answer; `length` is told where the body is not sent (HEAD)."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | memoryview = b""
    length: int | None = None


def download(request: Request, blob: Blob, headers: Mapping[str, str]) -> Answer:
    """An object or the range of it that was asked for, if the request's conditions hold."""
    _check_etags(request.headers, blob)
    described = {**headers, "Accept-Ranges": "bytes", "Content-Type": blob.content_type}
    size = len(blob.body)
    asked = _range(request.headers.get("range"), size)
    if asked is None:
        return Answer(200, described, memoryview(blob.body), size)
    start, end = asked
    described["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return Answer(206, described, memoryview(blob.body)[start:end], end - start)


def facts(blob: Blob) -> dict[str, str]:
    """The headers that tell an object's state."""
    sums = [f"crc32c={blob.crc32c}", *([f"md5={blob.md5}"] if blob.md5 else [])]
    return {
        "ETag": f'"{blob.etag}"',
        "Last-Modified": formatdate(blob.changed, usegmt=True),
        "x-goog-generation": str(blob.generation),
        "x-goog-metageneration": "1",
        "x-goog-hash": ",".join(sums),
        "x-goog-stored-content-length": str(len(blob.body)),
        "x-goog-stored-content-encoding": "identity",
        "x-goog-storage-class": "STANDARD",
        **{METADATA + name: text for name, text in blob.metadata.items()},
    }


def number(text: str | None) -> int | None:
    """A whole number of a header or a query, if it is there."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise Refused(400, "InvalidArgument", f"Not a whole number: {text!r}.")
    return int(text)


def _check_etags(headers: Mapping[str, str], blob: Blob) -> None:
    wanted, unwanted = headers.get("if-match"), headers.get("if-none-match")
    if wanted not in (None, "*", f'"{blob.etag}"'):
        raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
    if unwanted in ("*", f'"{blob.etag}"'):
        raise Refused(304, "NotModified", "")


def _range(asked: str | None, size: int) -> tuple[int, int] | None:
    """Start and end of `bytes=a-b`, `bytes=a-` or `bytes=-n`; None where nothing, or something else, is asked."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
    if not match or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= end:
        raise Refused(416, "InvalidRange", "The requested range cannot be satisfied.")
    return start, end
