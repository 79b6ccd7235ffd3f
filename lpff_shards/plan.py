"""Plan: what is in which shard, decided before a byte is written. Pure: the same inputs give the same plan."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import blake3
import msgspec
import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.mixing.entries import Entries
from lpff_shards.options import Checksum, FormatName, OnError, PictureOptions, ShardOptions
from lpff_shards.schemas.fields import SCHEMA_VERSION, Layout
from lpff_shards.schemas.left_out import LeftOut
from lpff_shards.schemas.record import Entry
from lpff_shards.sharding import cut, filename, shuffled
from lpff_shards.sizes import sample_bytes
from lpff_shards.sources.inventory import Inventory

SPLIT = "train"
UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a task's samples are written; the same for all tasks of a plan."""

    format: FormatName
    split: str
    layout: Layout
    picture: PictureOptions
    checksum: Checksum
    on_error: OnError


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard to write, picklable and self-contained: a process or another machine runs it with nothing else."""

    index: int
    filename: str
    digest: str
    settings: Settings
    entries: tuple[Entry, ...]

    def stamp(self) -> str:
        """A digest of what tells that the task's source files have changed: their times, or CRC-32s in a zip.

        Not a part of the plan's digest, since a copy of the same sources makes the same shards.
        """
        stamps = ",".join(str(entry.record.blob.stamp) for entry in self.entries)
        return blake3.blake3(stamps.encode()).hexdigest(length=16)


@dataclass(frozen=True, eq=False)
class Plan:
    """All that will be written, in columns; tasks are made one at a time, so that a plan of a million stays small.

    Attributes:
        options: what the user asked for, as the manifest records it.
        entries: in the order in which they are written; `keys` their keys.
        bounds: int64 [shards + 1]: shard i holds entries bounds[i] to bounds[i + 1].
        sizes: int64 [n], bytes that each sample will take, an estimate where pictures are re-encoded.
        digest: of all that decides bytes (hex).
    """

    name: str
    settings: Settings
    options: Mapping[str, object]
    entries: Entries
    keys: Sequence[str]
    bounds: NDArray[np.int64]
    sizes: NDArray[np.int64]
    digest: str

    def __len__(self) -> int:
        """Number of shards."""
        return len(self.bounds) - 1

    @property
    def samples(self) -> int:
        """Number of planned samples."""
        return len(self.keys)

    @cached_property
    def filenames(self) -> tuple[str, ...]:
        """The shards' names, dense from 0."""
        count = len(self)
        return tuple(filename(self.settings.format, self.name, self.settings.split, i, count) for i in range(count))

    def task(self, index: int) -> ShardTask:
        """The task of one shard."""
        rows = range(int(self.bounds[index]), int(self.bounds[index + 1]))
        entries = tuple(self.entries.entry(row, self.keys[row]) for row in rows)
        return ShardTask(index, self.filenames[index], self.digest, self.settings, entries)

    def tasks(self) -> Iterator[ShardTask]:
        """All tasks, made as they are asked for."""
        return map(self.task, range(len(self)))

    @property
    def inventories(self) -> Sequence[Inventory]:
        """What the plan was made from."""
        return self.entries.inventories

    @property
    def problems(self) -> tuple[LeftOut, ...]:
        """Pictures left out before planning, with their reasons."""
        return tuple(problem for inventory in self.inventories for problem in inventory.problems)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the sources."""
        notes = [note for inventory in self.inventories for note in inventory.notes]
        return (*notes, *self._kinds())

    def _kinds(self) -> Iterator[str]:
        """Pictures of several kinds give samples of several members, which not every reader takes."""
        if self.settings.picture.image != "keep":
            return
        kinds: Counter[str] = Counter()
        for inventory in self.inventories:
            kinds.update(posixpath.splitext(blob.where)[1].lower() or ".png" for blob in inventory.blobs)
        if len(kinds) > 1:
            told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
            yield f"the pictures are of several kinds ({told}) and kept so; --image png makes them alike"

    def without(self, lost: set[str]) -> Plan:
        """The same plan less some samples, for counting what was written."""
        kept = np.array([i for i, key in enumerate(self.keys) if key not in lost], np.int64)
        return replace(self, entries=self.entries.take(kept), keys=[self.keys[i] for i in kept])

    def by_source(self) -> dict[str, int]:
        """Planned samples by source."""
        counts = np.bincount(self.entries.source, minlength=len(self.inventories))
        return {i.source: int(n) for i, n in zip(self.inventories, counts, strict=True)}

    def by_licence(self) -> dict[str, int]:
        """Planned samples by licence, most first; unknown ones under `unknown`."""
        counts: Counter[str] = Counter()
        for source, row in zip(self.entries.source.tolist(), self.entries.row.tolist(), strict=True):
            counts[self.inventories[source].credits[row].licence.short or UNKNOWN_LICENCE] += 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def make_plan(
    name: str, entries: Entries, settings: Settings, shards: ShardOptions, options: Mapping[str, object]
) -> Plan:
    """Orders the entries, cuts them into shards and seals the whole with a digest.

    Raises:
        BadInput: under `fail`, a picture cannot be used.
        ShardsError: there is nothing to write, two samples share a key, or there are fewer samples than shards.
    """
    _refuse_problems(entries.inventories, settings.on_error)
    keys = entries.keys()
    _refuse_twins(entries, keys)
    if shards.shuffle:
        order = shuffled(keys, shards.seed or 0)
        entries, keys = entries.take(order), [keys[i] for i in order]
    sizes = _sizes(entries, settings)
    bounds = cut(len(keys), int(sizes.sum()), shards)
    digest = _digest(entries, bounds, options, settings)
    return Plan(name, settings, options, entries, keys, bounds, sizes, digest)


def layout(inventories: Sequence[Inventory], picture: PictureOptions, packed: bool) -> Layout:
    """What every sample holds: a camera or landmarks as soon as one picture has them, so that all are alike."""
    return Layout(
        raw=picture.image == "raw",
        camera=any(bool(i.has_camera.any()) for i in inventories),
        landmarks=any(len(i.landmarks) > 0 for i in inventories),
        packed=packed,
    )


def _refuse_problems(inventories: Sequence[Inventory], on_error: OnError) -> None:
    problems = [problem for inventory in inventories for problem in inventory.problems]
    if problems and on_error == "fail":
        first = problems[0]
        raise BadInput(first.file, first.id, first.reason, len(problems) - 1)
    if not any(len(inventory) for inventory in inventories):
        why = f": all {len(problems)} pictures were left out, such as {problems[0].id}: {problems[0].reason}"
        raise ShardsError(f"there is nothing to write{why if problems else ''}", "Check the sources and their cameras")


def _refuse_twins(entries: Entries, keys: Sequence[str]) -> None:
    if len(set(keys)) == len(keys):
        return
    twin, times = Counter(keys).most_common(1)[0]
    rows = [i for i, key in enumerate(keys) if key == twin]
    records = [entries.entry(i, twin).record for i in rows]
    told = ", ".join(f"{record.blob.where} ({record.id})" for record in records)
    raise ShardsError(f"{times} pictures get the key {twin}: {told}", "Rename one of them in its source")


def _sizes(entries: Entries, settings: Settings) -> NDArray[np.int64]:
    sizes = np.zeros(len(entries), np.int64)
    for number, inventory in enumerate(entries.inventories):
        here = entries.source == number
        files = np.array([blob.size for blob in inventory.blobs], np.int64)
        sizes[here] = sample_bytes(
            files[entries.row[here]], inventory.typical_size, settings.format, settings.layout, settings.picture
        )
    return sizes


def _digest(entries: Entries, bounds: NDArray[np.int64], options: Mapping[str, object], settings: Settings) -> str:
    """BLAKE3 over the options, every column of the inventories, and which entry is where."""
    seal = blake3.blake3()
    encode = msgspec.json.Encoder(order="deterministic").encode
    # What is skipped shows in the entries; `on_error` itself decides nothing.
    seal.update(encode([SCHEMA_VERSION, dict(options), settings.layout, settings.split]))
    for inventory in entries.inventories:
        seal.update(encode([inventory.source, inventory.alignment, inventory.ids]))
        for credit in inventory.credits:
            seal.update(encode(credit))
        sizes = np.array([blob.size for blob in inventory.blobs], "<i8")
        columns = (sizes, inventory.faces, inventory.is_mirror, inventory.cameras, inventory.has_camera)
        for column in (*columns, inventory.landmarks, inventory.landmark_rows):
            seal.update(np.ascontiguousarray(column).tobytes())
    for part in (entries.source, entries.row, entries.flip, entries.replica, bounds):
        seal.update(part.tobytes())
    return seal.hexdigest()
