"""The tables of a report. Pure: from facts to text, numbers, shares and flags."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lpff_shards.planning.rebalance import Balance
from lpff_shards.report.facts import LARGE_YAW, Facts, Labels, after, before
from lpff_shards.schemas.license import demands
from lpff_shards.schemas.sources import known_specs
from lpff_shards.schemas.units import size

LISTED = 50
"""Pictures that were left out and sizes of pictures that a table names, at most."""

Cell = str | int | float | tuple[str, ...]
"""A text, a count, a share from 0 to 1, which is drawn too, or flags to raise."""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table; `more` says what it leaves out, `prose` that its columns hold text and not numbers."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: str = ""
    prose: bool = False


def all_tables(facts: Facts) -> Mapping[str, ReportTable | None]:
    """The tables by name; None where there is nothing to list."""
    made = (sources, licenses, pixels, splits, balance, rules, losses, listed, options)
    return {make.__name__: make(facts) for make in made}


def percent(part: float) -> str:
    """A share in words, never rounded to all or nothing where it is neither."""
    if 0 < part < 0.001:
        return "below 0.1 %"
    return "above 99.9 %" if 0.999 < part < 1 else f"{100 * part:.1f} %"


def sources(facts: Facts) -> ReportTable:
    """Samples by data set."""
    columns = (facts.replica == 0, facts.mirrored, facts.has_camera)
    counts = np.stack([facts.dataset.counts(chosen) for chosen in columns], axis=1).tolist()
    heads = ("source", "samples", "share", "without copies", "mirrored", "with camera")
    return ReportTable(
        "Samples by source", heads, tuple((*row, *counts[i]) for i, row in _shares(facts, facts.dataset).items())
    )


def licenses(facts: Facts) -> ReportTable:
    """Samples by license, the commonest first, with what each asks for."""
    rows = sorted(_shares(facts, facts.license).values(), key=lambda row: -row[1])
    heads = ("license", "samples", "share", "asks for")
    return ReportTable("Samples by license of the photo", heads, tuple((*row, asked(row[0])) for row in rows))


def _shares(facts: Facts, labels: Labels) -> dict[int, tuple[str, int, float]]:
    """Name, samples and share of each label that some sample bears, by its number."""
    counts = labels.counts().tolist()
    return {i: (labels.names[i], count, count / len(facts)) for i, count in enumerate(counts) if count}


def asked(license: str) -> tuple[str, ...]:
    """What a license asks for, in words."""
    found = demands(license)
    return found.flags if found.known else ("unknown",)


def unknown_licenses(facts: Facts) -> int:
    """Samples whose license is not known."""
    return sum(count for name, count, _ in _shares(facts, facts.license).values() if not demands(name).known)


def terms(facts: Facts) -> tuple[str, ...]:
    """The data sets as they call themselves."""
    specs = known_specs(name for name, *_ in _shares(facts, facts.dataset).values())
    return tuple(spec.terms.name for spec in specs if not spec.is_made_up)


def pixels(facts: Facts) -> ReportTable:
    """Samples by the size of their pictures, the commonest first."""
    sizes, counts = np.unique(np.stack([facts.width, facts.height]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:LISTED]
    rows = (
        (f"{width} x {height}" if width and height else "unknown", count, count / len(facts))
        for (width, height), count in zip(sizes[:, order].T.tolist(), counts[order].tolist(), strict=True)
    )
    more = f"and {len(counts) - LISTED:,} other sizes" if len(counts) > LISTED else ""
    return ReportTable("Sizes of pictures in pixels", ("pixels", "samples", "share"), tuple(rows), more)


def splits(facts: Facts) -> ReportTable:
    """Samples and shards by split."""
    rows = []
    for name, count in zip(facts.split.names, facts.split.counts().tolist(), strict=True):
        own = [shard.bytes for shard in facts.shards if shard.split == name]
        if not count and not own:
            continue
        large = np.abs(facts.degrees[0][facts.split.are(name) & facts.has_camera]) > LARGE_YAW
        sizes = (size(sum(own)), size(min(own)), size(max(own))) if own else ("-",) * 3
        share = percent(float(large.mean())) if len(large) else "-"
        rows.append((name, count, count / max(len(facts), 1), len(own), *sizes, share))
    heads = ("split", "samples", "share", "shards", "size", "smallest", "largest", f"yaw beyond {LARGE_YAW:.0f}°")
    return ReportTable("Samples and shards by split", heads, tuple(rows))


def balance(facts: Facts) -> ReportTable | None:
    """The training poses before and after rebalancing."""
    if not facts.has_camera.any():
        return None
    found = {"after rebalancing" if facts.rebalanced else "as it is": after(facts)}
    if facts.rebalanced and (earlier := before(facts)) is not None:
        found = {"before rebalancing": earlier, **found}
    rows = tuple(
        (name, round(one.count), round(one.effective), f"{one.entropy:.2f}", percent(one.large))
        for name, one in found.items()
    )
    heads = ("training split", "samples", "effective", "entropy, bits", f"yaw beyond {LARGE_YAW:.0f}°")
    return ReportTable("How even the training poses are", heads, rows)


def rules(facts: Facts) -> ReportTable | None:
    """What each rule of rebalancing would make of a plan's training pictures."""
    found = facts.balances
    if found is None:
        return None
    flat = math.log2(found.bins)
    caption = f"The rules of rebalancing on these pictures; {flat:.2f} bits if all {found.bins} pose bins held as many"
    rows = tuple(_rule(one, one is found.chosen) for one in found.rules)
    return ReportTable(caption, ("rule", "samples", "effective", "entropy, bits", ""), rows)


def _rule(one: Balance, chosen: bool) -> tuple[Cell, ...]:
    if one.problem:
        return (one.rule, "-", "-", "-", one.problem)
    return (one.rule, one.samples, round(one.effective), f"{one.entropy:.2f}", ("chosen",) if chosen else ())


def losses(facts: Facts) -> ReportTable | None:
    """What is not in the data set, by reason, with counts."""
    counts = {f"filtered: {reason}": number for reason, number in facts.filtered.items()} | {
        "pictures that could not be used, before planning": facts.left_out,
        "planned samples skipped in writing": facts.skipped,
        "samples taken out since by --update": len(facts.tombstones),
    }
    rows = tuple((what, number) for what, number in counts.items() if number)
    return ReportTable("What is not in the data set", ("reason", "count"), rows) if rows else None


def listed(facts: Facts) -> ReportTable | None:
    """The pictures that could not be used, each with its reason, and the samples that were taken out."""
    found = [(one.id or one.key, one.reason, one.file) for one in facts.listed]
    found += [(one.key, "taken out by --update", one.file) for one in facts.tombstones]
    more = f"and {len(found) - LISTED:,} more; manifest.json lists them all" if len(found) > LISTED else ""
    heads = ("picture", "reason", "file")
    return ReportTable("Pictures left out", heads, tuple(found[:LISTED]), more, prose=True) if found else None


def options(facts: Facts) -> ReportTable:
    """The options that decided what is written."""
    rows = ((name, _value(value)) for name, value in facts.options.items() if value is not None)
    return ReportTable("Options", ("option", "value"), tuple(rows), prose=True)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value) or "-"
