"""The data-set card, README.md beside the shards: what is inside, how it was made and is loaded, and whose it is."""

from __future__ import annotations

from collections.abc import Set
from importlib.resources import files

from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest
from lpff_shards.sidecars.card.values import values_of
from lpff_shards.sidecars.template import render


def card(manifest: Manifest, suffixes: Set[str]) -> str:
    """The card as Markdown, with the YAML head that the Hugging Face hub and its `datasets` read.

    Args:
        suffixes: of the pictures, as the shards hold them: png, jpg, webp or image.npy.
    """
    values = values_of(manifest, suffixes)
    loading = render(get_format(manifest.format).loading(), values).rstrip()
    template = files(__name__).joinpath("card.md").read_text("utf-8")
    return render(template, {**values, "loading": loading})


def pose_picture() -> bytes:
    """The picture of the pose conventions that lies beside every card; `docs/draw_poses.py` draws it."""
    return files(__name__).joinpath("poses.png").read_bytes()
