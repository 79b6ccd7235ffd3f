"""A path of a bucket with the methods of a file system's path, and requests to its store.

Every error is a one-line OSError with the path, broken connections are retried, and Ctrl-C ends a waiting request.
"""

from __future__ import annotations

import errno
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lpff_shards.schemas.uris import parts
from lpff_shards.storage.prefetch import Threads

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

NO_PATH = "Encountered object with invalid path: "
"""The message of the stores' library for a name with `..`, `//` or control characters."""
_CONTROL = re.compile(r"[\0-\x1f\x7f]")

PIECE = 8 << 20
"""Bytes of a request when a whole object is fetched."""


def is_odd(name: str) -> bool:
    """Return whether the stores' library neither lists nor reads a name."""
    return name in ("", ".", "..") or _CONTROL.search(name) is not None


class Listed(NamedTuple):
    """A file or object in a listing; `etag` identifies its contents in the store, empty for files."""

    name: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class BucketPath:
    """A path of a bucket. Picklable, cheap; connections are made on first use and shared in a process.

    Attributes:
        scheme: s3 or gs.
        key: key of the object or prefix, without slashes at its ends; empty for the whole bucket.
    """

    scheme: str
    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, uri: str) -> BucketPath:
        """Return the path of a URI; raise as `uris.parts` does."""
        return cls(*parts(uri))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    def __truediv__(self, name: str) -> BucketPath:
        return BucketPath(self.scheme, self.bucket, f"{self.key}/{name}".strip("/"))

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> BucketPath:
        return BucketPath(self.scheme, self.bucket, self.key.rpartition("/")[0])

    def absolute(self) -> BucketPath:
        return self

    def resolve(self) -> BucketPath:
        return self

    def is_symlink(self) -> bool:
        return False

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: a prefix exists with its objects."""

    def is_file(self) -> bool:
        return self.stat() is not None

    def is_dir(self) -> bool:
        """Return whether an object below this key exists."""
        return self._ask(lambda store: any(store.list(self._below, chunk_size=1)))

    def stat(self) -> Listed | None:
        """Return the object's size and ETag; None if it does not exist."""
        try:
            return self._ask(lambda store: _listed(store.head(self.key))) if self.key else None
        except FileNotFoundError:
            return None

    def size(self) -> int:
        """Return the number of bytes of the object."""
        return self._ask(lambda store: int(store.head(self.key)["size"]))

    def listing(self) -> tuple[list[Listed], list[str]]:
        """Return the objects and the names of the prefixes directly below this key, sorted.

        One request per thousand. Objects whose names are not paths are listed on S3; other stores raise an error.
        """
        try:
            found: Any = self._ask(lambda store: store.list_with_delimiter(self._below))
        except OSError as error:
            if self.scheme != "s3" or NO_PATH not in str(error.strerror):
                raise
            from lpff_shards.storage.connect import listed_by_boto3

            found = interruptible(lambda: listed_by_boto3(self.bucket, self._below or ""))
        # Some tools store a folder as an empty object with the prefix's name.
        objects = (_listed(one) for one in found["objects"] if one["path"] != self.key)
        folders = (prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"])
        return sorted(one for one in objects if one.name), sorted(name for name in folders if not is_odd(name))

    def read_bytes(self) -> bytes:
        """Return the contents of the object."""
        return self._ask(lambda store: bytes(store.get(self.key).bytes()))

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the object, fewer at its end."""
        return bytes(self.read_marked(at, size)[0]) if size > 0 else b""

    def read_marked(self, at: int, size: int) -> tuple[memoryview, str]:
        """Return at least one byte of the object, uncopied, and its ETag; both are empty after its end."""
        try:
            found, data = self.get(at=at, size=size)
        except OSError as error:
            # Stores refuse a range that starts after the end; files return no bytes.
            if error.errno == errno.EIO and "Range" in str(error.strerror):
                return memoryview(b""), ""
            raise
        return data, found.etag

    def get(
        self, wanted: Callable[[Listed], bool] = lambda _: True, at: int = 0, size: int | None = None
    ) -> tuple[Listed, memoryview]:
        """Return the object's entry and its bytes, or those of a range; no bytes if `wanted` returns False."""

        def request(store: ObjectStore) -> tuple[Listed, memoryview]:
            answer = store.get(self.key, options={} if size is None else {"range": (at, at + size)})
            found = _listed(answer.meta)
            return found, memoryview(answer.bytes()) if wanted(found) else memoryview(b"")

        return self._ask(request)

    def fetch(self, path: Path) -> None:
        """Write the object to a file, piece by piece."""

        def pieces(store: ObjectStore) -> None:
            with path.open("wb") as file:
                for piece in store.get(self.key).stream(min_chunk_size=PIECE):
                    file.write(piece)

        self._ask(pieces)

    def replace(self, data: bytes) -> None:
        """Write a small object atomically."""
        self._ask(lambda store: store.put(self.key, data, mode="overwrite", use_multipart=False))

    def create(self, data: bytes) -> bool:
        """As `Storage.create`."""
        # A patient library would retry many times on a store without such a condition.
        for patient in (False, True):
            try:
                self._ask(lambda store: store.put(self.key, data, mode="create", use_multipart=False), patient)
                return True
            except OSError as error:
                if error.errno == errno.ENOTSUP:
                    break
                if patient or error.errno != errno.EIO:
                    raise
        if self.is_file():
            raise FileExistsError(errno.EEXIST, "already exists", str(self))
        self.replace(data)
        return False

    def writer(self, part: int, concurrency: int) -> Any:
        """Return obstore's `WritableFile`: it is sent in parts as it is written, and appears when it is closed."""
        from obstore import open_writer

        return self._ask(lambda store: open_writer(store, self.key, buffer_size=part, max_concurrency=concurrency))

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects directly below this key, up to a thousand per request; missing objects are no error."""
        paths = [(self / name).key for name in names]
        if paths:
            self._ask(lambda store: store.delete(paths))

    def remove_all(self) -> None:
        """Remove all objects below this key."""

        def remove(store: ObjectStore) -> None:
            for found in store.list(self._below):
                store.delete([one["path"] for one in found])

        self._ask(remove)

    @property
    def _below(self) -> str | None:
        return f"{self.key}/" if self.key else None

    def _ask(self, request: Callable[[ObjectStore], T], patient: bool = True) -> T:
        """Return the result of a request, errors as OSErrors; repeat it after a broken connection.

        Every request may run twice, and writes the same each time.
        """
        from lpff_shards.storage.connect import connect, load_library

        load_library(self.scheme, self.bucket)

        def once() -> T:
            with translate_errors(self):
                store = connect(self.scheme, self.bucket, patient)
                return interruptible(lambda: request(store))

        return retry_on_disconnect(once)


def _listed(meta: Any) -> Listed:
    return Listed(meta["path"].rpartition("/")[2], int(meta["size"]), (meta["e_tag"] or "").strip('"'))


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
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, ValueError, OSError) as error:
        # Only errors of the system have a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _as_os_error(error, str(place)) from None


def _as_os_error(error: Exception, place: str) -> OSError:
    """Return a store's error as that of a file: its library maps error codes of objects, but not of listings."""
    from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, UnauthenticatedError

    if isinstance(error, AlreadyExistsError):
        return FileExistsError(errno.EEXIST, "already exists", place)
    message = str(error)
    text, found = message.partition("\n\nDebug source:")[0], _CODE.search(message)
    code = found[1] if found else ""
    if isinstance(error, FileNotFoundError) or code == "NoSuchBucket":
        return OSError(errno.ENOENT, NO_BUCKET if "NoSuchBucket" in message else "there is no such object", place)
    number = errno.EIO
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or code == "AccessDenied":
        number = errno.EACCES
    elif "non-2xx status code" not in text and any(word in text for word in _BROKEN):
        # A response with a status is a refusal. This number makes it a ConnectionError, which is retried.
        number = errno.ECONNRESET
    elif _UNKNOWN.search(message):
        number = errno.ENOTSUP
    return OSError(number, reason(message), place)


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
