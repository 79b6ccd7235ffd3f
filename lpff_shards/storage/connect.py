"""Connections to stores: credentials, endpoints and regions from the providers' usual settings, retries with back-off.

AWS refuses requests that are not signed for the bucket's region; obstore, unlike boto3, does not detect the region.
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
    """Return the store of a bucket, cached in the process; a `patient` one is retried for minutes while it is down.

    Raises:
        ShardsError: there are no credentials, or the process was forked from one that uses stores, without its threads.
    """
    if _first_user() != os.getpid():
        raise ShardsError(
            f"{scheme}://{bucket} cannot be read in a process that was forked from one that reads it",
            'Start worker processes with multiprocessing_context="spawn"',
        )
    return _connected(scheme, bucket, patient)


def load_library(scheme: str, bucket: str) -> None:
    """Import obstore, or wait until another thread has imported all of it; raise ShardsError if it is missing."""
    try:
        import obstore  # noqa: F401  # `import obstore.store` alone returns while the package is still incomplete
    except ModuleNotFoundError:
        raise ShardsError(
            f"{scheme}://{bucket} needs obstore, which is not installed",
            f"pip install 'lpff-shards[{'s3' if scheme == 's3' else 'gcs'}]'",
        ) from None


@lru_cache(maxsize=1)
def _first_user() -> int:
    """Return the process that first connected: a forked process inherits the number, but not the threads."""
    return os.getpid()


@lru_cache(maxsize=64)
def _connected(scheme: str, bucket: str, patient: bool) -> ObjectStore:
    return (_s3 if scheme == "s3" else _gcs)(bucket, _retries(patient))


def _retries(patient: bool) -> RetryConfig:
    """Return retries that outlast a minute without the store; credentials must outlive a retry."""
    backoff: Any = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=15), "base": 2}
    return {"max_retries": 10 if patient else 0, "retry_timeout": timedelta(minutes=3), "backoff": backoff}


def _client(http: bool) -> ClientConfig:
    # A part of 8 MiB takes two minutes at 70 KB/s.
    agent = f"lpff-shards/{__version__}"
    return {"allow_http": http, "user_agent": agent, "timeout": "120s", "connect_timeout": "10s"}


def _s3(bucket: str, retries: RetryConfig) -> S3Store:
    from obstore.store import S3Store

    endpoint = _first_set(_S3_ENDPOINTS)
    provider = None
    config: Any = {}
    # Obstore reads this variable itself, but does not name it in its error for a wrong value.
    _is_set("AWS_UNSIGNED_PAYLOAD")
    if not _is_set("AWS_SKIP_SIGNATURE") and not _has_keys():
        provider, profile = _boto(bucket)
        if profile.get("region"):
            config["region"] = profile["region"]
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
    """Return the listing of obstore's `list_with_delimiter` by boto3, including names that are not paths.

    Obstore lists nothing if there is one such name. `below` is the prefix, with a slash at its end.
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
    # Without a region boto3 follows S3's redirect to the bucket's region.
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
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    missing = [name for name in names if not os.environ.get(name)]
    if len(missing) == 1:
        (there,) = set(names) - set(missing)
        raise ShardsError(f"{there} is set but {missing[0]} is not", "Set both, or neither and AWS_PROFILE")
    return not missing


def _address(name: str, url: str) -> str:
    """Return a server's URL after a check, since the store's library panics on a wrong one."""
    try:
        found = urlsplit(url)
        whole = found.scheme in ("http", "https") and found.hostname and found.port != 0 and url.isprintable()
    except ValueError:
        whole = False
    if not whole or " " in url:
        raise ShardsError(f"{name}, {url!r}, is not the URL of a server", "Write http://HOST:PORT or https://HOST")
    return url


def _boto(bucket: str) -> tuple[Any, dict[str, Any]]:
    """Return boto3's credentials from files, profiles and roles, if it is installed, and the profile's settings."""
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
        raise ShardsError(f"there are no credentials for s3://{bucket}: {error}", "Fix the AWS profile") from None


def _gcs(bucket: str, retries: RetryConfig) -> GCSStore:
    from obstore.store import GCSStore

    if host := os.environ.get("STORAGE_EMULATOR_HOST"):
        base = _address("STORAGE_EMULATOR_HOST", host if "://" in host else f"http://{host}")
        # The library's setting for an emulator is a service account without a key.
        account = {"gcs_base_url": base, "disable_oauth": True}
        empty = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
        return GCSStore(
            bucket,
            service_account_key=json.dumps({**account, **empty}),
            client_options=_client(base.startswith("http://")),
            retry_config=retries,
        )
    provider = None if _is_set("GOOGLE_SKIP_SIGNATURE") or _has_account() else _google(bucket)
    # A service account's file may contain another server, such as an emulator.
    options = _client(http=_has_account())
    return GCSStore(bucket, client_options=options, retry_config=retries, credential_provider=provider)


def _has_account() -> bool:
    """Return whether the environment names a service account by a variable that Google's library does not read."""
    account = "GOOGLE_SERVICE_ACCOUNT"
    return any(map(os.environ.get, (account, f"{account}_PATH", f"{account}_KEY", "GOOGLE_BEARER_TOKEN")))


def _google(bucket: str) -> Any:
    try:
        from google.auth.exceptions import GoogleAuthError
        from obstore.auth.google import GoogleCredentialProvider
    except ModuleNotFoundError:
        return None
    try:
        return GoogleCredentialProvider()
    except (GoogleAuthError, OSError) as error:
        if file := os.environ.get(_KEY_FILE):
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ShardsError(
                f"{_KEY_FILE} is set to {file}, which contains no credentials: {reason}",
                "Set it to the JSON key file of a service account, or unset it to use gcloud's",
            ) from None
        raise ShardsError(
            f"there are no credentials for gs://{bucket}",
            f"Run gcloud auth application-default login, or set {_KEY_FILE}; "
            "GOOGLE_SKIP_SIGNATURE=true for public buckets",
        ) from None


def _first_set(names: Iterable[str]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _is_set(name: str) -> bool:
    given = os.environ.get(name, "").lower()
    if given and given not in _TRUE + _FALSE:
        raise ShardsError(f"{name} is set to {given!r}, which is neither true nor false", f"Set {name}=true or =false")
    return given in _TRUE


AWS = "https://s3.amazonaws.com"
_SECONDS = 5.0


def region_of(bucket: str, server: str = AWS) -> str | None:
    """Return the region of a bucket, which S3 sends without credentials, even in a refusal; None if that fails."""
    try:
        answer = urlopen(Request(f"{server}/{quote(bucket, safe='')}", method="HEAD"), timeout=_SECONDS)
    except HTTPError as refused:
        answer = refused
    except OSError:
        return None
    with answer:
        return answer.headers["x-amz-bucket-region"] or None
