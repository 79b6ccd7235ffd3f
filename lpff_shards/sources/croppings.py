"""How --crop crops the pictures of each data set: as published, or as a TOML file describes it."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace

import msgspec

from lpff_shards.errors import ShardsError
from lpff_shards.options.crops import crop_name
from lpff_shards.options.export import MAX_RESOLUTION
from lpff_shards.options.sources import SourceOptions
from lpff_shards.schemas.crops import CROPPINGS, Cropping, Crops
from lpff_shards.schemas.text import choice_hint
from lpff_shards.sources.io.tree import file_blob, read_whole

_KEYS = tuple(field.name for field in fields(Cropping) if field.name != "name")
_OF_SQUARES = ("border", "low_resolution_blur")
"""Keys that have no effect on a window as EG3D's."""
_MOST_BYTES = 1 << 20


def read_crops(options: SourceOptions, side: int | None = None) -> Crops | None:
    """Return how the pictures of the given data sets are cropped, None without --crop.

    Args:
        side: of the crops in pixels, None for that of the alignment.

    Raises:
        ShardsError: the TOML file cannot be read, or has another key or value.
    """
    if options.crop is None:
        return None
    file, name = options.crop_file, options.alignment
    found = dict.fromkeys(options.given, _read(file) if file else CROPPINGS[name])
    if name == "stylegan":
        # A data set whose published crops have another border has an entry of its own.
        found |= {source: replace(CROPPINGS[source], name=name) for source in found if source in CROPPINGS}
    by_source = {source: replace(one, side=side or one.side) for source, one in found.items()}
    return Crops(by_source, fast=options.crop_quality == "fast")


def _read(file: str) -> Cropping:
    try:
        values = tomllib.loads(read_whole(file_blob("--crop", file), _MOST_BYTES).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ShardsError(f"--crop {file} is not valid TOML: {error}", "It has lines such as side = 512") from None
    if other := next((key for key in values if key not in _KEYS), None):
        raise ShardsError(f"--crop {file}: the key {other!r} is not known", choice_hint(other, _KEYS))
    try:
        cropping = msgspec.convert({"name": crop_name(file), **values}, Cropping)
    except msgspec.ValidationError as error:
        raise _fault(file, str(error)) from None
    (share, pixels), side = cropping.border, cropping.side
    lone = [key for key in _OF_SQUARES if key in values and cropping.kind == "eg3d"]
    rules = (
        (4 <= side <= MAX_RESOLUTION, f"side is {side}, not 4 to {MAX_RESOLUTION}"),
        (0.1 <= cropping.scale <= 10, f"scale is {cropping.scale}, not 0.1 to 10"),
        (0 <= share <= 1 and 0 <= pixels <= side, f"border is [{share}, {pixels}], not [0 to 1, 0 to {side}]"),
        (not lone, f"{''.join(lone[:1])} has no effect with kind eg3d"),
    )
    for holds, reason in rules:
        if not holds:
            raise _fault(file, reason)
    return cropping


def _fault(file: str, reason: str) -> ShardsError:
    return ShardsError(f"--crop {file}: {reason}", 'Give kind = "eg3d" or "ffhq" and side = N; see docs/crops.md')
