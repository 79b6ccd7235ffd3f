"""The contact sheet as one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lpff_shards.report.sheet import Sheet
from lpff_shards.report.theme import Theme

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

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
