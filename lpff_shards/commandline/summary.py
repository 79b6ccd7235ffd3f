"""Text and JSON output of the commands: plans, exports, verification, traces, benchmarks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

import click
from msgspec import structs

from lpff_shards.commandline.progress import plan_notes
from lpff_shards.errors import printable
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest, ShareDone
from lpff_shards.options.export import ExportOptions
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.rebalance import Balances
from lpff_shards.planning.survey import PictureSurvey
from lpff_shards.schemas.escaping import as_json
from lpff_shards.schemas.license import demands
from lpff_shards.schemas.units import format_bytes, format_count, format_rate
from lpff_shards.sidecars.attribution import UNKNOWN, merged
from lpff_shards.sidecars.sample_index.read import IndexedSample
from lpff_shards.sidecars.trace import Trace
from lpff_shards.storage.path import place
from lpff_shards.verify import Verdict

if TYPE_CHECKING:
    # Their modules read buckets and start processes, which other commands have no use for.
    from lpff_shards.loaders.bench import BenchReport, Run


def plan_text(plan: Plan, balances: Balances | None) -> str:
    """A plan for people, with what the rules of rebalancing would make of it."""
    lines = [
        f"{plan.name}: {format_count(plan.samples, 'sample')} in {_files(len(plan.outputs), plan.settings.format)}, "
        f"about {format_bytes(int(plan.sizes.sum()))}",
        *_file_lines(plan),
        *_counts(click.style("sources:", bold=True), plan.by_source()),
        *(_counts(click.style("splits:", bold=True), plan.by_split()) if len(plan.entries.splits) > 1 else ()),
        *_counts(click.style("licenses:", bold=True), plan.by_license()),
        *_balance_lines(balances),
        f"  plan {plan.digest[:16]}",
    ]
    return "\n".join([*lines, *map(printable, plan_notes(plan))])


def _file_lines(plan: Plan) -> Iterator[str]:
    """The first and last shard of each split."""
    for part in plan.parts:
        files = [output.file for output in plan.outputs if output.split == part.split]
        yield f"  {files[0]}" + (f" ... {files[-1]}" if len(files) > 1 else "")


def _balance_lines(balances: Balances | None) -> Iterator[str]:
    """A line a rule, the plan's own marked."""
    if balances is None:
        return
    flat = math.log2(balances.bins)
    head = click.style("training poses by --rebalance", bold=True)
    yield f"  {head} (entropy over {balances.bins} pose bins, {flat:.2f} bits if flat):"
    for one in balances.rules:
        mark = "*" if one is balances.chosen else " "
        facts = f"{one.samples:>11,} samples, {one.effective:>11,.0f} effective, {one.entropy:.2f} bits"
        yield f"  {mark} {one.rule:7} {one.problem or facts}"


def plan_json(plan: Plan, balances: Balances | None) -> str:
    """A plan for machines."""
    shards = []
    for output in plan.outputs:
        own = plan.rows(output.tasks)
        about = int(plan.sizes[own.start : own.stop].sum())
        shards.append({"file": output.file, "split": output.split, "samples": len(own), "bytes": about})
    return as_json(
        {
            "name": plan.name,
            "format": plan.settings.format,
            "plan": plan.digest,
            "samples": plan.samples,
            "bytes": int(plan.sizes.sum()),
            "sources": plan.by_source(),
            "licenses": plan.by_license(),
            "splits": plan.by_split(),
            "filtered": plan.mix.filtered,
            "balance": balances,
            "options": dict(plan.options),
            "shards": shards,
            "left_out": plan.problems,
            "notes": plan.notes,
        }
    )


def manifest_text(manifest: Manifest, out: str, shown: Sequence[str] = ()) -> str:
    """What an export says at its end.

    Args:
        shown: notes that were printed before.
    """
    total = sum(shard.bytes for shard in manifest.shards)
    format = get_format(manifest.format)
    what = f"{format_count(manifest.samples, 'sample')} in {format_count(len(manifest.shards), format.unit)}"
    lines = [f"{manifest.name}: {what}, {format_bytes(total)}, in {out}"]
    if not format.for_trainers:
        sizes = {(int(key.partition("x")[0]), int(key.partition("x")[2])): n for key, n in manifest.sizes.items()}
        notes = PictureSurvey(manifest.kinds, sizes, manifest.turned).notes()
        lines += [f"  note: {note}" for note in notes if note not in shown]
    counts = {"picture": manifest.counts.left_out, "sample": manifest.counts.skipped}
    if left := sum(counts.values()):
        parts = " and ".join(format_count(count, what) for what, count in counts.items() if count)
        lines.append(f"  left out: {left} ({parts}, listed with reasons in {place(out) / 'manifest.json'})")
        lines += [f"    {s.file}: {s.id}: {s.reason}" for s in manifest.skipped[:10]]
        lines += [f"    and {left - 10} more"] if left > 10 else []
    return "\n".join(map(printable, lines))


def share_text(options: ExportOptions, share: ShareDone) -> str:
    """What a share says at its end while others are missing."""
    all = format_count(share.shards, options.traits.piece)
    own = f"share {options.run.task}: {share.written:,} of {all} written, in {options.out}"
    return printable(f"{own}; the last share to be done writes the manifest")


def export_json(manifest: Manifest | None, share: ShareDone | None) -> str:
    """The manifest; of a share whether the export is finished, its manifest where it is, and counts."""
    return as_json({"finished": share.manifest is not None, **structs.asdict(share)} if share else manifest)


def verdict_text(verdict: Verdict) -> str:
    """What `verify` found, a line a fault, and the sum of it."""
    files = _files(verdict.shards, verdict.format)
    what = printable(
        f"{verdict.name}: {format_count(verdict.samples, 'sample')} in {files}, {format_bytes(verdict.bytes)}"
    )
    speed = format_rate(verdict.samples, verdict.bytes, verdict.seconds)
    if verdict.ok:
        return f"{what}: {click.style('all whole', fg='green')} ({speed})"
    count = click.style(format_count(len(verdict.faults), "fault"), fg="red", bold=True)
    return "\n".join([*fault_lines(verdict), f"{what}: {count} ({speed})"])


def fault_lines(verdict: Verdict) -> list[str]:
    """What is wrong, a line each."""
    return [printable(str(fault)) for fault in verdict.faults]


def verdict_json(verdict: Verdict) -> str:
    """What `verify` found, for machines."""
    return as_json({"ok": verdict.ok, **asdict(verdict)})


def indexes_text(path: str, written: Sequence[str]) -> str:
    """Which index files were written."""
    return printable(
        f"{path}: {format_count(len(written), 'file')} written" if written else f"{path}: no file was missing"
    )


def indexes_json(written: Sequence[str]) -> str:
    """The names of the index files that were written."""
    return as_json({"written": written})


def _files(count: int, format: str) -> str:
    """The files of a data set: 1 zip, 24 wds shards."""
    unit = get_format(format).unit
    return format_count(count, unit if unit == format else f"{format} {unit}")


def _counts(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    yield f"  {title} " + printable(", ".join(f"{name} {count:,}" for name, count in counts.items()))


def run_text(run: Run, details: bool = False) -> str:
    """A loader that is done, in a line; with details, what its rate was counted from."""
    counted = f" ({run.pictures:,} pictures in {run.seconds:.1f} s, the first batch after {run.start:.1f} s)"
    rate = f"{run.rate:,.0f} pictures/s{counted if details else ''}"
    return f"  {_title(run)}: {run.problem or rate}"


def report_text(report: BenchReport) -> str:
    """The table: pictures and bytes a second of the files as stored."""
    first, head, *rest = map(printable, _lines(report))
    return "\n".join((first, click.style(head, bold=True), *rest))


def _lines(report: BenchReport) -> Iterator[str]:
    reading = report.reading
    yield (
        f"{report.name} {report.split}: {report.samples:,} samples of {format_bytes(int(report.picture_bytes))} "
        f"({report.format}), batches of {report.batch_size}"
    )
    yield f"{'':26}{'pictures/s':>12}{'MB/s':>9}{'first batch':>13}"
    for name, seconds in (("files, as found", reading.first), ("files, once more", reading.again)):
        rate = reading.bytes / seconds
        yield f"{name:26}{rate / report.picture_bytes:>12,.0f}{rate / 1e6:>9,.0f}"
    for run in report.runs:
        if run.problem:
            yield f"{_title(run):26}  {run.problem}"
        else:
            rate = run.rate * report.picture_bytes / 1e6
            yield f"{_title(run):26}{run.rate:>12,.0f}{rate:>9,.0f}{run.start:>11.1f} s"


def _title(run: Run) -> str:
    if run.workers is None:
        return run.loader
    return f"{run.loader}, {run.workers} worker{'' if run.workers == 1 else 's'}"


def report_json(report: BenchReport) -> str:
    """The same for machines: rates as numbers beside what they were made from."""
    runs = [{**structs.asdict(run), "pictures_per_second": run.rate} for run in report.runs]
    return as_json({**structs.asdict(report), "runs": runs})


Placed = tuple[IndexedSample, str | None]
"""A sample, and the member that holds its picture."""


def trace_text(trace: Trace) -> str:
    """What was found, for people."""
    samples = sorted(zip(trace.samples, trace.members, strict=True), key=_picture)
    pictures = [list(group) for _, group in groupby(samples, _picture)]
    lines = [line for group in pictures for line in _block(group, trace.format)]
    for gone in trace.taken_out:
        how = f"taken out of {gone.file}" if gone.file else "left out before, and forgotten"
        lines.append(f"{gone.key}: {how} by export --update")
    lines += [f"{format_count(len(trace.taken_out), 'sample')} withdrawn"] if trace.taken_out else []
    lines += [f"{one.key or one.id}: left out: {one.reason} ({one.file})" for one in trace.left_out]
    if samples:
        shards = format_count(len({record.file for record, _ in samples}), "shard")
        lines.append(f"{format_count(len(samples), 'sample')} of {format_count(len(pictures), 'picture')} in {shards}")
    return "\n".join(map(printable, lines))


def trace_json(trace: Trace) -> str:
    """What was found, for machines: each sample's fields, then where it is."""
    samples = []
    for record, member in zip(trace.samples, trace.members, strict=True):
        place = structs.asdict(record)
        samples.append({**place.pop("fields"), **place, "member": member})
    more = {"taken_out": trace.taken_out, "left_out": trace.left_out, "near": trace.near}
    return as_json({"name": trace.name, "found": trace.found, "samples": samples, **more})


def _picture(sample: Placed) -> tuple[str, str]:
    fields = sample[0].fields
    return str(fields["dataset"]), str(fields["source_id"])


def _block(samples: Sequence[Placed], format: str) -> Iterator[str]:
    """A picture, its author and license, and where its samples are."""
    of = samples[0][0].fields
    face = f", face {of['face']}" if of["face"] else ""
    photo = f" (photo {of['photo_id']}{face})" if of["photo_id"] else ""
    title = f'"{of["title"]}" ' if of["title"] else ""
    id = f" ({of['author_id']})" if of["author_id"] else ""
    terms = demands(str(of["license"]))
    conditions = ", ".join(filter(None, (*terms.flags, terms.also)))
    yield f"{of['dataset']} {of['source_id']}{photo}: {title}by {of['author'] or UNKNOWN}{id}"
    yield f"  license {of['license'] or UNKNOWN} {of['license_url']}" + (f" ({conditions})" if conditions else "")
    yield f"  from {of['source_url'] or UNKNOWN}"
    yield f"  {merged([str(record.fields['changes']) for record, _ in samples]) or 'unchanged'}"
    for record, member in samples:
        where = member if get_format(format).joining else f"sample {record.number}"
        yield f"  {record.fields['key']}: {where} of {record.file}, {record.bytes} bytes from byte {record.offset} on"
