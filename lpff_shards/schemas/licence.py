"""Licences by short name (SPDX where SPDX has one), told from the URL or the name that a source gives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Licence:
    """A photo's licence.

    Attributes:
        short: short name such as `CC-BY-2.0`, or `CC-BY-2.1-JP` of a port to the law of a place; empty where unknown.
        url: of the licence's text, as the source gives it; empty where unknown.
        name: in words, as the source gives it.
    """

    short: str = ""
    url: str = ""
    name: str = ""


UNKNOWN = Licence()
UNSPLASH = Licence("Unsplash", "https://unsplash.com/license", "Unsplash License")
PEXELS = Licence("Pexels", "https://www.pexels.com/license/", "Pexels License")

_HOST = r"(?:(?:https?:)?//)?(?:www\.)?"
_CC = re.compile(
    rf"{_HOST}creativecommons\.org/licenses/(by(?:-nc)?(?:-sa|-nd)?|by-nd-nc)/([0-9]\.[0-9])"
    # A port to the law of a place, then its deed or its text in some language.
    r"(?:/([a-z]{2}|igo|scotland))?(?:/(?:deed|legalcode|rdf)(?:\.[\w-]+)?)?/?(?:[?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
_PUBLIC = (
    ("creativecommons.org/publicdomain/zero/1.0", "CC0-1.0"),
    ("creativecommons.org/publicdomain/mark/1.0", "PDM-1.0"),
    ("usa.gov/copyright", "US-Gov-Works"),
    ("usa.gov/government-works", "US-Gov-Works"),
    ("unsplash.com/license", "Unsplash"),
    ("pexels.com/license", "Pexels"),
)
_NAMES = {
    "public domain dedication (cc0)": "CC0-1.0",
    "public domain mark": "PDM-1.0",
    "united states government work": "US-Gov-Works",
}


_SHORT = re.compile(r"(CC-BY(?:-NC)?(?:-SA|-ND)?-[0-9]\.[0-9])(?:-[A-Z]{2,8})?")
UNKNOWN_LICENCE = "unknown"
"""What an unknown licence is counted and asked for as."""

USUAL_NAMES = (
    *("CC-BY-2.0", "CC-BY-SA-2.0", "CC-BY-NC-2.0", "CC0-1.0", "PDM-1.0", "US-Gov-Works", "Unsplash", "Pexels"),
    UNKNOWN_LICENCE,
)
"""Licences that the data sets' photos have, as they are asked for."""
_RIGHTS = ("BY", "BY-SA", "BY-ND", "BY-NC", "BY-NC-SA", "BY-NC-ND")
_VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
SHORT_NAMES = (*USUAL_NAMES, *(f"CC-{rights}-{version}" for rights in _RIGHTS for version in _VERSIONS))
"""The usual ones, and all of Creative Commons."""


@cache
def families(short: str) -> tuple[str, ...]:
    """Return the names that a licence may be asked for by: a port, CC-BY-2.1-JP, is also one of CC-BY-2.1."""
    match = _SHORT.fullmatch(short)
    return (short, match[1]) if match else (short,)


def canonical(short: str) -> str | None:
    """A short name in its usual spelling, whatever its case, or None where it is none that a source gives."""
    others = {name.upper(): name for name in (*(name for _, name in _PUBLIC), UNKNOWN_LICENCE)}
    upper = short.upper()
    return upper if _SHORT.fullmatch(upper) else others.get(upper)


def licence(name: str, url: str) -> Licence:
    """The licence that a record names; `short` stays empty where it is not known for sure, never guessed.

    The URL decides. Without one a name settles only the licences that have no versions: a Creative Commons name does
    not tell its version.
    """
    match = _CC.fullmatch(url.strip())
    if match:
        # Version 1.0 named the two the other way round.
        rights = match[1].upper().replace("ND-NC", "NC-ND")
        return Licence("-".join(filter(None, ("CC", rights, match[2], (match[3] or "").upper()))), url, name)
    for part, short in _PUBLIC:
        if re.match(rf"{_HOST}{re.escape(part)}", url.strip(), re.IGNORECASE):
            return Licence(short, url, name)
    return Licence(_NAMES.get(name.strip().lower(), "") if not url else "", url, name)
