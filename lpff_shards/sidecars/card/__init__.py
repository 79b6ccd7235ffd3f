"""The data-set card, README.md: contents, how it was made, how to load it, and licenses."""

from __future__ import annotations

from collections.abc import Set
from importlib.resources import files

from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.sidecars.card.values import values_of
from lpff_shards.sidecars.template import render


def card(manifest: Manifest, suffixes: Set[str]) -> str:
    """Return the card as Markdown, with the YAML header that the Hugging Face hub and `datasets` read.

    Args:
        suffixes: suffixes of the pictures in the shards: png, jpg, webp or image.npy.
    """
    values = values_of(manifest, suffixes)
    loading = render(get_format(manifest.format).loading(), values).rstrip()
    template = files(__name__).joinpath("card.md").read_text("utf-8")
    return render(template, {**values, "loading": loading})


def pose_picture() -> bytes:
    """Return the picture of the pose conventions, next to every card; `docs/draw_poses.py` draws it."""
    return files(__name__).joinpath("poses.png").read_bytes()
