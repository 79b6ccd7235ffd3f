"""Plan: the samples of each shard, decided before a byte is written. Pure: the same inputs give the same plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

import blake3
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import Format
from lpff_shards.formats.registry import get_format
from lpff_shards.options.export import Checksum, OnError, PictureOptions
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.mix import Exclusions, Mix, matching, without_problems
from lpff_shards.planning.survey import Survey
from lpff_shards.schemas.columns import Texts
from lpff_shards.schemas.crops import Crops
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.keys import marks, sample_key
from lpff_shards.schemas.license import UNKNOWN_LICENSE
from lpff_shards.schemas.record import OF_MIRROR, Entry, LeftOut, Tombstone
from lpff_shards.sources.inventory import Inventory

DIGEST_RULE = 2
"""The rule of a plan's digest, see `planning.build.plan_digest`; rule 1 also hashed the recorded options."""
Times = NDArray[np.int16]
"""How often a zip's list contains the name of each entry, int16 [n]."""


class StoredExport(Struct, frozen=True):
    """How the samples of an export that is converted are stored: `picture` is how its pictures were encoded."""

    format: str
    layout: Layout
    checksum: Checksum
    picture: PictureOptions


class Settings(Struct, frozen=True):
    """How the samples of all tasks are written.

    Attributes:
        published: published names of the user's folders, see `exporters.record_options.redact_paths`.
        side: side of every picture in pixels, if the format requires one size; 0 if no picture has a valid one.
        crops: of the pictures; None if they are not cropped.
        source: the export whose samples are converted; None if they come from data sets.
    """

    format: str
    layout: Layout
    picture: PictureOptions
    checksum: Checksum
    on_error: OnError
    published: tuple[tuple[str, str], ...] = ()
    side: int | None = None
    crops: Crops | None = None
    source: StoredExport | None = None


class ShardTask(Struct, frozen=True):
    """One shard to write, picklable and self-contained; `planned` are its estimated bytes."""

    filename: str
    digest: str
    settings: Settings
    entries: tuple[Entry, ...]
    planned: int = 0

    def stamp(self) -> str:
        """Return a digest that changes with the source files' times, or CRC-32s in a zip; the plan's does not."""
        files = (blob for entry in self.entries for blob in entry.record.files())
        stamps = ",".join(str(blob.stamp) for blob in files)
        return blake3.blake3(stamps.encode()).hexdigest(length=16)


@dataclass(frozen=True, slots=True)
class Output:
    """A file of the finished data set: its name, its split, and the tasks that write it or its parts."""

    file: str
    split: str
    tasks: range


@dataclass(frozen=True, eq=False)
class Plan:
    """A data set to write, in columns.

    Attributes:
        options: the user's options, as the manifest records them.
        mix: the pictures that the entries were drawn from, and those left out; seen: their survey.
        entries: in written order, split by split; `keys` their keys.
        shards: number of shards of each non-empty split, in order.
        bounds: int64 [shards + 1]: shard i contains entries bounds[i] to bounds[i + 1].
        sizes: int64 [n], bytes of each sample, estimated if pictures are re-encoded.
        digest: digest of everything that determines bytes (hex), as first planned.
        lists: lists of names in a zip, the data set's own first: how often each contains the name of each entry.
        tombstones: samples removed since; entries, keys, bounds and sizes exclude them.
    """

    name: str
    settings: Settings
    options: Mapping[str, object]
    mix: Mix
    seen: Survey
    entries: Entries
    keys: Texts
    shards: Mapping[str, int]
    bounds: NDArray[np.int64]
    sizes: NDArray[np.int64]
    digest: str
    lists: Mapping[str, Times] = field(default_factory=dict)
    tombstones: tuple[Tombstone, ...] = ()

    def __len__(self) -> int:
        """Return the number of tasks: shards, or parts of zips."""
        return len(self.bounds) - 1

    @property
    def format(self) -> Format:
        return get_format(self.settings.format)

    @property
    def samples(self) -> int:
        return len(self.keys)

    @cached_property
    def filenames(self) -> tuple[str, ...]:
        """The names of the tasks' files, numbered from 0 in each split."""
        return tuple(
            self.format.filename(f"{self.name}-{split}", number, count)
            for split, count in self.shards.items()
            for number in range(count)
        )

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The files of the finished data set: one per task, or one zip per split."""
        ends = accumulate(self.shards.values())
        tasks = {split: range(end - count, end) for (split, count), end in zip(self.shards.items(), ends, strict=True)}
        if self.format.joining is None:
            return tuple(Output(self.filenames[i], split, range(i, i + 1)) for split, own in tasks.items() for i in own)
        return tuple(Output(f"{self.name}-{split}{self.format.glob}", split, own) for split, own in tasks.items())

    def rows(self, tasks: range) -> range:
        """Return the entries of consecutive tasks."""
        return range(int(self.bounds[tasks.start]), int(self.bounds[tasks.stop]))

    def planned_bytes(self, tasks: range) -> int:
        """Return the planned bytes of consecutive tasks."""
        rows = self.rows(tasks)
        return int(self.sizes[rows.start : rows.stop].sum())

    def task(self, index: int) -> ShardTask:
        """Return the task of one shard."""
        own = range(index, index + 1)
        rows, digest = self.rows(own), self.shard_digest(index)
        entries = tuple(self.entries.some(rows, self.keys[rows.start : rows.stop]))
        return ShardTask(self.filenames[index], digest, self.settings, entries, self.planned_bytes(own))

    def shard_digest(self, index: int) -> str:
        """Return a digest for a task's file: the plan's, combined with samples removed from its output since."""
        gone = self._gone.get(self.outputs[self._output_of[index]].file)
        return blake3.blake3("\n".join([self.digest, *gone]).encode()).hexdigest() if gone else self.digest

    @cached_property
    def _output_of(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.outputs)), [len(output.tasks) for output in self.outputs])

    @cached_property
    def _gone(self) -> dict[str, list[str]]:
        gone: dict[str, list[str]] = {}
        for tombstone in self.tombstones:
            gone.setdefault(tombstone.file, []).append(tombstone.key)
        return gone

    def tasks(self, indices: Sequence[int] | None = None) -> Tasks:
        """Return the tasks of some or all shards, made on access."""
        return Tasks(self, range(len(self)) if indices is None else indices)

    @property
    def inventories(self) -> Sequence[Inventory]:
        return self.entries.inventories

    @property
    def problems(self) -> tuple[LeftOut, ...]:
        """Pictures left out before planning, with their reasons."""
        return tuple(problem for inventory in self.inventories for problem in inventory.problems)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user before anything is written."""
        return (*self.set_notes, *self.seen.notes())

    @property
    def set_notes(self) -> tuple[str, ...]:
        """Notes for the user about the sources and the mix."""
        notes = [note for inventory in self.inventories for note in inventory.notes]
        notes += self.mix.notes
        if self.format.for_trainers:
            own, times = next(iter(self.lists.items()))
            if (names := int(times.sum())) > self.samples:
                notes.append(
                    f"--zip-copies list: trainers that read files count {self.samples:,} pictures; {own}.json, which "
                    f"LPFF's forks alone read, names {names:,}"
                )
            if self.options.get("as") == "weights":
                notes.append("--as weights: the weights are in samples.jsonl of the zip, which no trainer reads")
        return tuple(notes)

    def without(self, lost: set[str]) -> Plan:
        """Return the plan without some samples, for counting the written ones."""
        return self._keeping(np.array([key not in lost for key in self.keys], bool))

    def _keeping(self, kept: NDArray[np.bool_]) -> Plan:
        lists = {name: times[kept] for name, times in self.lists.items()}
        return replace(self, entries=self.entries.take(kept), keys=self.keys.take(np.flatnonzero(kept)), lists=lists)

    def taken_out(self, excluded: Exclusions, withdrawn: tuple[str, ...]) -> Plan:
        """Return the same shards without excluded samples, which become tombstones, and without excluded problems.

        Args:
            withdrawn: names in addition to the exclusions of the plan.

        Raises:
            ShardsError: a split would be left without samples.
        """
        gone = self.entries.gather([matching(inventory, excluded.reason) for inventory in self.inventories])
        tasks = np.repeat(np.arange(len(self)), np.diff(self.bounds))
        outputs = self._output_of[tasks]
        left = np.bincount(outputs[~gone], minlength=len(self.outputs)).tolist()
        held = {output.split for output, samples in zip(self.outputs, left, strict=True) if samples}
        emptied = [output for output, samples in zip(self.outputs, left, strict=True) if not samples]
        if lost := [output for output in emptied if output.split not in held]:
            raise ShardsError(
                f"--update would leave nothing in {lost[0].file}, nor anywhere in the split {lost[0].split}",
                "Delete the folder, or export other pictures with --overwrite in place of --update",
            )
        tombstones = []
        for row in np.flatnonzero(gone).tolist():
            inventory, picture = self.inventories[self.entries.source[row]], int(self.entries.row[row])
            names = marks(inventory.source, inventory.ids[picture], inventory.credits[picture])
            tombstones.append(Tombstone(self.keys[row], self.outputs[outputs[row]].file, names))
        usable = []
        for inventory in self.inventories:
            cleared, problems = without_problems(inventory, excluded.reason)
            usable.append(cleared)
            for problem, credit in problems:
                id = problem.id.removesuffix(OF_MIRROR)
                key = sample_key(inventory.source, id, mirrored=id != problem.id, replica=0)
                tombstones.append(Tombstone(key, "", marks(inventory.source, id, credit)))
        why = "holds no sample any more; NVIDIA DALI refuses such a shard: name the others to it"
        notes = (*self.mix.notes, *(f"{output.file} {why}" for output in emptied))
        kept = self._keeping(~gone)
        return replace(
            kept,
            mix=replace(self.mix, withdrawn=withdrawn, unused=excluded.unused, notes=notes),
            entries=replace(kept.entries, inventories=usable),
            bounds=np.append(0, np.cumsum(np.bincount(tasks[~gone], minlength=len(self)))),
            sizes=self.sizes[~gone],
            tombstones=tuple(tombstones),
        )

    def by_source(self) -> dict[str, int]:
        """Count planned samples by source."""
        counts = np.bincount(self.entries.source, minlength=len(self.inventories))
        return {i.source: int(n) for i, n in zip(self.inventories, counts, strict=True)}

    def by_split(self) -> dict[str, int]:
        """Count planned samples by split."""
        counts = np.bincount(self.entries.split, minlength=len(self.entries.splits))
        return {name: int(n) for name, n in zip(self.entries.splits, counts, strict=True) if n}

    def by_license(self) -> dict[str, int]:
        """Count planned samples by license, most first; unknown ones under `unknown`."""
        counts: Counter[str] = Counter()
        for number, inventory in enumerate(self.inventories):
            licenses = inventory.licenses()
            found = np.bincount(licenses.codes[self.entries.row[self.entries.source == number]])
            for license, count in zip(licenses.values, found.tolist(), strict=False):
                counts[license.short or UNKNOWN_LICENSE] += count
        return dict(sorted((+counts).items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, eq=False)
class Tasks(Sequence[ShardTask]):
    """Tasks of a plan, each made on access, so that those of a million samples never exist all at once."""

    plan: Plan
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> ShardTask:  # type: ignore[override]  # executors take no slices
        return self.plan.task(self.indices[number])
