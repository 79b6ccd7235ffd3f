"""The URIs of places in buckets."""

from __future__ import annotations

import os
import re

from lpff_shards.errors import ShardsError

SCHEMES = ("s3", "gs")

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ALMOST = re.compile(r"(?:s3|gs):(?!//)", re.IGNORECASE)


def scheme_of(text: str | os.PathLike[str]) -> str | None:
    """The scheme of a URI, `s3` of `s3://bucket/prefix`; None of a path."""
    found = _URI.match(os.fspath(text))
    return found[1] if found else None


def of_no_store(text: str | os.PathLike[str]) -> bool:
    """Whether a text is meant as a URI, by its looks, and is none: `hdfs://name`, `S3://bucket`, `s3:/bucket`."""
    return scheme_of(text) not in (None, *SCHEMES) or _ALMOST.match(os.fspath(text)) is not None


def is_uri(text: str | os.PathLike[str]) -> bool:
    """Whether a text names a place in a bucket."""
    return scheme_of(text) in SCHEMES


def parts(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and key of a URI such as `s3://bucket/prefix`, the key without the slash that may end it.

    Raises:
        ShardsError: it names no bucket, or its key has an empty or dotted part or a character that is not printable.
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
