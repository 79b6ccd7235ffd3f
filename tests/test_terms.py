"""Terms, citations and what licenses ask for: one entry a source, entries that BibTeX reads, nothing guessed."""

from __future__ import annotations

import re

import pytest

from lpff_shards.schemas.license import Demands, canonical, demands, license
from lpff_shards.schemas.sources import EG3D, SPECS, terms_of

TERMS = {name: spec.terms for name, spec in SPECS.items()}
ENTRIES = {terms.citation for terms in (*TERMS.values(), EG3D) if terms.citation}


def test_every_source_has_terms() -> None:
    assert all(terms.name and terms.terms for terms in TERMS.values())
    assert all(terms.url.startswith("https://") for name, terms in TERMS.items() if name != "demo")


@pytest.mark.parametrize("entry", ENTRIES)
def test_entries_are_bibtex(entry: str) -> None:
    assert re.match(r"@inproceedings\{\w+,\n", entry)
    assert entry.count("{") == entry.count("}")
    fields = dict(re.findall(r"^  (\w+) += \{(.*?)\}[,\n]", entry, re.DOTALL | re.MULTILINE))
    assert {"author", "title", "booktitle", "year", "pages"} <= set(fields)
    assert re.fullmatch(r"\d+-\d+", fields["pages"])
    assert all(", " in author for author in re.split(r"\s+and\s+", fields["author"]))


def test_what_is_cited_depends_on_what_is_inside() -> None:
    assert terms_of(["demo"], follows_eg3d=True) == (TERMS["demo"],)
    assert terms_of(["lpff"], follows_eg3d=False) == (TERMS["lpff"],)
    assert terms_of(["ffhq", "lpff"], follows_eg3d=True) == (TERMS["ffhq"], TERMS["lpff"], EG3D)
    # LPFF and Unsplash-Pexels are of the same paper.
    assert TERMS["lpff"].citation == TERMS["unsplash_pexels"].citation


def test_demands_follow_the_short_name() -> None:
    nc_sa = demands("CC-BY-NC-SA-2.0")
    assert nc_sa.flags == ("attribution", "share-alike", "non-commercial")
    assert nc_sa.name == "Creative Commons Attribution-NonCommercial-ShareAlike 2.0"
    assert demands("CC-BY-2.0").flags == ("attribution",)
    assert "no derivatives" in demands("CC-BY-ND-2.0").flags
    also = "not sold unaltered, not redistributed as stock photos"
    assert demands("Unsplash") == Demands("Unsplash License", "https://unsplash.com/license", also=also)
    for short in ("", "unknown", "CC-BY", "CC-BY-2.0-de", "Attribution License"):
        assert demands(short) == Demands(known=False)
    japanese = demands("CC-BY-SA-2.1-JP")
    assert japanese.name == "Creative Commons Attribution-ShareAlike 2.1 JP" and "share-alike" in japanese.flags
    assert japanese.url == "https://creativecommons.org/licenses/by-sa/2.1/jp/"


@pytest.mark.parametrize(
    "short",
    [
        "CC-BY-2.0",
        "CC-BY-NC-2.0",
        "CC-BY-SA-2.0",
        "CC0-1.0",
        "PDM-1.0",
        "US-Gov-Works",
        "Unsplash",
        "Pexels",
        "CC-BY-2.1-JP",
    ],
)
def test_urls_are_those_by_which_licenses_are_told(short: str) -> None:
    assert canonical(short) == short
    assert license("", demands(short).url).short == short
