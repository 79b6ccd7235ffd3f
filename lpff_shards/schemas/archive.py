"""Names inside the trainers' zip, as EG3D's and StyleGAN's tools give them, and ours."""

from __future__ import annotations

LABELS = "dataset.json"
"""The cameras, by picture."""
SAMPLES = "samples.jsonl"
"""The fields, a line a picture."""


def picture_stem(index: int) -> str:
    """The name of a picture by its number in the zip, less its suffix."""
    return f"{index // 1000:05d}/img{index:08d}"


def picture_name(index: int, suffix: str) -> str:
    """The name of a picture by its number in the zip."""
    return f"{picture_stem(index)}.{suffix}"
