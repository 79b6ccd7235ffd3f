"""The tables of a report: functions of facts that return text, numbers, shares and flags."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lpff_shards.planning.rebalance import Balance
from lpff_shards.report.facts import LARGE_YAW, Facts, Labels, after, before
from lpff_shards.schemas.license import demands
from lpff_shards.schemas.sources import known_specs
from lpff_shards.schemas.text import format_bytes

LISTED = 50
"""Most rows of the tables of left-out pictures and of picture sizes."""

Cell = str | int | float | tuple[str, ...]
"""A text, a count, a share from 0 to 1 (shown with a bar), or flags."""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table; `more` describes the omitted rows, `prose` marks columns of text instead of numbers."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: str = ""
    prose: bool = False


def all_tables(facts: Facts) -> Mapping[str, ReportTable | None]:
    """Return the tables by name; None for an empty table."""
    made = (sources, licenses, pixels, splits, balance, rules, losses, listed, options)
    return {make.__name__: make(facts) for make in made}


def percent(part: float) -> str:
    """Return a share in words; only exact values are shown as 0 or 100 %."""
    if 0 < part < 0.001:
        return "below 0.1 %"
    return "above 99.9 %" if 0.999 < part < 1 else f"{100 * part:.1f} %"


def sources(facts: Facts) -> ReportTable:
    """Return samples by data set."""
    columns = (facts.replica == 0, facts.mirrored, facts.has_camera)
    counts = np.stack([facts.dataset.counts(chosen) for chosen in columns], axis=1).tolist()
    heads = ("source", "samples", "share", "without copies", "mirrored", "with camera")
    return ReportTable(
        "Samples by source", heads, tuple((*row, *counts[i]) for i, row in _shares(facts, facts.dataset).items())
    )


def licenses(facts: Facts) -> ReportTable:
    """Return samples by license, the commonest first, with its requirements."""
    rows = sorted(_shares(facts, facts.license).values(), key=lambda row: -row[1])
    heads = ("license", "samples", "share", "requirements")
    return ReportTable("Samples by license of the photo", heads, tuple((*row, asked(row[0])) for row in rows))


def _shares(facts: Facts, labels: Labels) -> dict[int, tuple[str, int, float]]:
    """Return name, samples and share of each label in use, by its number."""
    counts = labels.counts().tolist()
    return {i: (labels.names[i], count, count / len(facts)) for i, count in enumerate(counts) if count}


def asked(license: str) -> tuple[str, ...]:
    """Return the requirements of a license, in words."""
    required = demands(license)
    return required.flags if required.known else ("unknown",)


def unknown_licenses(facts: Facts) -> int:
    """Return the number of samples with an unknown license."""
    return sum(count for name, count, _ in _shares(facts, facts.license).values() if not demands(name).known)


def terms(facts: Facts) -> tuple[str, ...]:
    """Return the full names of the data sets, without made-up ones."""
    specs = known_specs(name for name, *_ in _shares(facts, facts.dataset).values())
    return tuple(spec.terms.name for spec in specs if not spec.is_made_up)


def pixels(facts: Facts) -> ReportTable:
    """Return samples by the size of their pictures, the commonest first."""
    sizes, counts = np.unique(np.stack([facts.width, facts.height]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:LISTED]
    rows = (
        (f"{width} x {height}" if width and height else "unknown", count, count / len(facts))
        for (width, height), count in zip(sizes[:, order].T.tolist(), counts[order].tolist(), strict=True)
    )
    more = f"and {len(counts) - LISTED:,} other sizes" if len(counts) > LISTED else ""
    return ReportTable("Sizes of pictures in pixels", ("pixels", "samples", "share"), tuple(rows), more)


def splits(facts: Facts) -> ReportTable:
    """Return samples and shards by split."""
    rows = []
    for name, count in zip(facts.split.names, facts.split.counts().tolist(), strict=True):
        own = [shard.bytes for shard in facts.shards if shard.split == name]
        if not count and not own:
            continue
        large = np.abs(facts.degrees[0][facts.split.are(name) & facts.has_camera]) > LARGE_YAW
        sizes = (format_bytes(sum(own)), format_bytes(min(own)), format_bytes(max(own))) if own else ("-",) * 3
        share = percent(float(large.mean())) if len(large) else "-"
        rows.append((name, count, count / max(len(facts), 1), len(own), *sizes, share))
    heads = ("split", "samples", "share", "shards", "size", "smallest", "largest", f"yaw beyond {LARGE_YAW:.0f}°")
    return ReportTable("Samples and shards by split", heads, tuple(rows))


def balance(facts: Facts) -> ReportTable | None:
    """Return statistics of the training poses, before and after rebalancing."""
    if not facts.has_camera.any():
        return None
    states = {"after rebalancing" if facts.rebalanced else "not rebalanced": after(facts)}
    if facts.rebalanced and (earlier := before(facts)) is not None:
        states = {"before rebalancing": earlier, **states}
    rows = tuple(
        (name, round(one.count), round(one.effective), f"{one.entropy:.2f}", percent(one.large))
        for name, one in states.items()
    )
    heads = ("training split", "samples", "effective", "entropy, bits", f"yaw beyond {LARGE_YAW:.0f}°")
    return ReportTable("Balance of the training poses", heads, rows)


def rules(facts: Facts) -> ReportTable | None:
    """Return the effect of each rule of rebalancing on a plan's training pictures."""
    effects = facts.balances
    if effects is None:
        return None
    flat = math.log2(effects.bins)
    caption = f"The rules of rebalancing on these pictures; {flat:.2f} bits if all {effects.bins} pose bins were equal"
    rows = tuple(_rule(one, one is effects.chosen) for one in effects.rules)
    return ReportTable(caption, ("rule", "samples", "effective", "entropy, bits", ""), rows)


def _rule(one: Balance, chosen: bool) -> tuple[Cell, ...]:
    if one.problem:
        return (one.rule, "-", "-", "-", one.problem)
    return (one.rule, one.samples, round(one.effective), f"{one.entropy:.2f}", ("chosen",) if chosen else ())


def losses(facts: Facts) -> ReportTable | None:
    """Return counts of pictures and samples left out, by reason."""
    counts = {f"filtered: {reason}": number for reason, number in facts.filtered.items()} | {
        "pictures that could not be used, before planning": facts.left_out,
        "planned samples skipped in writing": facts.skipped,
        "samples removed later by --update": len(facts.tombstones),
    }
    rows = tuple((what, number) for what, number in counts.items() if number)
    return ReportTable("Left out of the data set", ("reason", "count"), rows) if rows else None


def listed(facts: Facts) -> ReportTable | None:
    """Return the unusable pictures, each with its reason, and the samples removed by --update."""
    rows = [(one.id or one.key, one.reason, one.file) for one in facts.listed]
    rows += [(one.key, "removed by --update", one.file) for one in facts.tombstones]
    more = f"and {len(rows) - LISTED:,} more; manifest.json lists them all" if len(rows) > LISTED else ""
    heads = ("picture", "reason", "file")
    return ReportTable("Pictures left out", heads, tuple(rows[:LISTED]), more, prose=True) if rows else None


def options(facts: Facts) -> ReportTable:
    """Return the options that determine the output."""
    rows = ((name, _value(value)) for name, value in facts.options.items() if value is not None)
    return ReportTable("Options", ("option", "value"), tuple(rows), prose=True)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value) or "-"
