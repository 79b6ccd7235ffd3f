"""The data-set card, README.md beside the shards: what is inside, how it was made and is loaded, and whose it is."""

from __future__ import annotations

from collections.abc import Set
from importlib.resources import files

from lpff_shards.manifest import Manifest
from lpff_shards.sidecars.card.command import making
from lpff_shards.sidecars.card.contents import citation, contents, fields, left_out, licenses, poses, terms
from lpff_shards.sidecars.card.examples import loading
from lpff_shards.sidecars.card.front_matter import head


def card(manifest: Manifest, suffixes: Set[str]) -> str:
    """The card as Markdown, with the YAML head that the Hugging Face hub and its `datasets` read.

    Args:
        suffixes: of the pictures, as the shards hold them: png, jpg, webp or image.npy.
    """
    parts = (
        head(manifest),
        contents(manifest, suffixes),
        making(manifest),
        loading(manifest, suffixes),
        fields(manifest, suffixes),
        poses(manifest),
        left_out(manifest),
        licenses(manifest),
        terms(manifest),
        citation(manifest),
    )
    return "\n".join(part for part in parts if part)


def pose_picture() -> bytes:
    """The picture of the pose conventions that lies beside every card; `docs/draw_poses.py` draws it."""
    return files(__name__).joinpath("poses.png").read_bytes()
