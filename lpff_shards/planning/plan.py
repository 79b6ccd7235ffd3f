"""Plan: what is in which shard, decided before a byte is written. Pure: the same inputs give the same plan."""

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
from lpff_shards.schemas.columns.texts import Texts
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.keys import marks
from lpff_shards.schemas.left_out import LeftOut, Tombstone
from lpff_shards.schemas.license import UNKNOWN_LICENSE
from lpff_shards.schemas.record import Entry
from lpff_shards.sources.inventory import Inventory

DIGEST_RULE = 2
"""The rule that a plan's digest follows, see `planning.build._digest`; 1 sealed the recorded options too."""


class Settings(Struct, frozen=True):
    """How a task's samples are written; the same for all tasks of a plan.

    Attributes:
        published: what the user's folders are called in what is written, see `exporters.record_options.published`.
        side: of every picture in pixels, where the format takes one size only; 0 where none has one that it takes.
    """

    format: str
    layout: Layout
    picture: PictureOptions
    checksum: Checksum
    on_error: OnError
    published: tuple[tuple[str, str], ...] = ()
    side: int | None = None


class ShardTask(Struct, frozen=True):
    """One shard to write, picklable and self-contained: a process or another machine runs it with nothing else.

    Attributes:
        planned: bytes that it will about have.
    """

    index: int
    filename: str
    digest: str
    settings: Settings
    entries: tuple[Entry, ...]
    planned: int = 0

    def stamp(self) -> str:
        """A digest of what tells that the task's source files have changed: their times, or CRC-32s in a zip.

        Not a part of the plan's digest, since a copy of the same sources makes the same shards.
        """
        stamps = ",".join(str(entry.record.blob.stamp) for entry in self.entries)
        return blake3.blake3(stamps.encode()).hexdigest(length=16)


class Part(Struct, frozen=True):
    """A split's share of a plan: its name and number of shards, which follow those of the split before."""

    split: str
    shards: int


@dataclass(frozen=True, slots=True)
class Output:
    """A file of the finished data set: its name, its split, and the tasks whose files it is, or is made of."""

    file: str
    split: str
    tasks: range


@dataclass(frozen=True, eq=False)
class Plan:
    """All that will be written, in columns; tasks are made one at a time, so that a plan of a million stays small.

    Attributes:
        options: what the user asked for, as the manifest records it.
        mix: what the entries were drawn from, and what was left out of it.
        seen: what its pictures are like.
        entries: in the order in which they are written, split by split; `keys` their keys.
        parts: the splits that hold samples, in order.
        bounds: int64 [shards + 1]: shard i holds entries bounds[i] to bounds[i + 1].
        sizes: int64 [n], bytes that each sample will take, an estimate where pictures are re-encoded.
        digest: of all that decides bytes (hex), as first planned.
        lists: that a zip holds, the data set's own first.
        tombstones: what was taken out since; entries, keys, bounds and sizes are without it.
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
        """Number of tasks: of shards, or of the parts of zips."""
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
        """The names of the tasks' files, in each split dense from 0."""
        return tuple(
            self.format.filename(f"{self.name}-{part.split}", i, part.shards)
            for part in self.parts
            for i in range(part.shards)
        )

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The files of the finished data set: a task's own each, or a zip a split."""
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
        """The entries of tasks that follow one another."""
        return range(int(self.bounds[tasks.start]), int(self.bounds[tasks.stop]))

    def task(self, index: int) -> ShardTask:
        """The task of one shard."""
        rows = self.rows(range(index, index + 1))
        entries = tuple(self.entries.some(rows, self.keys[rows.start : rows.stop]))
        planned = int(self.sizes[rows.start : rows.stop].sum())
        return ShardTask(index, self.filenames[index], self.shard_digest(index), self.settings, entries, planned)

    def shard_digest(self, index: int) -> str:
        """What decides the bytes of a task's file: the plan's digest, and what was taken out of its output since."""
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
        """The tasks of some shards, or of all, made as they are asked for."""
        return Tasks(self, range(len(self)) if indices is None else indices)

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
        """What the user should know before anything is written."""
        return (*self.set_notes, *self.seen.notes())

    @property
    def set_notes(self) -> tuple[str, ...]:
        """What the user should know of the sources and the mix."""
        notes = [note for inventory in self.inventories for note in inventory.notes]
        return (*notes, *self.mix.notes, *self._lists())

    def _lists(self) -> Iterator[str]:
        """What trainers do not read of a zip."""
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
        """The same plan less some samples, for counting what was written."""
        kept = np.array([i for i, key in enumerate(self.keys) if key not in lost], np.int64)
        lists = tuple(one.take(kept) for one in self.lists)
        return replace(self, entries=self.entries.take(kept), keys=self.keys.take(kept), lists=lists)

    def taken_out(self, gone: NDArray[np.bool_], withdrawn: tuple[str, ...], unused: tuple[str, ...]) -> Plan:
        """The same shards less some samples, which become tombstones.

        Args:
            gone: bool [n], which samples.
            withdrawn: what names them, beside the exclusions.
            unused: names of both that name none.

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
        """Digests of all that the picture of an entry is called."""
        inventory, row = self.inventories[self.entries.source[entry]], int(self.entries.row[entry])
        return marks(inventory.source, inventory.ids[row], inventory.credits[row])

    def by_source(self) -> dict[str, int]:
        """Planned samples by source."""
        counts = np.bincount(self.entries.source, minlength=len(self.inventories))
        return {i.source: int(n) for i, n in zip(self.inventories, counts, strict=True)}

    def by_split(self) -> dict[str, int]:
        """Planned samples by split."""
        counts = np.bincount(self.entries.split, minlength=len(self.entries.splits))
        return {name: int(n) for name, n in zip(self.entries.splits, counts, strict=True) if n}

    def by_license(self) -> dict[str, int]:
        """Planned samples by license, most first; unknown ones under `unknown`."""
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
    """Tasks of a plan, each made when it is asked for, so that those of a million samples never exist all at once."""

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
