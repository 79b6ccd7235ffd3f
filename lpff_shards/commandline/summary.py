"""Results of the commands: as text, and as data for JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from lpff_shards.commandline.progress import plan_notes
from lpff_shards.errors import printable
from lpff_shards.formats.registry import get_format
from lpff_shards.manifest import Manifest, ShareDone
from lpff_shards.options.export import ExportOptions
from lpff_shards.planning.plan import Plan
from lpff_shards.planning.rebalance import Balances
from lpff_shards.planning.survey import finished_survey
from lpff_shards.schemas.license import demands
from lpff_shards.schemas.text import format_bytes, format_count, format_rate
from lpff_shards.sidecars.attribution import UNKNOWN, merged
from lpff_shards.sidecars.sample_index import IndexedSample
from lpff_shards.sidecars.trace import Trace
from lpff_shards.storage.path import place
from lpff_shards.verify import Verdict

if TYPE_CHECKING:
    # Their modules read buckets and start processes, which other commands have no use for.
    from lpff_shards.loaders.bench import BenchReport, Run


def plan_text(plan: Plan, balances: Balances | None) -> str:
    """Describe a plan, with the effect of each rule of rebalancing."""
    lines = [
        f"{plan.name}: {format_count(plan.samples, 'sample')} in {_files(len(plan.outputs), plan.settings.format)}, "
        f"about {format_bytes(int(plan.sizes.sum()))}"
    ]
    for split in plan.shards:
        files = [output.file for output in plan.outputs if output.split == split]
        lines.append(f"  {files[0]}" + (f" ... {files[-1]}" if len(files) > 1 else ""))
    counts = {"sources": plan.by_source(), "splits": plan.by_split(), "licenses": plan.by_license()}
    for title, found in counts.items():
        if title != "splits" or len(plan.entries.splits) > 1:
            listed = printable(", ".join(f"{name} {count:,}" for name, count in found.items()))
            lines.append(f"  {click.style(f'{title}:', bold=True)} {listed}")
    if balances is not None:
        head = click.style("training poses by --rebalance", bold=True)
        flat = f"{math.log2(balances.bins):.2f} bits if flat"
        lines.append(f"  {head} (entropy over {balances.bins} pose bins, {flat}):")
        for one in balances.rules:
            mark = "*" if one is balances.chosen else " "
            facts = f"{one.samples:>11,} samples, {one.effective:>11,.0f} effective, {one.entropy:.2f} bits"
            lines.append(f"  {mark} {one.rule:7} {one.problem or facts}")
    return "\n".join([*lines, f"  plan {plan.digest[:16]}", *map(printable, plan_notes(plan))])


def plan_data(plan: Plan, balances: Balances | None) -> Mapping[str, Any]:
    """Return a plan for JSON."""
    keys = ("file", "split", "samples", "bytes")
    shards = [(one.file, one.split, len(plan.rows(one.tasks)), plan.planned_bytes(one.tasks)) for one in plan.outputs]
    return {
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
        "shards": [dict(zip(keys, shard, strict=True)) for shard in shards],
        "left_out": plan.problems,
        "notes": plan.notes,
    }


def manifest_text(manifest: Manifest, out: str, shown: Sequence[str] = ()) -> str:
    """Describe a finished export; notes that were `shown` before are left out."""
    total = sum(shard.bytes for shard in manifest.shards)
    format = get_format(manifest.format)
    what = f"{format_count(manifest.samples, 'sample')} in {format_count(len(manifest.shards), format.unit)}"
    lines = [f"{manifest.name}: {what}, {format_bytes(total)}, in {out}"]
    if not format.for_trainers:
        lines += [f"  note: {note}" for note in finished_survey(manifest).notes() if note not in shown]
    counts = {"picture": manifest.counts.left_out, "sample": manifest.counts.skipped}
    if left := sum(counts.values()):
        parts = " and ".join(format_count(count, what) for what, count in counts.items() if count)
        lines.append(f"  left out: {left} ({parts}, listed with reasons in {place(out) / 'manifest.json'})")
        lines += [f"    {s.file}: {s.id}: {s.reason}" for s in manifest.skipped[:10]]
        lines += [f"    and {left - 10} more"] if left > 10 else []
    return "\n".join(map(printable, lines))


def share_text(options: ExportOptions, share: ShareDone) -> str:
    """Describe a finished share while others are missing."""
    all = format_count(share.shards, options.traits.piece)
    own = f"share {options.run.task}: {share.written:,} of {all} written, in {options.out}"
    return printable(f"{own}; the last share to be done writes the manifest")


def verdict_text(verdict: Verdict) -> str:
    """List faults, one per line, then the totals."""
    held = f"{format_count(verdict.samples, 'sample')} in {_files(verdict.shards, verdict.format)}"
    what = printable(f"{verdict.name}: {held}, {format_bytes(verdict.bytes)}")
    speed = format_rate(verdict.samples, verdict.bytes, verdict.seconds)
    if verdict.ok:
        return f"{what}: {click.style('all whole', fg='green')} ({speed})"
    count = click.style(format_count(len(verdict.faults), "fault"), fg="red", bold=True)
    return "\n".join([*fault_lines(verdict), f"{what}: {count} ({speed})"])


def fault_lines(verdict: Verdict) -> list[str]:
    """Return the faults, one per line."""
    return [printable(str(fault)) for fault in verdict.faults]


def indexes_text(path: str, written: Sequence[str]) -> str:
    """Return the number of index files that were written."""
    what = f"{format_count(len(written), 'file')} written" if written else "no file was missing"
    return printable(f"{path}: {what}")


def _files(count: int, format: str) -> str:
    unit = get_format(format).unit
    return format_count(count, unit if unit == format else f"{format} {unit}")


def run_text(run: Run, details: bool = False) -> str:
    """Return a measured loader in one line; with details, the figures of its rate."""
    counted = f" ({run.pictures:,} pictures in {run.seconds:.1f} s, the first batch after {run.start:.1f} s)"
    rate = f"{run.rate:,.0f} pictures/s{counted if details else ''}"
    return f"  {_title(run)}: {run.problem or rate}"


def report_text(report: BenchReport) -> str:
    """Return a table of pictures and bytes per second, and what they cost; bytes as stored."""
    demanded, reading = report.demanded_pictures_per_second, report.reading
    wide = max([26, *(len(_title(run)) for run in report.runs)])
    titles = f"{'':{wide}}{'pictures/s':>12}{'MB/s':>9}{'first batch':>13}{'CPU s/1,000':>13}{'memory':>10}"
    lines = [
        f"{report.name} {report.split}: {report.samples:,} samples of {format_bytes(int(report.picture_bytes))} "
        f"({report.format}), batches of {report.batch_size}"
        + (f"; {demanded:,.0f} pictures/s are 100 % utilization" if demanded else ""),
        click.style(titles + ("  utilization" if demanded else ""), bold=True),
    ]
    first = "files, cold" if any(run.cold for run in report.runs) else "files, as found"
    for name, seconds in ((first, reading.first), ("files, once more", reading.again)):
        rate = reading.bytes / seconds
        lines.append(f"{name:{wide}}{rate / report.picture_bytes:>12,.0f}{rate / 1e6:>9,.0f}")
    for run in report.runs:
        rate = run.rate * report.picture_bytes / 1e6
        figures = f"{run.rate:>12,.0f}{rate:>9,.0f}{run.start:>11.1f} s"
        figures += f"{run.cpu_seconds_per_1000_pictures:>13.2f}{format_bytes(run.memory_bytes):>10}"
        figures += f"{run.utilization_percent:>11.0f} %" if run.utilization_percent is not None else ""
        lines.append(f"{_title(run):{wide}}" + (f"  {run.problem}" if run.problem else figures))
    return "\n".join([printable(lines[0]), lines[1], *map(printable, lines[2:])])


def _title(run: Run) -> str:
    workers = "" if run.workers is None else format_count(run.workers, "worker")
    return ", ".join(filter(None, (run.loader, workers, "cold" * run.cold, run.device, "pinned" * run.pinned)))


def report_data(report: BenchReport) -> Mapping[str, Any]:
    """Return a benchmark for JSON."""
    runs = [{**structs.asdict(run), "pictures_per_second": run.rate} for run in report.runs]
    return {**structs.asdict(report), "runs": runs}


def channel_text(manifest: Manifest, path: str) -> str:
    """Return the result of `attach` for one channel."""
    channel, size = (manifest.layout.channels or ())[0], sum(shard.bytes for shard in manifest.shards)
    shards = _files(len(manifest.shards), manifest.format)
    what = (
        f"{channel.name}: {format_count(manifest.samples, f'.{channel.kind} file')} in {shards}, {format_bytes(size)}"
    )
    return printable(f"{what}, in {path}/{channel.name}")


def trace_text(trace: Trace) -> str:
    """List the matching samples by picture, and those that were left out."""
    pictures: dict[tuple[str, str], list[tuple[IndexedSample, str | None]]] = {}
    for record, member in zip(trace.samples, trace.members, strict=True):
        picture = str(record.fields["dataset"]), str(record.fields["source_id"])
        pictures.setdefault(picture, []).append((record, member))
    lines = [line for _, group in sorted(pictures.items()) for line in _block(group, trace.format)]
    for gone in trace.taken_out:
        how = f"taken out of {gone.file}" if gone.file else "left out before, and forgotten"
        lines.append(f"{gone.key}: {how} by export --update")
    lines += [f"{format_count(len(trace.taken_out), 'sample')} withdrawn"] if trace.taken_out else []
    lines += [f"{one.key or one.id}: left out: {one.reason} ({one.file})" for one in trace.left_out]
    if trace.samples:
        samples, shards = len(trace.samples), format_count(len({record.file for record in trace.samples}), "shard")
        lines.append(f"{format_count(samples, 'sample')} of {format_count(len(pictures), 'picture')} in {shards}")
    if trace.channels:
        lines.append(f"Attached channels have files of the same samples: {', '.join(f'{n}/' for n in trace.channels)}")
    return "\n".join(map(printable, lines))


def trace_data(trace: Trace) -> Mapping[str, Any]:
    """Return a trace for JSON: each sample's fields, then its place."""
    samples = []
    for record, member in zip(trace.samples, trace.members, strict=True):
        place = structs.asdict(record)
        samples.append({**place.pop("fields"), **place, "member": member})
    more: dict[str, Any] = {"taken_out": trace.taken_out, "left_out": trace.left_out, "near": trace.near}
    more |= {"channels": trace.channels} if trace.channels else {}
    return {"name": trace.name, "found": trace.found, "samples": samples, **more}


def _block(samples: Sequence[tuple[IndexedSample, str | None]], format: str) -> Iterator[str]:
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
