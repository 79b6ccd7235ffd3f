"""The files of a sample's channels: flipped and resized with its picture; empty files for pictures without one."""

from __future__ import annotations

from collections.abc import Callable

from lpff_shards.errors import BadInput
from lpff_shards.formats.channels import empty, stored
from lpff_shards.formats.errors import FormatError
from lpff_shards.schemas.channels import Channel
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.io.blobs import BlobError

Pair = tuple[Blob | None, Blob | None]
"""The file of a picture, and that of its mirror."""


def chosen(pair: Pair, channel: Channel, mirrored: bool) -> tuple[Blob | None, bool]:
    """Return the file of a sample, and whether it is that of its mirror, which is flipped."""
    own, mirror = pair
    if not mirrored or mirror is not None:
        return mirror if mirrored else own, False
    return (None, False) if channel.mirror == "own" else (own, own is not None)


def channel_file(
    pair: Pair, channel: Channel, mirrored: bool, size: tuple[int, int], id: str, read: Callable[[Blob], bytes]
) -> tuple[bytes, bool]:
    """Return the file to store for a sample, and whether there is one; an optional channel is empty without.

    Args:
        size: width and height of the sample's picture in pixels.
        id: of the picture, for errors.

    Raises:
        BadInput: the file cannot be read, or is not like the others.
    """
    blob, flip = chosen(pair, channel, mirrored)
    if blob is None:
        return empty(channel, size), False
    try:
        return stored(channel, read(blob), flip, size), True
    except (BlobError, FormatError) as error:
        raise BadInput(blob.where, id, f"its {channel.name}: {error}") from None
