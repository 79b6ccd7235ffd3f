"""Connections to stores: credentials, endpoints and regions in the providers' usual ways, retries with back-off.

Requests to AWS are signed for the bucket's region and refused otherwise; obstore, unlike boto3, does not find it out.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from lpff_shards._version import __version__
from lpff_shards.errors import ShardsError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSStore, ObjectStore, RetryConfig, S3Store


_S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_S3_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_TRUE = ("1", "true", "yes", "on", "y")
_FALSE = ("0", "false", "no", "off", "n")
_KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"


def connect(scheme: str, bucket: str, patient: bool = True) -> ObjectStore:
    """The store of a bucket; one a process, which keeps its connections.

    Args:
        patient: ask again for minutes where the store is busy or down.

    Raises:
        ShardsError: there are no credentials, or the process was forked from one that
            uses stores, whose threads are not in the fork.
    """
    if _first_user() != os.getpid():
        raise ShardsError(
            f"{scheme}://{bucket} cannot be read in a process that was forked from one that reads it",
            'Start worker processes afresh: multiprocessing_context="spawn"',
        )
    return _connected(scheme, bucket, patient)


def library(scheme: str, bucket: str) -> Any:
    """The module obstore.

    Raises:
        ShardsError: it is not installed.
    """
    try:
        import obstore
    except ModuleNotFoundError:
        raise ShardsError(
            f"{scheme}://{bucket} needs obstore, which is not installed",
            f"pip install 'lpff-shards[{'s3' if scheme == 's3' else 'gcs'}]'",
        ) from None
    return obstore


@lru_cache(maxsize=1)
def _first_user() -> int:
    """The process that made the first connection: a forked one inherits the number, and none of the threads."""
    return os.getpid()


@lru_cache(maxsize=64)
def _connected(scheme: str, bucket: str, patient: bool) -> ObjectStore:
    retries = _retries(patient)
    return _s3(bucket, retries) if scheme == "s3" else _gcs(bucket, retries)


def _retries(patient: bool) -> RetryConfig:
    """A store that is down for a minute ends no export; credentials must outlive a retry."""
    backoff: Any = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=15), "base": 2}
    return {"max_retries": 10 if patient else 0, "retry_timeout": timedelta(minutes=3), "backoff": backoff}


def _client(plain: bool) -> ClientConfig:
    """Plain: whether the endpoint speaks http, without encryption."""
    # A part of 8 MiB gets through within two minutes at 70 KB/s.
    return {
        "allow_http": plain,
        "user_agent": f"lpff-shards/{__version__}",
        "timeout": "120s",
        "connect_timeout": "10s",
    }


def _s3(bucket: str, retries: RetryConfig) -> S3Store:
    from obstore.store import S3Store

    endpoint = _first_set(_S3_ENDPOINTS)
    provider = None
    config: Any = {}
    # Obstore reads this one by itself, and would not name it where it is neither true nor false.
    _is_set("AWS_UNSIGNED_PAYLOAD")
    if not _is_set("AWS_SKIP_SIGNATURE") and not _has_keys():
        provider, profile = _boto(bucket)
        config |= {name: profile[name] for name in ("region",) if profile.get(name)}
        endpoint = endpoint or profile.get("endpoint_url")
    if endpoint:
        config["endpoint"] = _address("the endpoint of s3", endpoint)
    elif "region" not in config and not _first_set(_S3_REGIONS) and (region := region_of(bucket)):
        config["region"] = region
    plain = endpoint is not None and endpoint.startswith("http://")
    return S3Store(
        bucket, config=config, client_options=_client(plain), retry_config=retries, credential_provider=provider
    )


def listed_by_boto3(bucket: str, below: str) -> dict[str, list[Any]]:
    """What obstore's `list_with_delimiter` returns, by boto3: names that are no paths among the rest.

    Where there is one, obstore lists nothing at all.

    Args:
        below: the prefix, with a slash at its end.

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
    config = Config(signature_version=UNSIGNED) if _is_set("AWS_SKIP_SIGNATURE") else Config()
    endpoint, region = _first_set(_S3_ENDPOINTS), _first_set(_S3_REGIONS)
    # Without a region it follows S3 to the bucket's.
    client = boto3.client("s3", endpoint_url=endpoint, region_name=region, config=config)
    found: dict[str, list[Any]] = {"objects": [], "common_prefixes": []}
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below, Delimiter="/"):
            for one in page.get("Contents", ()):
                found["objects"].append({"path": one["Key"], "size": one["Size"], "e_tag": one["ETag"]})
            found["common_prefixes"] += [one["Prefix"] for one in page.get("CommonPrefixes", ())]
    except (BotoCoreError, ClientError) as error:
        raise OSError(errno.EIO, str(error), os.fspath(bucket)) from None
    return found


def _has_keys() -> bool:
    """Whether the environment holds the two keys of AWS.

    Raises:
        ShardsError: it holds one of them.
    """
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    missing = [name for name in names if not os.environ.get(name)]
    if len(missing) == 1:
        (there,) = set(names) - set(missing)
        raise ShardsError(f"{there} is set and {missing[0]} is not", "Set both, or neither and AWS_PROFILE")
    return not missing


def _address(name: str, url: str) -> str:
    """A server's URL, without which the store's library panics.

    Raises:
        ShardsError: it is none.
    """
    try:
        found = urlsplit(url)
        whole = found.scheme in ("http", "https") and found.hostname and found.port != 0 and url.isprintable()
    except ValueError:
        whole = False
    if not whole or " " in url:
        raise ShardsError(f"{name}, {url!r}, is not the URL of a server", "Write http://HOST:PORT or https://HOST")
    return url


def _boto(bucket: str) -> tuple[Any, dict[str, Any]]:
    """What the AWS tools' own files, profiles and roles give, where boto3 is installed; and the profile's settings.

    Raises:
        ShardsError: they give nothing.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ModuleNotFoundError:
        return None, {}
    try:
        session = boto3.Session()
        profile = dict(session._session.get_scoped_config())
        if _first_set(_S3_REGIONS):
            profile.pop("region", None)
        return Boto3CredentialProvider(session), profile
    except ValueError:
        raise ShardsError(
            f"there are no credentials for s3://{bucket}",
            "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; "
            "for public buckets AWS_SKIP_SIGNATURE=true",
        ) from None
    except BotoCoreError as error:
        raise ShardsError(f"there are no credentials for s3://{bucket}: {error}", "Mend the AWS profile") from None


def _gcs(bucket: str, retries: RetryConfig) -> GCSStore:
    from obstore.store import GCSStore

    if host := os.environ.get("STORAGE_EMULATOR_HOST"):
        base = _address("STORAGE_EMULATOR_HOST", host if "://" in host else f"http://{host}")
        # What the library takes for an emulator is a service account without a key.
        account = {"gcs_base_url": base, "disable_oauth": True}
        empty = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
        return GCSStore(
            bucket,
            service_account_key=json.dumps({**account, **empty}),
            client_options=_client(base.startswith("http://")),
            retry_config=retries,
        )
    provider = None if _is_set("GOOGLE_SKIP_SIGNATURE") or _has_account() else _google(bucket)
    # A service account's file may lead to another server, as emulators have it.
    options = _client(plain=_has_account())
    return GCSStore(bucket, client_options=options, retry_config=retries, credential_provider=provider)


def _has_account() -> bool:
    """Whether the environment names a service account in a way that Google's own library does not know."""
    account = "GOOGLE_SERVICE_ACCOUNT"
    return any(map(os.environ.get, (account, f"{account}_PATH", f"{account}_KEY", "GOOGLE_BEARER_TOKEN")))


def _google(bucket: str) -> Any:
    """Application default credentials, where google-auth is installed.

    Raises:
        ShardsError: there are none, or the file that the environment names holds none.
    """
    try:
        from google.auth.exceptions import GoogleAuthError
        from obstore.auth.google import GoogleCredentialProvider
    except ModuleNotFoundError:
        return None
    try:
        return GoogleCredentialProvider()
    except (GoogleAuthError, OSError) as error:
        if file := os.environ.get(_KEY_FILE):
            said = error.strerror if isinstance(error, OSError) else str(error)
            raise ShardsError(
                f"{_KEY_FILE} is set to {file}, which gives no credentials: {said}",
                "Name the JSON file of a service account's key, or unset it to use gcloud's",
            ) from None
        raise ShardsError(
            f"there are no credentials for gs://{bucket}",
            f"Run gcloud auth application-default login, or set {_KEY_FILE}; "
            "GOOGLE_SKIP_SIGNATURE=true for public buckets",
        ) from None


def _first_set(names: Iterable[str]) -> str | None:
    """The first of some variables of the environment that is set."""
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _is_set(name: str) -> bool:
    """Whether a variable of the environment says yes.

    Raises:
        ShardsError: it says neither yes nor no.
    """
    given = os.environ.get(name, "").lower()
    if given and given not in _TRUE + _FALSE:
        raise ShardsError(f"{name} is set to {given!r}, which is neither true nor false", f"Set {name}=true or =false")
    return given in _TRUE


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
