"""The names of pictures and samples.

The key of a sample is a stable name that every reader accepts, `[A-Za-z0-9_-]`; source ids are in one Unicode form.

--exclude and `trace` accept any name of a picture: its id, its file's name, the key of any of its samples, its photo's
id, its author's name or id, and the URLs of its photo's page and files. Text is compared as NFC. A URL's scheme,
`www.`, port, final slash and fragment are ignored; the host may be left out, and so may the query.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

import blake3

from lpff_shards.schemas.record import Credit

MAX_ID = 60
KEY_RULE = re.compile(r"[A-Za-z0-9_-]{1,86}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_FLICKR_ID = re.compile(r"[0-9]+@N[0-9]+_[0-9]+_[0-9]+")
_FACE = re.compile(r"(.+)_(\d\d)")


def safe_id(source_id: str) -> str:
    """Return a source id in a key's alphabet.

    A short id of safe characters does not change. In a Flickr id only `@` becomes `-`, which keeps Flickr ids
    distinct. Any other id is shortened, its unsafe characters become `-`, and a hash of the whole id is appended.
    """
    safe = _UNSAFE.sub("-", source_id)
    if len(safe) <= MAX_ID and (safe == source_id or _FLICKR_ID.fullmatch(source_id)):
        return safe
    digest = hashlib.blake2b(source_id.encode("utf-8", "surrogateescape"), digest_size=5).hexdigest()
    return f"{safe[: MAX_ID - 11]}-{digest}"


def nfc(name: str) -> str:
    """Return a name in Unicode's composed form (NFC), in which ids are compared and recorded.

    File systems and archives of macOS decompose names; JSON files mostly do not.
    """
    if name.isascii():
        return name
    # In a locale without their letters, UTF-8 names are lone surrogates of their bytes.
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text)


def sample_key(source: str, source_id: str, mirrored: bool, replica: int) -> str:
    """Return the key of a sample; it depends only on these four values, never on the shard or other samples."""
    key = f"{source}_{safe_id(source_id)}"
    if mirrored:
        key += "_m"
    return f"{key}_r{replica:02d}" if replica else key


def photo_and_face(id: str) -> tuple[str, int]:
    """Return the photo's name and the face's number at the end of a source id, 0 without a number."""
    match = _FACE.fullmatch(id)
    return (match[1], int(match[2])) if match else (id, 0)


Name = tuple[str, str]
"""The kind (`key`, `id`, `photo`, `author`, `url`, or `file` for the last part of a URL), and the text."""

_WEB = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_HOST = re.compile(r"(?:www\.|m\.)?(.*?)(?::[0-9]+)?", re.DOTALL)
_FOLDERS = re.compile(r"[/\\]|\.zip:", re.IGNORECASE)
_FILE = re.compile(r"(.+)\.(?:png|jpe?g|webp)", re.IGNORECASE | re.DOTALL)
_MARKS = re.compile(r"(_m)?(_r[0-9]+)?$")
_VARIANT = re.compile(r"(.+)_(?:mirror|eg3d|stylegan)", re.DOTALL)
"""Files of FFHQ's mirrors and of LPFF's previews are named after their picture."""
_ODD = re.compile(r"img([0-9]{7}[13579])")
"""The mirror that follows a picture in EG3D's FFHQ."""


def normal(text: str) -> str:
    """Return a text in the form used to compare names."""
    return nfc(text).strip()


def names(source: str, id: str, credit: Credit) -> Iterator[Name]:
    """Yield all names of a picture, without unknown ones."""
    yield "key", sample_key(source, id, mirrored=False, replica=0)
    yield from _plain(id, credit)
    for url in _urls(credit):
        yield from _names_of_url(url)


def asked(given: str) -> frozenset[Name]:
    """Return all names that a given text may be."""
    text = normal(given)
    meanings: set[Name] = {("author", text), ("photo", text), ("id", text)}
    if "/" in text:
        meanings |= {("id", _stem(text)), ("photo", _stem(text))}
        address, query = _address(text)
        meanings |= {("url", f"{address}?{query}"), ("url", f"{address}?")} if query else {("url", address)}
    else:
        meanings |= {("file", text), ("file", _stem(text))}
    for name in () if _WEB.match(text) else _of_files(text):
        meanings |= {("id", name), ("photo", name), ("key", name), ("key", _MARKS.sub("", name))}
    return frozenset(meanings)


def words(given: str) -> list[str]:
    """Return the ASCII words that every spelling of a given name contains, for a first full-text search."""
    return re.findall("[A-Za-z0-9]+", _address(normal(given))[0])


def mark(name: Name) -> str:
    """Return a digest by which a name is recognized without storing it."""
    return blake3.blake3("\n".join(name).encode("utf-8", "surrogateescape")).hexdigest(length=8)


def marks(source: str, id: str, credit: Credit) -> tuple[str, ...]:
    """Return digests of all names of a picture."""
    return tuple(sorted(set(map(mark, names(source, id, credit)))))


class Wanted:
    """Find given names among the pictures of a large set."""

    def __init__(self, given: Iterable[str]) -> None:
        self._given: dict[Name, list[str]] = defaultdict(list)
        for text in given:
            for name in asked(text):
                self._given[name].append(text)
        self._texts = {text for kind, text in self._given if kind in ("author", "photo", "id")}
        self._keys = {text.partition("_")[0] for kind, text in self._given if kind == "key" and "_" in text}
        ends = (text.partition("?")[0] for kind, text in self._given if kind in ("url", "file"))
        self._ends = {address.rpartition("/")[2].lower() for address in ends}

    def of(self, source: str, id: str, credit: Credit) -> list[tuple[str, str]]:
        """Return the given names that match a picture, each with its kind before it."""
        if not self._given:
            return []
        likely = [(kind, text) for kind, text in _plain(id, credit) if text in self._texts]
        if source.partition("_")[0] in self._keys:
            likely.append(("key", sample_key(source, id, mirrored=False, replica=0)))
        for url in _urls(credit):
            if self._may_be(url):
                likely += _names_of_url(url)
        return [(name[0], text) for name in likely for text in self._given.get(name, ())] if likely else []

    def _may_be(self, url: str) -> bool:
        """Return whether a URL's last part was given: parsing the whole URL takes ten times as long."""
        url = url.strip().rstrip("/")
        end = url[url.rfind("/") + 1 :].lower()
        if end in self._ends or end.rpartition(".")[0] in self._ends:
            return True
        return "?" in url or "#" in url or "%" in url or not url.isascii()


def _plain(id: str, credit: Credit) -> Iterator[Name]:
    """Yield the names other than URLs, without unknown ones."""
    photo = photo_and_face(id)[0]
    named = (("author", credit.author), ("author", credit.author_id), ("photo", credit.photo_id), ("photo", photo))
    for kind, text in (*named, ("id", id)):
        if text:
            yield kind, normal(text)


def _urls(credit: Credit) -> Iterator[str]:
    urls = (credit.source_url, credit.low_resolution_download_url, credit.high_resolution_download_url)
    return filter(None, urls)


def _names_of_url(url: str) -> Iterator[Name]:
    """Yield a URL with and without its host and query, and the name of its file."""
    whole, query = _address(normal(url))
    for address in filter(None, (whole, _joined(whole.partition("/")[2]))):
        yield "url", address
        # A given URL with a query, such as `?size=l`, also matches the URL without one, but no other query.
        yield "url", f"{address}?{query}"
    end = whole.rpartition("/")[2]
    if file := _FILE.fullmatch(end):
        yield from (("file", end), ("file", file[1]))


def _address(url: str) -> tuple[str, str]:
    """Return host and path of a URL, and its query."""
    address, _, query = _WEB.sub("", url, count=1).partition("#")[0].partition("?")
    return _joined(unquote(address)), query


def _joined(path: str) -> str:
    """Return a path without empty parts; the case of a first part that is a host is ignored."""
    first, *rest = [part for part in normal(path).split("/") if part] or [""]
    host = _HOST.fullmatch(first.lower())
    return "/".join((host[1] if host else first, *rest))


def _of_files(text: str) -> Iterator[str]:
    """Yield the ids of pictures whose file may have this name, with or without folders and suffix."""
    name = _stem(_FOLDERS.split(text)[-1])
    yield name
    if variant := _VARIANT.fullmatch(name):
        yield variant[1]
    if odd := _ODD.fullmatch(name):
        yield f"img{int(odd[1]) - 1:08d}"


def _stem(name: str) -> str:
    file = _FILE.fullmatch(name)
    return file[1] if file else name
