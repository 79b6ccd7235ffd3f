"""Licenses by short name (SPDX where SPDX has one), told from the URL or the name that a source gives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class License:
    """A photo's license.

    Attributes:
        short: short name such as `CC-BY-2.0`, or `CC-BY-2.1-JP` of a port to the law of a place; empty where unknown.
        url: of the license's text, as the source gives it; empty where unknown.
        name: in words, as the source gives it.
    """

    short: str = ""
    url: str = ""
    name: str = ""


UNKNOWN = License()
UNSPLASH = License("Unsplash", "https://unsplash.com/license", "Unsplash License")
PEXELS = License("Pexels", "https://www.pexels.com/license/", "Pexels License")

_HOST = r"(?:(?:https?:)?//)?(?:www\.)?"
_END = r"/?(?:[?#].*)?"
_CC = re.compile(
    rf"{_HOST}creativecommons\.org/licenses/(by(?:-nc)?(?:-sa|-nd)?|by-nd-nc)/([0-9]\.[0-9])"
    # A port to the law of a place, then its deed or its text in some language.
    rf"(?:/([a-z]{{2}}|igo|scotland))?(?:/(?:deed|legalcode|rdf)(?:\.[\w-]+)?)?{_END}",
    re.IGNORECASE | re.DOTALL,
)
_DEED = r"(?:/(?:deed|legalcode|rdf)(?:\.[\w-]+)?)?"
_PUBLIC = (
    (rf"creativecommons\.org/publicdomain/zero/1\.0{_DEED}", "CC0-1.0"),
    (rf"creativecommons\.org/publicdomain/mark/1\.0{_DEED}", "PDM-1.0"),
    (r"usa\.gov/copyright(?:\.shtml)?", "US-Gov-Works"),
    (r"usa\.gov/government-works", "US-Gov-Works"),
    (r"unsplash\.com/license", "Unsplash"),
    (r"pexels\.com/license", "Pexels"),
)
"""Patterns of addresses, less scheme, `www.` and query."""
_NAMES = {
    "public domain dedication (cc0)": "CC0-1.0",
    "public domain mark": "PDM-1.0",
    "united states government work": "US-Gov-Works",
}


_SHORT = re.compile(r"(CC-BY(?:-NC)?(?:-SA|-ND)?-[0-9]\.[0-9])(?:-[A-Z]{2,8})?")
UNKNOWN_LICENSE = "unknown"
"""What an unknown license is counted and asked for as."""

USUAL_NAMES = (
    *("CC-BY-2.0", "CC-BY-SA-2.0", "CC-BY-NC-2.0", "CC0-1.0", "PDM-1.0", "US-Gov-Works", "Unsplash", "Pexels"),
    UNKNOWN_LICENSE,
)
"""Licenses that the data sets' photos have, as they are asked for."""
_RIGHTS = ("BY", "BY-SA", "BY-ND", "BY-NC", "BY-NC-SA", "BY-NC-ND")
_VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
SHORT_NAMES = (*USUAL_NAMES, *(f"CC-{rights}-{version}" for rights in _RIGHTS for version in _VERSIONS))
"""The usual ones, and all of Creative Commons."""


def _creative_commons(rights: str, version: str, place: str) -> str:
    """The short name of a license of Creative Commons; empty where there is none of that version or place."""
    if version not in _VERSIONS or (place and version == "4.0") or (rights == "BY-ND-NC" and version != "1.0"):
        return ""
    # Version 1.0 named the two the other way round.
    return "-".join(filter(None, ("CC", rights.replace("ND-NC", "NC-ND"), version, place)))


@cache
def families(short: str) -> tuple[str, ...]:
    """Return the names that a license may be asked for by: a port, CC-BY-2.1-JP, is also one of CC-BY-2.1."""
    match = _SHORT.fullmatch(short)
    return (short, match[1]) if match else (short,)


def canonical(short: str) -> str | None:
    """A short name in its usual spelling, whatever its case, or None where it is none that a source gives."""
    others = {name.upper(): name for name in (*(name for _, name in _PUBLIC), UNKNOWN_LICENSE)}
    upper = short.upper()
    return upper if _SHORT.fullmatch(upper) else others.get(upper)


def license(name: str, url: str) -> License:
    """The license that a record names; `short` stays empty where it is not known for sure, never guessed.

    The URL decides. Without one a name settles only the licenses that have no versions: a Creative Commons name does
    not tell its version.
    """
    match = _CC.fullmatch(url.strip())
    if match:
        return License(_creative_commons(match[1].upper(), match[2], (match[3] or "").upper()), url, name)
    for part, short in _PUBLIC:
        if re.fullmatch(rf"{_HOST}{part}{_END}", url.strip(), re.IGNORECASE | re.DOTALL):
            return License(short, url, name)
    return License(_NAMES.get(name.strip().lower(), "") if not url else "", url, name)
