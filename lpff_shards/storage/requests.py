"""Requests to stores: errors as OSErrors in one line, tries after a broken connection, and Ctrl-C while one waits."""

from __future__ import annotations

import errno
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_CODE = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})</Message>")
_STATUS = re.compile(r"non-2xx status code: (\d{3} [A-Za-z -]+)")
_UNKNOWN = re.compile(r"non-2xx status code: 501|<Code>NotImplemented<|not implemented", re.IGNORECASE)
_RETRIES = re.compile(r"after (\d+) retries")
_SERVER = re.compile(r"Error performing [A-Z]+ (https?://[^/\s]+)")
_MOST = 300
NO_BUCKET = "there is no such bucket"
_BROKEN = (
    "HTTP error",
    "error sending request",
    "error decoding response body",
    "error reading a body",
    "list response",
)


@contextmanager
def telling(place: object) -> Iterator[None]:
    """Turns a store's errors within the block into OSErrors that name a place.

    Raises:
        FileNotFoundError, FileExistsError, PermissionError, OSError: as of a file; `strerror` is what the store said.
        ConnectionError: the connection broke before there was a whole answer.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except FileNotFoundError as error:
        # Only the system's own have a number; the store's tell of an object or a bucket that is not there.
        if error.errno is not None:
            raise
        raise FileNotFoundError(errno.ENOENT, _not_found(str(error)), str(place)) from None
    except AlreadyExistsError:
        raise FileExistsError(errno.EEXIST, "is there already", str(place)) from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, reason(str(error)), str(place)) from None
    except (BaseError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _told(str(error), place) from None


def _told(said: str, place: object) -> OSError:
    """What is wrong, by the store's own words: its library knows them of objects, not of listings."""
    code = _CODE.search(said)
    if code is not None and code[1] == "NoSuchBucket":
        return FileNotFoundError(errno.ENOENT, _not_found(said), str(place))
    if code is not None and code[1] == "AccessDenied":
        return PermissionError(errno.EACCES, reason(said), str(place))
    # As number ECONNRESET it is a ConnectionError, which is tried again.
    number = errno.ECONNRESET if broken(said) else errno.ENOTSUP if _UNKNOWN.search(said) else errno.EIO
    return OSError(number, reason(said), str(place))


def broken(said: str) -> bool:
    """Whether a connection broke, by what a store's library says; a store that answered has refused."""
    told = said.partition("\n\nDebug source:")[0]
    return "non-2xx status code" not in told and any(word in told for word in _BROKEN)


def _not_found(said: str) -> str:
    return NO_BUCKET if "NoSuchBucket" in said else "there is no such object"


def reason(said: str) -> str:
    """The line that helps in what a store's library says: the store's own words, else the library's innermost."""
    code, message, status = (pattern.search(said) for pattern in (_CODE, _MESSAGE, _STATUS))
    retries = _RETRIES.search(said)
    tried = f" (tried {int(retries[1]) + 1} times)" if retries and retries[1] != "0" else ""
    if code is not None:
        return f"{code[1]}: {message[1].rstrip('.')}{tried}" if message else f"{code[1]}{tried}"
    if status is not None:
        return f"the store answered {status[1]}{tried}"
    told = " ".join(said.partition("\n\nDebug source:")[0].split())
    server = _SERVER.search(told)
    where = f"{server[1]}: " if server else ""
    return f"{where}{told.rpartition(' - ')[2][:_MOST]}{tried}"


T = TypeVar("T")

TRIES = 6
FIRST_WAIT = 0.2
"""Seconds before the second try; each wait is twice the one before, more or less."""


def persistent(call: Callable[[], T], tries: int = TRIES) -> T:
    """Run a call, again where its connection broke; return what it gives.

    The library itself tries again what it takes for safe, and whatever the store refuses for being busy or down; a
    listing, a removal or an upload's begin whose connection breaks it does not. Here all may come twice.

    Raises:
        OSError: what the call raises at last.
    """
    for number in range(tries - 1):
        try:
            return call()
        except ConnectionError:
            time.sleep(FIRST_WAIT * 2**number * random.uniform(0.5, 1.5))
    return call()


def heard(call: Callable[[], T], seconds: float | None = None) -> T:
    """Run the call in a helper thread so that the main thread can handle signals; return what it gives.

    Args:
        seconds: how long to wait, where that is bounded; the main thread alone heeds it.

    Raises:
        KeyboardInterrupt: as of any code; the call goes on without anyone, and ends with the process.
        TimeoutError: it takes longer.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(errno.ETIMEDOUT, "does not answer")
    if errors:
        raise errors[0]
    return results[0]
