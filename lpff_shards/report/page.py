"""The report's page: one HTML file without external files, made of plots, tables and the contact sheet."""

from __future__ import annotations

import base64
import io
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from lpff_shards._version import __version__
from lpff_shards.formats.registry import get_format
from lpff_shards.report.contact_sheet import Cell, Sheet, Shown
from lpff_shards.report.facts import LARGE_YAW, Facts, Labels, after, before
from lpff_shards.report.plots import alternatives
from lpff_shards.schemas.escaping import html
from lpff_shards.schemas.license import demands
from lpff_shards.schemas.sources import known_specs
from lpff_shards.schemas.units import format_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

LIBRARIES = ("numpy", "Pillow", "matplotlib", "Jinja2")
LISTED = 50
"""Most rows of the tables of left-out pictures and of picture sizes."""

TableCell = str | int | float | tuple[str, ...]
"""A text, a count, a share from 0 to 1 (shown with a bar), or flags."""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table; `more` describes the omitted rows, `prose` marks columns of text instead of numbers."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    more: str = ""
    prose: bool = False


def render(
    facts: Facts, plots: Mapping[str, bytes], sheet: Sheet, found: Sequence[Shown], thumbnails: Sequence[Image | None]
) -> str:
    """Return the page as HTML.

    Args:
        plots: PNGs by name.
        found, thumbnails: pictures of the sheet's cells, in their order.
    """
    from jinja2 import Environment, StrictUndefined

    here = files("lpff_shards.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=html
    )
    environment.filters["percent"] = percent
    made = (sources, licenses, pixels, splits, balance, rules, losses, listed, options)
    specs = known_specs(name for name, *_ in _shares(facts, facts.dataset).values())
    page = environment.from_string(here.joinpath("page.html.j2").read_text("utf-8"))
    return page.render(
        facts=facts,
        css=here.joinpath("page.css").read_text("utf-8"),
        plots={name: _uri(data, "png") for name, data in plots.items()},
        alternatives=alternatives(facts, plots),
        sheet=sheet,
        cells=_cells(sheet, found, thumbnails),
        problems=[(shown.key, shown.problem) for shown in found if shown.pixels is None],
        tiles=_tiles(facts),
        tables={make.__name__: make(facts) for make in made},
        terms=[spec.terms.name for spec in specs if not spec.is_made_up],
        versions=", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        generator=f"lpff-shards {__version__}, Python {platform.python_version()}",
    )


def _tiles(facts: Facts) -> Sequence[tuple[str, str]]:
    """Return the numbers at the top of the page, each with its label."""
    unit = get_format(facts.manifest.format).unit
    tiles = [
        (f"{len(facts):,}", "samples"),
        (f"{int(np.count_nonzero(facts.replica == 0)):,}", "without copies"),
        (
            f"{len(facts.manifest.shards):,}",
            f"{facts.manifest.format} {'files' if unit == facts.manifest.format else f'{unit}s'}",
        ),
        (
            format_bytes(sum(shard.bytes for shard in facts.manifest.shards)),
            "to write, about" if facts.planned else "on disk",
        ),
        (percent(float(facts.has_camera.mean()) if len(facts) else 0.0), "with camera"),
        (f"{unknown_licenses(facts):,}", "unknown licenses"),
    ]
    if facts.has_camera.any():
        tiles.append((f"{after(facts).entropy:.2f} bits", "entropy of poses"))
    if facts.rebalanced:
        tiles.append((f"{after(facts).effective:,.0f}", "effective samples"))
    return tiles


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _cells(
    sheet: Sheet, found: Sequence[Shown], thumbnails: Sequence[Image | None]
) -> Mapping[tuple[int, int], tuple[Cell, str, str]]:
    """Return by row and column the sheet's cell, its picture as a data URI ("" if unreadable), and its description."""
    cells = {}
    for cell, shown, thumbnail in zip(sheet.cells, found, thumbnails, strict=True):
        picture = ""
        if thumbnail is not None:
            out = io.BytesIO()
            thumbnail.save(out, "WEBP", quality=82, method=4)
            picture = _uri(out.getvalue(), "webp")
        angles = f", yaw {cell.yaw:.1f}°, pitch {cell.pitch:.1f}°" if sheet.step else ""
        text = f"{shown.key}{angles}{', mirrored' * cell.mirrored}{f', {shown.problem}' if shown.problem else ''}"
        cells[cell.down, cell.across] = cell, picture, text
    return cells


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
    rows = []
    for row in sorted(_shares(facts, facts.license).values(), key=lambda row: -row[1]):
        required = demands(row[0])
        rows.append((*row, required.flags if required.known else ("unknown",)))
    heads = ("license", "samples", "share", "requirements")
    return ReportTable("Samples by license of the photo", heads, tuple(rows))


def _shares(facts: Facts, labels: Labels) -> dict[int, tuple[str, int, float]]:
    """Return name, samples and share of each label in use, by its number."""
    counts = labels.counts().tolist()
    return {i: (labels.names[i], count, count / len(facts)) for i, count in enumerate(counts) if count}


def unknown_licenses(facts: Facts) -> int:
    """Return the number of samples with an unknown license."""
    return sum(count for name, count, _ in _shares(facts, facts.license).values() if not demands(name).known)


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
        own = [shard.bytes for shard in facts.manifest.shards if shard.split == name]
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
    rows: list[tuple[TableCell, ...]] = []
    for one in effects.rules:
        if one.problem:
            rows.append((one.rule, "-", "-", "-", one.problem))
        else:
            chosen = ("chosen",) if one is effects.chosen else ()
            rows.append((one.rule, one.samples, round(one.effective), f"{one.entropy:.2f}", chosen))
    return ReportTable(caption, ("rule", "samples", "effective", "entropy, bits", ""), tuple(rows))


def losses(facts: Facts) -> ReportTable | None:
    """Return counts of pictures and samples left out, by reason."""
    counts = {f"filtered: {reason}": number for reason, number in facts.manifest.filtered.items()} | {
        "pictures that could not be used, before planning": facts.manifest.counts.left_out,
        "planned samples skipped in writing": facts.manifest.counts.skipped,
        "samples removed later by --update": len(facts.manifest.tombstones),
    }
    rows = tuple((what, number) for what, number in counts.items() if number)
    return ReportTable("Left out of the data set", ("reason", "count"), rows) if rows else None


def listed(facts: Facts) -> ReportTable | None:
    """Return the unusable pictures, each with its reason, and the samples removed by --update."""
    rows = [(one.id or one.key, one.reason, one.file) for one in facts.manifest.skipped]
    rows += [(one.key, "removed by --update", one.file) for one in facts.manifest.tombstones]
    more = f"and {len(rows) - LISTED:,} more; manifest.json lists them all" if len(rows) > LISTED else ""
    heads = ("picture", "reason", "file")
    return ReportTable("Pictures left out", heads, tuple(rows[:LISTED]), more, prose=True) if rows else None


def options(facts: Facts) -> ReportTable:
    """Return the options that determine the output."""

    def words(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return (", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)) or "-"

    rows = ((name, words(value)) for name, value in facts.manifest.options.items() if value is not None)
    return ReportTable("Options", ("option", "value"), tuple(rows), prose=True)
