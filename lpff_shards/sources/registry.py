"""From options to sources, in the order in which they are combined: FFHQ, LPFF, Unsplash-Pexels, demo."""

from __future__ import annotations

from lpff_shards.options.export import SourceOptions
from lpff_shards.sources.inventory import Source


def sources(options: SourceOptions) -> list[Source]:
    """The sources that were given; only their own code is loaded."""
    found: list[Source] = []
    if options.ffhq is not None:
        found.append(_ffhq(options, options.ffhq))
    if options.lpff is not None:
        from lpff_shards.sources.lpff import Lpff

        found.append(Lpff(options.lpff, options.alignment))
    if options.unsplash_pexels is not None:
        from lpff_shards.sources.unsplash_pexels import UnsplashPexels

        found.append(UnsplashPexels(options.unsplash_pexels, options.alignment))
    if options.demo is not None:
        from lpff_shards.sources.demo import Demo

        found.append(Demo(options.demo, options.alignment))
    return found


def _ffhq(options: SourceOptions, path: str) -> Source:
    if options.alignment == "eg3d":
        from lpff_shards.sources.ffhq_eg3d import FfhqEg3d

        return FfhqEg3d(path, options.ffhq_cameras, options.ffhq_metadata)
    from lpff_shards.sources.ffhq_stylegan import FfhqStylegan

    return FfhqStylegan(path, options.ffhq_cameras, options.ffhq_metadata)
