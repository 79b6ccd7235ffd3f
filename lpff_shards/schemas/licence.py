"""Licences by short name (SPDX where SPDX has one), told from the URL or the name that a source gives."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Licence:
    """A photo's licence.

    Attributes:
        short: short name such as `CC-BY-2.0`; empty where the licence is unknown.
        url: of the licence's text, as the source gives it; empty where unknown.
        name: in words, as the source gives it.
    """

    short: str = ""
    url: str = ""
    name: str = ""


UNKNOWN = Licence()
UNSPLASH = Licence("Unsplash", "https://unsplash.com/license", "Unsplash License")
PEXELS = Licence("Pexels", "https://www.pexels.com/license/", "Pexels License")

_CC = re.compile(r"https?://(?:www\.)?creativecommons\.org/licenses/(by(?:-nc)?(?:-sa|-nd)?)/(\d\.\d)", re.IGNORECASE)
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


_SHORT = re.compile(r"CC-BY(-NC)?(-SA|-ND)?-[0-9]\.[0-9]")
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
    match = _CC.match(url)
    if match:
        return Licence(f"CC-{match[1].upper()}-{match[2]}", url, name)
    for part, short in _PUBLIC:
        if re.match(rf"https?://(?:www\.)?{re.escape(part)}", url, re.IGNORECASE):
            return Licence(short, url, name)
    return Licence(_NAMES.get(name.strip().lower(), "") if not url else "", url, name)
