"""The lists of names that a zip holds for LPFF's forks: the data set itself, and published sets among its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.options.export import ExportOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.mix import Mix
from lpff_shards.planning.plan import NameList
from lpff_shards.planning.rebalance import Pool
from lpff_shards.schemas.archive import ANY_SET
from lpff_shards.schemas.sources import PUBLISHED

Times = NDArray[np.int16]


def name_lists(
    options: ExportOptions, mix: Mix, entries: Entries, num_replicas: NDArray[np.int64] | None
) -> tuple[NameList, ...]:
    """The lists of each zip of an export, the data set's own first; none for other formats.

    Args:
        entries: what the zip stores: all of the mix, or each picture once.
        num_replicas: replicas by index in EG3D's FFHQ, int64, or None.
    """
    if not options.traits.for_trainers:
        return ()
    own = mix.entries.counts() if len(entries) < len(mix.entries) else np.ones(len(entries), np.int16)
    lists = {own_name(options): own}
    if not options.is_published and options.mix.as_ == "replicas":
        lists[options.dataset_name] = own
    if options.has_whole_sets:
        for name, times in _published(options, mix, entries, num_replicas):
            lists.setdefault(name, times)
    return tuple(NameList(name, times) for name, times in lists.items())


def own_name(options: ExportOptions) -> str:
    """The name under which LPFF's forks find all samples of a zip: the published set's, or else `ANY_SET`."""
    given = options.sources.given
    if options.mix.as_ == "weights":
        return PUBLISHED.get((given, "none"), ANY_SET) if options.has_whole_sets else ANY_SET
    return PUBLISHED[given, options.mix.rebalance] if options.is_published else ANY_SET


def _published(
    options: ExportOptions, mix: Mix, entries: Entries, num_replicas: NDArray[np.int64] | None
) -> Iterator[tuple[str, Times]]:
    """The published sets whose pictures are all in the zip."""
    given = options.sources.given
    first = entries.replica == 0
    of = {name: _of_source(entries, name) & first for name in given}
    known = options.sources.alignment == "eg3d" or options.sources.ffhq_cameras is not None
    for (sources, rule), name in PUBLISHED.items():
        own = sum((of[source] for source in sources if source in of), np.zeros(len(first), np.int16))
        if rule == "none":
            if set(sources) <= set(given):
                yield name, own
        elif rule == "eg3d":
            if num_replicas is not None and options.serves_ffhq_rebalanced:
                pool = Pool(mix.pool.entries, mix.pool.written, num_replicas)
                yield name, _spread(first, pool.weigh("eg3d", options.mix)) * own
        elif given == sources and known:
            # Cameras that do not spread have no densities, and the published set is not among these pictures.
            with suppress(ShardsError):
                yield name, _spread(first, mix.pool.weigh("lpff", MixOptions()))


def _spread(first: NDArray[np.bool_], weights: NDArray[np.float64]) -> Times:
    """How often each entry is named, where weights are of the entries that are no copies."""
    times = np.zeros(len(first), np.int16)
    times[first] = weights
    return times


def _of_source(entries: Entries, name: str) -> Times:
    number = [inventory.source for inventory in entries.inventories].index(name)
    found: Times = (entries.source == number).astype(np.int16)
    return found
