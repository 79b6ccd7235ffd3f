"""The report's page: one HTML file without external files, made of plots, tables and the contact sheet."""

from __future__ import annotations

import base64
import io
import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files

import numpy as np

from lpff_shards._version import __version__
from lpff_shards.formats.registry import get_format
from lpff_shards.report.contact_sheet import Cell, Sheet, Shown
from lpff_shards.report.facts import LARGE_YAW, Facts, Labels, after, before
from lpff_shards.schemas.license import demands
from lpff_shards.schemas.sources import known_specs
from lpff_shards.schemas.text import format_bytes, html

LIBRARIES = ("numpy", "Pillow", "matplotlib", "Jinja2")

Row = tuple[str | int | float | tuple[str, ...], ...]
"""A row of a table: texts, counts, shares from 0 to 1 (shown with a bar), and flags."""


def render(facts: Facts, plots: Mapping[str, bytes], sheet: Sheet, found: Sequence[Shown]) -> str:
    """Return the page as HTML from the plots, PNGs by name, and the pictures of the sheet's cells."""
    from jinja2 import Environment, StrictUndefined

    here = files("lpff_shards.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=html
    )
    environment.filters["percent"] = percent
    specs = known_specs(name for name, *_ in _shares(facts, facts.dataset).values())
    page = environment.from_string(here.joinpath("page.html.j2").read_text("utf-8"))
    return page.render(
        facts=facts,
        css=here.joinpath("page.css").read_text("utf-8"),
        plots={name: _uri(data, "png") for name, data in plots.items()},
        contents=_contents(facts),
        sheet=sheet,
        cells=_cells(facts, sheet, found),
        problems=[(shown.key, shown.problem) for shown in found if shown.picture is None],
        tiles=_tiles(facts),
        tables=_tables(facts),
        large_yaw=f"yaw beyond {LARGE_YAW:.0f}°",
        flat_entropy=math.log2(facts.balances.bins) if facts.balances else 0.0,
        terms=[spec.terms.name for spec in specs if not spec.is_made_up],
        versions=", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        generator=f"lpff-shards {__version__}, Python {platform.python_version()}",
    )


def _contents(facts: Facts) -> str:
    """Return the contents of the plots in words, for screen readers."""
    if not facts.has_camera.any():
        return f"{len(facts.manifest.shards):,} shards."
    across, up = (angles[facts.has_camera] for angles in facts.degrees)
    return (
        f"{len(across):,} samples; yaw from {across.min():.0f} to {across.max():.0f} degrees, "
        f"pitch from {up.min():.0f} to {up.max():.0f}."
    )


def _tiles(facts: Facts) -> Sequence[tuple[str, str]]:
    """Return the numbers at the top of the page, each with its label."""
    manifest = facts.manifest
    unit, size = get_format(manifest.format).unit, format_bytes(sum(shard.bytes for shard in manifest.shards))
    unknown = sum(count for name, count, _ in _shares(facts, facts.license).values() if not demands(name).known)
    tiles = [
        (f"{len(facts):,}", "samples"),
        (f"{int(np.count_nonzero(facts.replica == 0)):,}", "without copies"),
        (f"{len(manifest.shards):,}", f"{manifest.format} {'files' if unit == manifest.format else f'{unit}s'}"),
        (size, "to write, about" if facts.planned else "on disk"),
        (percent(float(facts.has_camera.mean()) if len(facts) else 0.0), "with camera"),
        (f"{unknown:,}", "unknown licenses"),
    ]
    if facts.has_camera.any():
        tiles.append((f"{after(facts).entropy:.2f} bits", "entropy of poses"))
    if facts.rebalanced:
        tiles.append((f"{after(facts).effective:,.0f}", "effective samples"))
    return tiles


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _cells(facts: Facts, sheet: Sheet, found: Sequence[Shown]) -> Mapping[tuple[int, int], tuple[Cell, str, str]]:
    """Return by row and column the sheet's cell, its picture as a data URI ("" if unreadable), and its description."""
    cells = {}
    for cell, shown in zip(sheet.cells, found, strict=True):
        out = io.BytesIO()
        if shown.picture is not None:
            shown.picture.save(out, "WEBP", quality=82, method=4)
        yaw, pitch = (angles[cell.row] for angles in facts.degrees)
        angles = f", yaw {yaw:.1f}°, pitch {pitch:.1f}°" if sheet.step else ""
        text = f"{shown.key}{angles}{', mirrored' * cell.mirrored}{f', {shown.problem}' if shown.problem else ''}"
        cells[cell.down, cell.across] = cell, _uri(out.getvalue(), "webp") if shown.picture else "", text
    return cells


def percent(part: float) -> str:
    """Return a share in words; only exact values are shown as 0 or 100 %."""
    if 0 < part < 0.001:
        return "below 0.1 %"
    return "above 99.9 %" if 0.999 < part < 1 else f"{100 * part:.1f} %"


def _tables(facts: Facts) -> dict[str, list[Row]]:
    """Return the rows of the page's tables, by the names of the tables in the template."""
    manifest = facts.manifest
    counts = [facts.dataset.counts(which).tolist() for which in (facts.replica == 0, facts.mirrored, facts.has_camera)]
    licenses = sorted(_shares(facts, facts.license).values(), key=lambda row: -row[1])
    sizes = Counter(zip(facts.width.tolist(), facts.height.tolist(), strict=True))
    losses = {f"filtered: {reason}": number for reason, number in manifest.filtered.items()} | {
        "pictures that could not be used, before planning": manifest.counts.left_out,
        "planned samples skipped in writing": manifest.counts.skipped,
        "samples removed later by --update": len(manifest.tombstones),
    }

    def words(value: object) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        return (", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)) or "-"

    return {
        "sources": [(*row, *(of[i] for of in counts)) for i, row in _shares(facts, facts.dataset).items()],
        "licenses": [(*row, asked.flags if (asked := demands(row[0])).known else ("unknown",)) for row in licenses],
        "pixels": [
            (f"{width} x {height}" if width and height else "unknown", count, count / len(facts))
            for (width, height), count in sorted(sizes.items(), key=lambda size: (-size[1], size[0]))
        ],
        "splits": _splits(facts),
        "channels": [
            *((channel.name, channel.kind, "in the samples", "-") for channel in manifest.layout.channels or ()),
            *(
                (name, channel.kind, f"{name}/", format_bytes(sum(shard.bytes for shard in of.shards)))
                for name, of in facts.attached.items()
                for channel in (of.layout.channels or ())[:1]
            ),
        ],
        "balance": _balance(facts),
        "rules": _rules(facts),
        "losses": [(what, number) for what, number in losses.items() if number],
        "listed": [
            *((one.id or one.key, one.reason, one.file) for one in manifest.skipped),
            *((one.key, "removed by --update", one.file) for one in manifest.tombstones),
        ],
        "options": [(name, words(value)) for name, value in manifest.options.items() if value is not None],
    }


def _shares(facts: Facts, labels: Labels) -> dict[int, tuple[str, int, float]]:
    """Return name, samples and share of each label in use, by its number."""
    counts = labels.counts().tolist()
    return {i: (labels.names[i], count, count / len(facts)) for i, count in enumerate(counts) if count}


def _splits(facts: Facts) -> list[Row]:
    rows: list[Row] = []
    for name, count in zip(facts.split.names, facts.split.counts().tolist(), strict=True):
        own = [shard.bytes for shard in facts.manifest.shards if shard.split == name]
        if not count and not own:
            continue
        large = np.abs(facts.degrees[0][facts.split.are(name) & facts.has_camera]) > LARGE_YAW
        sizes = (format_bytes(sum(own)), format_bytes(min(own)), format_bytes(max(own))) if own else ("-",) * 3
        share = percent(float(large.mean())) if len(large) else "-"
        rows.append((name, count, count / max(len(facts), 1), len(own), *sizes, share))
    return rows


def _balance(facts: Facts) -> list[Row]:
    if not facts.has_camera.any():
        return []
    states = {"after rebalancing" if facts.rebalanced else "not rebalanced": after(facts)}
    if facts.rebalanced and (earlier := before(facts)) is not None:
        states = {"before rebalancing": earlier, **states}
    return [
        (name, round(one.count), round(one.effective), f"{one.entropy:.2f}", percent(one.large))
        for name, one in states.items()
    ]


def _rules(facts: Facts) -> list[Row]:
    rows: list[Row] = []
    for one in facts.balances.rules if facts.balances else ():
        numbers = (one.samples, round(one.effective), f"{one.entropy:.2f}")
        flags = ("chosen",) if facts.balances and one is facts.balances.chosen else ()
        rows.append((one.rule, "-", "-", "-", one.problem) if one.problem else (one.rule, *numbers, flags))
    return rows
