"""The report: one HTML file without external files, made of plots, tables and the contact sheet."""

from __future__ import annotations

import base64
import io
import platform
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lpff_shards._version import __version__
from lpff_shards.formats.registry import get_format
from lpff_shards.report import tables
from lpff_shards.report.evenness import LARGE_YAW
from lpff_shards.report.facts import Facts
from lpff_shards.report.measures import after
from lpff_shards.report.pictures import Shown
from lpff_shards.report.plots import Drawn, alternative
from lpff_shards.report.sheet import Cell, Sheet
from lpff_shards.report.theme import Theme
from lpff_shards.schemas.escaping import html
from lpff_shards.schemas.units import size

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont


@dataclass(frozen=True, slots=True)
class Thumb:
    """A picture of the contact sheet as the page shows it; `src` is empty where it cannot be read."""

    src: str
    told: str
    mirrored: bool


@dataclass(frozen=True, slots=True)
class View:
    """The contact sheet as the page shows it.

    Attributes:
        step: degrees of a cell, 0 without cameras.
        yaws: heads of the columns; rows: of each its head, and its pictures, None where a cell is empty.
        problems: of pictures that cannot be read: key and reason.
    """

    step: int
    yaws: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Thumb | None, ...]], ...]
    problems: tuple[tuple[str, str], ...]
    shown: int


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot as the page shows it, `light` and `dark` data URIs; where there is none, `lacking` says why."""

    caption: str
    alt: str
    lacking: str
    light: str = ""
    dark: str = ""
    width: int = 0
    height: int = 0


def render(facts: Facts, drawn: Mapping[str, Drawn], view: View) -> str:
    """The page as HTML."""
    from jinja2 import Environment, StrictUndefined

    here = files("lpff_shards.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=html
    )
    environment.filters |= {"size": size, "percent": tables.percent}
    page = environment.from_string(here.joinpath("page.html.j2").read_text("utf-8"))
    css = here.joinpath("page.css").read_text("utf-8")
    return page.render(
        facts=facts,
        css=css,
        plots={name: _figure(name, one, facts) for name, one in drawn.items()},
        sheet=view,
        tiles=_tiles(facts),
        tables=_tables(facts),
        terms=tables.terms(facts),
        large_yaw=LARGE_YAW,
    )


def _tables(facts: Facts) -> Mapping[str, tables.Table | None]:
    made: tuple[str, ...] = ("sources", "licenses", "splits", "balance", "rules", "uneven_shards", "shard_sizes")
    made = (*made, "losses", "left_out", "tombstones", "options")
    libraries = [
        ("report by", f"lpff-shards {__version__}"),
        ("Python", platform.python_version()),
        *((name, version(name)) for name in ("numpy", "Pillow", "matplotlib", "Jinja2")),
    ]
    return {name: getattr(tables, name)(facts) for name in made} | {"versions": tables.versions(facts, libraries)}


def _tiles(facts: Facts) -> Sequence[tuple[str, str]]:
    """The numbers that stand on top: what, how many."""
    unit = get_format(facts.format).unit
    tiles = [
        (f"{len(facts):,}", "samples"),
        (f"{int(np.count_nonzero(facts.replica == 0)):,}", "without copies"),
        (f"{len(facts.shards):,}", f"{facts.format} {'files' if unit == facts.format else f'{unit}s'}"),
        (size(sum(shard.bytes for shard in facts.shards)), "to write, about" if facts.planned else "on disk"),
        (tables.percent(float(facts.has_camera.mean()) if len(facts) else 0.0), "with camera"),
        (f"{tables.unknown_licenses(facts):,}", "unknown licenses"),
    ]
    if facts.has_camera.any():
        tiles.append((f"{after(facts).entropy:.2f} bits", "entropy of poses"))
    if facts.rebalanced:
        tiles.append((f"{after(facts).effective:,.0f}", "effective samples"))
    return tiles


def _figure(name: str, drawn: Drawn, facts: Facts) -> Figure:
    if drawn.lacking:
        return Figure(drawn.caption, "", drawn.lacking)
    width, height = struct.unpack(">2I", drawn.pictures["light"][16:24])
    light, dark = (uri(drawn.pictures[theme], "png") for theme in ("light", "dark"))
    told = alternative(name, facts)
    return Figure(drawn.caption, f"{drawn.caption}. {told}".strip(), "", light, dark, width, height)


def uri(data: bytes, kind: str) -> str:
    """A picture as a data URI."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def view(sheet: Sheet, found: Sequence[Shown], thumbnails: Sequence[bytes]) -> View:
    """The contact sheet as the page shows it.

    Args:
        found, thumbnails: of the sheet's cells, in their order; thumbnails are WebP.
    """
    lines = max((cell.down for cell in sheet.cells), default=-1) + 1
    grid: list[list[Thumb | None]] = [[None] * sheet.columns for _ in range(lines)]
    for cell, shown, data in zip(sheet.cells, found, thumbnails, strict=True):
        grid[cell.down][cell.across] = Thumb(
            uri(data, "webp") if data else "", _told(cell, shown, sheet), cell.mirrored
        )
    heads = [degrees(pitch) for pitch in sheet.pitches] or [""] * lines
    problems = tuple((shown.key, shown.problem) for shown in found if shown.pixels is None)
    rows = tuple((head, tuple(line)) for head, line in zip(heads, grid, strict=True))
    return View(sheet.step, tuple(map(degrees, sheet.yaws)), rows, problems, len(sheet.cells))


def _told(cell: Cell, shown: Shown, sheet: Sheet) -> str:
    parts = [shown.key]
    if sheet.step:
        parts += [f"yaw {degrees(cell.yaw, 1)}", f"pitch {degrees(cell.pitch, 1)}"]
    parts += ["mirrored"] if cell.mirrored else []
    return ", ".join([*parts, shown.problem] if shown.problem else parts)


SIDE = 96
_GAP, _LEFT, _TOP, _LINE = 4, 62, 58, 22


def composed(sheet: Sheet, thumbnails: Sequence[bytes], theme: Theme) -> bytes:
    """A PNG of the sheet with its axes.

    Args:
        thumbnails: of its cells, in their order; empty ones are crossed out.
    """
    from PIL import Image, ImageDraw

    columns, rows = sheet.columns, max((cell.down for cell in sheet.cells), default=0) + 1
    cell = SIDE + _GAP
    image = Image.new("RGB", (_LEFT + columns * cell + _GAP, _TOP + rows * cell + _GAP), theme.paper)
    draw = ImageDraw.Draw(image)
    text = _font(15)
    title = "columns: yaw, rows: pitch, in degrees; M: mirrored" if sheet.step else "in the order of the shards"
    draw.text((_LEFT, 10), title, theme.quiet, text)
    for number, yaw in enumerate(sheet.yaws):
        draw.text((_LEFT + number * cell + SIDE / 2, _TOP - _LINE), degrees(yaw), theme.ink, text, anchor="ma")
    for number, pitch in enumerate(sheet.pitches):
        draw.text((_LEFT - 8, _TOP + number * cell + SIDE / 2), degrees(pitch), theme.ink, text, anchor="rm")
    for one, data in zip(sheet.cells, thumbnails, strict=True):
        left, top = _LEFT + one.across * cell, _TOP + one.down * cell
        if data:
            shown = Image.open(io.BytesIO(data))
            image.paste(shown, (left + (SIDE - shown.width) // 2, top + (SIDE - shown.height) // 2))
        else:
            draw.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), outline=theme.quiet)
            draw.line((left, top, left + SIDE - 1, top + SIDE - 1), theme.quiet)
            draw.line((left, top + SIDE - 1, left + SIDE - 1, top), theme.quiet)
        if one.mirrored:
            draw.rectangle((left, top, left + 17, top + 17), "#12151b")
            draw.text((left + 9, top + 9), "M", "#ffffff", _font(13), anchor="mm")
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def degrees(angle: float, digits: int = 0) -> str:
    """An angle with a true minus sign."""
    return f"{angle:.{digits}f}°".replace("-", "\N{MINUS SIGN}")


def _font(size: int) -> FreeTypeFont:
    """The font that matplotlib brings along."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)
