"""The tables of a report. Pure: from facts to text, shares and flags."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lpff_shards.planning.rule_comparison import Balance
from lpff_shards.report.evenness import LARGE_YAW
from lpff_shards.report.facts import Facts
from lpff_shards.report.measures import Spread, after, before
from lpff_shards.schemas.demands import demands
from lpff_shards.schemas.sources import known_specs
from lpff_shards.schemas.units import size

LISTED = 50
WORST = 5
FAR = 1.5
"""Times what chance gives; of shards whose samples were dealt out at random none is as far."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, whether it is a number, a share from 0 to 1 to draw, and flags to raise."""

    text: str
    number: bool = False
    share: float | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `more` says what it leaves out."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    more: str = ""


def count(number: float) -> Cell:
    """A whole number."""
    return Cell(f"{number:,.0f}", number=True)


def share(part: float, whole: float) -> Cell:
    """A part of a whole, as text and as a bar."""
    found = part / whole if whole else 0.0
    return Cell(percent(found), number=True, share=found)


def percent(part: float) -> str:
    """A share in words, never rounded to all or nothing where it is neither."""
    if 0 < part < 0.001:
        return "below 0.1 %"
    return "above 99.9 %" if 0.999 < part < 1 else f"{100 * part:.1f} %"


def sources(facts: Facts) -> Table:
    """Samples by data set."""
    every = facts.dataset.counts()
    pictures = facts.dataset.counts(facts.replica == 0)
    mirrored, seen = facts.dataset.counts(facts.mirrored), facts.dataset.counts(facts.has_camera)
    rows = (
        (
            Cell(name),
            count(every[i]),
            share(every[i], len(facts)),
            count(pictures[i]),
            count(mirrored[i]),
            count(seen[i]),
        )
        for i, name in enumerate(facts.dataset.names)
        if every[i]
    )
    heads = ("source", "samples", "share", "without copies", "mirrored", "with camera")
    return Table("Samples by source", heads, tuple(rows))


def terms(facts: Facts) -> tuple[str, ...]:
    """The data sets as they call themselves."""
    held = facts.dataset.counts()
    specs = known_specs(name for i, name in enumerate(facts.dataset.names) if held[i])
    return tuple(spec.terms.name for spec in specs if not spec.is_made_up)


def licenses(facts: Facts) -> Table:
    """Samples by license, with what each asks for."""
    every = facts.license.counts()
    order = [i for i in np.argsort(-every, kind="stable").tolist() if every[i]]
    rows = (
        (
            Cell(facts.license.names[i]),
            count(every[i]),
            share(every[i], len(facts)),
            Cell("", flags=asked(facts.license.names[i])),
        )
        for i in order
    )
    return Table("Samples by license of the photo", ("license", "samples", "share", "asks for"), tuple(rows))


def asked(license: str) -> tuple[str, ...]:
    """What a license asks for, in words."""
    found = demands(license)
    return found.flags if found.known else ("unknown",)


def splits(facts: Facts) -> Table:
    """Samples and shards by split."""
    every = facts.split.counts()
    rows = []
    for i, name in enumerate(facts.split.names):
        own = [shard for shard in facts.shards if shard.split == name]
        if not every[i] and not own:
            continue
        chosen = facts.split.are(name)
        seen = chosen & facts.has_camera
        large = np.abs(facts.degrees[0][seen]) > LARGE_YAW
        rows.append(
            (
                Cell(name),
                count(every[i]),
                share(every[i], len(facts)),
                count(len(own)),
                Cell(size(sum(shard.bytes for shard in own)), number=True),
                Cell(percent(float(large.mean())) if seen.any() else "-", number=True),
            )
        )
    heads = ("split", "samples", "share", "shards", "size", f"yaw beyond {LARGE_YAW:.0f}°")
    return Table("Samples by split", heads, tuple(rows))


def balance(facts: Facts) -> Table:
    """The training poses before and after rebalancing."""
    found = [("as it is" if not facts.rebalanced else "after rebalancing", after(facts))]
    earlier = before(facts)
    if facts.rebalanced and earlier is not None:
        found.insert(0, ("before rebalancing", earlier))
    heads = ("training split", "samples", "effective", "entropy, bits", f"yaw beyond {LARGE_YAW:.0f}°")
    return Table("How even the training poses are", heads, tuple(_spread(name, spread) for name, spread in found))


def _spread(name: str, spread: Spread) -> tuple[Cell, ...]:
    numbers = (f"{spread.count:,.0f}", f"{spread.effective:,.0f}", f"{spread.entropy:.2f}", percent(spread.large))
    return (Cell(name), *(Cell(number, number=True) for number in numbers))


def rules(facts: Facts) -> Table | None:
    """What each rule of rebalancing would make of a plan's training pictures."""
    found = facts.balances
    if found is None:
        return None
    flat = math.log2(found.bins)
    caption = f"The rules of rebalancing on these pictures; {flat:.2f} bits if all {found.bins} pose bins held as many"
    rows = tuple(_rule(one, one is found.chosen) for one in found.rules)
    return Table(caption, ("rule", "samples", "effective", "entropy, bits", ""), rows)


def _rule(one: Balance, chosen: bool) -> tuple[Cell, ...]:
    if one.problem:
        return (Cell(one.rule), *(Cell("-", number=True) for _ in range(3)), Cell(one.problem))
    entropy = Cell(f"{one.entropy:.2f}", number=True)
    flags = ("chosen",) if chosen else ()
    return (Cell(one.rule), count(one.samples), count(one.effective), entropy, Cell("", flags=flags))


def uneven_shards(facts: Facts) -> Table | None:
    """The shards whose poses are farther from their split's than chance brings them; None where there are none."""
    found = facts.evenness
    worst = np.argsort(-(found.divergence - found.chance), kind="stable")[:WORST]
    worst = worst[found.divergence[worst] > FAR * found.chance[worst]]
    if not len(worst):
        return None
    rows = []
    for i in worst.tolist():
        shard = facts.shards[int(found.shards[i])]
        numbers = (
            f"{found.divergence[i]:.3f}",
            f"{found.chance[i]:.3f}",
            percent(found.large[i]),
            percent(found.whole[i]),
        )
        rows.append((Cell(shard.file), count(shard.samples), *(Cell(number, number=True) for number in numbers)))
    heads = ("shard", "samples", "divergence, bits", "by chance", f"yaw beyond {LARGE_YAW:.0f}°", "in its split")
    return Table("Shards farther than by chance", heads, tuple(rows))


def shard_sizes(facts: Facts) -> Table:
    """The smallest and largest shard of each split."""
    rows = []
    for split in dict.fromkeys(shard.split for shard in facts.shards):
        own = [shard for shard in facts.shards if shard.split == split]
        ordered = sorted(own, key=lambda shard: shard.bytes)
        held = [shard.samples for shard in own]
        samples = f"{min(held):,}" if min(held) == max(held) else f"{min(held):,} to {max(held):,}"
        sizes = (size(ordered[0].bytes), size(ordered[-1].bytes))
        cells = (samples, *sizes)
        rows.append((Cell(split), count(len(own)), *(Cell(cell, number=True) for cell in cells)))
    heads = ("split", "shards", "samples a shard", "smallest", "largest")
    return Table("Shards by split", heads, tuple(rows))


def losses(facts: Facts) -> Table | None:
    """What is not in the data set, by reason, with counts."""
    lost = facts.losses
    rows = [(Cell(f"filtered: {reason}"), count(number)) for reason, number in lost.filtered.items() if number]
    told = (
        ("pictures that could not be used, before planning", lost.left_out),
        ("planned samples skipped in writing", lost.skipped),
        ("samples taken out since by --update", len(lost.tombstones)),
    )
    rows += [(Cell(what), count(number)) for what, number in told if number]
    return Table("What is not in the data set", ("reason", "count"), tuple(rows)) if rows else None


def left_out(facts: Facts) -> Table | None:
    """The pictures and samples that could not be used, each with its reason."""
    found = facts.losses.listed
    rows = tuple((Cell(one.id or one.key), Cell(one.reason), Cell(one.file)) for one in found[:LISTED])
    return _listed("Pictures that could not be used", ("picture", "reason", "file"), rows, len(found))


def tombstones(facts: Facts) -> Table | None:
    """The samples that were taken out."""
    found = facts.losses.tombstones
    rows = tuple((Cell(one.key), Cell(one.file)) for one in found[:LISTED])
    return _listed("Samples taken out", ("key", "shard that held it"), rows, len(found))


def _listed(caption: str, heads: tuple[str, ...], rows: tuple[tuple[Cell, ...], ...], every: int) -> Table | None:
    more = f"and {every - len(rows):,} more; manifest.json lists them all" if every > len(rows) else ""
    return Table(caption, heads, rows, more) if rows else None


def options(facts: Facts) -> Table:
    """The options that decided what is written."""
    rows = ((Cell(name), Cell(_value(value))) for name, value in facts.options.items() if value is not None)
    return Table("Options", ("option", "value"), tuple(rows))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return str(value) or "-"


def versions(facts: Facts, libraries: Iterable[tuple[str, str]]) -> Table:
    """What wrote the data set, and what made the report."""
    rows: Sequence[tuple[str, str]] = [
        ("written by" if not facts.planned else "planned by", facts.generator),
        *libraries,
    ]
    return Table("Versions", ("what", "version"), tuple((Cell(name), Cell(version)) for name, version in rows))


def unknown_licenses(facts: Facts) -> int:
    """Samples whose license is not known."""
    return sum(
        int(number)
        for name, number in zip(facts.license.names, facts.license.counts().tolist(), strict=True)
        if not demands(name).known
    )
