"""From options to sources, in the order in which they are combined: FFHQ, LPFF, Unsplash-Pexels, demo."""

from __future__ import annotations

from lpff_shards.options import SourceOptions
from lpff_shards.sources.demo import Demo
from lpff_shards.sources.ffhq_eg3d import FfhqEg3d
from lpff_shards.sources.ffhq_stylegan import FfhqStylegan
from lpff_shards.sources.inventory import Source
from lpff_shards.sources.lpff import Lpff
from lpff_shards.sources.unsplash_pexels import UnsplashPexels


def sources(options: SourceOptions) -> list[Source]:
    """The sources that were given."""
    found: list[Source] = []
    if options.ffhq is not None:
        layout = FfhqEg3d if options.alignment == "eg3d" else FfhqStylegan
        found.append(layout(options.ffhq, options.ffhq_cameras, options.ffhq_metadata))
    if options.lpff is not None:
        found.append(Lpff(options.lpff, options.alignment))
    if options.unsplash_pexels is not None:
        found.append(UnsplashPexels(options.unsplash_pexels, options.alignment))
    if options.demo is not None:
        found.append(Demo(options.demo, options.alignment))
    return found
