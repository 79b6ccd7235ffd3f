"""The XML API of Google Cloud Storage: objects, listings, uploads in parts.

Written from its documentation: https://docs.cloud.google.com/storage/docs/xml-api/overview
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from urllib.parse import unquote
from xml.etree import ElementTree

from .blobs import Blob, Buckets, Refused, crc32c
from .messages import Answer, Request, download, facts, number

# What answers to uploads in parts are written in, as clients of S3 expect; listings have one of Google's.
S3_NAMES = "http://s3.amazonaws.com/doc/2006-03-01/"
LIST_NAMES = "http://doc.s3.amazonaws.com/2006-03-01"


def answer(buckets: Buckets, request: Request) -> Answer:
    """The answer to a request at /BUCKET or /BUCKET/OBJECT."""
    # Some clients encode what they need not, as obstore does with the hyphen.
    bucket, key = map(unquote, request.path.removeprefix("/").partition("/")[::2])
    if not key:
        return _answer_for_bucket(buckets, request, bucket)
    return _answer_for_object(buckets, request, bucket, key)


def refusal(refused: Refused) -> Answer:
    """An error as XML."""
    root = _element("Error", "", Code=refused.code, Message=refused.message, Details=refused.message)
    return Answer(refused.status, {"Content-Type": "application/xml; charset=UTF-8"}, _written(root))


def _answer_for_bucket(buckets: Buckets, request: Request, bucket: str) -> Answer:
    match request.method:
        case "PUT":
            buckets.create(bucket)
            return Answer()
        case "HEAD":
            buckets.bucket(bucket)
            return Answer()
        case "GET" if "uploads" in request.query:
            return _xml(_uploads(buckets, bucket))
        case "GET":
            return _xml(_listing(buckets, request, bucket))
    raise Refused(405, "MethodNotAllowed", f"{request.method} is not for buckets here.")


def _answer_for_object(buckets: Buckets, request: Request, bucket: str, key: str) -> Answer:
    if "uploads" in request.query or "uploadId" in request.query:
        return _answer_for_upload(buckets, request, bucket, key)
    match request.method:
        case "PUT":
            return Answer(headers=facts(_put(buckets, request, bucket, key)))
        case "GET" | "HEAD":
            blob = buckets.get(bucket, key, number(request.query.get("generation")))
            return download(request, blob, facts(blob))
        case "DELETE":
            buckets.delete(bucket, key, number(request.headers.get("x-goog-if-generation-match")))
            return Answer(204)
    raise Refused(405, "MethodNotAllowed", f"{request.method} is not for objects here.")


def _put(buckets: Buckets, request: Request, bucket: str, key: str) -> Blob:
    condition = number(request.headers.get("x-goog-if-generation-match"))
    source = request.headers.get("x-goog-copy-source")
    if source is not None:
        from_bucket, _, from_key = unquote(source).removeprefix("/").partition("/")
        copied = buckets.get(from_bucket, from_key)
        return buckets.put(bucket, key, copied.body, copied.content_type, copied.metadata, condition)
    _check_sums(request)
    return buckets.put(bucket, key, request.body, request.content_type, request.metadata, condition)


def _answer_for_upload(buckets: Buckets, request: Request, bucket: str, key: str) -> Answer:
    if any(name.startswith("x-goog-if-") for name in request.headers):
        raise Refused(400, "InvalidArgument", "Preconditions are not supported in uploads in parts.")
    upload_id = request.query.get("uploadId", "")
    match request.method:
        case "POST" if "uploads" in request.query:
            begun = buckets.begin(bucket, key, request.content_type, request.metadata)
            return _xml(_element("InitiateMultipartUploadResult", S3_NAMES, Bucket=bucket, Key=key, UploadId=begun))
        case "PUT":
            return _put_part(buckets, request, bucket, key)
        case "POST":
            blob = buckets.finish(bucket, key, upload_id, _parts(request.body))
            names = {"Location": f"{request.host}/{bucket}/{key}", "Bucket": bucket, "Key": key}
            root = _element("CompleteMultipartUploadResult", S3_NAMES, **names, ETag=f'"{blob.etag}"')
            return _xml(root, {"x-goog-generation": str(blob.generation), "x-goog-hash": f"crc32c={blob.crc32c}"})
        case "DELETE":
            buckets.abort(bucket, key, upload_id)
            return Answer(204)
    raise Refused(405, "MethodNotAllowed", f"{request.method} is not for uploads here.")


def _put_part(buckets: Buckets, request: Request, bucket: str, key: str) -> Answer:
    upload = buckets.upload(bucket, key, request.query["uploadId"])
    part = number(request.query.get("partNumber"))
    if part is None or not 1 <= part <= 10_000:
        raise Refused(400, "InvalidArgument", "Part numbers are from 1 to 10000.")
    _check_sums(request)
    md5 = hashlib.md5(request.body, usedforsecurity=False)
    upload.parts[part] = (md5.hexdigest(), request.body)
    sums = f"crc32c={crc32c(request.body)},md5={base64.b64encode(md5.digest()).decode()}"
    return Answer(headers={"ETag": f'"{md5.hexdigest()}"', "x-goog-hash": sums})


def _check_sums(request: Request) -> None:
    """Sums that the client sends are the body's; else nothing is stored."""
    told = dict(
        sum_.strip().partition("=")[::2] for sum_ in request.headers.get("x-goog-hash", "").split(",") if sum_.strip()
    )
    if "content-md5" in request.headers:
        told["md5"] = request.headers["content-md5"]
    for name, text in told.items():
        found = crc32c(request.body) if name == "crc32c" else _md5(request.body)
        if text != found:
            raise Refused(400, "BadDigest", f"The {name} you specified did not match what we computed: {found}.")


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _parts(body: bytes) -> list[tuple[int, str]]:
    try:
        root = ElementTree.fromstring(body)
        found = [(part.findtext("{*}PartNumber"), part.findtext("{*}ETag")) for part in root.findall("{*}Part")]
        return [(int(number or ""), etag or "") for number, etag in found]
    except (ElementTree.ParseError, ValueError) as error:
        raise Refused(400, "MalformedXML", str(error)) from error


def _listing(buckets: Buckets, request: Request, bucket: str) -> ElementTree.Element:
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token") or query.get("start-after") or query.get("marker") or ""
    limit = min(1000, number(query.get("max-keys")) or 1000)
    page = buckets.page(bucket, prefix, delimiter, after, limit)
    count = str(len(page.blobs) + len(page.prefixes))
    names = {"Name": bucket, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": str(limit), "KeyCount": count}
    root = _element("ListBucketResult", LIST_NAMES, **names, IsTruncated=str(page.after is not None).lower())
    if page.after is not None:
        ElementTree.SubElement(root, "NextContinuationToken").text = page.after
    for name, blob in page.blobs:
        told = {"Key": name, "Generation": str(blob.generation), "MetaGeneration": "1", "ETag": f'"{blob.etag}"'}
        root.append(_element("Contents", "", **told, LastModified=_when(blob.changed), Size=str(len(blob.body))))
    root.extend(_element("CommonPrefixes", "", Prefix=folded) for folded in page.prefixes)
    return root


def _uploads(buckets: Buckets, bucket: str) -> ElementTree.Element:
    root = _element("ListMultipartUploadsResult", S3_NAMES, Bucket=bucket, IsTruncated="false")
    for upload_id, upload in list(buckets.bucket(bucket).uploads.items()):
        root.append(_element("Upload", "", Key=upload.key, UploadId=upload_id, Initiated=_when(upload.started)))
    return root


def _element(tag: str, namespace: str, **children: str) -> ElementTree.Element:
    element = ElementTree.Element(tag, {"xmlns": namespace} if namespace else {})
    for name, text in children.items():
        ElementTree.SubElement(element, name).text = text
    return element


def _xml(root: ElementTree.Element, headers: dict[str, str] | None = None) -> Answer:
    return Answer(200, {"Content-Type": "application/xml; charset=UTF-8", **(headers or {})}, _written(root))


def _written(root: ElementTree.Element) -> bytes:
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
