"""Making a plan: entries are ordered, cut into shards, and sealed with a digest. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import blake3
import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.registry import get_format
from lpff_shards.options.export import DEFAULT_SHARD_SIZE, ImageKind, PictureOptions, ShardOptions
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.mix import Mix, NameList
from lpff_shards.planning.plan import Part, Plan, Settings
from lpff_shards.planning.survey import Survey
from lpff_shards.schemas.columns import duplicates
from lpff_shards.schemas.fields import SCHEMA_VERSION, Layout
from lpff_shards.schemas.units import format_bytes, format_exact_bytes
from lpff_shards.sources.inventory import Inventory

T = TypeVar("T")

_AT_ONCE = 1024
"""Ids or credits encoded at once for the digest."""


def make_plan(
    name: str,
    mix: Mix,
    entries: Entries,
    seen: Survey,
    settings: Settings,
    shards: ShardOptions,
    options: Mapping[str, object],
    lists: tuple[NameList, ...] = (),
) -> Plan:
    """Order the entries, cut each split into shards and seal the plan with a digest.

    Args:
        entries: samples of the mix to write; seen: survey of their pictures.
        lists: lists of a zip, in the order of the entries.

    Raises:
        ShardsError: two samples share a key, there are fewer samples than shards, or a shard cannot hold a sample.
    """
    keys = entries.keys()
    _refuse_duplicates(entries, keys)
    if shards.shuffles:
        order = shuffled(keys, shards.seed or 0)
        order = order[np.argsort(entries.split[order], kind="stable")]
        entries, keys = entries.take(order), keys.take(order)
    sizes = _sizes(entries, settings)
    if shards.shard_size is not None:
        refuse_small_size(shards.shard_size, len(sizes), int(sizes.sum()))
    parts, bounds = _cut(entries, sizes, shards)
    digest = _digest(name, entries, bounds, settings, lists)
    return Plan(name, settings, options, mix, seen, entries, keys, parts, bounds, sizes, digest, lists)


def _cut(
    entries: Entries, sizes: NDArray[np.int64], shards: ShardOptions
) -> tuple[tuple[Part, ...], NDArray[np.int64]]:
    """Return the parts and the bounds of their shards."""
    counts = np.bincount(entries.split, minlength=len(entries.splits))
    held = np.flatnonzero(counts)
    ends = np.cumsum(counts)
    wanted = [None] * len(held) if shards.shards is None else shared_out(shards.shards, counts[held].tolist())
    bounds, parts = [np.zeros(1, np.int64)], []
    for split, count in zip(held.tolist(), wanted, strict=True):
        start = int(ends[split] - counts[split])
        own = cut(int(counts[split]), int(sizes[start : ends[split]].sum()), replace(shards, shards=count))
        bounds.append(own[1:] + start)
        parts.append(Part(entries.splits[split], len(own) - 1))
    return tuple(parts), np.concatenate(bounds)


def layout(inventories: Sequence[Inventory], picture: PictureOptions, packed: bool) -> Layout:
    """Return the arrays of every sample: a camera or landmarks if any picture has them, so all samples are alike."""
    return Layout(
        raw=picture.kind == "raw",
        camera=any(bool(i.has_camera.any()) for i in inventories),
        landmarks=any(len(i.landmarks) > 0 for i in inventories),
        packed=packed,
    )


def _refuse_duplicates(entries: Entries, keys: Sequence[str]) -> None:
    repeated = duplicates([keys])
    if not repeated:
        return
    shared, times = Counter(key for key in keys if key in repeated).most_common(1)[0]
    rows = [i for i, key in enumerate(keys) if key == shared]
    records = [entries.entry(i, shared).record for i in rows]
    names = ", ".join(f"{record.blob.where} ({record.id})" for record in records)
    raise ShardsError(f"{times} pictures get the key {shared}: {names}", "Rename one of them in its source")


def _sizes(entries: Entries, settings: Settings) -> NDArray[np.int64]:
    """Estimate the bytes of each sample, int64 [n]."""
    sizes = np.zeros(len(entries), np.int64)
    for number, inventory in enumerate(entries.inventories):
        here = entries.source == number
        files = _file_sizes(inventory)[entries.row[here]]
        sizes[here] = _picture_bytes(files, inventory.typical_size, settings.picture)
    return sizes + get_format(settings.format).overhead(settings.layout)


def _file_sizes(inventory: Inventory) -> NDArray[np.int64]:
    """Return the bytes of each picture's file, int64 [n]."""
    return np.fromiter(inventory.blobs.column("size"), np.int64, len(inventory))


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, _AT_ONCE)):
        yield chunk


def _digest(
    name: str, entries: Entries, bounds: NDArray[np.int64], settings: Settings, lists: Sequence[NameList]
) -> str:
    """Return a digest of everything that determines the bytes, by rule `DIGEST_RULE`.

    BLAKE3 over the settings of samples, every column of the inventories, the place of each entry, and the lists of a
    zip. Folder names of sources, and options visible in these columns (filters, rebalancing, order, shard sizes), are
    not part of it. A setting or column added later is hashed only if it differs from its earlier default, after
    everything hashed now; so older exports keep their digests. Any other change needs a new rule.
    """
    seal = blake3.blake3()
    encode = msgspec.json.Encoder(order="deterministic").encode
    picture = settings.picture
    written = {
        "name": name,
        "format": settings.format,
        "layout": settings.layout,
        "image": picture.kind,
        "resolution": picture.resolution,
        "quality": picture.quality,
        "checksum": settings.checksum,
    }
    seal.update(encode([SCHEMA_VERSION, written, entries.splits]))
    for inventory in entries.inventories:
        # Encoded in chunks, so that memory never holds all ids as text.
        seal.update(encode([inventory.source, inventory.alignment, inventory.landmarks_source])[:-1] + b",[")
        for number, ids in enumerate(_chunks(inventory.ids)):
            seal.update(b","[: number > 0] + encode(ids)[1:-1])
        seal.update(b"]]")
        for credits in _chunks(inventory.credits):
            seal.update(encode(credits))
        sizes = _file_sizes(inventory).astype("<i8")
        columns = (sizes, inventory.faces, inventory.is_mirror, inventory.cameras, inventory.has_camera)
        points = (inventory.landmarks, inventory.landmark_rows, inventory.landmark_sizes)
        for numbers in (*columns, inventory.own_camera, *points):
            seal.update(np.ascontiguousarray(numbers).reshape(-1).view(np.uint8).data)
    drawn = (entries.source, entries.row, entries.flip, entries.replica, entries.split, entries.density, entries.weight)
    side = () if settings.side is None else (np.array([settings.side]),)
    seal.update(encode([one.name for one in lists]))
    for part in (*drawn, *side, *(one.times for one in lists), bounds):
        seal.update(part.tobytes())
    return seal.hexdigest()


def shuffled(keys: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return an order by a keyed hash of each key: stable across versions, independent of the keys' order."""
    salt = seed.to_bytes(8, "little")
    joined = b"".join(hashlib.blake2b(key.encode(), digest_size=8, key=salt).digest() for key in keys)
    hashes = np.frombuffer(joined, "<u8")
    order = np.argsort(hashes, kind="stable").astype(np.int64)
    if (hashes[order[1:]] == hashes[order[:-1]]).any():
        # Two keys with one hash, which is very rare, are ordered by key.
        order = np.lexsort((np.array(keys), hashes)).astype(np.int64)
    return order


def shared_out(shards: int, samples: Sequence[int]) -> list[int]:
    """Distribute shards over splits by their samples: at least one each, the rest by largest remainder.

    Raises:
        ShardsError: fewer shards than splits, or more than samples.
    """
    _refuse_too_many(shards, sum(samples))
    if shards < len(samples):
        raise ShardsError(f"--shards {shards} is less than the {len(samples)} splits", "Give at least one per split")
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
    """Return the bounds of shards, int64 [shards + 1].

    Args:
        samples: number of samples, at least 1.
        total: their size in bytes.
        shards: a number of shards or a size in bytes gives sample counts that differ by at most one; a size is a
            shard's maximum (see `_even`); a number of samples per shard leaves the rest to the last shard.

    Raises:
        ShardsError: more shards than samples.
    """
    if shards.samples_per_shard is not None:
        return np.append(np.arange(0, samples, shards.samples_per_shard, dtype=np.int64), samples)
    count = shards.shards or min(samples, _even(-(-total // (shards.shard_size or DEFAULT_SHARD_SIZE))))
    _refuse_too_many(count, samples)
    return np.arange(count + 1, dtype=np.int64) * samples // count


def refuse_small_size(shard_size: int, samples: int, total: int) -> None:
    """Refuse a size below that of the average sample, which would need more shards than samples.

    Args:
        shard_size: the user's bytes per shard.
        samples: number of samples.
        total: their estimated size in bytes.

    Raises:
        ShardsError: a shard cannot hold a sample.
    """
    if shard_size * samples >= total:
        return
    given = format_exact_bytes(shard_size)
    meant = f"Did you mean {given}MB? " if given.isdecimal() else ""
    raise ShardsError(
        f"--shard-size {given} is less than a sample, which takes about {format_bytes(total / samples)}",
        f"{meant}Give a larger size, or --samples-per-shard 1",
    )


def _even(count: int) -> int:
    """Round up to a number of shards that divides well: 1, 2, 4 or a multiple of 8.

    Then writers finish at the same time, and readers on 2, 4 or 8 GPUs have equal numbers of shards.
    """
    return count + -count % 8 if count > 4 else 4 if count > 2 else count


def _refuse_too_many(shards: int, samples: int) -> None:
    if shards > samples:
        raise ShardsError(f"--shards {shards} is more than the {samples} samples", f"Give {samples} or fewer")


# Bytes per pixel of 512x512 portrait photos, measured on FFHQ-like crops: PNG 444 KB, JPEG 95 126 KB, WebP 446 KB.
BYTES_A_PIXEL: dict[ImageKind, float] = {"png": 1.7, "stored-png": 3.0, "jpeg": 0.5, "webp": 1.7, "raw": 3.0}


def _picture_bytes(files: NDArray[np.int64], typical: tuple[int, int], picture: PictureOptions) -> NDArray[np.int64]:
    """Estimate the bytes of pictures, int64 [n].

    Args:
        files: sizes of the source's pictures in bytes, int64 [n].
        typical: width and height of a picture of that source, (0, 0) if unknown.
        picture: how pictures are stored.
    """
    pixels = typical[0] * typical[1]
    side = picture.resolution
    if picture.kind == "keep" or not pixels:
        return (files * (side * side / pixels)).astype(np.int64) if side and pixels else files
    return np.full(len(files), (side * side if side else pixels) * BYTES_A_PIXEL[picture.kind]).astype(np.int64)
