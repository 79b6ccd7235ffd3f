"""What --crop, --from and --crop-quality take."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from lpff_shards.errors import ShardsError
from lpff_shards.options.declaration import recordable_path
from lpff_shards.schemas.text import did_you_mean

CropFrom = Literal["raw", "realign2400"]
CropQuality = Literal["exact", "fast"]
CROPS = ("eg3d", "stylegan", "realign2400")
"""Alignments of the published crops; another one is described by a TOML file."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def crop_name(crop: str) -> str:
    """Return the alignment that a value of --crop gives to samples: the value, or the name of a TOML file.

    Raises:
        ShardsError: it is another word, or the file's name cannot be that of an alignment.
    """
    if crop in CROPS:
        return crop
    if not crop.endswith(".toml"):
        hint = f"{did_you_mean(crop, CROPS)}It is one of: {', '.join(CROPS)}, or a .toml file"
        raise ShardsError(f"--crop {crop!r} is not known", hint)
    name = PurePosixPath(recordable_path("--crop", crop)).stem
    if name in ("raw", *CROPS) or not _NAME.fullmatch(name):
        hint = "Give the file another name, of letters, digits, - and _, 40 at most"
        raise ShardsError(f"--crop {crop}: {name} cannot be the name of an alignment", hint)
    return name
