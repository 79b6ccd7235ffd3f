"""Under which terms data sets are published and how they are cited, and what the license of a photo asks for: pure.

Sources, read in 2026: the README and LICENSE.txt of NVlabs/ffhq-dataset; README.md and dataset_download/readme.md of
oneThousand1000/LPFF-dataset; LICENSE.txt of NVlabs/eg3d; https://unsplash.com/license, https://www.pexels.com/license/
and Unsplash's help pages; titles, authors and pages from openaccess.thecvf.com.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """What a data set asks of those who use it.

    Attributes:
        name: as the data set calls itself.
        url: where it is published.
        terms: in words, Markdown.
        citation: a BibTeX entry; empty where there is no paper to cite.
    """

    name: str
    url: str
    terms: str
    citation: str = ""


_STYLEGAN = """@inproceedings{Karras_2019_CVPR,
  author    = {Karras, Tero and Laine, Samuli and Aila, Timo},
  title     = {A Style-Based Generator Architecture for Generative Adversarial Networks},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  month     = {June},
  year      = {2019},
  pages     = {4401-4410}
}"""
_EG3D = """@inproceedings{Chan_2022_CVPR,
  author    = {Chan, Eric R. and Lin, Connor Z. and Chan, Matthew A. and Nagano, Koki and Pan, Boxiao and
               De Mello, Shalini and Gallo, Orazio and Guibas, Leonidas J. and Tremblay, Jonathan and
               Khamis, Sameh and Karras, Tero and Wetzstein, Gordon},
  title     = {Efficient Geometry-Aware {3D} Generative Adversarial Networks},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  month     = {June},
  year      = {2022},
  pages     = {16123-16133}
}"""
_LPFF = """@inproceedings{Wu_2023_ICCV,
  author    = {Wu, Yiqian and Zhang, Jing and Fu, Hongbo and Jin, Xiaogang},
  title     = {{LPFF}: A Portrait Dataset for Face Generators Across Large Poses},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision (ICCV)},
  month     = {October},
  year      = {2023},
  pages     = {20327-20337}
}"""

TERMS: Mapping[str, Terms] = {
    "ffhq": Terms(
        "FFHQ (Flickr-Faces-HQ, NVIDIA)",
        "https://github.com/NVlabs/ffhq-dataset",
        "The data set and its metadata are under [CC BY-NC-SA 4.0](https://creativecommons.org/licenses/by-nc-sa/4.0/):"
        " for non-commercial purposes, citing the paper, indicating changes, derivatives under the same license. "
        "It is not intended for, and should not be used for, developing or improving facial recognition. Photos that "
        "their authors withdraw must be dropped. Each photo stays under its author's own license.",
        _STYLEGAN,
    ),
    "lpff": Terms(
        "LPFF (Large-Pose Flickr Faces)",
        "https://github.com/oneThousand1000/LPFF-dataset",
        "For non-commercial research purposes only. Photos that their authors withdraw must be dropped. Each photo "
        "stays under its author's own license.",
        _LPFF,
    ),
    "unsplash_pexels": Terms(
        "Unsplash-Pexels (published with LPFF)",
        "https://github.com/oneThousand1000/LPFF-dataset",
        "For non-commercial research purposes only. The photos are under the [Unsplash license]"
        "(https://unsplash.com/license) or the [Pexels license](https://www.pexels.com/license/). Both are free of "
        "charge and ask for no attribution; neither allows selling unaltered photos, nor redistributing them as a "
        "collection of stock photos. Unsplash restricts the use of its photos for machine learning: see "
        "https://unsplash.com/data.",
        _LPFF,
    ),
    "demo": Terms(
        "The demo portraits of lpff-shards",
        "",
        "Rendered, no photographs: the persons, authors and licenses are made up.",
    ),
}
"""Terms of each source, by the name that the field `dataset` holds."""

EG3D = Terms(
    "EG3D (NVIDIA)",
    "https://github.com/NVlabs/eg3d",
    "The crops aligned as `eg3d` and FFHQ's cameras are made as EG3D's preprocessing makes them. Its code is under the "
    "NVIDIA Source Code License for EG3D, for non-commercial research and evaluation; that covers the code.",
    _EG3D,
)
"""Whose alignment and cameras the EG3D-aligned crops have."""


def terms_of(sources: Iterable[str], follows_eg3d: bool) -> tuple[Terms, ...]:
    """The terms that a data set comes under.

    Args:
        sources: names of the data sets that its pictures are from; `TERMS` knows them all.
        follows_eg3d: whether crops or cameras are EG3D's. The demo's are made up, so alone it cites nobody.
    """
    names = [name for name in sources if name in TERMS]
    return (*(TERMS[name] for name in names), *((EG3D,) if follows_eg3d and set(names) - {"demo"} else ()))


def citations(terms: Iterable[Terms]) -> tuple[str, ...]:
    """The BibTeX entries to cite, each once."""
    return tuple(dict.fromkeys(entry.citation for entry in terms if entry.citation))


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
