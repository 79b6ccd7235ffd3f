"""The arithmetic of shards: estimated sizes of samples, their order, where shards begin and end, file names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.registry import get_format
from lpff_shards.options.export import DEFAULT_SHARD_SIZE, ImageKind, PictureOptions, ShardOptions
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.units import exact_size, size


def shuffled(keys: Sequence[str], seed: int) -> NDArray[np.int64]:
    """An order by a keyed hash of each key: stable in every version, and no matter in which order keys come."""
    salt = seed.to_bytes(8, "little")
    joined = b"".join(hashlib.blake2b(key.encode(), digest_size=8, key=salt).digest() for key in keys)
    hashes = np.frombuffer(joined, "<u8")
    order = np.argsort(hashes, kind="stable").astype(np.int64)
    if (hashes[order[1:]] == hashes[order[:-1]]).any():
        # Two keys of one hash, once in a lifetime: then the keys decide too.
        order = np.lexsort((np.array(keys), hashes)).astype(np.int64)
    return order


def shared_out(shards: int, samples: Sequence[int]) -> list[int]:
    """A number of shards shared out over splits by their samples: one each at least, the rest by largest remainder.

    Raises:
        ShardsError: fewer shards than splits, or more than samples.
    """
    _refuse_too_many(shards, sum(samples))
    if shards < len(samples):
        raise ShardsError(f"--shards {shards} is less than the {len(samples)} splits", "Ask for one a split or more")
    total = sum(samples)
    ideal = [max(1.0, shards * count / total) for count in samples]
    scale = shards / sum(ideal)
    counts = [max(1, int(share * scale)) for share in ideal]
    while sum(counts) != shards:
        step = 1 if sum(counts) < shards else -1
        able = [i for i, count in enumerate(counts) if count + step >= 1]
        counts[max(able, key=lambda i: (step * (ideal[i] * scale - counts[i]), -i))] += step
    return counts


def cut(samples: int, total: int, shards: ShardOptions) -> NDArray[np.int64]:
    """Where shards begin and end, int64 [shards + 1].

    Args:
        samples: how many there are, at least 1.
        total: their size in bytes.
        shards: a number of shards or a size in bytes gives equal numbers of samples, give or take one; a size is the
            most that a shard takes (see `_even`); a number of samples a shard leaves the rest to the last one.

    Raises:
        ShardsError: more shards than samples.
    """
    if shards.samples_per_shard is not None:
        return np.append(np.arange(0, samples, shards.samples_per_shard, dtype=np.int64), samples)
    count = shards.shards or min(samples, _even(-(-total // (shards.shard_size or DEFAULT_SHARD_SIZE))))
    _refuse_too_many(count, samples)
    return np.arange(count + 1, dtype=np.int64) * samples // count


def refuse_small_size(shard_size: int, samples: int, total: int) -> None:
    """Refuse a size below that of the average sample, which asks for more shards than there are samples.

    Args:
        shard_size: bytes of a shard, as the user gave them.
        samples: how many there are.
        total: their estimated size in bytes.

    Raises:
        ShardsError: a shard cannot hold a sample.
    """
    if shard_size * samples >= total:
        return
    told = exact_size(shard_size)
    meant = f"Did you mean {told}MB? " if told.isdecimal() else ""
    raise ShardsError(
        f"--shard-size {told} is less than a sample, which takes about {size(total / samples)}",
        f"{meant}Give a larger size, or --samples-per-shard 1",
    )


def _even(count: int) -> int:
    """A number of shards that divides well: 1, 2, 4 or a multiple of 8.

    Workers that write them finish together, and those of 2, 4 or 8 GPUs that read them have equally many.
    """
    return count + -count % 8 if count > 4 else 4 if count > 2 else count


def _refuse_too_many(shards: int, samples: int) -> None:
    if shards > samples:
        raise ShardsError(f"--shards {shards} is more than the {samples} samples", f"Ask for {samples} shards or fewer")


# Bytes a pixel of a 512x512 portrait photo, as measured over FFHQ-like crops: PNG 444 KB, JPEG 95 126 KB, WebP 446 KB.
BYTES_A_PIXEL: dict[ImageKind, float] = {"png": 1.7, "stored-png": 3.0, "jpeg": 0.5, "webp": 1.7, "raw": 3.0}


def sample_bytes(
    files: NDArray[np.int64],
    typical: tuple[int, int],
    format: str,
    layout: Layout,
    picture: PictureOptions,
) -> NDArray[np.int64]:
    """Estimated bytes of samples, int64 [n].

    Args:
        files: sizes of the source's pictures in bytes, int64 [n].
        typical: width and height of a picture of that source, (0, 0) where unknown.
        format, layout, picture: how samples are written.
    """
    return _pictures(files, typical, picture) + get_format(format).overhead(layout)


def _pictures(files: NDArray[np.int64], typical: tuple[int, int], picture: PictureOptions) -> NDArray[np.int64]:
    pixels = typical[0] * typical[1]
    side = picture.resolution
    if picture.kind == "keep" or not pixels:
        return (files * (side * side / pixels)).astype(np.int64) if side and pixels else files
    return np.full(len(files), (side * side if side else pixels) * BYTES_A_PIXEL[picture.kind]).astype(np.int64)
