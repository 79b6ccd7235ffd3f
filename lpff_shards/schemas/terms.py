"""What a photo's license asks for, from its short name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_CC = re.compile(r"CC-(BY(?:-NC)?(?:-SA|-ND)?)-([0-9]\.[0-9])(?:-([A-Z]{2,8}))?")


@dataclass(frozen=True, slots=True)
class Demands:
    """What a license asks for.

    Attributes:
        name: of the license in words; empty where it is unknown.
        url: of its text; empty where it is unknown.
        known: whether the license is known; where it is not, the rest says nothing.
        attribution: the author's name, the license and a note of the changes wherever a picture is shown.
        share_alike: derivatives come under the same license.
        non_commercial: no commercial use.
        no_derivatives: no changed copies may be shared.
        also: what else it asks for or forbids, in words.
    """

    name: str = ""
    url: str = ""
    known: bool = True
    attribution: bool = False
    share_alike: bool = False
    non_commercial: bool = False
    no_derivatives: bool = False
    also: str = ""

    @property
    def flags(self) -> tuple[str, ...]:
        """What it asks for and forbids, a word or two each."""
        named = {
            "attribution": self.attribution,
            "share-alike": self.share_alike,
            "non-commercial": self.non_commercial,
            "no derivatives": self.no_derivatives,
        }
        return tuple(name for name, holds in named.items() if holds)


UNKNOWN = Demands(known=False)
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
    """What the license with this short name (`License.short`) asks for; `UNKNOWN` for any other name."""
    match = _CC.fullmatch(short)
    if match is None:
        return _OTHERS.get(short, UNKNOWN)
    parts = match[1].split("-")
    words = "-".join(_WORDS[part] for part in parts)
    place = match[3] or ""
    return Demands(
        name=f"Creative Commons {words} {match[2]} {place}".rstrip(),
        url=f"https://creativecommons.org/licenses/{match[1].lower()}/{match[2]}/{place and place.lower() + '/'}",
        attribution=True,
        share_alike="SA" in parts,
        non_commercial="NC" in parts,
        no_derivatives="ND" in parts,
    )
