"""Finding samples by key, source id, photo or author, in samples.sqlite; no shard is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import Format
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import read_manifest
from lpff_shards.options.declaration import BY, By, one_of
from lpff_shards.schemas.keys import Name, asked, mark, names, normal, words
from lpff_shards.schemas.record import OF_MIRROR, Credit, LeftOut, Tombstone
from lpff_shards.sidecars.sample_index.read import IndexedSample, SampleIndex
from lpff_shards.storage.path import StoragePath, place

NEAR = 5
_URLS = ("source_url", "low_resolution_download_url", "high_resolution_download_url")
_CALLED = ("source_id", "photo_id", "author", "author_id", *_URLS)
_PICTURES = f"SELECT picture, dataset, {', '.join(_CALLED)} FROM pictures WHERE "
_TYPES = (int, *(str,) * (1 + len(_CALLED)))
# Uses the indexes of samples.sqlite. Faces of a photo have a number after its id: 100004356@N06_21795165006_01.
_INDEXED = """picture IN (
    WITH given AS (SELECT value FROM json_each(?))
    SELECT picture FROM pictures WHERE source_id IN given UNION SELECT picture FROM pictures WHERE photo_id IN given
    UNION SELECT picture FROM pictures WHERE author IN given UNION SELECT picture FROM pictures WHERE author_id IN given
    UNION SELECT picture FROM samples WHERE key IN given
    UNION SELECT picture FROM given JOIN pictures ON source_id > value || '_' AND source_id < value || '_:'
)"""
_SCANNED = f"{' || char(10) || '.join(_CALLED)} LIKE ?"
_NAMED = "picture IN (SELECT value FROM json_each(?))"


@dataclass(frozen=True, slots=True)
class Trace:
    """The matches of a name.

    Attributes:
        name: the searched name.
        format: format of the data set.
        samples: matching samples in the shards.
        taken_out: samples that `export --update` removed.
        left_out: pictures and samples that were never written, with their reasons.
        near: names of samples that contain the name, if nothing matches.
        members: for each sample the member with its picture, None in a TFRecord.
    """

    name: str
    format: str
    samples: tuple[IndexedSample, ...]
    taken_out: tuple[Tombstone, ...]
    left_out: tuple[LeftOut, ...]
    near: tuple[str, ...]
    members: tuple[str | None, ...]

    @property
    def found(self) -> bool:
        """Whether anything matches."""
        return bool(self.samples or self.taken_out or self.left_out)


def trace_export(path: str | StoragePath, name: str, by: By | str | None = None) -> Trace:
    """Find all samples of the pictures that match a name, including mirrors and copies.

    Args:
        path: folder or bucket prefix of an export.
        name: a sample's key, a source id (of a face, or without its number of a photo), a photo id, an author's name
            or id, a URL of the photo's page or files, or a file's name (see `schemas.keys`).
        by: kind of name to search; None searches all kinds. `key` finds a single sample.

    Raises:
        ShardsError: the export is not finished, samples.sqlite is missing, or `by` is unknown.
    """
    if by is not None:
        one_of("--by", by, BY)
    if not name.strip():
        raise ShardsError("the name to search is empty", "Give a key, an id, a photo, an author or a URL")
    name = _text(name)
    root = place(path)
    manifest = read_manifest(root)
    wanted = _wanted(name, by)
    with SampleIndex.open(root, manifest) as index:
        samples = tuple(_samples(index, name, wanted, by))
        digests = frozenset(map(mark, wanted))
        gone = tuple(one for one in manifest.tombstones if _is_gone(one, name, digests, by))
        lost = tuple(one for one in manifest.skipped if _is_of(one, name, wanted, by, manifest.sources))
        near = () if samples or gone or lost else tuple(_near(index, name))
        format = get_format(manifest.format)
        members = tuple(_member(index, record, format) for record in samples)
    return Trace(name, manifest.format, samples, gone, lost, near, members)


def _member(index: SampleIndex, record: IndexedSample, format: Format) -> str | None:
    # Pictures of a joined file are numbered; only samples.sqlite gives their numbers.
    return index.member(record) if format.joining else format.member(str(record.fields["key"]), record.suffix)


def _text(name: str) -> str:
    """Return a name as Unicode; undecodable bytes of the command line arrive as lone surrogates."""
    try:
        return name.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        raise ShardsError(f"the name {name!r} is not UTF-8", "All names in an export are UTF-8") from None


def _wanted(name: str, by: str | None) -> frozenset[Name]:
    kinds = {by, "file"} if by == "url" else {by}
    return frozenset(one for one in asked(name) if by is None or one[0] in kinds)


def _samples(index: SampleIndex, name: str, wanted: frozenset[Name], by: str | None) -> Iterator[IndexedSample]:
    if by == "key":
        return index.records("key = ?", [normal(name)])
    # A photo's mirror and copies match too.
    texts = {form for _, text in wanted for form in (text, normalize("NFD", text), name, f"{text}_m")}
    found = _pictures(index, wanted, _INDEXED, json.dumps(sorted(texts)))
    if not found or "/" in name:
        # URLs and other spellings have no index.
        part = max(words(name), key=len, default="")
        found += _pictures(index, wanted, _SCANNED, f"%{part}%")
    return index.records(_NAMED, [json.dumps(found)])


def _pictures(index: SampleIndex, wanted: frozenset[Name], condition: str, value: str) -> list[int]:
    """Return the numbers of pictures that meet a condition and have a wanted name."""
    rows: Iterator[Sequence[str]] = index.rows(_PICTURES + condition, _TYPES, [value])
    return [int(row[0]) for row in rows if not wanted.isdisjoint(_names(*row[1:]))]


def _names(
    dataset: str, id: str, photo: str, author: str, author_id: str, page: str, low: str, high: str
) -> Iterator[Name]:
    credit = Credit(
        photo_id=photo,
        author=author,
        author_id=author_id,
        source_url=page,
        low_resolution_download_url=low,
        high_resolution_download_url=high,
    )
    return names(dataset, id, credit)


def _is_gone(one: Tombstone, name: str, wanted: frozenset[str], by: str | None) -> bool:
    """Return whether a removed sample matches; only digests of its picture's names are kept."""
    return one.key == normal(name) if by == "key" else not wanted.isdisjoint(one.names)


def _is_of(skip: LeftOut, name: str, wanted: frozenset[Name], by: str | None, sources: Iterable[str]) -> bool:
    """Return whether a left-out picture matches, by its id and key."""
    if by == "key":
        return skip.key == normal(name)
    id = skip.id.removesuffix(OF_MIRROR)
    return any(not wanted.isdisjoint(names(source, id, Credit())) for source in sources)


def _near(index: SampleIndex, name: str) -> Iterator[str]:
    """Yield keys, ids and authors that contain the name, in upper or lower case."""
    queries = (
        "SELECT source_id FROM pictures WHERE instr(lower(source_id), lower(?))",
        "SELECT DISTINCT author FROM pictures WHERE instr(lower(author), lower(?))",
        "SELECT key FROM samples WHERE instr(lower(key), lower(?))",
    )
    left = NEAR
    for query in queries:
        found = [text for (text,) in index.rows(f"{query} LIMIT {left}", (str,), [name])]
        yield from found
        left -= len(found)
        if not left:
            return
