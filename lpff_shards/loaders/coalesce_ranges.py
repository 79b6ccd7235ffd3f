"""Neighbours among the samples that are asked for: one request brings them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from lpff_shards.loaders.shards import Span

BLOCK = 4 << 20
"""Bytes of a request for several samples at most: larger ones would come no faster than two at once."""


class Request(NamedTuple):
    """A stretch of a shard, and which of the asked-for samples lie in it."""

    span: Span
    rows: tuple[int, ...]


def in_order(spans: Iterable[Span], most: int = BLOCK) -> Iterator[tuple[Span, int]]:
    """Stretches that hold spans which follow one another, and of how many of these each is made."""
    coming = iter(spans)
    block, count = next(coming, None), 1
    for span in coming:
        wider = _wider(block, span, most) if block else None
        if block and not wider:
            yield block, count
            count = 0
        block, count = wider or span, count + 1
    if block:
        yield block, count


def requests(spans: Sequence[Span], most: int = BLOCK) -> list[Request]:
    """Requests that bring spans, in whatever order these are; what is needed first is asked for first."""
    order = sorted(range(len(spans)), key=spans.__getitem__)
    rows = iter(order)
    found = [
        Request(block, tuple(islice(rows, count))) for block, count in in_order((spans[row] for row in order), most)
    ]
    return sorted(found, key=lambda request: min(request.rows))


def _wider(block: Span, span: Span, most: int) -> Span | None:
    """A stretch and one that begins in it or at its end, together; None where they lie apart or are too long so."""
    end = max(block.end, span.end)
    joined = block.shard == span.shard and block.start <= span.start <= block.end
    fits = end == block.end or end - block.start <= most
    return Span(block.shard, block.start, end) if joined and fits else None
