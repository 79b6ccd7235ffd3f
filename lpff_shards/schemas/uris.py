"""URIs of buckets."""

from __future__ import annotations

import os
import re

from lpff_shards.errors import ShardsError

SCHEMES = ("s3", "gs")

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ALMOST = re.compile(r"(?:s3|gs):(?!//)", re.IGNORECASE)


def scheme_of(text: str | os.PathLike[str]) -> str | None:
    """Return the scheme of a URI, `s3` of `s3://bucket/prefix`; None for a path."""
    match = _URI.match(os.fspath(text))
    return match[1] if match else None


def of_no_store(text: str | os.PathLike[str]) -> bool:
    """Return whether a text looks like a URI that is not supported: `hdfs://name`, `S3://bucket`, `s3:/bucket`."""
    return scheme_of(text) not in (None, *SCHEMES) or _ALMOST.match(os.fspath(text)) is not None


def is_uri(text: str | os.PathLike[str]) -> bool:
    """Return whether a text is a URI of a bucket."""
    return scheme_of(text) in SCHEMES


def parts(uri: str) -> tuple[str, str, str]:
    """Return scheme, bucket and key of a URI such as `s3://bucket/prefix`, the key without a final slash.

    Raises:
        ShardsError: it has no bucket, or its key has an empty or dotted part or a character that is not printable.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    names = key.removesuffix("/").split("/") if key else []
    hint = f"Write {scheme}://bucket/prefix"
    if not bucket:
        raise ShardsError(f"{uri} names no bucket", hint)
    if {"", ".", ".."}.intersection(names):
        raise ShardsError(f"{uri} has an empty part or a dotted one", hint)
    if not uri.isprintable():
        raise ShardsError(f"{uri} has a character that is not printable", hint)
    return scheme, bucket, "/".join(names)
