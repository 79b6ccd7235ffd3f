"""Checking what lies beside the shards of an export: checksums, index files, the ledger, attribution.

What is missing is no fault: shards with their manifest are whole. What is there and tells something else is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from msgspec import Struct

from lpff_shards.attribution.lines import lines
from lpff_shards.attribution.summary import summary
from lpff_shards.attribution.table import write_table
from lpff_shards.exporters.folder import SUMS, OutputFolder
from lpff_shards.exporters.indexes import catalogue as indexes
from lpff_shards.exporters.ownership import strangers
from lpff_shards.faults import Fault
from lpff_shards.index_names import ATTRIBUTION, LEDGER
from lpff_shards.ledger.facts import facts
from lpff_shards.ledger.read import Ledger, LedgerError
from lpff_shards.ledger.write import places
from lpff_shards.manifest import Manifest, Shard, ShardReceipt, checksum_lines
from lpff_shards.readers.outline import outline
from lpff_shards.schemas.fields import Layout
from lpff_shards.stores.place import Place, names_in, on_disk, whole
from lpff_shards.stores.scratch import scratch

_MENDS = "lpff-shards index mends it"


def beside_faults(root: Place, manifest: Manifest) -> Iterator[Fault]:
    """What lies once beside the shards and disagrees with them."""
    known = {shard.file for shard in manifest.shards}
    for name in strangers(names_in(root), manifest.name, known):
        yield Fault(name, "", "readers would take it for a shard, and the manifest does not list it")
    sums = root / SUMS
    if sums.is_file() and sums.read_text(errors="replace") != checksum_lines(manifest):
        yield Fault(SUMS, "", "its checksums are not those of the manifest")
    if (root / LEDGER).is_file():
        yield from _account_faults(root, manifest)


def _account_faults(root: Place, manifest: Manifest) -> Iterator[Fault]:
    """A ledger that is another export's, and attribution that tells something else than the ledger."""
    try:
        with Ledger.open(root, manifest) as ledger, scratch() as folder:
            if damage := ledger.damage():
                yield Fault(LEDGER, "", f"{damage}; {_MENDS}")
                return
            table, text = (folder / name for name in ATTRIBUTION)
            write_table(table, lines(ledger))
            text.write_bytes(summary(manifest, ledger).encode())
            for name in ATTRIBUTION:
                path = root / name
                if path.is_file() and path.read_bytes() != (folder / name).read_bytes():
                    yield Fault(name, "", f"is not what {LEDGER} tells; {_MENDS}")
    except LedgerError as error:
        yield _unusable(root, error)


def index_faults(root: Place, receipt: ShardReceipt) -> Iterator[Fault]:
    """Index files beside a whole shard that tell something else than its receipt does."""
    for name, data in indexes.of_shard(receipt).items():
        path = root / name
        if path.is_file() and path.read_bytes() != data:
            yield Fault(name, "", f"is not the index of {receipt.file}; {_MENDS}")


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
class Beside:
    """What is told of all shards at once, worked out once and not again for each of them.

    Attributes:
        samples: of the data set; facts: by which its ledger is known.
        ledger: where it is on this machine, None where there is none.
    """

    root: Place
    layout: Layout
    samples: int
    facts: Mapping[str, str]
    ledger: Path | None


@contextmanager
def looked_at(root: Place, manifest: Manifest) -> Iterator[Beside]:
    """What is beside an export's shards; of a ledger in a bucket there is a copy as long as the block lasts."""
    with ExitStack() as stack:
        ledger = None
        with suppress(OSError):
            # What cannot be read is told once, of the whole export.
            ledger = stack.enter_context(on_disk(root / LEDGER)) if (root / LEDGER).is_file() else None
        yield Beside(root, manifest.layout, manifest.samples, facts(manifest), ledger)


class Placed(Struct, frozen=True):
    """A shard, its number in the data set, and the number of its first sample."""

    shard: Shard
    number: int
    first: int


def placed(shards: Sequence[Shard]) -> list[Placed]:
    """The shards of a data set, each with its place in it."""
    firsts = accumulate((shard.samples for shard in shards), initial=0)
    return [Placed(shard, number, first) for number, (shard, first) in enumerate(zip(shards, firsts, strict=False))]


def ledger_faults(beside: Beside, place: Placed, receipt: ShardReceipt | None, rows: Sequence[int]) -> Iterator[Fault]:
    """The first sample of a whole shard that the ledger tells otherwise.

    Args:
        receipt: of the shard; without one its outline is read off itself.
        rows: of the shard's samples, a hash of each one's fields.
    """
    root, shard = beside.root, place.shard
    if beside.ledger is None:
        return
    try:
        # Opened by whoever reads the shard, since a connection to SQLite does not outlive a fork.
        ledger = Ledger.open_known(root, beside.facts, beside.samples, beside.ledger)
    except LedgerError:
        # Told once, of the whole export.
        return
    there = places(place.number, receipt or outline(shard.file, whole(root / shard.file), beside.layout))
    with ledger:
        try:
            records = ledger.records("sample >= ? AND sample < ?", [place.first, place.first + shard.samples])
            for record, row, (suffix, _, *where) in zip(records, rows, there, strict=True):
                told = [record.suffix, record.number, record.offset, record.bytes, record.picture_bytes]
                if (record.file, hash(tuple(record.fields.values()))) != (shard.file, row) or told != [suffix, *where]:
                    yield Fault(LEDGER, str(record.fields["key"]), f"is not as {record.file} has it; {_MENDS}")
                    return
        except ValueError:
            yield Fault(LEDGER, "", f"has not all samples of {shard.file}; {_MENDS}")
        except LedgerError as error:
            yield _unusable(root, error)


def _unusable(root: Place, error: LedgerError) -> Fault:
    return Fault(LEDGER, "", f"{error.message.removeprefix(f'{root / LEDGER} ')}; {_MENDS}")
