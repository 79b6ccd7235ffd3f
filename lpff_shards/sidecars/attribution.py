"""Attribution: each picture's author, license and changes as a table (.csv), and a summary (.md)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from msgspec import Struct, structs

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.keys import sample_key
from lpff_shards.schemas.license import Demands, demands
from lpff_shards.schemas.sources import terms_of
from lpff_shards.schemas.text import csv_cell, markdown, markdown_url
from lpff_shards.sidecars.sample_index.read import SampleIndex
from lpff_shards.sidecars.template import render, table_rows

UNKNOWN = "unknown"
_SOME = " (some of its samples)"

_PICTURES = """
SELECT picture, dataset, source_id, photo_id, face, title, author, author_id, license, license_url, source_url, changes,
    count(*) AS samples
FROM samples JOIN pictures USING (picture) JOIN stored USING (stored)
GROUP BY picture, changes ORDER BY dataset, source_id, picture, mirrored, changes
"""


_TYPES = (int, str, str, str, int, *(str,) * 7, int)


class Line(Struct, frozen=True):
    """A picture's line, shared by its mirrors and copies.

    Attributes:
        key: of its samples, without the suffixes of mirrors and copies (`_m`, `_r01`).
        dataset, source_id, photo_id, face: of the picture.
        title, author, author_id: of the photo at its host; author is `unknown` if no source contains it.
        license, license_url: of the photo; license is `unknown` unless a source makes it certain.
        attribution, share_alike, non_commercial, no_derivatives: requirements of the license: `yes`, `no` or `unknown`.
        source_url: the photo at its host.
        changes: made to the photo.
        samples: number of samples of the picture.
    """

    key: str
    dataset: str
    source_id: str
    photo_id: str
    face: int
    title: str
    author: str
    author_id: str
    license: str
    license_url: str
    attribution: str
    share_alike: str
    non_commercial: str
    no_derivatives: str
    source_url: str
    changes: str
    samples: int


def lines(samples: SampleIndex) -> Iterator[Line]:
    """Yield the lines of an export, by data set and source id, exactly one for each picture."""
    # A data set has few licenses and few different changes: each is computed once.
    asks, merge = cache(demands), cache(merged)
    for _, group in groupby(samples.rows(_PICTURES, _TYPES), key=lambda row: row[0]):
        rows = list(group)
        _, dataset, source_id, photo_id, face, title, author, author_id, license, url, source_url, *_ = rows[0]
        asked = asks(license)

        def answer(flag: bool, known: bool = asked.known) -> str:
            return ("yes" if flag else "no") if known else UNKNOWN

        yield Line(
            key=sample_key(dataset, source_id, mirrored=False, replica=0),
            dataset=dataset,
            source_id=source_id,
            photo_id=photo_id,
            face=face,
            title=title,
            author=author or UNKNOWN,
            author_id=author_id,
            license=license or UNKNOWN,
            license_url=url,
            attribution=answer(asked.attribution),
            share_alike=answer(asked.share_alike),
            non_commercial=answer(asked.non_commercial),
            no_derivatives=answer(asked.no_derivatives),
            source_url=source_url,
            changes=merge(tuple(row[-2] for row in rows)),
            samples=sum(row[-1] for row in rows),
        )


def merged(changes: Sequence[str]) -> str:
    """Return the changes of a picture's samples as one text: common steps first, then those of some samples."""
    variants = [[step for step in text.split("; ") if step] for text in changes]
    steps = dict.fromkeys(step for variant in variants for step in variant)
    common = [step for step in steps if all(step in variant for variant in variants)]
    return "; ".join([*common, *(f"{step}{_SOME}" for step in steps if step not in common)])


def write_table(path: Path, lines: Iterable[Line]) -> None:
    """Write the lines as CSV (RFC 4180, but with line feeds only; UTF-8) under a header, escaped by `csv_cell`.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(Line.__struct_fields__)
        # csv before Python 3.13 does not quote a bare carriage return, which ends the line for readers.
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for line in lines:
            row = [csv_cell(cell) if isinstance(cell, str) else cell for cell in structs.astuple(line)]
            (quoted if "\r" in "".join(map(str, row)) else table).writerow(row)


_LICENSES = """
SELECT license, count(*), sum(n) FROM pictures
JOIN (SELECT picture, count(*) AS n FROM samples GROUP BY picture) USING (picture)
GROUP BY license ORDER BY count(*) DESC, license
"""
_EXAMPLE = """
SELECT title, author, license, source_url FROM pictures
WHERE license LIKE 'CC-BY%' AND author <> '' ORDER BY dataset, source_id LIMIT 1
"""


def summary(manifest: Manifest, samples: SampleIndex) -> str:
    """Return the summary as Markdown: licenses with counts and requirements, unknown values, terms."""
    licenses = samples.rows(_LICENSES, (str, int, int))
    terms = terms_of(manifest.sources, follows_eg3d=False)
    values = {
        "name": manifest.name,
        "samples": f"{manifest.samples:,}",
        "pictures": _count(samples),
        "licenses": table_rows((_named(name), f"{shown:,}", f"{of:,}", _asks(name)) for name, shown, of in licenses),
        **{f"no_{column}": _count(samples, f"{column} = ''") for column in ("author", "license", "source_url")},
        "example": _example(samples),
        "terms": "\n".join(f"- {one.name}: {one.terms} {one.url}".rstrip() for one in terms),
    }
    return render(files(__package__).joinpath("attribution.md").read_text("utf-8"), values)


def _count(samples: SampleIndex, condition: str = "TRUE") -> str:
    ((pictures,),) = samples.rows(f"SELECT count(*) FROM pictures WHERE {condition}", (int,))
    return f"{pictures:,}"


def _named(short: str) -> str:
    asked = demands(short)
    return f"{_linked(short, asked)} {asked.name}" if asked.url else markdown(short) or UNKNOWN


def _linked(short: str, asked: Demands) -> str:
    return f"[{short}]({asked.url})" if asked.url else markdown(short)


def _asks(short: str) -> str:
    asked = demands(short)
    if not asked.known:
        return "not known: find out before showing or sharing it"
    flags = (
        (asked.attribution, "author, license and changes named"),
        (asked.share_alike, "**share-alike**"),
        (asked.non_commercial, "**non-commercial use only**"),
        (asked.no_derivatives, "**no changed copies shared**"),
    )
    return ", ".join([words for flag, words in flags if flag] or [asked.also or "nothing"])


def _example(samples: SampleIndex) -> str:
    """Return an example credit for one of the export's pictures; empty if no license requires one."""
    for title, author, license, url in samples.rows(_EXAMPLE, (str, str, str, str)):
        shown = markdown(f'"{title}"' if title else "Photo")
        return f"{shown} by {markdown(author)} ({markdown_url(url)}), {_linked(license, demands(license))}"
    return ""
