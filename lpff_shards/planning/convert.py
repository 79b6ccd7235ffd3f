"""Planning a conversion: the samples of a finished export, in its order, are the entries of another plan. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.manifest import Manifest, file_digest
from lpff_shards.options.declaration import declared
from lpff_shards.options.export import ExportOptions, PictureOptions
from lpff_shards.options.mix import TRAIN
from lpff_shards.options.sources import ORIGIN
from lpff_shards.planning.build import cut_splits, estimate_sizes, plan_digest
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.mix import Mix
from lpff_shards.planning.plan import Plan, Settings, StoredExport, Times
from lpff_shards.planning.rebalance import TrainingPool
from lpff_shards.planning.survey import Survey, finished_survey
from lpff_shards.schemas.archive import ANY_SET
from lpff_shards.schemas.columns import Structs, Texts
from lpff_shards.schemas.license import License
from lpff_shards.schemas.record import Blob, Credit
from lpff_shards.sources.inventory import Inventory, no_cameras
from lpff_shards.sources.io.blobs import BlobError
from lpff_shards.storage.path import StoragePath

COLUMNS = (
    *("dataset", "source_id", "mirrored", "replica", "split", "license", "license_url"),
    *("shard", "number", "picture_bytes"),
)
"""Columns of samples.sqlite that a plan needs."""


class ShardBlob(Struct, frozen=True, gc=False):
    """A sample of a finished export. Only whole shards have a checksum, so `exporters.convert` reads it with its shard.

    Attributes:
        shard: path or URI; checksum: of the shard (hex); number: of the sample in it, from 0; size: of its picture.
    """

    FEW: ClassVar[tuple[str, ...]] = ("shard", "checksum")

    shard: str
    checksum: str
    number: int
    size: int

    @property
    def where(self) -> str:
        return self.shard

    @property
    def stamp(self) -> int:
        return int(self.checksum[:15], 16)

    def read(self, most: int = 0) -> bytes:  # noqa: ARG002
        raise BlobError("is read with its shard")

    head = read


@dataclass(frozen=True, eq=False)
class FinishedExport:
    """An export to convert.

    Attributes:
        root: its folder, absolute, or its prefix in a bucket; label: the part of it that is recorded.
        columns: `COLUMNS` of all samples, in order.
        poses: see `Mix`.
        notes: for the user.
    """

    root: StoragePath
    label: str
    manifest: Manifest
    columns: Mapping[str, NDArray[Any]]
    poses: tuple[tuple[str, int, int, int], ...]
    notes: tuple[str, ...]


def plan_conversion(
    options: ExportOptions, given: FinishedExport, decisive: Mapping[str, Any], published: tuple[tuple[str, str], ...]
) -> Plan:
    """Return the plan of an export whose samples are those of another one, with pictures and files by `options`.

    Args:
        decisive: `options` as they are recorded.
        published: see `Settings`.

    Raises:
        ShardsError: the format cannot hold the samples, or they cannot be cut into such shards.
    """
    manifest, zipped, run = given.manifest, options.traits.for_trainers, options.run
    before = PictureOptions(image=manifest.options.get("image"), quality=manifest.options.get("quality"))
    picture = options.resolved_picture
    if picture.kind == "keep":
        # Those that are resized are encoded as they were.
        picture = replace(before, resolution=picture.resolution)
    if picture.kind == "raw" and not options.traits.raw:
        raise ShardsError(f"{given.root} has raw pixels, and --format {options.format} has none", "Pass --image png")
    if manifest.layout.channels and options.traits.channels != "inside":
        message = f"{given.root} has channels, and --format {options.format} has none inside its samples"
        raise ShardsError(message, "Use --format wds, tfrecord, parquet or arrayrecord")
    seen = _survey(manifest, picture, zipped, kept=picture == before)
    layout = replace(manifest.layout, raw=picture.kind == "raw", packed=options.metadata == "msgpack")
    source = StoredExport(manifest.format, manifest.layout, manifest.checksum, before)
    side = seen.side if zipped else None
    settings = Settings(options.format, layout, picture, run.checksum, run.on_error, published, side, None, source)
    # As an option it is checked.
    name = replace(options, name=options.name or manifest.name).dataset_name
    recorded = {**_recorded(options, given, picture, decisive), "name": name}
    entries = _by_picture(_entries(given)) if zipped else _entries(given)
    exact = structs.replace(settings, picture=PictureOptions(image="keep")) if picture == before else settings
    sizes = estimate_sizes(entries, exact)
    counts, bounds = cut_splits(entries, sizes, options.shards)
    lists: dict[str, Times] = dict.fromkeys((ANY_SET, name), np.ones(len(entries), np.int16)) if zipped else {}
    seal = [recorded[ORIGIN][part] for part in ("plan", "shards")]
    digest = plan_digest(name, entries, bounds, settings, lists, seal)
    training = entries.take(np.array([split == TRAIN for split in entries.splits])[entries.split])
    pool, weights = TrainingPool(training, np.ones(len(training), bool)), np.ones(len(training))
    # Notes about the pictures are made anew from the new ones.
    kept = (note for note in manifest.notes if note not in {*finished_survey(manifest).notes()})
    mix = Mix(entries, pool, weights, manifest.filtered, (), (), (*kept, *given.notes), poses=given.poses)
    gone = tuple(structs.replace(one, file="") for one in manifest.tombstones)
    return Plan(
        name, settings, recorded, mix, seen, entries, entries.keys(), counts, bounds, sizes, digest, lists, gone
    )


def _survey(manifest: Manifest, picture: PictureOptions, zipped: bool, kept: bool) -> Survey:
    """Return the survey of the new pictures; `kept`: they are the old ones."""
    before, side = finished_survey(manifest), picture.resolution
    if zipped:
        squares = (w for w, h in before.sizes if w == h and not w & (w - 1))
        return Survey({}, {}, 0, side=side or next(squares, 0))
    sizes: Counter[tuple[int, int]] = Counter()
    for (w, h), count in before.sizes.items():
        sizes[(side, side) if side and w == h else (w, h)] += count
    return Survey(before.kinds if kept or picture.kind == "keep" else {}, sizes, before.turned if kept else 0)


_DECIDES = ("format", "metadata", "shard_size", "samples_per_shard", "shards", "checksum", "zip_copies")


def _recorded(
    options: ExportOptions, given: FinishedExport, picture: PictureOptions, decisive: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the recorded options: those of the first export, except where the conversion decides."""
    manifest, groups = given.manifest, (options, options.picture, options.shards, options.run)
    words = ((name, getattr(group, name), one) for group in groups for name, one in declared(group).items())
    return {
        **{name: value for name, value in manifest.options.items() if name not in _DECIDES},
        **{name: decisive[name] for name in _DECIDES if name in decisive},
        "image": picture.kind,
        "resolution": picture.resolution or manifest.options.get("resolution"),
        "quality": picture.quality,
        ORIGIN: {
            "path": given.label,
            "given": {name: value for name, value, one in words if one.decides and value != one.default},
            "plan": manifest.plan,
            "shards": file_digest("".join(f"{one.file} {one.checksum}\n" for one in manifest.shards).encode()),
            "generator": manifest.generator,
            "options": manifest.options,
        },
    }


def _entries(given: FinishedExport) -> Entries:
    """Return the samples as entries of inventories, one a data set, with a row for each sample."""
    manifest, columns = given.manifest, given.columns
    names, splits = tuple(manifest.sources), tuple(manifest.splits)
    source = np.array([names.index(name) for name in columns["dataset"]], np.int16)
    split = np.array([splits.index(name) for name in columns["split"]], np.int8)
    owned = [np.flatnonzero(source == number) for number in range(len(names))]
    inventories = [_inventory(given, name, own) for name, own in zip(names, owned, strict=True)]
    # The first export left these out.
    lost = manifest.skipped
    inventories[0] = replace(inventories[0], problems=lost, problem_credits=(Credit(),) * len(lost))
    row, zeros = np.zeros(len(source), np.int64), np.zeros(len(source), np.float32)
    for own in owned:
        row[own] = np.arange(len(own))
    replica = columns["replica"].astype(np.int16)
    return Entries(inventories, source, row, zeros.astype(bool), replica, split, zeros, zeros, splits)


def _inventory(given: FinishedExport, name: str, rows: NDArray[np.int64]) -> Inventory:
    """Return the samples of one data set; their cameras, landmarks and fields are read with the pictures."""
    shards, count = given.manifest.shards, len(rows)
    columns = {name: column[rows].tolist() for name, column in given.columns.items()}
    files = [(str(given.root / shard.file), shard.checksum) for shard in shards]
    places = zip(columns["shard"], columns["number"], columns["picture_bytes"], strict=True)
    blobs: Structs[Blob] = Structs.of(ShardBlob(*files[int(shard)], *place) for shard, *place in places)
    licenses = zip(columns["license"], columns["license_url"], strict=True)
    nowhere, nothing = np.full(count, -1), np.zeros(count, bool)
    return Inventory(
        source=name,
        alignment=str(given.manifest.options.get("alignment")),
        ids=Texts.of(columns["source_id"]),
        blobs=blobs,
        credits=Structs.of(Credit(license=License(*one)) for one in licenses),
        faces=np.zeros(count, np.int32),
        is_mirror=np.array(columns["mirrored"], bool),
        cameras=np.broadcast_to(0.0, (count, no_cameras().shape[1])),
        has_camera=nothing,
        own_camera=nothing,
        landmarks=np.zeros((0, 68, 2), np.float32),
        landmark_rows=nowhere,
        landmark_sizes=np.zeros((0, 2), np.int32),
        places=nowhere,
        typical_size=next(iter(finished_survey(given.manifest).sizes), (0, 0)),
    )


def _by_picture(entries: Entries) -> Entries:
    """Order entries as the trainers' zip needs them: copies follow their picture's first one, and show its row."""
    firsts: dict[str, int] = {}
    pictures = replace(entries, replica=np.zeros_like(entries.replica)).keys().tolist()
    for at in np.argsort(entries.replica, kind="stable").tolist():
        firsts.setdefault(pictures[at], at)
    first = np.array([firsts[picture] for picture in pictures])
    order = np.lexsort((entries.replica, first, entries.split))
    return replace(entries.take(order), row=entries.row[first[order]])
