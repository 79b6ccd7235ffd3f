"""Making a plan: entries put in order, cut into shards, and sealed with a digest. Pure."""

from __future__ import annotations

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
from lpff_shards.options.export import PictureOptions, ShardOptions
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.mix import Mix
from lpff_shards.planning.plan import NameList, Part, Plan, Settings
from lpff_shards.planning.sharding import cut, refuse_small_size, sample_bytes, shared_out, shuffled
from lpff_shards.planning.survey import Survey
from lpff_shards.schemas.columns.structs import column
from lpff_shards.schemas.columns.texts import duplicates
from lpff_shards.schemas.fields import SCHEMA_VERSION, Layout
from lpff_shards.sources.inventory import Inventory

T = TypeVar("T")

_AT_ONCE = 1024
"""Ids, or credits, that are encoded at once for the digest."""


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
    """Orders the entries, cuts each split into shards and seals the whole with a digest.

    Args:
        entries: the samples to write, of the mix; seen: what their pictures are like.
        lists: that a zip holds; their order is that of the entries.

    Raises:
        ShardsError: two samples share a key, there are fewer samples than shards, or a shard cannot hold a sample.
    """
    keys = entries.keys()
    _refuse_twins(entries, keys)
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
    """The parts and the bounds of their shards."""
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
    """What every sample holds: a camera or landmarks as soon as one picture has them, so that all are alike."""
    return Layout(
        raw=picture.kind == "raw",
        camera=any(bool(i.has_camera.any()) for i in inventories),
        landmarks=any(len(i.landmarks) > 0 for i in inventories),
        packed=packed,
    )


def _refuse_twins(entries: Entries, keys: Sequence[str]) -> None:
    twins = duplicates([keys])
    if not twins:
        return
    twin, times = Counter(key for key in keys if key in twins).most_common(1)[0]
    rows = [i for i, key in enumerate(keys) if key == twin]
    records = [entries.entry(i, twin).record for i in rows]
    told = ", ".join(f"{record.blob.where} ({record.id})" for record in records)
    raise ShardsError(f"{times} pictures get the key {twin}: {told}", "Rename one of them in its source")


def _sizes(entries: Entries, settings: Settings) -> NDArray[np.int64]:
    sizes = np.zeros(len(entries), np.int64)
    for number, inventory in enumerate(entries.inventories):
        here = entries.source == number
        files = _file_sizes(inventory)
        sizes[here] = sample_bytes(
            files[entries.row[here]], inventory.typical_size, settings.format, settings.layout, settings.picture
        )
    return sizes


def _file_sizes(inventory: Inventory) -> NDArray[np.int64]:
    """Bytes of each picture's file, int64 [n]."""
    return np.fromiter(column(inventory.blobs, "size"), np.int64, len(inventory))


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, _AT_ONCE)):
        yield chunk


def _digest(
    name: str, entries: Entries, bounds: NDArray[np.int64], settings: Settings, lists: Sequence[NameList]
) -> str:
    """Seal what decides bytes and nothing else, by rule `DIGEST_RULE`.

    BLAKE3 over how samples are written, every column of the inventories, which entry is where, and the lists of a zip.
    Names of sources' folders and options that show in these columns (filters, rebalancing, order, sizes of shards) are
    not part of it. A setting or column that is added later is sealed only where it differs from what was before it,
    and then behind all that is sealed now; so an older export keeps its digest. Any other change is another rule.
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
        # As one list, of which not all ids are text at once.
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
