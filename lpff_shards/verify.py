"""Checking a finished export: every checksum, every sample, counts and keys against the manifest."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from lpff_shards.checksums import file_checksum, hasher
from lpff_shards.exporters.folder import OutputFolder
from lpff_shards.manifest import Manifest, Shard, ShardReceipt, keys_digest, read_manifest
from lpff_shards.readers.base import SampleError
from lpff_shards.readers.catalogue import get_reader
from lpff_shards.schemas.fields import Layout


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong: in which shard, at which sample (its key, or its number where the key is lost), and what."""

    shard: str
    sample: str
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}: {self.sample}: {self.reason}" if self.sample else f"{self.shard}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was checked and what was wrong with it."""

    name: str
    format: str
    shards: int
    samples: int
    bytes: int
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class _Checked:
    """A shard's faults, and the keys of the samples that could be read."""

    faults: tuple[Fault, ...]
    keys: tuple[str, ...]


def verify_export(path: str | Path, workers: int = 1) -> Verdict:
    """Reads every shard of an export.

    Args:
        path: the folder that an export wrote.
        workers: processes; 1 reads in this one.

    Raises:
        ShardsError: there is no manifest.
    """
    root = Path(path)
    manifest = read_manifest(root)
    check = partial(_check_shard, root, manifest.format, Layout(**manifest.layout), manifest.checksum)
    if workers == 1 or len(manifest.shards) < 2:
        checked = list(map(check, manifest.shards))
    else:
        with ProcessPoolExecutor(min(workers, len(manifest.shards)), get_context("spawn")) as pool:
            checked = list(pool.map(check, manifest.shards))
    faults = [*(fault for shard in checked for fault in shard.faults), *_across(manifest, checked)]
    return Verdict(
        name=manifest.name,
        format=manifest.format,
        shards=len(manifest.shards),
        samples=sum(len(shard.keys) for shard in checked),
        bytes=sum(shard.bytes for shard in manifest.shards),
        faults=tuple(faults),
    )


def _across(manifest: Manifest, checked: Sequence[_Checked]) -> Iterator[Fault]:
    """What no shard shows alone: a key in two shards, counts that do not add up."""
    seen: dict[str, str] = {}
    for shard, own in zip(manifest.shards, checked, strict=True):
        yield from (Fault(shard.file, key, f"its key is also in {seen[key]}") for key in own.keys if key in seen)
        seen.update(dict.fromkeys(own.keys, shard.file))
    counts = manifest.counts
    listed = sum(shard.samples for shard in manifest.shards)
    if not listed == manifest.samples == counts.written == counts.planned - counts.skipped:
        numbers = f"{listed} in its shards, {manifest.samples} in all, {counts.planned} planned less {counts.skipped}"
        yield Fault("manifest.json", "", f"its counts of samples disagree: {numbers}")


def _check_shard(root: Path, format: str, layout: Layout, algorithm: str, shard: Shard) -> _Checked:
    path = root / shard.file
    try:
        same = file_checksum(path, algorithm) == shard.checksum
        data = _mapped(path)
    except FileNotFoundError:
        return _Checked((Fault(shard.file, "", "the file is missing"),), ())
    except OSError as error:
        return _Checked((Fault(shard.file, "", f"cannot be read: {error.strerror}"),), ())
    keys, fault = _read(data, format, layout)
    if same:
        faults = [Fault(shard.file, *fault)] if fault else list(_disagreements(shard, keys))
    else:
        faults = [_locate(data, shard, OutputFolder(root).read_receipt(shard.file), algorithm, fault)]
    return _Checked(tuple(faults), tuple(keys))


def _mapped(path: Path) -> memoryview:
    """A file's bytes; the mapping goes when the last view of it does."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _read(data: memoryview, format: str, layout: Layout) -> tuple[list[str], tuple[str, str] | None]:
    """Keys of the samples up to the first that is wrong; that one's name and what is wrong with it."""
    keys: list[str] = []
    try:
        keys.extend(sample.key for sample in get_reader(format)(data, layout))
    except SampleError as error:
        return keys, (error.key or f"sample {error.number}", error.reason)
    return keys, None


def _disagreements(shard: Shard, keys: Sequence[str]) -> Iterator[Fault]:
    if len(keys) != shard.samples:
        yield Fault(shard.file, "", f"holds {len(keys)} samples, the manifest says {shard.samples}")
    elif keys_digest(tuple(keys)) != shard.keys:
        yield Fault(shard.file, "", "its keys are not those of the manifest")


def _locate(
    data: memoryview, shard: Shard, receipt: ShardReceipt | None, algorithm: str, fault: tuple[str, str] | None
) -> Fault:
    """Where a shard whose checksum differs is first wrong: by its receipt's marks, else by what could not be read."""
    reason = "its bytes are not those that were written"
    if len(data) != shard.bytes:
        reason += f" ({len(data)} bytes, not {shard.bytes})"
    if fault:
        reason += f": {fault[1]}"
    if receipt is None or receipt.checksum != shard.checksum or receipt.algorithm != algorithm:
        return Fault(shard.file, fault[0] if fault else "", reason)
    running = hasher(algorithm)
    for key, start, end, mark in zip(receipt.keys, receipt.offsets, receipt.offsets[1:], receipt.marks, strict=False):
        running.update(data[start:end])
        if running.mark() != mark:
            return Fault(shard.file, key, reason)
    return Fault(shard.file, "", f"{reason}; its samples are whole, the damage is behind them")
