"""What the readers of the trainers' zip demand of pictures: RGB, square, a power of two, all of one size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

from lpff_shards.exporters.fetching import Fetching
from lpff_shards.schemas.record import Blob
from lpff_shards.schemas.sample import Picture
from lpff_shards.sources.blobs import BlobError
from lpff_shards.wire.errors import WireError
from lpff_shards.wire.pictures import inspect

PROBES = 15
"""Pictures that are looked at, from the first to the last, to tell what the others are like."""


def common_side(blobs: Sequence[Blob]) -> int:
    """The side of most pictures in pixels, by a few of them; 0 where none of these is one that trainers take."""
    sides = Counter(_sides(blobs))
    return sides.most_common(1)[0][0] if sides else 0


def fault(picture: Picture, side: int) -> str | None:
    """Why the trainers' zip cannot hold a picture, and what to do, or None.

    Args:
        side: that all pictures of the data set have.
    """
    size = f"the picture is {picture.width}x{picture.height}"
    if picture.width != picture.height:
        return f"{size}, and --format zip takes square ones"
    if not _is_power(picture.width):
        below = 1 << picture.width.bit_length() - 1
        return f"{size}, and --format zip takes powers of two: --resolution {below} makes it so"
    if picture.width != side:
        others = f"{side}x{side} like others here" if side else "and others fit less"
        advice = f"--resolution {side or picture.width} makes them alike"
        return f"{size}, and --format zip takes one size, {others}: {advice}"
    if picture.mode != "RGB":
        return f"the picture has colour mode {picture.mode}, and --format zip takes RGB: --image png makes it so"
    return None


def _sides(blobs: Sequence[Blob]) -> Iterator[int]:
    """The sides of readable, fitting pictures among some that are spread evenly."""
    count = min(PROBES, len(blobs))
    probes = [blobs[number * (len(blobs) - 1) // max(1, count - 1)] for number in range(count)]
    with closing(Fetching(probes)) as fetching:
        yield from _read_sides(probes, fetching)


def _read_sides(blobs: Sequence[Blob], fetching: Fetching) -> Iterator[int]:
    for blob in blobs:
        try:
            header = inspect(fetching.read(blob))
        except (BlobError, WireError):
            continue
        if header.width == header.height and _is_power(header.width):
            yield header.width


def _is_power(number: int) -> bool:
    return number & (number - 1) == 0
