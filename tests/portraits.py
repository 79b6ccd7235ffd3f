"""The demo's portraits, rendered once a process and not once a test: each takes 30 ms, and most tests want them."""

from __future__ import annotations

from functools import lru_cache

from lpff_shards.sources.demo import Demo, RenderedBlob

FIRST = 40


def keep() -> None:
    """Keeps portraits that are rendered from now on, and renders the first, which forked processes find there."""
    RenderedBlob.read = lru_cache(maxsize=2048)(RenderedBlob.read)
    for blob in Demo(FIRST, "eg3d").inventory().blobs:
        blob.read()
