"""ATTRIBUTION.md: the same for people, summed up by licence, with what each asks for."""

from __future__ import annotations

from collections.abc import Iterator

from lpff_shards.manifest import Manifest
from lpff_shards.schemas.demands import Demands, demands
from lpff_shards.schemas.escaping import markdown, markdown_url
from lpff_shards.schemas.filenames import ATTRIBUTION
from lpff_shards.schemas.terms import TERMS
from lpff_shards.sidecars.attribution.lines import UNKNOWN
from lpff_shards.sidecars.sample_index.read import Ledger

_LICENCES = """
SELECT license, count(*), sum(n) FROM pictures
JOIN (SELECT picture, count(*) AS n FROM samples GROUP BY picture) USING (picture)
GROUP BY license ORDER BY count(*) DESC, license
"""
_EXAMPLE = """
SELECT title, author, license, source_url FROM pictures
WHERE license LIKE 'CC-BY%' AND author <> '' ORDER BY dataset, source_id LIMIT 1
"""


def summary(manifest: Manifest, ledger: Ledger) -> str:
    """The summary as Markdown: licences with numbers of pictures and what they ask for, what is not known, terms."""
    ((pictures,),) = ledger.rows("SELECT count(*) FROM pictures", (int,))
    parts = [
        f"# Whose photos these are: {manifest.name}\n",
        f"{manifest.samples:,} samples show {pictures:,} pictures. `{ATTRIBUTION[0]}` has a line for each: its author, "
        "title and licence, where the photo is at its host, and what was done to it. A sample's picture is found there "
        "by `dataset` and `source_id`, or by the sample's key less the marks of mirrors and copies (`_m`, `_r01`).\n",
        _licences(ledger),
        _unknown(ledger, pictures),
        _asked(ledger),
        _terms(manifest),
    ]
    return "\n".join(part for part in parts if part)


def _licences(ledger: Ledger) -> str:
    rows = ledger.rows(_LICENCES, (str, int, int))
    told = (f"| {_named(name)} | {pictures:,} | {of:,} | {_wants(name)} |\n" for name, pictures, of in rows)
    return "## Licences\n\n| licence | pictures | samples | asks for |\n|---|---:|---:|---|\n" + "".join(told)


def _named(short: str) -> str:
    asked = demands(short)
    return f"{_linked(short, asked)} {asked.name}" if asked.url else markdown(short) or UNKNOWN


def _linked(short: str, asked: Demands) -> str:
    return f"[{short}]({asked.url})" if asked.url else markdown(short)


def _wants(short: str) -> str:
    return ", ".join(_words(demands(short)))


def _words(asked: Demands) -> Iterator[str]:
    if not asked.known:
        yield "not known: find out before showing or sharing it"
        return
    flags = (
        (asked.attribution, "author, licence and changes named"),
        (asked.share_alike, "**share-alike**"),
        (asked.non_commercial, "**non-commercial use only**"),
        (asked.no_derivatives, "**no changed copies shared**"),
    )
    yield from [words for flag, words in flags if flag] or [asked.also or "nothing"]


def _unknown(ledger: Ledger, pictures: int) -> str:
    """What no source tells, counted; nothing is guessed."""
    told = []
    for column, what in (("author", "author"), ("license", "licence"), ("source_url", "place at a host")):
        ((count,),) = ledger.rows(f"SELECT count(*) FROM pictures WHERE {column} = ''", (int,))
        told.append(f"| {what} | {count:,} of {pictures:,} |\n")
    return "## Not known\n\n| | pictures without |\n|---|---:|\n" + "".join(told)


def _asked(ledger: Ledger) -> str:
    """How to credit a picture, with one of the export's own."""
    example = next(ledger.rows(_EXAMPLE, (str, str, str, str)), None)
    if example is None:
        return ""
    title, author, licence, url = example
    asked = demands(licence)
    shown = f'"{title}"' if title else "Photo"
    return (
        "## Where you show or share pictures\n\nName the author, the licence and the changes, as in\n\n"
        f"> {markdown(shown)} by {markdown(author)} ({markdown_url(url)}), {_linked(licence, asked)}, "
        "aligned and cropped\n\n"
        "Share-alike licences bind changed copies to the same licence; non-commercial ones exclude commercial use. "
        "Photos whose authors withdraw them must be dropped: `lpff-shards trace` finds them, `lpff-shards export "
        "--update` takes them out.\n"
    )


def _terms(manifest: Manifest) -> str:
    known = [TERMS[name] for name in manifest.sources if name in TERMS]
    lines = "".join(f"- {terms.name}: {terms.terms} {terms.url}".rstrip() + "\n" for terms in known)
    return f"## Terms of the data sets\n\nThe licences above are the photos'; the data sets have terms too.\n\n{lines}"
