"""Checking a finished export: every checksum, every sample, counts and keys, and the sidecar files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from isal.isal_zlib import crc32

from lpff_shards.executors.processes import LocalExecutor, OnProgress, OnSample, OnShard, ShardDone, may_fork
from lpff_shards.formats.base import Format, SampleError
from lpff_shards.formats.checks import channel_fault, deep_fault
from lpff_shards.formats.registry import installed_format
from lpff_shards.manifest import MANIFEST, Manifest, Shard, file_digest, keys_digest, read_manifest
from lpff_shards.options.export import Checksum
from lpff_shards.schemas.columns import Texts, duplicates
from lpff_shards.schemas.fields import Layout
from lpff_shards.schemas.filenames import CARD, POSES, STATE_FOLDER, SUMS
from lpff_shards.schemas.license import UNKNOWN_LICENSE
from lpff_shards.sidecars.attached import channels_in, is_current
from lpff_shards.sidecars.folder import OutputFolder, unknown_files
from lpff_shards.storage.file_io import checksum_of, file_checksum
from lpff_shards.storage.path import StoragePath, exists, is_file, is_remote, names_in, place, read_whole

_BY_EXPORT = frozenset({CARD, POSES, SUMS})
"""Files that `lpff-shards index` does not write."""
_REWRITES = "the export's command rewrites it"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its file, its sample (the key, or the number if the key is lost), and the reason."""

    shard: str
    sample: str
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}: {self.sample}: {self.reason}" if self.sample else f"{self.shard}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check: sizes, faults, and its time in seconds."""

    name: str
    format: str
    shards: int
    samples: int
    bytes: int
    faults: tuple[Fault, ...]
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether there are no faults."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class _Checked:
    """A shard's faults, and the keys of its readable samples, with their counts by the manifest's names of these."""

    faults: tuple[Fault, ...]
    keys: Texts
    counts: Mapping[str, Counter[str]]


def verify_export(
    path: str | StoragePath,
    workers: int = 1,
    on_progress: OnProgress = lambda _: None,
    deep: bool = False,
    on_shard: OnShard = lambda _: None,
) -> Verdict:
    """Check every shard of an export.

    Args:
        path: folder or bucket prefix of an export.
        workers: processes; 1 uses this process.
        on_progress: called with the progress in samples.
        deep: also decode every picture and check every camera, see `formats.checks`.
        on_shard: called after each shard.

    Raises:
        ShardsError: the manifest is missing or damaged.
    """
    root = place(path)
    # Clients of stores use threads, which a forked process would lack.
    fork = may_fork() and not is_remote(root)
    manifest = read_manifest(root)
    format, layout, algorithm = installed_format(manifest.format), manifest.layout, manifest.checksum
    start = time.monotonic()
    checked: dict[str, _Checked] = {}
    check = partial(_check_shard, root, format, layout, algorithm, deep)
    with closing(LocalExecutor(workers, fork).run(check, manifest.shards, on_progress)) as done:
        for number, read in done:
            shard, own = manifest.shards[number], read.result
            checked[shard.file] = own
            on_shard(ShardDone(shard.file, len(own.keys), shard.bytes, read.seconds, len(own.faults)))
    ordered = [checked[shard.file] for shard in manifest.shards]
    faults = (fault for shard in ordered for fault in shard.faults)
    channels = _channels(root, manifest, lambda path: verify_export(path, workers, on_progress, deep))
    return Verdict(
        name=manifest.name,
        format=manifest.format,
        shards=len(manifest.shards),
        samples=sum(len(shard.keys) for shard in ordered),
        bytes=sum(shard.bytes for shard in manifest.shards),
        faults=(*faults, *_across(manifest, ordered), *_beside_faults(root, manifest), *channels),
        seconds=time.monotonic() - start,
    )


def _channels(root: StoragePath, manifest: Manifest, check: Callable[[StoragePath], Verdict]) -> Iterator[Fault]:
    """Yield the faults of channels that were attached to an export."""
    if manifest.layout.attached:
        return
    for name, channel in channels_in(root).items():
        if channel is None:
            yield Fault(name, "", "this channel is unfinished; lpff-shards attach finishes it")
            continue
        if not is_current(channel, name, manifest):
            yield Fault(name, "", "this channel is of other samples; lpff-shards attach writes it again")
        for fault in check(root / name).faults:
            yield Fault(f"{name}/{fault.shard}", fault.sample, fault.reason)


def _across(manifest: Manifest, checked: Sequence[_Checked]) -> Iterator[Fault]:
    """Yield faults across shards: a key in two shards, counts that disagree."""
    repeated = duplicates([own.keys for own in checked])
    seen: dict[str, str] = {}
    for shard, own in zip(manifest.shards, checked, strict=True) if repeated else ():
        keys = [key for key in own.keys if key in repeated]
        yield from (Fault(shard.file, key, f"its key is also in {seen[key]}") for key in keys if key in seen)
        seen.update(dict.fromkeys(keys, shard.file))
    counts = manifest.counts
    listed = sum(shard.samples for shard in manifest.shards)
    if not listed == manifest.samples == counts.written == counts.planned - counts.skipped:
        numbers = f"{listed} in its shards, {manifest.samples} in all, {counts.planned} planned less {counts.skipped}"
        yield Fault(MANIFEST, "", f"its counts of samples disagree: {numbers}")
    if len(manifest.skipped) != counts.skipped + counts.left_out:
        numbers = f"{len(manifest.skipped)} skipped samples, but counts {counts.skipped} and {counts.left_out}"
        yield Fault(MANIFEST, "", f"it lists {numbers}")
    if any(shard.faults for shard in checked):
        return
    for what in ("sources", "licenses", "splits"):
        found: Counter[str] = sum((shard.counts[what] for shard in checked), Counter())
        in_manifest = {name: count for name, count in getattr(manifest, what).items() if count}
        if found != in_manifest:
            yield Fault(MANIFEST, "", f"its {what} are {in_manifest}, the samples' are {dict(found)}")


def _check_shard(
    root: StoragePath, format: Format, layout: Layout, algorithm: Checksum, deep: bool, shard: Shard, report: OnSample
) -> _Checked:
    """Read a shard's samples up to the first structural fault; with `deep` also find the faults inside them."""
    path, unreadable = root / shard.file, ""
    try:
        if not is_file(path):
            unreadable = "is not a regular file" if exists(path) else "the file is missing"
        else:
            data = read_whole(path)
            # Files are read instead of mapped, so that read errors are raised.
            found = checksum_of(data, algorithm) if is_remote(path) else file_checksum(Path(str(path)), algorithm)
    except OSError as error:
        unreadable = f"cannot be read: {error.strerror}"
    if unreadable:
        return _Checked((Fault(shard.file, "", unreadable),), Texts.of(()), {})
    keys: list[str] = []
    counts: dict[str, Counter[str]] = {"sources": Counter(), "licenses": Counter(), "splits": Counter()}
    fault = None
    inside: list[Fault] = []
    try:
        for sample in format.samples(data, layout):
            if deep and (reason := channel_fault(sample, layout) or (None if layout.attached else deep_fault(sample))):
                inside.append(Fault(shard.file, sample.key, reason))
            keys.append(sample.key)
            report(len(sample.picture.data))
            if layout.attached:
                counts["splits"][shard.split] += 1
                continue
            counts["sources"][str(sample.scalars["dataset"])] += 1
            counts["licenses"][str(sample.scalars["license"]) or UNKNOWN_LICENSE] += 1
            counts["splits"][str(sample.scalars["split"])] += 1
    except SampleError as error:
        fault = Fault(shard.file, error.key or f"sample {error.number}", error.reason)
    if found != shard.checksum:
        faults = [_locate(root, shard, algorithm, data, fault)]
    else:
        faults = [*([fault] if fault else _disagreements(shard, len(data), keys, counts["splits"])), *inside]
    return _Checked(tuple(faults), Texts.of(keys), counts)


def _disagreements(shard: Shard, size: int, keys: Sequence[str], splits: Counter[str]) -> Iterator[Fault]:
    if size != shard.bytes:
        yield Fault(shard.file, "", f"has {size} bytes, the manifest says {shard.bytes}")
    if len(keys) != shard.samples:
        yield Fault(shard.file, "", f"holds {len(keys)} samples, the manifest says {shard.samples}")
    elif keys_digest(keys) != shard.keys:
        yield Fault(shard.file, "", "its keys are not those of the manifest")
    elif others := splits.keys() - {shard.split}:
        yield Fault(shard.file, "", f"holds samples of split {min(others)}, the manifest says {shard.split}")


def _locate(root: StoragePath, shard: Shard, algorithm: Checksum, data: memoryview, fault: Fault | None) -> Fault:
    """Locate the fault of a shard with a wrong checksum by its receipt's CRCs, else by the read error."""
    reason = "its bytes are not those that were written"
    if len(data) != shard.bytes:
        reason += f" ({len(data)} bytes, not {shard.bytes})"
    if fault:
        reason += f": {fault.reason}"
    receipt = None
    with suppress(OSError):
        receipt = OutputFolder(root).read_receipt(shard.file)
    if (
        receipt is None
        or not receipt.fits(shard.file, (*receipt.keys, *(skip.key for skip in receipt.skipped)))
        or (receipt.checksum, receipt.algorithm) != (shard.checksum, algorithm)
    ):
        return Fault(shard.file, fault.sample if fault else "", reason)
    spans = zip(receipt.keys, receipt.offsets, receipt.offsets[1:], receipt.crcs, strict=False)
    wrong = [key for key, start, end, crc in spans if crc32(data[start:end]) != crc]
    if not wrong:
        return Fault(shard.file, "", f"{reason}; its samples are intact, the damage is after them")
    if more := len(wrong) - 1:
        reason += f"; so {'is' if more == 1 else 'are'} {more} more sample{'s' * (more > 1)}"
    return Fault(shard.file, wrong[0], reason)


def _beside_faults(root: StoragePath, manifest: Manifest) -> Iterator[Fault]:
    """Yield sidecar files that differ from what was written; shards are complete without one."""
    known = {shard.file for shard in manifest.shards}
    for name in unknown_files(names_in(root), manifest.name, known):
        yield Fault(name, "", "it is named like a shard, and the manifest does not list it")
    for name, digest in manifest.files.items():
        path = root / name
        try:
            if not is_file(path):
                reason = "is not a regular file" if exists(path) or path.is_symlink() else ""
            else:
                reason = "" if file_digest(read_whole(path)) == digest else "is not what was written"
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        if reason:
            command = "attach" if manifest.layout.attached else "index"
            rewrites = _REWRITES if name in _BY_EXPORT else f"lpff-shards {command} rewrites it"
            yield Fault(name, "", f"{reason}; {rewrites}")
    yield from _state_faults(OutputFolder(root), manifest)


def _state_faults(folder: OutputFolder, manifest: Manifest) -> Iterator[Fault]:
    """Yield damaged files of the state that resuming needs; a copy of the export may lack them."""
    try:
        if is_file(folder.plan_file) and folder.owner() is None:
            yield Fault(f"{STATE_FOLDER}/{folder.plan_file.name}", "", f"is damaged; {_REWRITES}")
        there = folder.with_receipts()
        for shard in (shard for shard in manifest.shards if shard.file in there):
            name, receipt = shard.file, folder.read_receipt(shard.file)
            if receipt is None:
                yield Fault(name, "", f"its receipt is damaged; {_REWRITES}")
            elif (receipt.checksum, keys_digest(receipt.keys)) != (shard.checksum, shard.keys):
                yield Fault(name, "", f"its receipt is of another shard; {_REWRITES}")
            elif folder.fields_changed(receipt):
                yield Fault(name, "", f"the fields in {STATE_FOLDER} do not match its samples; {_REWRITES}")
    except OSError as error:
        yield Fault(STATE_FOLDER, "", f"cannot be read: {error.strerror}")
