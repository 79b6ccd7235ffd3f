"""Small exports in every situation that a fault can meet, and what must hold after it."""

from __future__ import annotations

import copy
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dataset_factories import write_lpff, zip_folder
from disturbed import Disturbed, Ended, Fault
from running import ENDURANCE, contents

from lpff_shards.verify import verify_export

TWICE, MARGIN = 2, 4
FORMATS = ("wds", "tfrecord", "zip")
STATE = ".lpff-shards"
IDS = ("1@N01_500_01", "1@N01_500_02", "2@N02_501_01", "3@N03_502_01")
WITHDRAWN = "3@N03_502_01"
SMALL_PARTS = "import lpff_shards.planning.build as s; s.DEFAULT_SHARD_SIZE = 2000\n"
Command = tuple[object, ...]


@dataclass(frozen=True)
class Situation:
    """A command on a folder, and how it comes to that.

    Attributes:
        words: the disturbed command without --out.
        before: commands that have run there.
        lost: patterns of files that have been lost since.
        after: what others do once it has ended, and only then is the export whole.
        zipped: the source is a zip.
    """

    name: str
    format: str
    words: Command
    before: tuple[Command, ...] = ()
    lost: tuple[str, ...] = ()
    after: tuple[Command, ...] = ()
    zipped: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.format}"


def _situations() -> Iterator[Situation]:
    for format in FORMATS:
        # A zip is made of parts.
        shards = () if format == "zip" else ("--shards", 2)
        plain = ("export", "--format", format, "--workers", 1, *shards)
        lost = ("*.zip" if format == "zip" else "*0001*", "manifest.json")
        exclude = ("--exclude", "withdrawn.txt", "--update")
        yield Situation("fresh", format, plain)
        yield Situation("resumed", format, plain, before=(plain,), lost=lost)
        yield Situation("update", format, (*plain, *exclude), before=(plain,))
        yield Situation("overwrite", format, (*plain, "--overwrite", "--no-mirror"), before=(plain,))
        first, second = ((*plain, "--task", f"{n}/2") for n in (1, 2))
        yield Situation("first-share", format, first, after=(second,))
        yield Situation("last-share", format, second, before=(first,))
    yield Situation("zipped", "wds", ("export", "--format", "wds", "--workers", 1, "--shards", 2), zipped=True)
    yield Situation("zipped", "zip", ("export", "--format", "zip", "--workers", 1), zipped=True)
    yield Situation(
        "index", "wds", ("index",), before=(("export", "--format", "wds", "--workers", 1, "--shards", 2),),
        lost=("*.idx", "samples.sqlite", "ATTRIBUTION.*", "*.wids.json", ".nv-meta/*"),
    )  # fmt: skip


SITUATIONS = tuple(_situations())


def some(count: int, name: str) -> list[int]:
    """Which of so many things are tried, at least one, the same for the same name."""
    return sorted(random.Random(name).sample(range(count), max(1, round(count * ENDURANCE))))


@dataclass
class Trials:
    """A situation's trials, in folders of their own.

    Attributes:
        start: the folder as the command finds it; missing for a fresh export.
        whole: what is there when nothing disturbs it.
    """

    disturbed: Disturbed
    situation: Situation
    folder: Path
    whole: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source = write_lpff(self.folder / "lpff", IDS, ["eg3d"])
        if self.situation.zipped:
            folder, self.source = self.source, self.folder / "lpff.zip"
            zip_folder(folder, self.source)
        self.folder.joinpath("withdrawn.txt").write_text(f"{WITHDRAWN}\n")
        self.start, self.out = self.folder / "start", self.folder / "out"
        for words in self.situation.before:
            self._plain(words, self.start)
        for path in {path for pattern in self.situation.lost for path in self.start.glob(pattern)}:
            path.unlink()
        self.reset()
        self.finish()
        self.whole = contents(self.out)
        self.reset()
        ended = self.disturbed.run(
            self.command(self.situation.words, self.out), self.out, self.source, more=SMALL_PARTS
        )
        assert ended.status == 0, ended.err
        self.calls = ended.calls

    def moved(self, out: Path) -> Trials:
        """The same trials with the folder at another place."""
        moved = copy.copy(self)
        moved.out = out
        return moved

    def command(self, words: Command, out: Path) -> Command:
        """A command with its paths."""
        if words == ("index",):
            return "index", out
        named = tuple(self.folder / word if word == "withdrawn.txt" else word for word in words)
        return *named, "-q", "--lpff", self.source, "--out", out

    def count(self, fault: Fault) -> int:
        """How many calls can suffer a fault when nothing else happens."""
        return sum(fault.suits(call.flags) for call in self.calls)

    def chosen(self, fault: Fault) -> list[int]:
        """Which of the calls that can suffer a fault shall; of looks at the same file the first two."""
        seen, numbers = Counter[tuple[str, str]](), []
        for number, call in enumerate((call for call in self.calls if fault.suits(call.flags)), 1):
            what = call.name, re.sub(r"\.\d+$", "", call.path)
            seen[what] += 1
            if fault.kills and call.failed:
                continue  # the same is left as after the call before it
            if fault is not Fault.EIO or (call.flags and not call.failed) or seen[what] <= TWICE:
                numbers.append(number)
        # Threads do not always make the same number of calls.
        numbers += range(numbers[-1] + 1, numbers[-1] + 1 + MARGIN)
        return [numbers[n] for n in some(len(numbers), f"{self.situation} {fault.name}")]

    def reset(self) -> None:
        """Makes the folder what it was before."""
        shutil.rmtree(self.out, ignore_errors=True)
        if self.start.exists():
            shutil.copytree(self.start, self.out)

    def strike(self, fault: Fault, number: int) -> Ended:
        """Runs the command on the folder as it was before, with a fault."""
        self.reset()
        command = self.command(self.situation.words, self.out)
        return self.disturbed.run(command, self.out, self.source, fault, number, more=SMALL_PARTS)

    def pausing(self, every: int) -> int:
        """Starts the command on the folder as it is, to be stopped before every so many changes; its process id."""
        prelude = self.disturbed.prelude(self.out, self.source, Fault.STOP, every)
        command = self.command(self.situation.words, self.out)
        return self.disturbed.forks.start(*command, prelude=SMALL_PARTS + prelude)

    def faults(self, ended: Ended, fault: Fault) -> Iterator[str]:
        """What must not be after a command ended like this."""
        if fault.kills:
            if ended.status != -9 and ended.struck is not None:
                yield f"status {ended.status} of a killed process"
        elif ended.status not in (0, 1, 2):
            yield f"status {ended.status}: {ended.err}"
        if "Traceback" in ended.err or "fault of lpff-shards" in ended.err:
            yield f"traceback: {ended.err.splitlines()[-1]}"
        elif fault is Fault.SHORT and ended.status != 0:
            yield f"a short count is an error: {ended.err}"
        if ended.status == 0 and not self.situation.after and (off := self.differences()):
            yield f"status 0, but {off}"
        yield from self.unsound()
        # What a call was to remove stays where the call fails.
        removal = ended.struck is not None and ended.struck.name in ("unlink", "rmdir", "opendir", "readdir")
        if not fault.kills and ended.status and not removal and (left := self.partial()):
            yield f"left in partial: {left}"

    def unsound(self, ended: bool = False) -> Iterator[str]:
        """Why `verify` refuses what has a manifest, before the command has ended with 0 or after."""
        # What index is there to mend is missing before.
        if (self.out / "manifest.json").exists() and (ended or self.situation.words != ("index",)):
            yield from (f"verify: {fault}" for fault in verify_export(str(self.out)).faults)

    def rerun(self) -> Iterator[str]:
        """What is wrong after the same command without faults, and after others' shares."""
        try:
            self.finish()
        except AssertionError as error:
            yield f"run again: {error}"
            return
        if off := self.differences():
            yield f"run again: {off}"
        if left := self.partial():
            yield f"run again: left in partial: {left}"

    def finish(self) -> None:
        """Runs the command and what others do after it."""
        for words in (self.situation.words, *self.situation.after):
            self._plain(words, self.out)

    def differences(self) -> str:
        """Which files are other than those of an undisturbed export; empty where none."""
        found = contents(self.out)
        names = {name for name in found.keys() | self.whole.keys() if found.get(name) != self.whole.get(name)}
        return ", ".join(f"{name} is {self._how(name, found)}" for name in sorted(names))

    def partial(self) -> list[str]:
        """What is left of files that were being written."""
        return sorted(path.name for path in (self.out / STATE / "partial").glob("*"))

    def _how(self, name: str, found: dict[str, bytes]) -> str:
        return "missing" if name not in found else "other" if name in self.whole else "too many"

    def _plain(self, words: Command, out: Path) -> None:
        done = self.disturbed.plain(self.command(words, out), SMALL_PARTS)
        assert done.returncode == 0, f"status {done.returncode}: {done.stderr}"
