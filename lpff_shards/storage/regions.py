"""Where a bucket of AWS is: its requests are signed for a region, and of another one's they are refused."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

AWS = "https://s3.amazonaws.com"
_HEADER = "x-amz-bucket-region"
_SECONDS = 5.0


def region_of(bucket: str, server: str = AWS) -> str | None:
    """The region of a bucket, which S3 tells anyone who asks, also with an answer that refuses.

    Returns:
        None where there is no such bucket, or no answer.
    """
    try:
        with urlopen(Request(f"{server}/{quote(bucket, safe='')}", method="HEAD"), timeout=_SECONDS) as answer:
            headers = answer.headers
    except HTTPError as refused:
        with refused:
            headers = refused.headers
    except OSError:
        return None
    return str(headers[_HEADER]) if headers[_HEADER] else None
