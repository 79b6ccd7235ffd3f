"""Licenses by short name (SPDX's if there is one), from the URL or name in a source, and their requirements."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache


@dataclass(frozen=True, slots=True)
class License:
    """A photo's license.

    Attributes:
        short: short name such as `CC-BY-2.0`, or `CC-BY-2.1-JP` of a port to a country's law; empty if unknown.
        url: of the license's text, as in the source; empty if unknown.
        name: in words, as in the source.
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
    # A port to a country's law, then its deed or its text in some language.
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
"""Patterns of URLs, without scheme, `www.` and query."""
_NAMES = {
    "public domain dedication (cc0)": "CC0-1.0",
    "public domain mark": "PDM-1.0",
    "united states government work": "US-Gov-Works",
}


_SHORT = re.compile(r"(CC-(BY(?:-NC)?(?:-SA|-ND)?)-([0-9]\.[0-9]))(?:-([A-Z]{2,8}))?")
UNKNOWN_LICENSE = "unknown"
"""Name of an unknown license in counts and options."""

USUAL_NAMES = (
    *("CC-BY-2.0", "CC-BY-SA-2.0", "CC-BY-NC-2.0", "CC0-1.0", "PDM-1.0", "US-Gov-Works", "Unsplash", "Pexels"),
    UNKNOWN_LICENSE,
)
"""Licenses of the data sets' photos, as options name them."""
_RIGHTS = ("BY", "BY-SA", "BY-ND", "BY-NC", "BY-NC-SA", "BY-NC-ND")
_VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
SHORT_NAMES = (*USUAL_NAMES, *(f"CC-{rights}-{version}" for rights in _RIGHTS for version in _VERSIONS))
"""The usual licenses, and all of Creative Commons."""


@cache
def families(short: str) -> tuple[str, ...]:
    """Return the names that select a license: the port CC-BY-2.1-JP also matches CC-BY-2.1."""
    match = _SHORT.fullmatch(short)
    return (short, match[1]) if match else (short,)


def canonical(short: str) -> str | None:
    """Return a short name of any case in its usual spelling; None for a name of no source."""
    others = {name.upper(): name for name in (*_OTHERS, UNKNOWN_LICENSE)}
    upper = short.upper()
    return upper if _SHORT.fullmatch(upper) else others.get(upper)


@lru_cache(4096)  # There are few licenses.
def license(name: str, url: str) -> License:
    """Return the license of a record; `short` is never guessed, but empty unless it is certain.

    The URL decides. Without a URL, only licenses without versions are recognized by name: the name of a Creative
    Commons license does not contain its version.
    """
    if match := _CC.fullmatch(url.strip()):
        rights, version, place = (part.upper() for part in match.groups(default=""))
        # Some versions and ports do not exist. Version 1.0 named the two rights in the other order.
        if version not in _VERSIONS or (place and version == "4.0") or (rights == "BY-ND-NC" and version != "1.0"):
            return License("", url, name)
        return License("-".join(filter(None, ("CC", rights.replace("ND-NC", "NC-ND"), version, place))), url, name)
    for part, short in _PUBLIC:
        if re.fullmatch(rf"{_HOST}{part}{_END}", url.strip(), re.IGNORECASE | re.DOTALL):
            return License(short, url, name)
    return License(_NAMES.get(name.strip().lower(), "") if not url else "", url, name)


def parse_license(text: str, url: str = "") -> License:
    """Return the license of a short name such as CC-BY-4.0, of a URL, or as `license` does of a name in words."""
    short = canonical(text.strip().replace(" ", "-")) or ""
    if families(short)[-1] in SHORT_NAMES:
        return UNKNOWN if short == UNKNOWN_LICENSE else License(short, url or demands(short).url, text)
    return license("", text) if "://" in text and not url else license(text, url)


FLAGS: Mapping[str, str] = {
    "BY": "attribution",
    "SA": "share-alike",
    "NC": "non-commercial",
    "ND": "no derivatives",
}
"""What a Creative Commons license may demand: to name author, license and changes wherever a picture is shown; the same
license for derivatives; no commercial use; to share no changed copies."""


@dataclass(frozen=True, slots=True)
class Demands:
    """The requirements of a license.

    Attributes:
        name: of the license in words; url: of its text; both empty if unknown.
        known: whether the license is known; otherwise the other attributes mean nothing.
        flags: those of `FLAGS`, in that order.
        also: further requirements and restrictions, in words.
    """

    name: str = ""
    url: str = ""
    known: bool = True
    flags: tuple[str, ...] = ()
    also: str = ""


_STOCK = "not sold unaltered, not redistributed as stock photos"
_OTHERS: Mapping[str, Demands] = {
    "CC0-1.0": Demands("CC0 1.0 Universal", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "PDM-1.0": Demands("Public Domain Mark 1.0", "https://creativecommons.org/publicdomain/mark/1.0/"),
    "US-Gov-Works": Demands("U.S. Government Works", "https://www.usa.gov/government-works"),
    "Unsplash": Demands("Unsplash License", "https://unsplash.com/license", also=_STOCK),
    "Pexels": Demands("Pexels License", "https://www.pexels.com/license/", also=_STOCK),
}
_WORDS = {"BY": "Attribution", "NC": "NonCommercial", "SA": "ShareAlike", "ND": "NoDerivs"}


def demands(short: str) -> Demands:
    """Return the requirements of the license with this short name (`License.short`)."""
    match = _SHORT.fullmatch(short)
    if match is None:
        return _OTHERS.get(short, Demands(known=False))
    _, rights, version, place = match.groups(default="")
    parts = rights.split("-")
    words = "-".join(_WORDS[part] for part in parts)
    return Demands(
        name=f"Creative Commons {words} {version} {place}".rstrip(),
        url=f"https://creativecommons.org/licenses/{rights.lower()}/{version}/{place and place.lower() + '/'}",
        flags=tuple(flag for part, flag in FLAGS.items() if part in parts),
    )
