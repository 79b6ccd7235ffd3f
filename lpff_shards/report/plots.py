"""The plots of a report: functions that draw facts on axes, in the report's style, as PNGs."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from lpff_shards.report.contact_sheet import SIDE, Sheet, Shown
from lpff_shards.report.facts import Bools, Facts, Floats
from lpff_shards.schemas.sources import SPECS, known_specs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 200.0
DOTS = 20_000
"""Most samples in a scatter plot."""
CELL = 3
"""Side of a pose cell, degrees."""
EDGES = np.arange(-180 - CELL, 181 + CELL, CELL)
"""Edges of cells along yaw and pitch, degrees; float32 radians may be slightly beyond half a turn."""
YAW_STEP, PITCH_STEP = 5, 3
"""Width of a bar, degrees; odd, so bars are centered on whole degrees like the poses before rebalancing."""
REACH_STEP = 15
"""Axes of angles end at multiples of this, in degrees."""
PAPER, INK, QUIET, LINE = "white", "#1d2430", "#566072", "#e3e7ee"
SPARE = ("#b3447f", "#8a7a12", "#3d8f9c", "#6d6d6d")
"""Colors of data sets without their own, in turn."""
COLORS = (*(spec.color for spec in SPECS.values()), *SPARE)
RAMP = ("#d8e6f5", "#8db9e3", "#4a86c5", "#2a5291", "#1b2a52")


def _style() -> Any:
    """Return matplotlib's settings: its defaults, ignoring the user's files, and the report's own."""
    from matplotlib import rcParamsDefault

    own: dict[str, Any] = {name: value for name, value in rcParamsDefault.items() if not name.startswith("backend")}
    # Small, so text stays readable on a phone that shows the plot 3.5 inches wide.
    own |= {"figure.figsize": (4.4, 3.1), "figure.facecolor": PAPER, "figure.constrained_layout.use": True}
    own |= {"font.size": 9.5, "axes.labelsize": 9.5, "axes.labelcolor": QUIET, "text.color": INK}
    own |= {"xtick.color": QUIET, "ytick.color": QUIET, "xtick.major.size": 0, "ytick.major.size": 0}
    own |= {"axes.edgecolor": LINE, "axes.spines.top": False, "axes.spines.right": False}
    own |= {"axes.grid": True, "axes.axisbelow": True, "grid.color": LINE, "axes.formatter.min_exponent": 4}
    own |= {"axes.prop_cycle": f"cycler(color={list(COLORS)})"}
    return own | {"legend.frameon": False, "legend.loc": "lower left", "legend.handletextpad": 0.5}


def draw_all(facts: Facts) -> dict[str, bytes]:
    """Return the plots as PNGs by name, of `schemas.filenames.PLOTS`; without cameras no plots of poses."""
    trained = facts.has_camera & facts.training
    drawn: dict[str, Callable[[Facts, Axes], None]] = {}
    if facts.has_camera.any():
        drawn |= {"poses-by-source": by_source, "pose-density": density}
    if trained.any():
        drawn |= {"yaw": yaw, "pitch": pitch} | ({"poses-by-replicas": by_replicas} if facts.rebalanced else {})
    drawn |= {"shard-sizes": shard_sizes}
    return {name: _png(partial(plot, facts)) for name, plot in drawn.items()}


def by_source(facts: Facts, ax: Axes) -> None:
    """Draw each sample as a dot in its data set's color, at most `DOTS` random ones."""
    seen = np.flatnonzero(facts.has_camera)
    # In random order, so no data set hides another.
    chosen = np.random.default_rng(0).permutation(seen)[:DOTS]
    across, up = (angles[chosen] for angles in facts.degrees)
    codes = facts.dataset.codes[chosen]
    own = {spec.name: spec.color for spec in known_specs(facts.dataset.names)}
    colors = [own.get(name) or SPARE[number % len(SPARE)] for number, name in enumerate(facts.dataset.names)]
    size = float(np.clip(12_000 / len(chosen), 3, 26))
    ax.scatter(across, up, s=size, c=[colors[code] for code in codes.tolist()], alpha=0.7, linewidths=0)
    for code in np.unique(codes).tolist():
        ax.scatter([], [], color=colors[code], label=facts.dataset.names[code])
    some = len(chosen) < len(seen)
    _legend(ax, f"{len(chosen):,} of {len(seen):,} samples, chosen at random" if some else None)
    _pose_axes(facts, ax, facts.has_camera)


def density(facts: Facts, ax: Axes) -> None:
    """Draw the pose density of each cell, on a logarithmic scale."""
    counted = _cells(facts, facts.counted, facts.has_camera) / CELL**2
    _show_cells(facts, ax, facts.has_camera, counted, f"{_unit(facts)} per square degree", norm="log")


def by_replicas(facts: Facts, ax: Axes) -> None:
    """Draw the mean copies or weight of the training pictures in each cell."""
    seen = facts.has_camera & facts.training
    # Pictures whose first copy was skipped are not counted; a cell of only such pictures counts as one.
    pictures = np.maximum(_cells(facts, facts.replica == 0, seen), 1)
    label = "weight" if facts.weighted else "copies of a picture"
    _show_cells(facts, ax, seen, _cells(facts, facts.counted, seen) / pictures, label)


def _cells(facts: Facts, counted: Any, seen: Bools) -> Floats:
    """Return the sum of `counted` (numbers [n]) over the samples `seen` in each cell, float64 [yaw, pitch]."""
    across, up = (angles[seen] for angles in facts.degrees)
    sums: Floats = np.histogram2d(across, up, EDGES, weights=counted[seen])[0]
    return sums


def _show_cells(facts: Facts, ax: Axes, seen: Bools, values: Floats, label: str, norm: str | None = None) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("report", RAMP)
    drawn = ax.pcolormesh(EDGES, EDGES, np.where(values > 0, values, np.nan).T, cmap=colors, norm=norm)
    ax.figure.colorbar(drawn, ax=ax, pad=0.02, aspect=28, label=label)
    _pose_axes(facts, ax, seen)


def _pose_axes(facts: Facts, ax: Axes, seen: Bools) -> None:
    for side, name, angles in zip("xy", ("yaw", "pitch"), facts.degrees, strict=True):
        _degrees(ax, side, name, angles[seen])


def _degrees(ax: Axes, side: str, name: str, angles: Floats) -> None:
    """Make the x or y axis one of angles in degrees, with 0 in its middle."""
    from matplotlib.ticker import MultipleLocator

    reach = REACH_STEP * max(float(np.ceil(np.abs(angles).max() / REACH_STEP)), 1.0)
    ax.set(**{f"{side}label": name, f"{side}lim": (-1.05 * reach, 1.05 * reach)})
    axis: Any = ax.xaxis if side == "x" else ax.yaxis
    axis.set_major_locator(MultipleLocator(reach / 3))
    axis.set_major_formatter("{x:.0f}°")


def _angles(facts: Facts, ax: Axes, which: int, name: str, step: int) -> None:
    seen = facts.training & facts.has_camera
    angles = facts.degrees[which][seen]
    edges = ((np.arange(-180 // step, 180 // step + 2) - 0.5) * step).tolist()
    ax.hist(angles, edges, weights=_percent(facts.counted[seen]), rwidth=0.86, label="after rebalancing")
    if facts.rebalanced and facts.pool is not None:
        weights = _percent(facts.pool[:, 2])
        ax.hist(facts.pool[:, which], edges, weights=weights, histtype="step", color=INK, linewidth=1.4, label="before")
        _legend(ax)
    ax.set(ylabel=f"share of {_unit(facts)}, %")
    _degrees(ax, "x", name, angles)


yaw = partial(_angles, which=0, name="yaw", step=YAW_STEP)
pitch = partial(_angles, which=1, name="pitch", step=PITCH_STEP)


def _percent(counted: Any) -> Floats:
    share: Floats = 100 * counted / max(counted.sum(), 1e-300)
    return share


def _unit(facts: Facts) -> str:
    return "weight" if facts.weighted else "samples"


def shard_sizes(facts: Facts, ax: Axes) -> None:
    """Draw the size of each shard, in order."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    start = 0
    for split, own in groupby(facts.manifest.shards, lambda shard: shard.split):
        sizes = [shard.bytes for shard in own]
        ax.stairs(sizes, np.arange(start, start + len(sizes) + 1) - 0.5, fill=True, label=split)
        start += len(sizes)
    _legend(ax)
    ax.set(xlabel="shard", ylabel="size, estimated" if facts.planned else "size")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.yaxis.set_major_formatter(EngFormatter("B"))


def _legend(ax: Axes, title: str | None = None) -> None:
    # Above the axes, where it covers no data.
    ax.legend(bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2, title=title)


def contact_sheet(sheet: Sheet, found: Sequence[Shown]) -> bytes:
    """Return the contact sheet with the pictures of its cells as a PNG."""
    rows, columns = sheet.shape

    def draw(ax: Axes) -> None:
        for cell, shown in zip(sheet.cells, found, strict=True):
            if shown.picture is None:
                ax.text(cell.across, cell.down, "cannot\nbe read", ha="center", va="center", fontsize=6)
            else:
                x, y = (side / SIDE / 2.1 for side in shown.picture.size)
                ax.imshow(shown.picture, extent=(cell.across - x, cell.across + x, cell.down + y, cell.down - y))
            if cell.mirrored:
                box = {"facecolor": INK, "edgecolor": "none", "pad": 1}
                ax.text(cell.across - 0.44, cell.down - 0.42, "M", color=PAPER, fontsize=6, va="top", bbox=box)
        ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        ax.grid(False)
        ax.spines[:].set_visible(False)
        ax.set_xticks(range(len(sheet.yaws)), [f"{angle}°" for angle in sheet.yaws])
        ax.set_yticks(range(len(sheet.pitches)), [f"{angle}°" for angle in sheet.pitches])
        if sheet.step:
            ax.set(xlabel="yaw (M: mirrored)", ylabel="pitch")

    inches = SIDE / 200
    return _png(draw, (columns * inches + 1, rows * inches + 0.8), colors=0)


def _png(draw: Callable[[Axes], None], inches: tuple[float, float] | None = None, colors: int = 192) -> bytes:
    """Return a drawing as a PNG; few colors reduce it to a third of its size without a visible change."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    out = io.BytesIO()
    with rc_context(_style()):
        canvas = FigureCanvasAgg(Figure(inches, DPI))
        draw(canvas.figure.add_subplot())
        canvas.draw()  # type: ignore[no-untyped-call]
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]
    if colors:
        image = image.quantize(colors, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    image.save(out, "PNG", compress_level=6)
    return out.getvalue()
