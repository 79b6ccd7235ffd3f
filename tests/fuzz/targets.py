"""What is fuzzed: a file of a data set or of an export, how it is changed, and what reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import dataset_factories
import mutators
from blake3 import blake3
from forks import Forks
from mutators import Mutator
from running import contents

SECONDS, KILOBYTES = 2.0, 512 * 1024
"""What an input may cost beyond the same command without it."""
IDS = ("1@N01_500_01", "1@N01_500_02", "2@N02_501_01")
KEY = "lpff_2-N02_501_01"
REPORTED = ("manifest-wds", "shard-wds", "ledger")
"""What a report is made of; it takes more time than all else."""
FIRST = """
import matplotlib.pyplot
import lpff_shards.commandline.summary, lpff_shards.loaders.source, lpff_shards.report.write
"""
# What neither ends nor costs CPU ends by the alarm, and nothing takes the machine's memory.
LIMITS = """
import resource, signal
signal.alarm(120)
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
"""
# Every sample by the loader, and a digest of them all.
READ = """
import hashlib, sys
from lpff_shards.errors import ShardsError
from lpff_shards.loaders.source import ShardSource
try:
    samples = ShardSource({out!r}, None)
    found = hashlib.sha256()
    for sample in samples:
        for name in sorted(sample):
            found.update(repr((name, sample[name])).encode())
except ShardsError as error:
    print(error, file=sys.stderr)
    raise SystemExit(1)
print(found.hexdigest(), flush=True)
raise SystemExit
"""


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        source: the data set that is exported: a name in `_SOURCES`.
        words: further options of the export.
        file: pattern of the file that is changed, below `source` or `out`.
        mutate: changes its bytes.
        sealed: checksums are made right again, so that what is read is what its writer meant.
    """

    name: str
    source: str
    file: str
    mutate: Mutator
    words: tuple[object, ...] = ("--format", "wds")
    sealed: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def of_picture(self) -> bool:
        """Whether a picture of several is changed."""
        return self.file.endswith(("png", "jpg"))

    @property
    def of_export(self) -> bool:
        """Whether an export is changed, and not the data set."""
        return self.file.startswith("out/")


def _lpff(folder: Path, alignments: tuple[str, ...] = ("eg3d",), kind: str = "PNG") -> None:
    dataset_factories.write_lpff(folder / "source", IDS, alignments)
    for path in folder.glob("source/crop/eg3d/*.png") if kind != "PNG" else ():
        path.write_bytes(dataset_factories.picture(path.name, 8, kind))


def _zipped(folder: Path) -> None:
    dataset_factories.write_lpff(folder / "whole", IDS, ["eg3d"])
    dataset_factories.zip_folder(folder / "whole", folder / "source")
    shutil.rmtree(folder / "whole")


def _ffhq(folder: Path) -> None:
    dataset_factories.write_ffhq_eg3d(folder / "source", 2)
    dataset_factories.write_ffhq_v2(folder / "source/ffhq-dataset-v2.json", range(2))
    dataset_factories.dump(folder / "source/num_replicas.json", {"0": 2, "1": 2, "2": 1, "3": 1})


_SOURCES = {
    "lpff": _lpff,
    "raw": partial(_lpff, alignments=("raw",)),
    "webp": partial(_lpff, kind="WEBP"),
    "zipped": _zipped,
    "ffhq": _ffhq,
}
_PNG, _RAW = "source/crop/eg3d/*.png", ("--format", "wds", "--alignment", "raw")
_COUNTED = ("--format", "wds", "--rebalance", "eg3d", "--num-replicas", "source/num_replicas.json")
_TF = ("--format", "tfrecord")
_ZIP = ("--format", "zip")


def _targets() -> Iterator[Target]:
    yield Target("png", "lpff", _PNG, mutators.png)
    yield Target("png-in-zip", "lpff", _PNG, mutators.png, _ZIP)
    yield Target("jpeg", "raw", "source/raw/*.jpg", mutators.jpeg, _RAW)
    yield Target("webp", "webp", _PNG, mutators.webp)
    yield Target("cameras", "lpff", "source/camera_parameters.json", mutators.json_text)
    yield Target("info", "lpff", "source/info.json", mutators.json_text)
    yield Target("landmarks", "lpff", "source/realign2400_lm.json", mutators.json_text)
    yield Target("labels", "ffhq", "source/dataset.json", mutators.json_text)
    yield Target("ffhq-metadata", "ffhq", "source/ffhq-dataset-v2.json", mutators.json_text)
    yield Target("num-replicas", "ffhq", "source/num_replicas.json", mutators.json_text, _COUNTED)
    yield Target("source-zip", "zipped", "source", mutators.zipped)
    yield Target("source-zip-members", "zipped", "source", mutators.zip_of_others)
    for format, words, shard, mutate in (
        ("wds", ("--format", "wds"), "*.tar", mutators.tar),
        ("packed", ("--format", "wds", "--metadata", "msgpack"), "*.tar", mutators.tar),
        ("tfrecord", _TF, "*.tfrecord-*", mutators.tfrecord),
        ("zip", _ZIP, "*.zip", mutators.zipped),
    ):
        yield Target(f"shard-{format}", "lpff", f"out/{shard}", mutate, words)
        yield Target(f"sealed-shard-{format}", "lpff", f"out/{shard}", mutate, words, sealed=True)
        yield Target(f"manifest-{format}", "lpff", "out/manifest.json", mutators.json_text, words)
    state = ("manifest.json", ".lpff-shards/receipts/*.json", ".lpff-shards/plan.json")
    for name, pattern in zip(("manifest", "receipt", "plan"), state, strict=True):
        yield Target(f"sealed-{name}", "lpff", f"out/{pattern}", mutators.sealed_json, sealed=True)
    for name, words in (("wds", ("--format", "wds")), ("zip", _ZIP)):
        yield Target(f"receipt-{name}", "lpff", "out/.lpff-shards/receipts/*.json", mutators.json_text, words)
        yield Target(f"plan-{name}", "lpff", "out/.lpff-shards/plan.json", mutators.json_text, words)
    yield Target("fields", "lpff", "out/.lpff-shards/fields/*", mutators.blind)
    yield Target("ledger", "lpff", "out/samples.sqlite", mutators.sqlite)
    yield Target("tar-idx", "lpff", "out/*.tar.idx", mutators.lines)
    yield Target("wds-idx", "lpff", "out/*0.idx", mutators.lines)
    yield Target("tfrecord-idx", "lpff", "out/dali/*", mutators.lines, _TF)
    yield Target("wids", "lpff", "out/*.wids.json", mutators.json_text)
    yield Target("energon", "lpff", "out/.nv-meta/.info.json", mutators.json_text)
    yield Target("features", "lpff", "out/features.json", mutators.json_text, _TF)


TARGETS = tuple(_targets())


@dataclass
class Fuzzed:
    """A target's inputs, and what reads them.

    Attributes:
        costs: seconds and kilobytes of each command on what is not changed.
        whole: the export's files when nothing is changed; read: its samples' digest.
    """

    target: Target
    forks: Forks
    folder: Path
    costs: dict[str, tuple[float, int]] = field(default_factory=dict)
    whole: dict[str, bytes] = field(default_factory=dict)
    read: str = ""

    def __post_init__(self) -> None:
        self.template, self.trial = self.folder / "template", self.folder / "trial"
        self.template.mkdir(parents=True)
        _SOURCES[self.target.source](self.template)
        for name in ("x.tar", "x.tar.idx", "x.idx"):
            dataset_factories.write(self.template / "elsewhere" / name, b"not ours")
        self._reset(self.template)
        for name in ("export", "verify", *(self._readers if self.target.of_export else ())):
            done = self._run(name)
            assert done[0] == 0, done
            self.costs[name] = self.forks.used
            if name == "export":
                shutil.copytree(self.trial / "out", self.folder / "out")
                self.whole = contents(self.trial / "out")
            if name == "read":
                self.read = done[1]
        if self.target.of_export:
            (self.folder / "out").rename(self.template / "out")

    def file(self) -> Path:
        """The file that is to be changed."""
        return min(self.template.glob(self.target.file))

    def fuzz(self, draw: Random) -> Iterator[str]:
        """Changes the input as the target has it, and runs what reads it; what must not be."""
        yield from self.faults(draw, lambda path: path.write_bytes(self.target.mutate(draw, path.read_bytes())))

    def faults(self, draw: Random, change: Callable[[Path], object]) -> Iterator[str]:
        """Changes the input, and runs what reads it; what must not be."""
        self._reset(self.template)
        path = self.trial / self.file().relative_to(self.template)
        change(path)
        if self.target.name.startswith("sealed-shard"):
            self._seal(path)
        others = self._others()
        if self.target.of_export:
            yield from self._of_export(draw)
        else:
            yield from self._of_source(draw)
        after = self._others()
        names = {name for name in others.keys() | after.keys() if others.get(name) != after.get(name)}
        yield from (f"{name} was changed" for name in sorted(names))

    @property
    def _readers(self) -> tuple[str, ...]:
        return ("read", "index", "trace", *(("report",) if self.target.name in REPORTED else ()))

    def _of_source(self, draw: Random) -> Iterator[str]:
        skip = draw.random() < 0.5
        status, out, err = self._run("export", *(("--on-error", "skip") if skip else ()))
        yield from self._judge("export", status, err)
        if skip and status and self.target.of_picture:
            yield f"one picture ends an export that skips: {err!r}"
        if status == 0:
            status, out, err = self._run("verify")
            yield from self._judge("verify", status, err)
            # A JPEG without a mirror is kept undecoded, and only a deep look finds that it does not decode.
            kept = self.target.source == "raw" and "does not decode" in out
            if status and not kept:
                yield f"export ended with 0, verify with {status}: {(out or err)!r}"

    def _of_export(self, draw: Random) -> Iterator[str]:
        status, out, err = self._run("verify")
        yield from self._judge("verify", status, err)
        exact = not self.target.sealed
        if exact and status == 0 and (off := self._differences(state=False)):
            yield f"verify ended with 0: {off}"
        name = draw.choice(self._readers)
        status, out, err = self._run(name)
        yield from self._judge(name, status, err)
        if exact and name == "read" and status == 0 and out != self.read and not self.target.name.startswith("shard"):
            yield "other samples are read without an error"
        status, out, err = self._run("export")
        yield from self._judge("export", status, err)
        if exact and status == 0 and (off := self._differences(state=True)):
            yield f"exported again with 0: {off}"

    def _seal(self, shard: Path) -> None:
        """Makes the manifest tell of a shard as it is."""
        manifest, data = self.trial / "out/manifest.json", shard.read_bytes()
        found = json.loads(manifest.read_bytes())
        (entry,) = found["shards"]
        entry["bytes"] = len(data)
        entry["checksum"] = blake3(data).hexdigest(length=len(entry["checksum"]) // 2)
        manifest.write_bytes(mutators.seal(json.dumps(found).encode()))
        shutil.rmtree(self.trial / "out/.lpff-shards")

    def _others(self) -> dict[str, tuple[int, int]]:
        """The files that no command may touch, with the input, which may be large: their sizes and times."""
        files = (file for file in self.trial.rglob("*") if file.is_file())
        found = ((str(file.relative_to(self.trial)), file.stat()) for file in files)
        return {name: (s.st_size, s.st_mtime_ns) for name, s in found if not name.startswith(("out/", "report"))}

    def _differences(self, state: bool) -> str:
        found = contents(self.trial / "out")
        names = {name for name in found.keys() | self.whole.keys() if found.get(name) != self.whole.get(name)}
        return ", ".join(sorted(name for name in names if state or not name.startswith(".lpff-shards")))

    def _judge(self, name: str, status: int, err: str) -> Iterator[str]:
        if status not in (0, 1, 2):
            yield f"{name}: status {status}: {err[-300:]}"
        if "Traceback" in err or "fault of lpff-shards" in err:
            yield f"{name}: traceback: {err.splitlines()[-1]}"
        if any((ord(char) < 32 and char != "\n") or char in "\x7f\u202e\u2066" for char in err):
            yield f"{name}: control characters are printed: {err!r}"
        seconds, kilobytes = (now - usual for now, usual in zip(self.forks.used, self.costs[name], strict=True))
        if seconds > SECONDS:
            yield f"{name}: {seconds:.1f} s more"
        if kilobytes > KILOBYTES:
            yield f"{name}: {kilobytes // 1024} MB more"

    def _run(self, name: str, *more: object) -> tuple[int, str, str]:
        out, trial, prelude = self.trial / "out", self.trial, LIMITS
        words: tuple[object, ...] = (name, out)
        if name == "export":
            source = "--ffhq" if self.target.source == "ffhq" else "--lpff"
            given = (trial / word if str(word).startswith("source/") else word for word in self.target.words)
            words = ("export", "-q", "--workers", 1, source, trial / "source", "--out", out, *given, *more)
        elif name == "read":
            # Trainers read zips.
            words, prelude = (
                (),
                "raise SystemExit" if "zip" in self.target.words else LIMITS + READ.format(out=str(out)),
            )
        elif name == "trace":
            words = ("trace", KEY, out)
        elif name == "verify":
            words = ("verify", "-q", "--deep", "--workers", 1, out)
        elif name == "report":
            words = ("report", out, "--out", trial / "report.html")
        done = self.forks.run(*words, prelude=prelude)
        return done.returncode, done.stdout, done.stderr

    def _reset(self, template: Path) -> None:
        shutil.rmtree(self.trial, ignore_errors=True)
        shutil.copytree(template, self.trial)
