"""Requests to stores: one-line OSErrors, retries after a broken connection, and Ctrl-C while a request waits."""

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
def translate_errors(place: object) -> Iterator[None]:
    """Convert a store's errors in the block to OSErrors that name a place.

    Raises:
        FileNotFoundError, FileExistsError, PermissionError, OSError: as for a file; `strerror` is the store's message.
        ConnectionError: the connection broke before the response was complete.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except FileNotFoundError as error:
        # Only errors of the system have a number; those of the store are about a missing object or bucket.
        if error.errno is not None:
            raise
        raise FileNotFoundError(errno.ENOENT, _not_found(str(error)), str(place)) from None
    except AlreadyExistsError:
        raise FileExistsError(errno.EEXIST, "already exists", str(place)) from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, reason(str(error)), str(place)) from None
    except (BaseError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _as_os_error(str(error), place) from None


def _as_os_error(message: str, place: object) -> OSError:
    """Return the error of a store's message: the store's library maps error codes of objects, but not of listings."""
    code = _CODE.search(message)
    if code is not None and code[1] == "NoSuchBucket":
        return FileNotFoundError(errno.ENOENT, _not_found(message), str(place))
    if code is not None and code[1] == "AccessDenied":
        return PermissionError(errno.EACCES, reason(message), str(place))
    # Number ECONNRESET makes it a ConnectionError, which is retried.
    number = errno.ECONNRESET if broken(message) else errno.ENOTSUP if _UNKNOWN.search(message) else errno.EIO
    return OSError(number, reason(message), str(place))


def broken(message: str) -> bool:
    """Return whether a library's message is about a broken connection; a response with a status is a refusal."""
    text = message.partition("\n\nDebug source:")[0]
    return "non-2xx status code" not in text and any(word in text for word in _BROKEN)


def _not_found(message: str) -> str:
    return NO_BUCKET if "NoSuchBucket" in message else "there is no such object"


def reason(message: str) -> str:
    """Return the useful line of a library's message: the store's text, else the library's innermost error."""
    code, text, status = (pattern.search(message) for pattern in (_CODE, _MESSAGE, _STATUS))
    retries = _RETRIES.search(message)
    tried = f" (tried {int(retries[1]) + 1} times)" if retries and retries[1] != "0" else ""
    if code is not None:
        return f"{code[1]}: {text[1].rstrip('.')}{tried}" if text else f"{code[1]}{tried}"
    if status is not None:
        return f"the store returned {status[1]}{tried}"
    line = " ".join(message.partition("\n\nDebug source:")[0].split())
    server = _SERVER.search(line)
    where = f"{server[1]}: " if server else ""
    return f"{where}{line.rpartition(' - ')[2][:_MOST]}{tried}"


T = TypeVar("T")

TRIES = 6
FIRST_WAIT = 0.2
"""Seconds before the second try; each wait is about twice the previous one."""


def retry_on_disconnect(call: Callable[[], T], tries: int = TRIES) -> T:
    """Return the result of a call; repeat it if its connection breaks.

    The library retries calls that it considers safe, and those that a busy store refuses. It does not retry a listing,
    a removal or the start of an upload after a broken connection. All calls here may run twice.

    Raises:
        OSError: the error of the last try.
    """
    for number in range(tries - 1):
        try:
            return call()
        except ConnectionError:
            time.sleep(FIRST_WAIT * 2**number * random.uniform(0.5, 1.5))
    return call()


def interruptible(call: Callable[[], T], seconds: float | None = None) -> T:
    """Return the result of a call, run in a helper thread so that the main thread can handle signals.

    Args:
        seconds: limit of the wait, None for no limit; it has no effect outside the main thread.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the call continues in its thread until the process ends.
        TimeoutError: the call takes longer.
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
        raise TimeoutError(errno.ETIMEDOUT, "timed out")
    if errors:
        raise errors[0]
    return results[0]
