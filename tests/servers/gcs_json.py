"""As much of the JSON API of Google Cloud Storage as its Python client and gcsfs need to list, read, write and remove.

Written from its documentation: https://docs.cloud.google.com/storage/docs/json_api/v1
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.parser import BytesParser
from typing import Any
from urllib.parse import quote, unquote

from .blobs import Blob, Buckets, Refused
from .messages import Answer, Request, download, facts, number

PATHS = ("/storage/v1/b", "/download/storage/v1/b", "/upload/storage/v1/b")


class Sessions:
    """Resumable uploads that are not finished: what has come so far, by session."""

    def __init__(self) -> None:
        self._pieces: dict[str, tuple[Mapping[str, Any], list[bytes]]] = {}

    def begin(self, told: Mapping[str, Any]) -> str:
        """The id of a new session for an object with these properties."""
        session = f"session-{len(self._pieces) + 1}"
        self._pieces[session] = (told, [])
        return session

    def take(self, session: str, body: bytes, content_range: str) -> tuple[Mapping[str, Any], bytes] | int:
        """The object, where this was its last piece; else how many bytes have come so far."""
        if session not in self._pieces:
            raise Refused(404, "notFound", "No such upload session.")
        told, pieces = self._pieces[session]
        pieces.append(body)
        there = sum(map(len, pieces))
        total = content_range.rpartition("/")[2]
        if content_range and (total == "*" or int(total) != there):
            return there
        return told, b"".join(pieces)


def answer(buckets: Buckets, sessions: Sessions, request: Request) -> Answer:
    """The answer to a request under one of PATHS."""
    start, _, rest = request.path.partition("/v1/b")
    if start == "/upload/storage":
        return _upload(buckets, sessions, request, rest.split("/")[1])
    match rest.split("/", 3):
        case ["", *_] if request.method == "POST" and rest in ("", "/"):
            name = json.loads(request.body)["name"]
            buckets.create(name)
            return _json({"kind": "storage#bucket", "id": name, "name": name})
        case ["", bucket]:
            buckets.bucket(bucket)
            return _json({"kind": "storage#bucket", "id": bucket, "name": bucket, "location": "US"})
        case ["", bucket, "o"]:
            return _list(buckets, request, bucket)
        case ["", bucket, "o", key]:
            return _object(buckets, request, bucket, unquote(key))
    raise Refused(404, "notFound", f"No such resource: {request.path}.")


def refusal(refused: Refused) -> Answer:
    """An error as JSON."""
    errors = [{"message": refused.message, "domain": "global", "reason": refused.code}]
    return _json({"error": {"code": refused.status, "message": refused.message, "errors": errors}}, refused.status)


def _object(buckets: Buckets, request: Request, bucket: str, key: str) -> Answer:
    condition = number(request.query.get("ifGenerationMatch"))
    if request.method == "DELETE":
        buckets.delete(bucket, key, condition)
        return Answer(204)
    blob = buckets.get(bucket, key, number(request.query.get("generation")))
    if condition not in (None, blob.generation):
        raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
    if request.query.get("alt") == "media":
        return download(request, blob, facts(blob))
    return _json(_resource(request.host, bucket, key, blob))


def _list(buckets: Buckets, request: Request, bucket: str) -> Answer:
    query = request.query
    limit = min(1000, number(query.get("maxResults")) or 1000)
    page = buckets.page(bucket, query.get("prefix", ""), query.get("delimiter", ""), query.get("pageToken", ""), limit)
    told: dict[str, Any] = {"kind": "storage#objects", "prefixes": page.prefixes}
    told["items"] = [_resource(request.host, bucket, name, blob) for name, blob in page.blobs]
    if page.after is not None:
        told["nextPageToken"] = page.after
    return _json(told)


def _upload(buckets: Buckets, sessions: Sessions, request: Request, bucket: str) -> Answer:
    query = request.query
    told: Mapping[str, Any] = {"name": query.get("name"), "ifGenerationMatch": query.get("ifGenerationMatch")}
    if "upload_id" in query:
        # Google's client puts pieces, gcsfs posts them.
        taken = sessions.take(query["upload_id"], request.body, request.headers.get("content-range", ""))
        if isinstance(taken, int):
            return Answer(308, {"Range": f"bytes=0-{taken - 1}"} if taken else {})
        told, body = taken
    elif query.get("uploadType") == "resumable":
        session = sessions.begin({**told, **_json_object(request.body)})
        where = f"http://{request.host}{request.path}?uploadType=resumable&upload_id={session}"
        return Answer(200, {"Location": where, "X-GUploader-UploadID": session})
    elif query.get("uploadType") == "multipart":
        described, body = _related(request)
        told = {**told, **described}
    else:
        body = request.body
    key, content_type = told["name"], told.get("contentType") or "application/octet-stream"
    condition = number(told["ifGenerationMatch"])
    blob = buckets.put(bucket, key, body, content_type, told.get("metadata") or {}, condition)
    return _json(_resource(request.host, bucket, key, blob))


def _related(request: Request) -> tuple[dict[str, Any], bytes]:
    """The two pieces of a multipart/related body: the object's properties and its bytes."""
    header = BytesParser().parsebytes(f"Content-Type: {request.content_type}\r\n\r\n".encode())
    mark = b"--" + str(header.get_param("boundary")).encode()
    # gcsfs ends its lines with a line feed alone, and Google takes that.
    end = b"\r\n" if request.body.startswith(mark + b"\r\n") else b"\n"
    pieces = (end + request.body).split(end + mark)
    if len(pieces) != 4:
        raise Refused(400, "badRequest", "The body is not multipart/related.")
    properties, body = (piece.partition(end + end)[2] for piece in pieces[1:3])
    return _json_object(properties), body


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body or b"{}")
    except ValueError as error:
        raise Refused(400, "parseError", str(error)) from error
    if not isinstance(told, dict):
        raise Refused(400, "parseError", "Not a JSON object.")
    return told


def _resource(host: str, bucket: str, key: str, blob: Blob) -> dict[str, Any]:
    where = f"http://{host}/download/storage/v1/b/{bucket}/o/{quote(key, safe='')}"
    when = datetime.fromtimestamp(blob.changed, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{key}/{blob.generation}",
        "mediaLink": f"{where}?generation={blob.generation}&alt=media",
        "name": key,
        "bucket": bucket,
        "generation": str(blob.generation),
        "metageneration": "1",
        "contentType": blob.content_type,
        "storageClass": "STANDARD",
        "size": str(len(blob.body)),
        "crc32c": blob.crc32c,
        **({"md5Hash": blob.md5} if blob.md5 else {}),
        "etag": blob.etag,
        "metadata": dict(blob.metadata),
        "timeCreated": when,
        "updated": when,
    }


def _json(told: Mapping[str, Any], status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(told).encode())
