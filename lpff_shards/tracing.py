"""Finding samples by whatever names them: key, source id, photo, author. The ledger tells; no shard is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lpff_shards.errors import ShardsError
from lpff_shards.ledger.read import Ledger, Record
from lpff_shards.lookups import BY, By
from lpff_shards.manifest import read_manifest
from lpff_shards.option_rules import one_of
from lpff_shards.schemas.keys import safe_id
from lpff_shards.schemas.left_out import LeftOut, Tombstone
from lpff_shards.stores.place import Place, place

NEAR = 5
_MARKS = "(_m)?(_r[0-9]+)?"

_CONDITIONS = {
    "key": "sample IN (SELECT sample FROM samples WHERE key = :name)",
    "picture": "picture IN (SELECT picture FROM samples WHERE key = :name)",
    "id": "picture IN (SELECT picture FROM pictures WHERE source_id = :name)",
    # Faces of a photo are numbered behind its id, as in 100004356@N06_21795165006_01.
    "photo": "picture IN (SELECT picture FROM pictures WHERE photo_id = :name UNION SELECT picture FROM pictures "
    "WHERE source_id > :name || '_' AND source_id < :name || '_:' "
    "AND substr(source_id, length(:name) + 1) GLOB '_[0-9][0-9]')",
    "author": "picture IN (SELECT picture FROM pictures WHERE author = :name UNION "
    "SELECT picture FROM pictures WHERE author_id = :name)",
    "url": "picture IN (SELECT picture FROM pictures WHERE rtrim(source_url, '/') = rtrim(:name, '/'))",
}


@dataclass(frozen=True, slots=True)
class Trace:
    """What a name finds.

    Attributes:
        name: that was looked for.
        format: of the data set.
        samples: that are in the shards.
        taken_out: samples that `export --update` took out of their shards.
        left_out: pictures and samples that never came in, with their reasons.
        near: names of samples that contain it, where it finds nothing.
        members: of each of the samples the member that holds its picture, None in a TFRecord.
    """

    name: str
    format: str
    samples: tuple[Record, ...]
    taken_out: tuple[Tombstone, ...]
    left_out: tuple[LeftOut, ...]
    near: tuple[str, ...]
    members: tuple[str | None, ...]

    @property
    def found(self) -> bool:
        """Whether the export knows the name at all."""
        return bool(self.samples or self.taken_out or self.left_out)


def trace_export(path: str | Place, name: str, by: By | str | None = None) -> Trace:
    """Finds the samples that a name names.

    Args:
        path: the folder that an export wrote, or the URI of a bucket's prefix.
        name: a sample's key, a source id (of a face, or without its number of a photo), a photo id, an author's name
            or id, or the URL of a photo. All samples of the pictures are found, mirrors and copies too.
        by: look only among these; None looks among all. By `key` finds one sample alone.

    Raises:
        ShardsError: there is no finished export or no ledger, or `by` is not known.
    """
    if by is not None:
        one_of("--by", by, BY)
    if not name:
        raise ShardsError("there is nothing to look for", "Give a key, an id, a photo, an author or a URL")
    if not _is_text(name):
        raise ShardsError(f"the name {name!r} is not UTF-8", "Names in an export are; look for one that is")
    root = place(path)
    manifest = read_manifest(root)
    with Ledger.open(root, manifest) as ledger:
        samples = tuple(ledger.records(_condition(name, by), {"name": name}))
        keys = _keys_of(name, by, manifest.sources)
        gone = tuple(one for one in manifest.tombstones if keys.fullmatch(one.key))
        lost = tuple(one for one in manifest.skipped if _is_of(one, name, by))
        near = () if samples or gone or lost else tuple(_near(ledger, name))
        members = tuple(_member(ledger, record, manifest.format) for record in samples)
    return Trace(name, manifest.format, samples, gone, lost, near, members)


def _member(ledger: Ledger, record: Record, format: str) -> str | None:
    if format == "zip":
        return ledger.member(record)
    return f"{record.fields['key']}.{record.suffix}" if format == "wds" else None


def _is_text(name: str) -> bool:
    """Whether a name is Unicode; bytes of the command line that are none come as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _condition(name: str, by: str | None) -> str:
    if by is not None:
        return _CONDITIONS[by]
    # Whoever looks for a photo wants its mirror and its copies too; no index leads to URLs, so they are looked through
    # only for what looks like one.
    leave = {"key"} if "://" in name else {"key", "url"}
    return " OR ".join(condition for what, condition in _CONDITIONS.items() if what not in leave)


def _keys_of(name: str, by: str | None, datasets: Iterable[str]) -> re.Pattern[str]:
    """The keys of the samples that a name names: nothing else is left of those that were taken out."""
    dataset = f"({'|'.join(datasets)})"
    faces = "|".join(re.escape(safe_id(f"{name}_{face:02d}")) for face in range(100))
    patterns = {
        "key": re.escape(name) if by == "key" else f"{re.escape(re.sub(_MARKS + '$', '', name))}{_MARKS}",
        "id": f"{dataset}_{re.escape(safe_id(name))}{_MARKS}",
        # Flickr's users stand before their photos.
        "photo": f"{dataset}_([0-9]+-N[0-9]+_{re.escape(name)}_[0-9]{{2}}|{faces}){_MARKS}",
    }
    return re.compile("|".join(f"({pattern})" for what, pattern in patterns.items() if by in (None, what)) or "(?!)")


def _is_of(skip: LeftOut, name: str, by: str | None) -> bool:
    return (by in (None, "key") and name == skip.key) or (by in (None, "id") and name == skip.id)


def _near(ledger: Ledger, name: str) -> Iterator[str]:
    """Keys, ids and authors that contain the name, whatever its case."""
    queries = (
        "SELECT source_id FROM pictures WHERE instr(lower(source_id), lower(:name))",
        "SELECT DISTINCT author FROM pictures WHERE instr(lower(author), lower(:name))",
        "SELECT key FROM samples WHERE instr(lower(key), lower(:name))",
    )
    left = NEAR
    for query in queries:
        found = [text for (text,) in ledger.rows(f"{query} LIMIT {left}", (str,), {"name": name})]
        yield from found
        left -= len(found)
        if not left:
            return
