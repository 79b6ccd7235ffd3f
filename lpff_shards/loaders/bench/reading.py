"""The reading of the shards from one end to the other: as fast as anything can come from where they lie."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lpff_shards.errors import ShardsError
from lpff_shards.loaders.bench.options import Reading
from lpff_shards.loaders.coalesce_ranges import BLOCK
from lpff_shards.loaders.object_reader import AT_ONCE
from lpff_shards.storage.bucket import BucketPath
from lpff_shards.storage.path import Place
from lpff_shards.storage.prefetch import ahead

PIECE = 1 << 20


def read_twice(places: Sequence[Place], seconds: float) -> Reading:
    """Reads shards twice, each time for so many seconds at most.

    Raises:
        ShardsError: one cannot be read.
    """
    first = _read(places, seconds)
    again = _read(places, seconds)
    bytes = min(first[0], again[0])
    return Reading(bytes, first[1] * bytes / first[0], again[1] * bytes / again[0])


def _read(places: Sequence[Place], seconds: float) -> tuple[int, float]:
    """Bytes read and the seconds that it took."""
    total, started = 0, time.perf_counter()
    for got in _pieces(places):
        total += got
        if time.perf_counter() - started >= seconds:
            break
    return total, time.perf_counter() - started


def _pieces(places: Sequence[Place]) -> Iterator[int]:
    """Sizes of pieces as they are read: of files one after the other, of objects as many at once as loaders ask for."""
    objects = [place for place in places if isinstance(place, BucketPath)]
    if objects:
        yield from ahead(_fetched, _ranges(objects), AT_ONCE)
        return
    buffer = bytearray(PIECE)
    for path in places:
        assert isinstance(path, Path)
        try:
            with path.open("rb", buffering=0) as file:
                while got := file.readinto(buffer):
                    yield got
        except OSError as error:
            raise _unreadable(path, error) from None


def _ranges(objects: Sequence[BucketPath]) -> Iterator[tuple[BucketPath, int, int]]:
    for place in objects:
        try:
            size = place.size()
        except OSError as error:
            raise _unreadable(place, error) from None
        yield from ((place, at, min(BLOCK, size - at)) for at in range(0, size, BLOCK))


def _fetched(piece: tuple[BucketPath, int, int]) -> int:
    place, at, size = piece
    try:
        data, _ = place.read_marked(at, size)
    except OSError as error:
        raise _unreadable(place, error) from None
    return len(data)


def _unreadable(place: Place, error: OSError) -> ShardsError:
    where = "bucket, its credentials and the network" if isinstance(place, BucketPath) else "folder"
    return ShardsError(f"{place} cannot be read: {error.strerror}", f"Check the {where}")
