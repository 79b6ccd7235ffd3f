"""Which lists of names a zip holds: of the published sets that its pictures give, and of the data set itself."""

from __future__ import annotations

from lpff_shards.options import ExportOptions
from lpff_shards.plan import NameList

SPELLED = {
    "ffhq": "FFHQ",
    "lpff": "LPFF",
    "ffhq_lpff": "FFHQ_LPFF",
    "ffhq_rebalanced": "FFHQ_rebalanced",
    "ffhq_lpff_rebalanced": "FFHQ_LPFF_rebalanced",
}
"""The published sets as their trainers spell them."""


def name_lists(options: ExportOptions) -> tuple[NameList, ...]:
    """The lists of each zip of an export; none for other formats.

    Where weights stand in place of copies, only the published sets without copies have a list.
    """
    if options.format != "zip":
        return ()
    given = options.sources.given
    plain = (("ffhq",), ("lpff",), ("ffhq", "lpff")) if options.has_whole_sets else ()
    lists = {
        SPELLED[name]: NameList(SPELLED[name], sources, False)
        for name, sources in (("_".join(sources), sources) for sources in plain)
        if set(sources) <= set(given)
    }
    if options.mix.as_ == "replicas":
        own = SPELLED["_".join([*given, *options.rebalanced])] if options.is_published else options.dataset_name
        lists[own] = NameList(own, given, True)
    return tuple(lists.values())
