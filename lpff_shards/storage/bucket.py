"""A path of a bucket, used as paths of the file system are; every error is an OSError that names it."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lpff_shards.schemas.uris import parts
from lpff_shards.storage.requests import heard, persistent, telling

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

NO_PATH = "Encountered object with invalid path: "
"""What the stores' library says of a name with `..`, `//` or control characters."""
_CONTROL = re.compile(r"[\0-\x1f\x7f]")

PIECE = 8 << 20
"""Bytes of a request where an object is fetched whole."""


def is_odd(name: str) -> bool:
    """Whether a name is one that the stores' library neither lists nor reads."""
    return name in ("", ".", "..") or _CONTROL.search(name) is not None


class Listed(NamedTuple):
    """A file or object as its folder lists it; `etag` is the store's word for its contents, empty for files."""

    name: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class BucketPath:
    """A path of a bucket. Picklable, cheap; connections are made when it is first used, and shared by a process.

    Attributes:
        scheme: s3 or gs.
        bucket: its name.
        key: of the object, or the prefix of several, without slashes around it; empty for the whole bucket.
    """

    scheme: str
    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, uri: str) -> BucketPath:
        """The path that a URI such as `s3://bucket/prefix` names.

        Raises:
            ShardsError: it is none, see `uris.parts`.
        """
        return cls(*parts(uri))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}".rstrip("/")

    def __truediv__(self, name: str) -> BucketPath:
        return BucketPath(self.scheme, self.bucket, f"{self.key}/{name}".strip("/"))

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The end of the name, from its last dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> BucketPath:
        """The prefix above."""
        return BucketPath(self.scheme, self.bucket, self.key.rpartition("/")[0])

    def exists(self) -> bool:
        """Whether an object of this key is there, or any below it."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether an object of this key is there."""
        return self.stat() is not None

    def is_dir(self) -> bool:
        """Whether an object lies below this key."""
        return self._ask(lambda stores, store: any(stores.list(store, self._below, chunk_size=1)))

    def stat(self) -> Listed | None:
        """The object's size and mark; None where it is not there."""
        try:
            return self._ask(lambda stores, store: _listed(stores.head(store, self.key))) if self.key else None
        except FileNotFoundError:
            return None

    def size(self) -> int:
        """Bytes of the object."""
        return self._ask(lambda stores, store: int(stores.head(store, self.key)["size"]))

    def listed(self) -> list[Listed]:
        """The objects directly below this key, sorted; a request a thousand."""
        return self.listing()[0]

    def listing(self) -> tuple[list[Listed], list[str]]:
        """As `listed`, and the names of the prefixes directly below this key, sorted.

        Objects whose names are no paths are among them on S3 alone; elsewhere they are an error.
        """
        try:
            found: Any = self._ask(lambda stores, store: stores.list_with_delimiter(store, self._below))
        except OSError as error:
            if self.scheme != "s3" or NO_PATH not in str(error.strerror):
                raise
            found = self._listed_with_odd_names()
        # An empty object of the prefix's own name is a folder to some tools.
        objects = (_listed(one) for one in found["objects"] if one["path"] != self.key)
        folders = (prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"])
        return sorted(one for one in objects if one.name), sorted(name for name in folders if not is_odd(name))

    def _listed_with_odd_names(self) -> dict[str, list[Any]]:
        from lpff_shards.storage.connect import listed_by_boto3

        return heard(lambda: listed_by_boto3(self.bucket, self._below or ""))

    def read_bytes(self) -> bytes:
        """The whole object."""
        return self._ask(lambda stores, store: bytes(stores.get(store, self.key).bytes()))

    def read_at(self, at: int, size: int) -> bytes:
        """Bytes of the object, fewer where it ends before."""
        return bytes(self.read_marked(at, size)[0]) if size > 0 else b""

    def read_marked(self, at: int, size: int) -> tuple[memoryview, str]:
        """Bytes of the object, fewer where it ends before, and the store's mark of it; at least one byte is asked for.

        Nothing is copied, and no mark is told where not a byte of the range is there.
        """
        try:
            found, data = self.get(at=at, size=size)
        except OSError as error:
            # Stores refuse a range that starts behind the end, where files give nothing.
            if error.errno == errno.EIO and "Range" in str(error.strerror):
                return memoryview(b""), ""
            raise
        return data, found.etag

    def get(
        self, wanted: Callable[[Listed], bool] = lambda _: True, at: int = 0, size: int | None = None
    ) -> tuple[Listed, memoryview]:
        """What the store says of the object, and its bytes or those of a range; none where it is not as wanted."""

        def request(stores: Any, store: ObjectStore) -> tuple[Listed, memoryview]:
            answer = stores.get(store, self.key, options={} if size is None else {"range": (at, at + size)})
            found = _listed(answer.meta)
            return found, memoryview(answer.bytes()) if wanted(found) else memoryview(b"")

        return self._ask(request)

    def fetch(self, path: Path) -> None:
        """Writes the object to a file, piece by piece."""

        def pieces(stores: Any, store: ObjectStore) -> None:
            with path.open("wb") as file:
                for piece in stores.get(store, self.key).stream(min_chunk_size=PIECE):
                    file.write(piece)

        self._ask(pieces)

    def replace(self, data: bytes) -> None:
        """Writes a small object, which appears whole or not at all."""
        self._ask(lambda stores, store: stores.put(store, self.key, data, mode="overwrite", use_multipart=False))

    def create(self, data: bytes) -> bool:
        """Writes a small object of a key that no object has; tells whether the store made sure of that.

        Raises:
            FileExistsError: one has it.
        """

        def put(stores: Any, store: ObjectStore) -> None:
            stores.put(store, self.key, data, mode="create", use_multipart=False)

        try:
            try:
                # The library would ask a store that knows no such condition again and again.
                self._ask(put, patient=False)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._ask(put)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
        else:
            return True
        if self.is_file():
            raise FileExistsError(errno.EEXIST, "is there already", str(self))
        self.replace(data)
        return False

    def writer(self, part: int, concurrency: int) -> Any:
        """A file that is sent in parts as it is written, and appears when it is closed: obstore's `WritableFile`."""
        return self._ask(
            lambda stores, store: stores.open_writer(store, self.key, buffer_size=part, max_concurrency=concurrency)
        )

    def remove(self, names: Sequence[str]) -> None:
        """Removes objects directly below this key, a thousand a request where the store can; gone ones are none."""
        paths = [(self / name).key for name in names]
        if paths:
            self._ask(lambda stores, store: stores.delete(store, paths))

    def remove_all(self) -> None:
        """Removes whatever lies below this key."""

        def remove(stores: Any, store: ObjectStore) -> None:
            for found in stores.list(store, self._below):
                stores.delete(store, [one["path"] for one in found])

        self._ask(remove)

    @property
    def _below(self) -> str | None:
        return f"{self.key}/" if self.key else None

    def _ask(self, request: Callable[[Any, ObjectStore], T], patient: bool = True) -> T:
        """What a request gives, its errors told as OSErrors; what a broken connection ended is asked again.

        Every request may come twice: what is written is the same each time.
        """
        from lpff_shards.storage.connect import connect, library

        stores = library(self.scheme, self.bucket)

        def once() -> T:
            with telling(self):
                store = connect(self.scheme, self.bucket, patient)
                return heard(lambda: request(stores, store))

        return persistent(once)


def _listed(meta: Any) -> Listed:
    return Listed(meta["path"].rpartition("/")[2], int(meta["size"]), _mark(meta))


def _mark(meta: Any) -> str:
    return (meta["e_tag"] or "").strip('"')
