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

from lpff_shards.storage.prefetch import Threads

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
    """Convert a store's errors in the block to those of a file with the place; `strerror` is the store's message.

    Raises:
        ConnectionError: the connection broke before the response was complete.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except FileNotFoundError as error:
        # Only errors of the system have a number; those of the store are about a missing object or bucket.
        if error.errno is not None:
            raise
        raise _as_os_error(str(error), place, errno.ENOENT) from None
    except AlreadyExistsError:
        raise FileExistsError(errno.EEXIST, "already exists", str(place)) from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise _as_os_error(str(error), place, errno.EACCES) from None
    except (BaseError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _as_os_error(str(error), place) from None


def _as_os_error(message: str, place: object, number: int = 0) -> OSError:
    """Return the error of a store's message: the store's library maps error codes of objects, but not of listings."""
    code = _CODE.search(message)
    if not number and code is not None:
        number = {"NoSuchBucket": errno.ENOENT, "AccessDenied": errno.EACCES}.get(code[1], 0)
    if number == errno.ENOENT:
        return OSError(number, NO_BUCKET if "NoSuchBucket" in message else "there is no such object", str(place))
    text = message.partition("\n\nDebug source:")[0]
    # A response with a status is a refusal. Number ECONNRESET makes it a ConnectionError, which is retried.
    broken = "non-2xx status code" not in text and any(word in text for word in _BROKEN)
    unclear = errno.ECONNRESET if broken else errno.ENOTSUP if _UNKNOWN.search(message) else errno.EIO
    return OSError(number or unclear, reason(message), str(place))


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
    """Return the result of a call that may run twice; repeat it if its connection breaks.

    The library retries calls that it considers safe, and those that a busy store refuses. It does not retry a listing,
    a removal or the start of an upload after a broken connection.
    """
    for number in range(tries - 1):
        try:
            return call()
        except ConnectionError:
            time.sleep(FIRST_WAIT * 2**number * random.uniform(0.5, 1.5))
    return call()


def interruptible(call: Callable[[], T], seconds: float | None = None) -> T:
    """Return the result of a call, run in a helper thread so that the main thread can handle signals.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the call continues in its thread until the process ends.
        TimeoutError: the call in the main thread takes longer than this many seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    return Threads(1).submit(lambda _: call(), None).result(seconds)
