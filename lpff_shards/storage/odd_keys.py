"""Listing a prefix of S3 that holds names which are no paths: the stores' library then lists nothing at all."""

from __future__ import annotations

import errno
import os
import re
from typing import Any

NO_PATH = "Encountered object with invalid path: "
"""What the stores' library says of a name with `..`, `//` or control characters."""
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


def is_odd(name: str) -> bool:
    """Whether a name is one that the stores' library neither lists nor reads."""
    return name in ("", ".", "..") or _CONTROL.search(name) is not None


def listing(bucket: str, below: str, settings: dict[str, Any], signed: bool) -> dict[str, list[Any]]:
    """What obstore's `list_with_delimiter` returns, by boto3, with odd names among the rest.

    Args:
        below: the prefix, with a slash at its end.
        settings: of boto3's client: region and endpoint, where they are set.
        signed: whether requests are signed.

    Raises:
        OSError: boto3 is not installed, or the store does not answer.
    """
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ModuleNotFoundError:
        raise OSError(errno.ENOTSUP, "boto3 is not installed", bucket) from None
    client = boto3.client("s3", config=Config() if signed else Config(signature_version=UNSIGNED), **settings)
    found: dict[str, list[Any]] = {"objects": [], "common_prefixes": []}
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below, Delimiter="/"):
            for one in page.get("Contents", ()):
                found["objects"].append({"path": one["Key"], "size": one["Size"], "e_tag": one["ETag"]})
            found["common_prefixes"] += [one["Prefix"] for one in page.get("CommonPrefixes", ())]
    except (BotoCoreError, ClientError) as error:
        raise OSError(errno.EIO, str(error), os.fspath(bucket)) from None
    return found
