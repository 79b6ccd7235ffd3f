"""The members of a sample in a tar: picture, camera.npy, landmarks.npy, channels, and json or mp."""

from __future__ import annotations

from collections.abc import Mapping

import msgpack
import msgspec

from lpff_shards.formats.base import ARRAY_SHAPES, Encoded
from lpff_shards.formats.containers import npy, tar
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.sample import SUFFIXES, Sample


def member_suffixes(layout: Layout) -> list[str]:
    """Return the suffixes of a sample's members in order, without its picture."""
    channels = [channel.suffix for channel in layout.channels or ()]
    if layout.attached:
        return channels
    return [*channels, "mp"] if layout.packed else [*(f"{name}.npy" for name in layout.arrays), *channels, "json"]


def encode_members(layout: Layout, sample: Sample) -> Encoded:
    """Return a sample as members of a tar, its picture first."""
    key, picture = sample.key, sample.picture
    channels = {channel.suffix: sample.channels[channel.name] for channel in layout.channels or ()}
    if layout.attached:
        return Encoded([_joined(key, channels)], tuple(channels), tuple(map(len, channels.values())))
    shape = npy.header("|u1", (picture.height, picture.width, 3)) if picture.kind == "raw" else b""
    arrays = {name: array for name in ARRAY_SHAPES if (array := getattr(sample, name)) is not None}
    if layout.packed:
        fields = dict(sample.scalars) | {name: array.tolist() for name, array in arrays.items()}
        others = {**channels, "mp": msgpack.packb(fields, use_single_float=True)}
    else:
        others = {f"{name}.npy": npy.dump(array) for name, array in arrays.items()}
        others |= {**channels, "json": msgspec.json.encode(sample.scalars)}
    suffix, size = SUFFIXES[picture.kind], len(shape) + len(picture.data)
    pieces = [tar.header(f"{key}.{suffix}", size) + shape, picture.data, tar.padding(size) + _joined(key, others)]
    return Encoded(pieces, (suffix, *others), (size, *map(len, others.values())))


def _joined(key: str, members: Mapping[str, bytes]) -> bytes:
    """Return members of a sample by their suffixes, one after another."""
    pieces: list[bytes] = []
    for suffix, content in members.items():
        pieces += (tar.header(f"{key}.{suffix}", len(content)), content, tar.padding(len(content)))
    return b"".join(pieces)
