"""A line a picture: whose it is, under which licence, and what was done to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby

from msgspec import Struct

from lpff_shards.schemas.demands import demands
from lpff_shards.schemas.keys import sample_key
from lpff_shards.sidecars.sample_index.read import Ledger

UNKNOWN = "unknown"
_SOME = " (some of its samples)"

_PICTURES = """
SELECT picture, dataset, source_id, photo_id, face, title, author, author_id, license, license_url, source_url, changes,
    count(*) AS samples
FROM samples JOIN pictures USING (picture) JOIN stored USING (stored)
GROUP BY picture, changes ORDER BY dataset, source_id, picture, mirrored, changes
"""


_TYPES = (int, str, str, str, int, *(str,) * 7, int)


class Line(Struct, frozen=True):
    """A picture's line; its mirrors and copies share it.

    Attributes:
        key: of its samples, which the marks of mirrors and copies (`_m`, `_r01`) may follow.
        dataset, source_id, photo_id, face: which picture of which data set.
        title, author, author_id: of the photo, as its host has them; author is `unknown` where no source tells it.
        license, license_url: of the photo; `unknown` where no source tells it for sure.
        attribution, share_alike, non_commercial, no_derivatives: `yes` or `no` as the licence asks, `unknown`.
        source_url: the photo at its host.
        changes: what was done to it.
        samples: how many show it.
    """

    key: str
    dataset: str
    source_id: str
    photo_id: str
    face: int
    title: str
    author: str
    author_id: str
    license: str
    license_url: str
    attribution: str
    share_alike: str
    non_commercial: str
    no_derivatives: str
    source_url: str
    changes: str
    samples: int


def lines(ledger: Ledger) -> Iterator[Line]:
    """The lines of an export, by data set and source id: every sample's picture has exactly one."""
    # A data set has few licences and few ways of changing pictures: each is looked at once.
    asks, merge = cache(demands), cache(merged)
    for _, group in groupby(ledger.rows(_PICTURES, _TYPES), key=lambda row: row[0]):
        rows = list(group)
        _, dataset, source_id, photo_id, face, title, author, author_id, licence, url, source_url, *_ = rows[0]
        asked = asks(licence)

        def told(flag: bool, known: bool = asked.known) -> str:
            return ("yes" if flag else "no") if known else UNKNOWN

        yield Line(
            key=sample_key(dataset, source_id, mirrored=False, replica=0),
            dataset=dataset,
            source_id=source_id,
            photo_id=photo_id,
            face=face,
            title=title,
            author=author or UNKNOWN,
            author_id=author_id,
            license=licence or UNKNOWN,
            license_url=url,
            attribution=told(asked.attribution),
            share_alike=told(asked.share_alike),
            non_commercial=told(asked.non_commercial),
            no_derivatives=told(asked.no_derivatives),
            source_url=source_url,
            changes=merge(tuple(row[-2] for row in rows)),
            samples=sum(row[-1] for row in rows),
        )


def merged(changes: Sequence[str]) -> str:
    """The changes of a picture's samples as one text: the steps of all of them, then those of some."""
    variants = [[step for step in text.split("; ") if step] for text in changes]
    steps = dict.fromkeys(step for variant in variants for step in variant)
    common = [step for step in steps if all(step in variant for variant in variants)]
    return "; ".join([*common, *(f"{step}{_SOME}" for step in steps if step not in common)])
