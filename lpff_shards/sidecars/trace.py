"""Finding samples by key, source id, photo or author, in samples.sqlite; no shard is read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from unicodedata import normalize

from lpff_shards.errors import ShardsError
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import read_manifest
from lpff_shards.options.declaration import BY, By, one_of
from lpff_shards.schemas.keys import Name, asked, mark, names, normal, words
from lpff_shards.schemas.record import OF_MIRROR, Credit, LeftOut, Tombstone
from lpff_shards.sidecars.attached import attached_channels
from lpff_shards.sidecars.sample_index import IndexedSample, SampleIndex
from lpff_shards.storage.path import StoragePath, place

_CREDIT = (
    *("photo_id", "author", "author_id"),
    *("source_url", "low_resolution_download_url", "high_resolution_download_url"),
)
_CALLED = ("source_id", *_CREDIT)
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
_NEAR = """
SELECT source_id FROM pictures WHERE instr(lower(source_id), lower(?1))
UNION ALL SELECT DISTINCT author FROM pictures WHERE instr(lower(author), lower(?1))
UNION ALL SELECT key FROM samples WHERE instr(lower(key), lower(?1)) LIMIT 5
"""
"""Ids, authors and keys that contain a name, in upper or lower case."""
_SCANNED = f"{' || char(10) || '.join(_CALLED)} LIKE ?"


@dataclass(frozen=True, slots=True)
class Trace:
    """The matches of a name in a data set.

    Attributes:
        samples: matching samples in the shards; members: for each the member with its picture, None in a TFRecord.
        taken_out: samples that `export --update` removed.
        left_out: pictures and samples that were never written, with their reasons.
        near: names of samples that contain the name, if nothing matches.
        channels: names of attached channels, whose folders have the same samples in files of their own.
    """

    name: str
    format: str
    samples: tuple[IndexedSample, ...]
    taken_out: tuple[Tombstone, ...]
    left_out: tuple[LeftOut, ...]
    near: tuple[str, ...]
    members: tuple[str | None, ...]
    channels: tuple[str, ...] = ()

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
    try:
        # Undecodable bytes of the command line arrive as lone surrogates.
        name = name.encode("utf-8", "surrogateescape").decode()
    except UnicodeError:
        raise ShardsError(f"the name {name!r} is not UTF-8", "All names in an export are UTF-8") from None
    root = place(path)
    manifest = read_manifest(root)
    kinds = {by, "file"} if by == "url" else {by}
    wanted = frozenset(one for one in asked(name) if by is None or one[0] in kinds)
    with SampleIndex.open(root, manifest) as index:
        if by == "key":
            # A key is of one sample, not of the mirrors and copies of its picture.
            key = normal(name)
            samples = tuple(index.records("key = ?", [key]))
            gone = tuple(one for one in manifest.tombstones if one.key == key)
            lost = tuple(one for one in manifest.skipped if one.key == key)
        else:
            # A photo's mirror and copies match too.
            texts = {form for _, text in wanted for form in (text, normalize("NFD", text), name, f"{text}_m")}
            found = _pictures(index, wanted, _INDEXED, json.dumps(sorted(texts)))
            if not found or "/" in name:
                # URLs and other spellings have no index.
                found += _pictures(index, wanted, _SCANNED, f"%{max(words(name), key=len, default='')}%")
            samples = tuple(index.records("picture IN (SELECT value FROM json_each(?))", [json.dumps(found)]))
            # Tombstones have only digests of their picture's names.
            digests = frozenset(map(mark, wanted))
            gone = tuple(one for one in manifest.tombstones if not digests.isdisjoint(one.names))
            lost = tuple(one for one in manifest.skipped if not wanted.isdisjoint(_names(one, manifest.sources)))
        near = () if samples or gone or lost else tuple(text for (text,) in index.rows(_NEAR, (str,), [name]))
        format = get_format(manifest.format)
        # Pictures of a joined file are numbered; only samples.sqlite gives their numbers.
        members = tuple(
            index.member(one) if format.joining else format.member(str(one.fields["key"]), one.suffix)
            for one in samples
        )
    channels = tuple(attached_channels(root)) if samples else ()
    return Trace(name, manifest.format, samples, gone, lost, near, members, channels)


def _pictures(index: SampleIndex, wanted: frozenset[Name], condition: str, value: str) -> list[int]:
    """Return the numbers of pictures that meet a condition and have a wanted name."""
    return [
        picture
        for picture, dataset, id, *credit in index.rows(_PICTURES + condition, _TYPES, [value])
        if not wanted.isdisjoint(names(dataset, id, Credit(**dict(zip(_CREDIT, credit, strict=True)))))
    ]


def _names(skip: LeftOut, sources: Iterable[str]) -> set[Name]:
    """Return the names that a left-out picture may have."""
    return {name for source in sources for name in names(source, skip.id.removesuffix(OF_MIRROR), Credit())}
