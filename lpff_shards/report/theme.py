"""The looks of plots, light and dark, and the empty figure that they begin with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lpff_shards.schemas.sources import known_specs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.4, 3.1
"""Inches: small, so that text of 9.5 points can still be read where a phone shows the plot 3.5 inches wide."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colors as #rrggbb.

    Attributes:
        paper, ink, quiet, line: background, text, lesser text and axes, grid.
        main, other: of what a plot is about, and of what it is compared with.
        spare: of data sets without a color of their own, in turn.
        ramp: from little to much.
    """

    name: str
    paper: str
    ink: str
    quiet: str
    line: str
    main: str
    other: str
    spare: tuple[str, ...]
    ramp: tuple[str, ...]

    def source(self, name: str, number: int) -> str:
        """The color of a data set, the `number`-th of those shown."""
        own = [spec.colors[self.name == "dark"] for spec in known_specs([name])]
        return "".join(own) or self.spare[number % len(self.spare)]

    @property
    def colors(self) -> LinearSegmentedColormap:
        """The ramp as matplotlib takes it."""
        from matplotlib.colors import LinearSegmentedColormap

        return LinearSegmentedColormap.from_list("report", self.ramp)


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1d2430",
    quiet="#566072",
    line="#e3e7ee",
    main="#2f6bb3",
    other="#9aa6b8",
    spare=("#b3447f", "#8a7a12", "#3d8f9c", "#6d6d6d"),
    ramp=("#d8e6f5", "#8db9e3", "#4a86c5", "#2a5291", "#1b2a52"),
)
DARK = Theme(
    name="dark",
    paper="#171b22",
    ink="#e8ecf3",
    quiet="#a3adbd",
    line="#2b323d",
    main="#6fa8ea",
    other="#64708a",
    spare=("#e583b7", "#d3c04e", "#6fc6d3", "#b5b5b5"),
    ramp=("#203450", "#2f5f9c", "#4f92d6", "#9ccbf5", "#f2f8ff"),
)
THEMES = (LIGHT, DARK)

TEXT = 9.5
LEAST_DEGREES = 30.0
"""What an axis of angles spans at least."""


@contextmanager
def own_settings() -> Iterator[None]:
    """Draw with matplotlib's own settings, whatever the user's files and environment ask of it."""
    if "matplotlib" not in sys.modules:
        _import_untouched()
    from matplotlib import rc_context, rcParamsDefault

    own = {name: value for name, value in rcParamsDefault.items() if not name.startswith("backend")}
    with rc_context(own):
        yield


def _import_untouched() -> None:
    """Import matplotlib, which reads its settings then, and fails where it cannot."""
    spec = find_spec("matplotlib")
    data = [Path(place, "mpl-data") for place in (spec and spec.submodule_search_locations) or ()]
    given = {name: os.environ.get(name) for name in ("MATPLOTLIBRC", "MPLBACKEND")}
    with ExitStack() as stack:
        os.environ["MPLBACKEND"] = "agg"
        for folder in data:
            os.environ["MATPLOTLIBRC"] = str(folder)
            if os.path.lexists("matplotlibrc"):
                # It would come before all others.
                stack.enter_context(chdir(folder))
        try:
            import matplotlib  # noqa: F401
        finally:
            for name, value in given.items():
                os.environ.pop(name, None)
                os.environ |= {name: value} if value is not None else {}


def figure(theme: Theme, width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """An empty figure, which belongs to nothing global."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    made = Figure(
        figsize=(width, height), facecolor=theme.paper, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    )
    FigureCanvasAgg(made)
    return made


def axes(made: Figure, theme: Theme, x: str, y: str, *, grid: Literal["both", "x", "y"] = "both") -> Axes:
    """The one pair of axes of a figure.

    Args:
        x, y: what stands along them, with units.
        grid: across which axes lines are drawn.
    """
    ax = made.add_subplot()
    ax.set_facecolor(theme.paper)
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.line)
    ax.tick_params(colors=theme.quiet, labelsize=TEXT, length=0)
    for named, set_label in ((x, ax.set_xlabel), (y, ax.set_ylabel)):
        set_label(named, color=theme.quiet, fontsize=TEXT)
    ax.grid(True, axis=grid, color=theme.line, linewidth=0.8)
    return ax


def rows_height(rows: int) -> float:
    """Inches of a figure of so many horizontal bars."""
    return min(max(1.2 + 0.36 * rows, 1.8), 5.4)


def legend(ax: Axes, theme: Theme, handles: Sequence[Any], labels: Sequence[str], **place: Any) -> None:
    """A legend above the axes, where it hides nothing."""
    given: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": min(len(labels), 3), **place}
    made = ax.legend(handles, labels, frameon=False, fontsize=TEXT, handletextpad=0.5, borderaxespad=0.2, **given)
    for text in made.get_texts():
        text.set_color(theme.ink)


def degree_ticks(ax: Axes, yaw: bool = True, pitch: bool = True) -> None:
    """Ticks at whole steps of degrees along the axes that hold angles, which span some degrees for few samples too."""
    from matplotlib.ticker import MaxNLocator

    for wanted, axis, get, put in (
        (yaw, ax.xaxis, ax.get_xlim, ax.set_xlim),
        (pitch, ax.yaxis, ax.get_ylim, ax.set_ylim),
    ):
        if not wanted:
            continue
        low, high = get()
        if high - low < LEAST_DEGREES:
            middle = (low + high) / 2
            put(middle - LEAST_DEGREES / 2, middle + LEAST_DEGREES / 2)
        axis.set_major_locator(MaxNLocator(7, steps=[1, 1.5, 2, 3, 5, 6, 10], integer=True))
        axis.set_major_formatter("{x:.0f}°")


def plain_thousands(axis: Any) -> None:
    """Counts with commas, whole numbers only."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(6, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: thousands(value)))


def plain_logarithms(axis: Any) -> None:
    """Round numbers on a logarithmic axis, written out."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=8))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def thousands(value: float) -> str:
    """A count in short: 950, 12k, 1.2M."""
    for unit, size in (("M", 1e6), ("k", 1e4)):
        if abs(value) >= size:
            return f"{value / (1e6 if unit == 'M' else 1e3):.3g}{unit}"
    return f"{value:,.0f}"


def as_png(made: Figure, dpi: float) -> bytes:
    """The figure as a PNG of few colors, which is a third of the size and looks the same."""
    import io

    import numpy as np
    from PIL import Image

    made.set_dpi(dpi)
    made.canvas.draw()
    pixels = np.asarray(made.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
    out = io.BytesIO()
    few = Image.fromarray(np.ascontiguousarray(pixels)).quantize(
        192, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    )
    few.save(out, "PNG", compress_level=6)
    return out.getvalue()
