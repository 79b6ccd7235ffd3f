"""What `trace` prints: a block a picture, a line a sample; or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from msgspec import structs

from lpff_shards.errors import printable
from lpff_shards.schemas.demands import demands
from lpff_shards.schemas.escaping import as_json
from lpff_shards.schemas.left_out import Tombstone
from lpff_shards.schemas.units import counted
from lpff_shards.sidecars.attribution.lines import UNKNOWN, merged
from lpff_shards.sidecars.sample_index.read import Record
from lpff_shards.sidecars.trace import Trace

Placed = tuple[Record, str | None]
"""A sample, and the member that holds its picture."""


def trace_text(trace: Trace) -> str:
    """What was found, for people."""
    samples = sorted(zip(trace.samples, trace.members, strict=True), key=_picture)
    lines = [line for _, group in groupby(samples, _picture) for line in _block(list(group), trace.format)]
    lines += [f"{one.key}: {_taken_out(one)} by export --update" for one in trace.taken_out]
    lines += [f"{counted(len(trace.taken_out), 'sample')} withdrawn"] if trace.taken_out else []
    lines += [f"{one.key or one.id}: left out: {one.reason} ({one.file})" for one in trace.left_out]
    if samples:
        pictures, shards = len(set(map(_picture, samples))), len({record.file for record, _ in samples})
        lines.append(
            f"{counted(len(samples), 'sample')} of {counted(pictures, 'picture')} in {counted(shards, 'shard')}"
        )
    return "\n".join(map(printable, lines))


def _taken_out(one: Tombstone) -> str:
    return f"taken out of {one.file}" if one.file else "left out before, and forgotten"


def trace_json(trace: Trace) -> str:
    """What was found, for machines: each sample's fields, then where it is."""
    found = {
        "name": trace.name,
        "found": trace.found,
        "samples": [_flat(record, member) for record, member in zip(trace.samples, trace.members, strict=True)],
        "taken_out": trace.taken_out,
        "left_out": trace.left_out,
        "near": trace.near,
    }
    return as_json(found)


def _flat(record: Record, member: str | None) -> dict[str, Any]:
    place = structs.asdict(record)
    fields = place.pop("fields")
    return {**fields, **place, "member": member}


def _picture(sample: Placed) -> tuple[str, str]:
    fields = sample[0].fields
    return str(fields["dataset"]), str(fields["source_id"])


def _block(samples: Sequence[Placed], format: str) -> Iterator[str]:
    of = samples[0][0].fields
    face = f", face {of['face']}" if of["face"] else ""
    photo = f" (photo {of['photo_id']}{face})" if of["photo_id"] else ""
    title = f'"{of["title"]}" ' if of["title"] else ""
    id = f" ({of['author_id']})" if of["author_id"] else ""
    yield f"{of['dataset']} {of['source_id']}{photo}: {title}by {of['author'] or UNKNOWN}{id}"
    yield f"  licence {of['license'] or UNKNOWN} {of['license_url']}{_asked(str(of['license']))}"
    yield f"  from {of['source_url'] or UNKNOWN}"
    yield f"  {merged([str(record.fields['changes']) for record, _ in samples]) or 'unchanged'}"
    for record, member in samples:
        where = member if format == "zip" else f"sample {record.number}"
        yield f"  {record.fields['key']}: {where} of {record.file}, {record.bytes} bytes from byte {record.offset} on"


def _asked(licence: str) -> str:
    asked = demands(licence)
    told = ", ".join([*asked.flags, *([asked.also] if asked.also else [])])
    return f" ({told})" if told else ""
