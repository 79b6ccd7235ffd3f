"""The data sets: their names, crops, terms and colors in one table, and the published mixes of them.

Sources of the terms, read in 2026: the README and LICENSE.txt of NVlabs/ffhq-dataset; README.md and
dataset_download/readme.md of oneThousand1000/LPFF-dataset; LICENSE.txt of NVlabs/eg3d; https://unsplash.com/license, https://www.pexels.com/license/
and Unsplash's help pages; titles, authors and pages from openaccess.thecvf.com.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.plugins import UPDATE, added, load
from lpff_shards.schemas.text import markdown

_ALIGNED = ("eg3d", "stylegan")
_CROPPED = (*_ALIGNED, "realign2400", "raw")
DEMO_PICTURES = 24


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of use of a data set.

    Attributes:
        name: of the data set; url: of its publication.
        terms: in words, Markdown.
        citation: a BibTeX entry; empty without a paper to cite.
    """

    name: str
    url: str
    terms: str
    citation: str = ""


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """The properties of a data set, independent of its files.

    Attributes:
        name: its option (`--NAME`), the value of the field `dataset`, and the start of its samples' keys.
        title: its name in texts; help: of its option; terms: of use; alignments: of its crops.
        files: options for further files of it; not for data sets of other packages.
        host: of its photos: an id of a photo or author means the same in all data sets of one host.
        color: of its plots, #rrggbb; empty for a spare color.
        is_made_up: whether it has no real photos, so nothing is cited.
        is_square: whether all pictures are square.
        has_eg3d_cameras: whether its cameras are EG3D's in every alignment.
        has_splits: whether its metadata divide it into training and validation.
        counts_once: alignments in which the rule of LPFF's paper does not replicate its pictures.
        crops_from: alignments of its pictures that --crop crops by their landmarks.
    """

    name: str
    title: str
    help: str
    terms: Terms
    alignments: tuple[str, ...] = _ALIGNED
    files: tuple[str, ...] = ()
    host: str = ""
    color: str = ""
    is_made_up: bool = False
    is_square: bool = False
    has_eg3d_cameras: bool = False
    has_splits: bool = False
    counts_once: tuple[str, ...] = ()
    crops_from: tuple[str, ...] = ()


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

_SPECS = (
    SourceSpec(
        name="ffhq",
        title="FFHQ",
        help="FFHQ, aligned as --alignment says: a folder or a zip.",
        files=("ffhq_cameras", "ffhq_metadata"),
        host="flickr",
        color="#2f6bb3",
        is_square=True,
        has_eg3d_cameras=True,
        has_splits=True,
        counts_once=("stylegan",),
        crops_from=("raw",),
        terms=Terms(
            "FFHQ (Flickr-Faces-HQ, NVIDIA)",
            "https://github.com/NVlabs/ffhq-dataset",
            "The data set and its metadata are under [CC BY-NC-SA 4.0]"
            "(https://creativecommons.org/licenses/by-nc-sa/4.0/): for non-commercial purposes, citing the paper, "
            "indicating changes, derivatives under the same license. It is not intended for, and should not be used "
            "for, developing or improving facial recognition. Photos that their authors "
            "withdraw must be dropped. Each photo stays under its author's own license.",
            _STYLEGAN,
        ),
    ),
    SourceSpec(
        name="lpff",
        title="LPFF",
        help="LPFF: its folder, a flat folder of its crops, or a zip.",
        alignments=_CROPPED,
        crops_from=("raw", "realign2400"),
        host="flickr",
        color="#d9602b",
        terms=Terms(
            "LPFF (Large-Pose Flickr Faces)",
            "https://github.com/oneThousand1000/LPFF-dataset",
            "For non-commercial research purposes only. Photos that their authors withdraw must be dropped. Each photo "
            "stays under its author's own license.",
            _LPFF,
        ),
    ),
    SourceSpec(
        name="unsplash_pexels",
        title="Unsplash-Pexels",
        help="Unsplash-Pexels: the same.",
        alignments=_CROPPED,
        crops_from=("raw", "realign2400"),
        color="#1f9a6d",
        terms=Terms(
            "Unsplash-Pexels (published with LPFF)",
            "https://github.com/oneThousand1000/LPFF-dataset",
            "For non-commercial research purposes only. The photos are under the [Unsplash license]"
            "(https://unsplash.com/license) or the [Pexels license](https://www.pexels.com/license/). Both are free of "
            "charge and ask for no attribution; neither allows selling unaltered photos, nor redistributing them as a "
            "collection of stock photos. Unsplash restricts the use of its photos for machine learning: see "
            "https://unsplash.com/data.",
            _LPFF,
        ),
    ),
    SourceSpec(
        name="demo",
        title="the demo",
        help=f"N rendered portraits ({DEMO_PICTURES} without a number); nothing to download.",
        color="#7d55b8",
        is_made_up=True,
        terms=Terms(
            "The demo portraits of lpff-shards",
            "",
            "Rendered, no photographs: the persons, authors and licenses are made up.",
        ),
    ),
)
SPECS: Mapping[str, SourceSpec] = {spec.name: spec for spec in _SPECS}
"""The data sets of this package by name, in the order in which they are combined."""

PUBLISHED: Mapping[tuple[tuple[str, ...], str], str] = {
    (("ffhq",), "none"): "FFHQ",
    (("lpff",), "none"): "LPFF",
    (("ffhq", "lpff"), "none"): "FFHQ_LPFF",
    (("ffhq",), "eg3d"): "FFHQ_rebalanced",
    (("ffhq", "lpff"), "lpff"): "FFHQ_LPFF_rebalanced",
}
"""The mixes that LPFF's trainers accept: data sets and rule of rebalancing, to the trainers' name."""

EG3D = Terms(
    "EG3D (NVIDIA)",
    "https://github.com/NVlabs/eg3d",
    "The crops aligned as `eg3d` and FFHQ's cameras are made as EG3D's preprocessing makes them. Its code is under the "
    "NVIDIA Source Code License for EG3D, for non-commercial research and evaluation; that covers the code.",
    _EG3D,
)
"""Terms of the alignment and cameras of EG3D-aligned crops."""


GROUP = "lpff_shards.sources"
"""Group of the entry points of other packages' data sets: the name, and a class with a `spec` and `inventory()`."""
NAME_RULE = re.compile(r"[a-z][a-z0-9_]{0,39}")
ADDED: Mapping[str, str] = {
    name: home for name, home in sorted(added(GROUP).items()) if NAME_RULE.fullmatch(name) and name not in SPECS
}
"""The data sets of other packages: name to `module:class`, loaded when needed."""


@cache
def added_class(name: str) -> Any:
    """Return the class of another package's data set.

    Raises:
        ShardsError: it cannot be loaded, or has no `spec` of that name.
    """
    found = load(f"the data set {name}", ADDED[name])
    spec = getattr(found, "spec", None)
    if not isinstance(spec, SourceSpec) or spec.name != name:
        raise ShardsError(f"{ADDED[name]} has no spec named {name}", UPDATE)
    return found


def known_specs(names: Iterable[str]) -> tuple[SourceSpec, ...]:
    """Return the data sets of these names, without unknown names.

    Raises:
        ShardsError: another package adds one and cannot be loaded.
    """
    found = (added_class(name).spec if name in ADDED else SPECS.get(name) for name in names)
    return tuple(spec for spec in found if spec is not None)


def terms_of(names: Iterable[str], follows_eg3d: bool, options: Mapping[str, Any] | None = None) -> tuple[Terms, ...]:
    """Return the terms of a mix of data sets.

    Args:
        names: of the data sets of its pictures.
        follows_eg3d: whether crops or cameras are EG3D's; not cited for made-up pictures alone.
        options: as recorded, with the user's own data sets in `dataset` and their terms by name in `terms`.
    """
    specs, options = known_specs(names), options or {}
    own = [name for name in (text.partition("=")[0] for text in options.get("dataset", ())) if name in set(names)]
    texts = options.get("terms", {})
    cited = follows_eg3d and (own or any(not spec.is_made_up for spec in specs))
    return (
        *(spec.terms for spec in specs),
        *(Terms(name, "", markdown(texts.get(name) or _UNKNOWN_TERMS)) for name in own),
        *((EG3D,) if cited else ()),
    )


_UNKNOWN_TERMS = "The terms of use of the data set are not known; those of its pictures' licenses hold."
