"""The report: one HTML file without external files, made of plots, tables and the contact sheet."""

from __future__ import annotations

import base64
import io
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from lpff_shards._version import __version__
from lpff_shards.formats.registry import get_format
from lpff_shards.report.contact_sheet import Cell, Sheet, Shown
from lpff_shards.report.facts import Facts, after
from lpff_shards.report.plots import alternatives
from lpff_shards.report.tables import all_tables, percent, terms, unknown_licenses
from lpff_shards.schemas.text import format_bytes, html

if TYPE_CHECKING:
    from PIL.Image import Image

LIBRARIES = ("numpy", "Pillow", "matplotlib", "Jinja2")


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
    page = environment.from_string(here.joinpath("page.html.j2").read_text("utf-8"))
    return page.render(
        facts=facts,
        css=here.joinpath("page.css").read_text("utf-8"),
        plots={name: uri(data, "png") for name, data in plots.items()},
        alternatives=alternatives(facts, plots),
        sheet=sheet,
        cells=_cells(sheet, found, thumbnails),
        problems=[(shown.key, shown.problem) for shown in found if shown.pixels is None],
        tiles=_tiles(facts),
        tables=all_tables(facts),
        terms=terms(facts),
        versions=", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        generator=f"lpff-shards {__version__}, Python {platform.python_version()}",
    )


def _tiles(facts: Facts) -> Sequence[tuple[str, str]]:
    """Return the numbers at the top of the page, each with its label."""
    unit = get_format(facts.format).unit
    tiles = [
        (f"{len(facts):,}", "samples"),
        (f"{int(np.count_nonzero(facts.replica == 0)):,}", "without copies"),
        (f"{len(facts.shards):,}", f"{facts.format} {'files' if unit == facts.format else f'{unit}s'}"),
        (format_bytes(sum(shard.bytes for shard in facts.shards)), "to write, about" if facts.planned else "on disk"),
        (percent(float(facts.has_camera.mean()) if len(facts) else 0.0), "with camera"),
        (f"{unknown_licenses(facts):,}", "unknown licenses"),
    ]
    if facts.has_camera.any():
        tiles.append((f"{after(facts).entropy:.2f} bits", "entropy of poses"))
    if facts.rebalanced:
        tiles.append((f"{after(facts).effective:,.0f}", "effective samples"))
    return tiles


def uri(data: bytes, kind: str) -> str:
    """Return a picture as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _cells(
    sheet: Sheet, found: Sequence[Shown], thumbnails: Sequence[Image | None]
) -> Mapping[tuple[int, int], tuple[Cell, str, str]]:
    """Return by row and column the sheet's cell, its picture as a data URI ("" if unreadable), and its description."""
    cells = {}
    for cell, shown, thumbnail in zip(sheet.cells, found, thumbnails, strict=True):
        out = io.BytesIO()
        if thumbnail is not None:
            thumbnail.save(out, "WEBP", quality=82, method=4)
        angles = f", yaw {cell.yaw:.1f}°, pitch {cell.pitch:.1f}°" if sheet.step else ""
        text = f"{shown.key}{angles}{', mirrored' * cell.mirrored}{f', {shown.problem}' if shown.problem else ''}"
        cells[cell.down, cell.across] = cell, uri(out.getvalue(), "webp") if thumbnail is not None else "", text
    return cells
