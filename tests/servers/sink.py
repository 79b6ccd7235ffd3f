"""`python -m servers.sink`: takes objects and forgets their bytes, serves as many bytes as it took.

For measuring clients: it speaks as much of S3, and of Google's two interfaces, as obstore, s3fs and gcsfs need to write
and read, and costs as little as Python allows. What it serves is not what it was given.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .parent import obey_parent
from .streams import Ended, Head, Stream

PIECE = memoryview(bytes(1 << 20))
ETAG = '"5d41402abc4b2a76b9719d911017c592"'
COMMON = f"ETag: {ETAG}\r\nLast-Modified: Mon, 02 Nov 2026 00:00:00 GMT\r\nx-goog-generation: 1\r\n"


@dataclass(frozen=True)
class Asked:
    """A request: its path's name, its query, its head."""

    method: str
    name: str
    query: Mapping[str, str]
    head: Head


class Sink:
    """How large each object is that was taken, and how much has come of each upload."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._coming: dict[str, int] = {}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Takes connections, for ever."""
        while True:
            connected, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(Stream(connected),), daemon=True).start()

    def _serve(self, client: Stream) -> None:
        try:
            while head := client.head():
                method, target, _ = head.words
                split = urlsplit(target)
                query = dict(parse_qsl(split.query, keep_blank_values=True))
                if head.get("expect"):
                    client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                google = re.match(r"(?:/upload|/download)?/storage/v1/b/([^/]+)/o(?:/(.+))?$", split.path)
                if google:
                    name = f"{google[1]}/{unquote(google[2] or '')}"
                    self._answer_json(client, Asked(method, name, query, head))
                else:
                    self._answer_xml(client, Asked(method, unquote(split.path[1:]), query, head))
        except (Ended, OSError):
            pass
        finally:
            client.close()

    def _answer_xml(self, client: Stream, asked: Asked) -> None:
        upload, length = asked.query.get("uploadId"), asked.head.length
        match asked.method:
            case "PUT":
                client.move(length, None)
                with self._lock:
                    sizes, name = (self._coming, upload) if upload else (self._sizes, asked.name)
                    sizes[name] = sizes.get(name, 0) * bool(upload) + length
                _send(client, 200)
            case "POST" if "uploads" in asked.query:
                with self._lock:
                    begun = str(len(self._coming))
                    self._coming[begun] = 0
                _send(client, 200, _xml("InitiateMultipartUploadResult", UploadId=begun, Key="k", Bucket="b"))
            case "POST" if upload:
                client.move(length, None)
                with self._lock:
                    self._sizes[asked.name] = self._coming[upload]
                _send(client, 200, _xml("CompleteMultipartUploadResult", ETag=ETAG, Key="k", Bucket="b", Location="l"))
            case "GET" | "HEAD":
                self._send_object(client, asked)
            case _:
                client.move(length, None)
                _send(client, 204)

    def _answer_json(self, client: Stream, asked: Asked) -> None:
        """Uploads whole (multipart) and in pieces (resumable), properties, downloads."""
        length, query, name = asked.head.length, asked.query, asked.name
        if asked.method == "POST" and "upload_id" not in query:
            body = client.take(length)
            found = re.search(rb'"name": ?"([^"]+)"', body)
            name += found[1].decode() if found else query["name"]
            if query["uploadType"] == "resumable":
                where = f"http://127.0.0.1:{self.port}/upload/storage/v1/b/{name.partition('/')[0]}/o?upload_id={name}"
                self._coming[name] = 0
                _send(client, 200, headers=f"Location: {where}\r\n")
                return
            self._sizes[name] = length
        elif "upload_id" in query:
            client.move(length, None)
            name = query["upload_id"]
            self._coming[name] += length
            told = asked.head.get("content-range") or ""
            if told and not told.endswith(f"/{self._coming[name]}"):
                _send(client, 308, headers=f"Range: bytes=0-{self._coming[name] - 1}\r\n")
                return
            self._sizes[name] = self._coming[name]
        elif query.get("alt") == "media":
            self._send_object(client, asked)
            return
        _send(client, 200, json.dumps(_properties(name, self._sizes[name])).encode())

    def _send_object(self, client: Stream, asked: Asked) -> None:
        size = self._sizes.get(asked.name)
        if size is None:
            _send(client, 404, b"" if asked.method == "HEAD" else _xml("Error", Code="NoSuchKey", Message="none"))
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.head.get("range") or "")
        start, end = (int(wanted[1]), min(int(wanted[2] or size) + 1, size)) if wanted else (0, size)
        status = "206 Partial" if wanted else "200 OK"
        part = f"Content-Range: bytes {start}-{end - 1}/{size}\r\n" if wanted else ""
        head = f"HTTP/1.1 {status}\r\n{COMMON}{part}Content-Length: {end - start}\r\n\r\n"
        client.send(head.encode())
        left = 0 if asked.method == "HEAD" else end - start
        while left:
            client.send(PIECE[:left])
            left -= min(left, len(PIECE))


def _send(client: Stream, status: int, body: bytes = b"", headers: str = "") -> None:
    length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
    client.send(f"HTTP/1.1 {status} Done\r\n{COMMON}{headers}{length}\r\n".encode() + body)


def _xml(root: str, **texts: str) -> bytes:
    inner = "".join(f"<{name}>{text}</{name}>" for name, text in texts.items())
    return f'<{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inner}</{root}>'.encode()


def _properties(name: str, size: int) -> dict[str, Any]:
    bucket, _, key = name.partition("/")
    when = "2026-11-02T00:00:00.000Z"
    facts = {"kind": "storage#object", "name": key, "bucket": bucket, "size": str(size), "generation": "1"}
    return {**facts, "metageneration": "1", "etag": "CAE=", "timeCreated": when, "updated": when}


def main() -> None:
    sink = Sink()
    threading.Thread(target=sink.run, daemon=True).start()
    obey_parent(sink.port, lambda _: {})


if __name__ == "__main__":
    main()
