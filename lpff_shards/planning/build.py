"""Making a plan: entries are ordered, cut into shards, and sealed with a digest. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

import blake3
import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.formats.registry import get_format
from lpff_shards.options.export import DEFAULT_SHARD_SIZE, ExportOptions, ImageKind, ShardOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.mix import Mix
from lpff_shards.planning.plan import Plan, Settings, Times
from lpff_shards.planning.rebalance import Numbers, TrainingPool
from lpff_shards.planning.survey import survey
from lpff_shards.schemas.archive import ANY_SET
from lpff_shards.schemas.channels import Channel, refuse_long_names
from lpff_shards.schemas.columns import Texts, chunks, duplicates
from lpff_shards.schemas.crops import Crops
from lpff_shards.schemas.fields import CROP_TRANSFORM, SCHEMA_VERSION, Field, Kind, Layout, has_field
from lpff_shards.schemas.sources import PUBLISHED
from lpff_shards.schemas.text import alternatives, format_bytes, format_exact_bytes
from lpff_shards.sources.inventory import Inventory

_AT_ONCE = 1024
"""Ids or credits encoded at once for the digest."""


def make_plan(
    options: ExportOptions,
    mix: Mix,
    recorded: Mapping[str, object],
    published: tuple[tuple[str, str], ...],
    num_replicas: NDArray[np.int64] | None,
    channels: Sequence[Channel] = (),
    crops: Crops | None = None,
) -> Plan:
    """Survey the pictures, order the entries, cut each split into shards and seal the plan with a digest.

    Args:
        recorded: the options, as the manifest records them.
        published: see `Settings`.
        num_replicas: replicas by index in EG3D's FFHQ, from the user's file.
        channels: files that the samples hold.
        crops: how the pictures are cropped, if they are.

    Raises:
        BadInput: a picture cannot be stored, and such pictures are not to be skipped.
        ShardsError: two samples share a key, there are fewer samples than shards, or a shard cannot hold a sample.
    """
    picture, for_trainers, run = options.resolved_picture, options.traits.for_trainers, options.run
    if crops:
        picture = replace(picture, resolution=crops.side)
    entries, inventories = mix.entries, mix.entries.inventories
    seen = survey(entries, picture, for_trainers, crops is not None)
    if seen.misfits and run.on_error == "fail":
        first = seen.misfits[0]
        raise BadInput(first.file, first.id, first.reason, len(seen.misfits) - 1)
    # All samples are alike: they have a camera or landmarks if any picture has them.
    layout = Layout(
        raw=picture.kind == "raw",
        camera=any(bool(inventory.has_camera.any()) for inventory in inventories),
        landmarks=any(len(inventory.landmarks) > 0 for inventory in inventories),
        packed=options.metadata == "msgpack",
        extra=_extra_fields(inventories, channels, crops) or UNSET,
        channels=tuple(channels) or UNSET,
    )
    side = seen.side if for_trainers else None
    settings = Settings(options.format, layout, picture, run.checksum, run.on_error, published, side, crops)
    copies = np.ones(len(entries), np.int16)
    if for_trainers and options.zip_copies == "list":
        firsts = np.flatnonzero(entries.replica == 0)
        copies = np.diff(firsts, append=len(entries)).astype(np.int16)
        entries = entries.take(firsts)
    lists = _name_lists(options, mix.pool, entries, copies, num_replicas) if for_trainers else {}
    keys = entries.keys()
    if repeated := duplicates([keys]):
        _refuse_duplicates(entries, keys, repeated)
    refuse_long_names(keys, channels)
    shards, name = options.resolved_shards, options.dataset_name
    if shards.shuffles:
        order = shuffled(keys, shards.seed or 0)
        order = order[np.argsort(entries.split[order], kind="stable")]
        entries, keys = entries.take(order), keys.take(order)
    sizes = estimate_sizes(entries, settings)
    counts, bounds = cut_splits(entries, sizes, shards)
    digest = plan_digest(name, entries, bounds, settings, lists, recorded.get("terms"))
    return Plan(name, settings, recorded, mix, seen, entries, keys, counts, bounds, sizes, digest, lists)


def _extra_fields(
    inventories: Sequence[Inventory], channels: Sequence[Channel], crops: Crops | None
) -> tuple[Field, ...]:
    """Return the fields that only some exports have: columns of their data sets, sorted by name, and others.

    Raises:
        ShardsError: two data sets have one of different types, or a channel has its name.
    """
    homes: dict[str, list[tuple[str, Kind]]] = {}
    taken = {name for channel in channels for name in (channel.name, has_field(channel).name)}
    for inventory in inventories:
        for name, column in inventory.extra.items():
            kind: Kind = "str" if isinstance(column, Texts) else _KINDS[column.dtype.kind]
            homes.setdefault(name, []).append((inventory.source, kind))
    for name, found in homes.items():
        if name in taken:
            raise ShardsError(f"--channel and a column of {found[0][0]} are both named {name}", "Rename one of them")
        if other := next((one for one in found if one[1] != found[0][1]), None):
            message = f"the column {name} is {found[0][1]} in {found[0][0]}, and {other[1]} in {other[0]}"
            raise ShardsError(message, "Rename it in one of them, or write its values alike")
    docs = {name: f"column `{name}` of {alternatives(source for source, _ in homes[name])}" for name in homes}
    columns = (Field(name, homes[name][0][1], docs[name]) for name in sorted(homes))
    return (*columns, *(has_field(one) for one in channels if one.optional), *((CROP_TRANSFORM,) if crops else ()))


_KINDS: Mapping[str, Kind] = {"i": "int", "b": "bool", "f": "float"}


def cut_splits(
    entries: Entries, sizes: NDArray[np.int64], shards: ShardOptions
) -> tuple[dict[str, int], NDArray[np.int64]]:
    """Return the number of shards of each split, and the bounds of all."""
    total = int(sizes.sum())
    if shards.shard_size is not None and shards.shard_size * len(sizes) < total:
        given = format_exact_bytes(shards.shard_size)
        meant = f"Did you mean {given}MB? " if given.isdecimal() else ""
        raise ShardsError(
            f"--shard-size {given} is less than a sample, which takes about {format_bytes(total / len(sizes))}",
            f"{meant}Give a larger size, or --samples-per-shard 1",
        )
    held, samples = np.unique(entries.split, return_counts=True)
    wanted = [None] * len(held) if shards.shards is None else _shared_out(shards.shards, samples.tolist())
    start, bounds, counts = 0, [np.zeros(1, np.int64)], {}
    for split, size, count in zip(held.tolist(), samples.tolist(), wanted, strict=True):
        own = cut(size, int(sizes[start : start + size].sum()), replace(shards, shards=count))
        bounds.append(own[1:] + start)
        counts[entries.splits[split]] = len(own) - 1
        start += size
    return counts, np.concatenate(bounds)


def _refuse_duplicates(entries: Entries, keys: Sequence[str], repeated: set[str]) -> NoReturn:
    shared, times = Counter(key for key in keys if key in repeated).most_common(1)[0]
    records = [entries.entry(i, shared).record for i, key in enumerate(keys) if key == shared]
    names = ", ".join(f"{record.blob.where} ({record.id})" for record in records)
    raise ShardsError(f"{times} pictures get the key {shared}: {names}", "Rename one of them in its source")


# Bytes per pixel of 512x512 portrait photos, measured on FFHQ-like crops: PNG 444 KB, JPEG 95 126 KB, WebP 446 KB; fast
# PNGs are a few percent larger than PNGs.
BYTES_A_PIXEL: dict[ImageKind, float] = {
    **{"png": 1.7, "fast-png": 1.8, "stored-png": 3.0},
    **{"jpeg": 0.5, "webp": 1.7, "raw": 3.0},
}


def estimate_sizes(entries: Entries, settings: Settings) -> NDArray[np.int64]:
    """Estimate the bytes of each sample, int64 [n]."""
    kind, side = settings.picture.kind, settings.picture.resolution
    columns = []
    for inventory in entries.inventories:
        sizes: NDArray[Any] = inventory.blobs.numbers("size")
        pixels = inventory.typical_size[0] * inventory.typical_size[1]
        if pixels and kind != "keep":
            sizes = np.full(len(sizes), (side * side if side else pixels) * BYTES_A_PIXEL[kind])
        elif pixels and side:
            sizes = sizes * (side * side / pixels)
        columns.append(sizes.astype(np.int64, copy=False))
    gathered: NDArray[np.int64] = entries.gather(columns)
    if settings.layout.channels:
        gathered += entries.gather([_channel_sizes(inventory) for inventory in entries.inventories])
    return gathered + get_format(settings.format).overhead(settings.layout)


def _channel_sizes(inventory: Inventory) -> NDArray[np.int64]:
    """Return the bytes of the files of each picture's channels, int64 [n]."""
    found = np.zeros(len(inventory), np.int64)
    for files in inventory.channels.values():
        # The last number is that of pictures without a file.
        sizes = np.append(files.blobs.numbers("size"), 0)
        found += sizes[np.where(files.own < 0, files.mirror, files.own)]
    return found


def plan_digest(
    name: str,
    entries: Entries,
    bounds: NDArray[np.int64],
    settings: Settings,
    lists: Mapping[str, Times],
    terms: object,
) -> str:
    """Return a digest of everything that determines the bytes, by rule `DIGEST_RULE`.

    Folder names of sources, and options visible in the columns (filters, rebalancing, order, shard sizes), are not part
    of it. A setting or column added later is hashed only if it differs from its earlier default, after everything
    hashed now; so older exports keep their digests. Any other change needs a new rule.
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
        for number, ids in enumerate(chunks(inventory.ids, _AT_ONCE)):
            seal.update(b","[: number > 0] + encode(ids)[1:-1])
        seal.update(b"]]")
        for credits in chunks(inventory.credits, _AT_ONCE):
            seal.update(encode(credits))
        sizes = inventory.blobs.numbers("size").astype("<i8")
        columns = (sizes, inventory.faces, inventory.is_mirror, inventory.cameras, inventory.has_camera)
        points = (inventory.landmarks, inventory.landmark_rows, inventory.landmark_sizes)
        for numbers in (*columns, inventory.own_camera, *points):
            seal.update(np.ascontiguousarray(numbers).reshape(-1).view(np.uint8).data)
    drawn = (entries.source, entries.row, entries.flip, entries.replica, entries.split, entries.density, entries.weight)
    side = () if settings.side is None else (np.array([settings.side]),)
    seal.update(encode(list(lists)))
    for part in (*drawn, *side, *lists.values(), bounds):
        seal.update(part.tobytes())
    if terms:
        seal.update(encode(terms))
    for name, column in (item for inventory in entries.inventories for item in inventory.extra.items()):
        seal.update(encode(name))
        for some in chunks(column.tolist()):
            seal.update(encode(some))
    for name, files in (item for inventory in entries.inventories for item in inventory.channels.items()):
        seal.update(encode(name))
        for numbers in (files.blobs.numbers("size"), files.own, files.mirror):
            seal.update(numbers.astype("<i8").tobytes())
    if settings.crops:
        seal.update(encode(settings.crops))
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


def _shared_out(shards: int, samples: Sequence[int]) -> list[int]:
    """Distribute shards over splits by their samples: at least one each, the rest by largest remainder."""
    total = sum(samples)
    _refuse_too_many(shards, total)
    if shards < len(samples):
        raise ShardsError(f"--shards {shards} is less than the {len(samples)} splits", "Give at least one per split")
    ideal = [max(1.0, shards * count / total) for count in samples]
    scale = shards / sum(ideal)
    counts = [max(1, int(share * scale)) for share in ideal]
    while lack := shards - sum(counts):
        step = 1 if lack > 0 else -1
        able = [i for i, count in enumerate(counts) if count + step >= 1]
        counts[max(able, key=lambda i: (step * (ideal[i] * scale - counts[i]), -i))] += step
    return counts


def cut(samples: int, total: int, shards: ShardOptions) -> NDArray[np.int64]:
    """Return the bounds of shards with so many samples (at least 1) and bytes in all, int64 [shards + 1].

    A number of shards or a size in bytes gives sample counts that differ by at most one; a size is a shard's maximum; a
    number of samples per shard leaves the rest to the last shard.
    """
    if shards.samples_per_shard is not None:
        return np.append(np.arange(0, samples, shards.samples_per_shard, dtype=np.int64), samples)
    count = shards.shards
    if count is None:
        needed = -(-total // (shards.shard_size or DEFAULT_SHARD_SIZE))
        # 1, 2, 4 or a multiple of 8: writers finish together, and readers on 2, 4 or 8 GPUs have equal numbers.
        count = min(samples, needed + -needed % 8 if needed > 4 else 4 if needed > 2 else needed)
    _refuse_too_many(count, samples)
    return np.arange(count + 1, dtype=np.int64) * samples // count


def _refuse_too_many(shards: int, samples: int) -> None:
    if shards > samples:
        raise ShardsError(f"--shards {shards} is more than the {samples} samples", f"Give {samples} or fewer")


def _name_lists(
    options: ExportOptions, pool: TrainingPool, entries: Entries, copies: Times, num_replicas: NDArray[np.int64] | None
) -> dict[str, Times]:
    """Return the lists of names in each zip of an export: the data set's own, then published sets that are in the zip.

    Args:
        entries: contents of the zip; copies: how often the data set's own list contains each.

    Returns:
        By the name of a published set in its trainers' spelling, or of the data set.
    """
    given, is_weighted = options.sources.given, options.mix.as_ == "weights"
    is_published = options.has_whole_sets if is_weighted else options.is_published
    published = PUBLISHED.get((given, "none" if is_weighted else options.mix.rebalance), ANY_SET)
    # LPFF's forks read all samples of a zip by one of these names only.
    lists = {published if is_published else ANY_SET: copies}
    if not is_published and not is_weighted:
        lists[options.dataset_name] = copies
    first = entries.replica == 0
    known = options.sources.alignment == "eg3d" or options.sources.ffhq_cameras is not None
    for (sources, rule), name in PUBLISHED.items() if options.has_whole_sets else ():
        weights: Numbers | None = None
        if rule == "none" and set(sources) <= set(given):
            weights = np.ones(int(first.sum()))
        elif rule == "eg3d" and num_replicas is not None and options.serves_ffhq_rebalanced:
            weights = replace(pool, num_replicas=num_replicas).weigh("eg3d", options.mix)
        elif rule == "lpff" and given == sources and known:
            # Without a spread of cameras there are no densities: these are not the pictures of the published set.
            with suppress(ShardsError):
                weights = pool.weigh("lpff", MixOptions())
        if weights is not None:
            numbers = [number for number, inventory in enumerate(entries.inventories) if inventory.source in sources]
            times = np.zeros(len(entries), np.int16)
            times[first] = weights
            lists.setdefault(name, times * np.isin(entries.source, numbers))
    return lists
