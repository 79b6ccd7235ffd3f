"""Sample keys, stable names that every reader takes, `[A-Za-z0-9_-]`; and the one Unicode form of source ids."""

from __future__ import annotations

import hashlib
import re
import unicodedata

MAX_ID = 60
KEY_RULE = re.compile(r"[A-Za-z0-9_-]{1,86}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_FLICKR_ID = re.compile(r"[0-9]+@N[0-9]+_[0-9]+_[0-9]+")
_FACE = re.compile(r"(.+)_(\d\d)")


def safe_id(source_id: str) -> str:
    """A source id in a key's alphabet.

    An id that is safe and short stays as it is, and so does a Flickr id but for its `@` (which becomes `-`, and no two
    Flickr ids meet by it). Any other id is shortened, its unsafe characters become `-`, and a hash of the whole id
    keeps two ids apart.
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
    # Where the locale lacks their letters, UTF-8 names come as lone surrogates of their bytes.
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text)


def sample_key(source: str, source_id: str, mirrored: bool, replica: int) -> str:
    """The key of a sample; it depends on these four alone, never on the shard or on other samples."""
    key = f"{source}_{safe_id(source_id)}"
    if mirrored:
        key += "_m"
    return f"{key}_r{replica:02d}" if replica else key


def photo_and_face(id: str) -> tuple[str, int]:
    """Return the photo's name and the face's number that a source id ends in, 0 where it ends in none."""
    match = _FACE.fullmatch(id)
    return (match[1], int(match[2])) if match else (id, 0)
