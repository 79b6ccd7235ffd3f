"""Checking what lies beside the shards of an export: index files, ledger, attribution, card, and the export's state.

A missing file is no fault: shards with their manifest are whole. A file that was changed since it was written is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lpff_shards.manifest import Manifest, Shard, file_digest, keys_digest
from lpff_shards.schemas.filenames import CARD, POSES, STATE_FOLDER, SUMS
from lpff_shards.schemas.receipt import ShardReceipt
from lpff_shards.sidecars.folder import OutputFolder
from lpff_shards.sidecars.owner import strangers
from lpff_shards.storage.path import Place, is_file, is_taken, names_in, whole

_BY_EXPORT = frozenset({CARD, POSES, SUMS})
"""Files that `lpff-shards index` does not write."""
_EXPORT_MENDS = "the export's command writes it anew"


def beside_faults(root: Place, manifest: Manifest) -> Iterator[Fault]:
    """Find what lies beside the shards and is not what was written there."""
    known = {shard.file for shard in manifest.shards}
    for name in strangers(names_in(root), manifest.name, known):
        yield Fault(name, "", "readers would take it for a shard, and the manifest does not list it")
    for name, digest in manifest.files.items():
        path = root / name
        if reason := _changed(path, digest):
            yield Fault(name, "", f"{reason}; {_EXPORT_MENDS if name in _BY_EXPORT else 'lpff-shards index mends it'}")
    yield from _state_faults(OutputFolder(root), manifest)


def _changed(path: Place, digest: str) -> str:
    """What is wrong with a file; empty where nothing is, or the file is missing."""
    try:
        if not is_file(path):
            return "is not a regular file" if is_taken(path) else ""
        return "" if file_digest(whole(path)) == digest else "is not what was written"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _state_faults(folder: OutputFolder, manifest: Manifest) -> Iterator[Fault]:
    """Find what is damaged of that by which an export goes on; a copy of the export may lack it."""
    try:
        if is_file(folder.plan_file) and folder.owner() is None:
            yield Fault(f"{STATE_FOLDER}/{folder.plan_file.name}", "", f"is damaged; {_EXPORT_MENDS}")
        there = folder.with_receipts()
        for shard in (shard for shard in manifest.shards if shard.file in there):
            name, receipt = shard.file, folder.read_receipt(shard.file)
            if receipt is None:
                yield Fault(name, "", f"its receipt is damaged; {_EXPORT_MENDS}")
            elif (receipt.checksum, keys_digest(receipt.keys)) != (shard.checksum, shard.keys):
                yield Fault(name, "", f"its receipt is of another shard; {_EXPORT_MENDS}")
            elif folder.fields_changed(receipt):
                yield Fault(name, "", f"the fields in {STATE_FOLDER} are not those of its samples; {_EXPORT_MENDS}")
    except OSError as error:
        yield Fault(STATE_FOLDER, "", f"cannot be read: {error.strerror}")


def read_receipt(root: Place, shard: Shard) -> ShardReceipt | None:
    """A shard's receipt, which only helps to tell where the damage is."""
    try:
        receipt = OutputFolder(root).read_receipt(shard.file)
    except OSError:
        return None
    if receipt is None:
        return None
    keys = (*receipt.keys, *(skip.key for skip in receipt.skipped))
    return receipt if receipt.fits(shard.file, keys) else None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong: in which shard, at which sample (its key, or its number where the key is lost), and what."""

    shard: str
    sample: str
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}: {self.sample}: {self.reason}" if self.sample else f"{self.shard}: {self.reason}"
