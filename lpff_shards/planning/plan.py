"""Plan: the samples of each shard, decided before a byte is written. Pure: the same inputs give the same plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import blake3
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.base import Format
from lpff_shards.formats.registry import get_format
from lpff_shards.options.export import Checksum, OnError, PictureOptions
from lpff_shards.planning.entries import Entries
from lpff_shards.planning.mix import Mix, NameList
from lpff_shards.planning.survey import Survey
from lpff_shards.schemas.columns import Texts
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.keys import marks
from lpff_shards.schemas.left_out import LeftOut, Tombstone
from lpff_shards.schemas.license import UNKNOWN_LICENSE
from lpff_shards.schemas.record import Entry
from lpff_shards.sources.inventory import Inventory

DIGEST_RULE = 2
"""The rule of a plan's digest, see `planning.build._digest`; rule 1 also hashed the recorded options."""


class Settings(Struct, frozen=True):
    """How a task's samples are written; the same for all tasks of a plan.

    Attributes:
        published: published names of the user's folders, see `exporters.record_options.redact_paths`.
        side: side of every picture in pixels, if the format requires one size; 0 if no picture has a valid one.
    """

    format: str
    layout: Layout
    picture: PictureOptions
    checksum: Checksum
    on_error: OnError
    published: tuple[tuple[str, str], ...] = ()
    side: int | None = None


class ShardTask(Struct, frozen=True):
    """One shard to write, picklable and self-contained for a process or another machine.

    Attributes:
        planned: estimated bytes.
    """

    index: int
    filename: str
    digest: str
    settings: Settings
    entries: tuple[Entry, ...]
    planned: int = 0

    def stamp(self) -> str:
        """Return a digest that changes with the source files: of their times, or CRC-32s in a zip.

        It is not part of the plan's digest, since a copy of the same sources makes the same shards.
        """
        stamps = ",".join(str(entry.record.blob.stamp) for entry in self.entries)
        return blake3.blake3(stamps.encode()).hexdigest(length=16)


class Part(Struct, frozen=True):
    """A split of a plan: its name and number of shards, which follow those of the previous split."""

    split: str
    shards: int


@dataclass(frozen=True, slots=True)
class Output:
    """A file of the finished data set: its name, its split, and the tasks that write it or its parts."""

    file: str
    split: str
    tasks: range


@dataclass(frozen=True, eq=False)
class Plan:
    """A data set to write, in columns; tasks are made one at a time, so a plan of a million samples stays small.

    Attributes:
        options: the user's options, as the manifest records them.
        mix: the pictures that the entries were drawn from, and those left out.
        seen: survey of the pictures.
        entries: in written order, split by split; `keys` their keys.
        parts: the non-empty splits, in order.
        bounds: int64 [shards + 1]: shard i contains entries bounds[i] to bounds[i + 1].
        sizes: int64 [n], bytes of each sample, estimated if pictures are re-encoded.
        digest: digest of everything that determines bytes (hex), as first planned.
        lists: lists of a zip, the data set's own first.
        tombstones: samples removed since; entries, keys, bounds and sizes exclude them.
    """

    name: str
    settings: Settings
    options: Mapping[str, object]
    mix: Mix
    seen: Survey
    entries: Entries
    keys: Texts
    parts: tuple[Part, ...]
    bounds: NDArray[np.int64]
    sizes: NDArray[np.int64]
    digest: str
    lists: tuple[NameList, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()

    def __len__(self) -> int:
        """Return the number of tasks: shards, or parts of zips."""
        return len(self.bounds) - 1

    @property
    def format(self) -> Format:
        """The format of its files."""
        return get_format(self.settings.format)

    @property
    def samples(self) -> int:
        """Number of planned samples."""
        return len(self.keys)

    @cached_property
    def filenames(self) -> tuple[str, ...]:
        """The names of the tasks' files, numbered from 0 in each split."""
        return tuple(
            self.format.filename(f"{self.name}-{part.split}", i, part.shards)
            for part in self.parts
            for i in range(part.shards)
        )

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The files of the finished data set: one per task, or one zip per split."""
        splits = [part.split for part in self.parts for _ in range(part.shards)]
        if self.format.joining is None:
            files = zip(self.filenames, splits, strict=True)
            return tuple(Output(file, split, range(i, i + 1)) for i, (file, split) in enumerate(files))
        ends = np.cumsum([part.shards for part in self.parts]).tolist()
        return tuple(
            Output(f"{self.name}-{part.split}{self.format.glob}", part.split, range(end - part.shards, end))
            for part, end in zip(self.parts, ends, strict=True)
        )

    def rows(self, tasks: range) -> range:
        """Return the entries of consecutive tasks."""
        return range(int(self.bounds[tasks.start]), int(self.bounds[tasks.stop]))

    def task(self, index: int) -> ShardTask:
        """Return the task of one shard."""
        rows = self.rows(range(index, index + 1))
        entries = tuple(self.entries.some(rows, self.keys[rows.start : rows.stop]))
        planned = int(self.sizes[rows.start : rows.stop].sum())
        return ShardTask(index, self.filenames[index], self.shard_digest(index), self.settings, entries, planned)

    def shard_digest(self, index: int) -> str:
        """Return a digest for a task's file: the plan's, combined with samples removed from its output since."""
        gone = self._gone.get(self.outputs[self._output_of[index]].file)
        return blake3.blake3("\n".join([self.digest, *gone]).encode()).hexdigest() if gone else self.digest

    @cached_property
    def _output_of(self) -> NDArray[np.int64]:
        """The output of each task, int64 [tasks]."""
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
        """The inventories that the plan was made from."""
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
        return (*notes, *self.mix.notes, *self._lists())

    def _lists(self) -> Iterator[str]:
        """Yield notes on contents of a zip that trainers do not read."""
        if not self.format.for_trainers:
            return
        own = self.lists[0]
        if (names := int(own.times.sum())) > self.samples:
            yield (
                f"--zip-copies list: trainers that read files count {self.samples:,} pictures; {own.name}.json, which "
                f"LPFF's forks alone read, names {names:,}"
            )
        if self.options.get("as") == "weights":
            yield "--as weights: the weights are in samples.jsonl of the zip, which no trainer reads"

    def without(self, lost: set[str]) -> Plan:
        """Return the plan without some samples, for counting the written ones."""
        kept = np.array([i for i, key in enumerate(self.keys) if key not in lost], np.int64)
        lists = tuple(one.take(kept) for one in self.lists)
        return replace(self, entries=self.entries.take(kept), keys=self.keys.take(kept), lists=lists)

    def taken_out(self, gone: NDArray[np.bool_], withdrawn: tuple[str, ...], unused: tuple[str, ...]) -> Plan:
        """Return the same shards without some samples, which become tombstones.

        Args:
            gone: bool [n], samples to remove.
            withdrawn: their names, in addition to the exclusions.
            unused: names of both that match no picture.

        Raises:
            ShardsError: a split would be left without samples.
        """
        tasks = np.repeat(np.arange(len(self)), np.diff(self.bounds))
        left = np.bincount(tasks[~gone], minlength=len(self))
        outputs = self._output_of[tasks]
        files = [output.file for output in self.outputs]
        whole = np.bincount(outputs[~gone], minlength=len(files))
        held = {output.split for output, samples in zip(self.outputs, whole.tolist(), strict=True) if samples}
        if lost := [output for output in self.outputs if output.split not in held]:
            raise ShardsError(
                f"--update would leave nothing in {lost[0].file}, nor anywhere in the split {lost[0].split}",
                "Delete the folder, or export other pictures with --overwrite in place of --update",
            )
        emptied = [
            f"{file} holds no sample any more; NVIDIA DALI refuses such a shard: name the others to it"
            for file, samples in zip(files, whole.tolist(), strict=True)
            if not samples
        ]
        kept = np.flatnonzero(~gone)
        rows = np.flatnonzero(gone).tolist()
        return replace(
            self,
            mix=replace(self.mix, withdrawn=withdrawn, unused=unused, notes=(*self.mix.notes, *emptied)),
            entries=self.entries.take(kept),
            keys=self.keys.take(kept),
            bounds=np.concatenate([[0], np.cumsum(left)]).astype(np.int64),
            sizes=self.sizes[kept],
            lists=tuple(one.take(kept) for one in self.lists),
            tombstones=tuple(Tombstone(self.keys[i], files[int(outputs[i])], self._marks(i)) for i in rows),
        )

    def _marks(self, entry: int) -> tuple[str, ...]:
        """Return digests of all names of an entry's picture."""
        inventory, row = self.inventories[self.entries.source[entry]], int(self.entries.row[entry])
        return marks(inventory.source, inventory.ids[row], inventory.credits[row])

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
            rows = self.entries.row[self.entries.source == number]
            licenses = inventory.licenses()
            found = np.bincount(licenses.codes[rows], minlength=len(licenses.values)).tolist()
            for license, count in zip(licenses.values, found, strict=True):
                counts.update({license.short or UNKNOWN_LICENSE: count} if count else {})
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, eq=False)
class Tasks(Sequence[ShardTask]):
    """Tasks of a plan, each made on access, so that those of a million samples never exist all at once."""

    plan: Plan
    indices: Sequence[int]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, number: int) -> ShardTask: ...

    @overload
    def __getitem__(self, number: slice) -> Tasks: ...

    def __getitem__(self, number: int | slice) -> ShardTask | Tasks:
        chosen = self.indices[number]
        return self.plan.task(chosen) if isinstance(chosen, int) else Tasks(self.plan, chosen)
