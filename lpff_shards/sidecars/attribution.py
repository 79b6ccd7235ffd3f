"""Attribution: each picture's author, license and changes as a table (.csv), and a summary (.md)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.keys import sample_key
from lpff_shards.schemas.license import Demands, demands
from lpff_shards.schemas.sources import terms_of
from lpff_shards.schemas.text import csv_cell, markdown, markdown_url
from lpff_shards.sidecars.sample_index import SampleIndex
from lpff_shards.sidecars.template import render, table_rows

UNKNOWN = "unknown"

_PICTURES = """
SELECT picture, dataset, source_id, photo_id, face, title, author, author_id, license, license_url, source_url, changes,
    count(*) AS samples
FROM samples JOIN pictures USING (picture) JOIN stored USING (stored)
GROUP BY picture, changes ORDER BY dataset, source_id, picture, mirrored, changes
"""
_TYPES = (int, str, str, str, int, *(str,) * 7, int)

Line = tuple[str | int, ...]
COLUMNS = (
    *("key", "dataset", "source_id", "photo_id", "face", "title", "author", "author_id", "license", "license_url"),
    *("attribution", "share_alike", "non_commercial", "no_derivatives", "source_url", "changes", "samples"),
)
"""`key` has no suffix of a mirror or copy (`_m`, `_r01`). The license's requirements are `yes`, `no` or `unknown`.
`changes` are those made to the photo, `samples` the number of the picture's samples."""
_ASKS = {
    "attribution": "author, license and changes named",
    "share-alike": "**share-alike**",
    "non-commercial": "**non-commercial use only**",
    "no derivatives": "**no changed copies shared**",
}
"""The requirements in the order of `COLUMNS`, in words."""


def lines(samples: SampleIndex) -> Iterator[Line]:
    """Yield the lines of an export, by data set and source id, exactly one for each picture."""

    # A data set has few licenses and few different changes: each is computed once.
    @cache
    def answers(license: str) -> list[str]:
        asked = demands(license)
        return [("yes" if name in asked.flags else "no") if asked.known else UNKNOWN for name in _ASKS]

    merge = cache(merged)
    for _, group in groupby(samples.rows(_PICTURES, _TYPES), key=lambda row: row[0]):
        rows = list(group)
        _, dataset, source_id, photo_id, face, title, author, author_id, license, url, source_url, *_ = rows[0]
        yield (
            sample_key(dataset, source_id, mirrored=False, replica=0),
            *(dataset, source_id, photo_id, face, title, author or UNKNOWN, author_id, license or UNKNOWN, url),
            *(*answers(license), source_url, merge(tuple(row[-2] for row in rows)), sum(row[-1] for row in rows)),
        )


def merged(changes: Sequence[str]) -> str:
    """Return the changes of a picture's samples as one text: common steps first, then those of some samples."""
    variants = [[step for step in text.split("; ") if step] for text in changes]
    steps = dict.fromkeys(step for variant in variants for step in variant)
    common = [step for step in steps if all(step in variant for variant in variants)]
    return "; ".join([*common, *(f"{step} (some of its samples)" for step in steps if step not in common)])


def write_table(path: Path, lines: Iterable[Line]) -> None:
    """Write the lines as CSV (RFC 4180, but with line feeds only; UTF-8) under a header, escaped by `csv_cell`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        # csv before Python 3.13 does not quote a bare carriage return, which ends the line for readers.
        quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for line in lines:
            row = [csv_cell(cell) if isinstance(cell, str) else cell for cell in line]
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

    def count(condition: str = "TRUE") -> str:
        ((pictures,),) = samples.rows(f"SELECT count(*) FROM pictures WHERE {condition}", (int,))
        return f"{pictures:,}"

    example = ""
    for title, author, license, url in samples.rows(_EXAMPLE, (str, str, str, str)):
        photo = markdown(f'"{title}"' if title else "Photo")
        example = f"{photo} by {markdown(author)} ({markdown_url(url)}), {_linked(license, demands(license))}"
    terms = terms_of(manifest.sources, follows_eg3d=False, options=manifest.options)
    values = {
        "name": manifest.name,
        "samples": f"{manifest.samples:,}",
        "pictures": count(),
        "licenses": table_rows(_license(*row) for row in samples.rows(_LICENSES, (str, int, int))),
        **{f"no_{column}": count(f"{column} = ''") for column in ("author", "license", "source_url")},
        "example": example,
        "terms": "\n".join(f"- {one.name}: {one.terms} {one.url}".rstrip() for one in terms),
    }
    return render(files(__package__).joinpath("attribution.md").read_text("utf-8"), values)


def _license(short: str, pictures: int, samples: int) -> Iterable[str]:
    asked = demands(short)
    name = f"{_linked(short, asked)} {asked.name}" if asked.url else markdown(short) or UNKNOWN
    asks = ", ".join(_ASKS[name] for name in asked.flags) or asked.also or "nothing"
    if not asked.known:
        asks = "not known: find out before showing or sharing it"
    return name, f"{pictures:,}", f"{samples:,}", asks


def _linked(short: str, asked: Demands) -> str:
    return f"[{short}]({asked.url})" if asked.url else markdown(short)
