"""Yaw by pitch: a scatter of samples, or shares in cells of two degrees where a scatter would be soup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.report.evenness import Floats
from lpff_shards.report.facts import Facts
from lpff_shards.report.theme import TEXT, Theme, axes, degree_ticks, figure, legend, plain_logarithms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

SCATTER = 20_000
"""Samples up to which each is a dot."""
YAW, PITCH = "yaw", "pitch"


def by_source(facts: Facts, theme: Theme) -> Figure:
    """Each sample a dot in its data set's color; of many, cells colored by the share of each data set."""
    made = figure(theme)
    ax = axes(made, theme, YAW, PITCH)
    seen = facts.has_camera
    yaw, pitch = (angles[seen] for angles in facts.degrees)
    codes = facts.dataset.codes[seen]
    present = np.flatnonzero(np.bincount(codes, minlength=len(facts.dataset.names)))
    colors = [theme.source(facts.dataset.names[code], number) for number, code in enumerate(present.tolist())]
    if len(yaw) <= SCATTER:
        # In one collection and in mixed order, so that no data set hides another.
        order = np.argsort(np.modf(np.arange(len(yaw)) * 0.6180339887)[0], kind="stable")
        paint = np.array(colors, object)[np.searchsorted(present, codes)][order]
        _dots(ax, yaw[order], pitch[order], color=paint.tolist())
    else:
        _blend(ax, theme, [(yaw[codes == code], pitch[codes == code]) for code in present.tolist()], colors)
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], marker="o", linestyle="", markersize=6, color=color) for color in colors]
    legend(ax, theme, handles, [f"{facts.dataset.names[code]}" for code in present.tolist()])
    degree_ticks(ax)
    return made


def by_replicas(facts: Facts, theme: Theme) -> Figure:
    """Each picture colored by how often it counts; of many, the mean of each cell's pictures."""
    made = figure(theme)
    ax = axes(made, theme, YAW, PITCH)
    seen = facts.has_camera & facts.training
    yaw, pitch = (angles[seen] for angles in facts.degrees)
    replica, counted = facts.replica[seen], facts.counted[seen]
    if len(yaw) <= SCATTER:
        # Copies of a picture lie upon one another: the last on top tells how many there are.
        times = counted * (replica + 1)
        order = np.argsort(times, kind="stable")
        drawn = _dots(ax, yaw[order], pitch[order], c=times[order], cmap=theme.colors)
    else:
        grid = _Grid.around(yaw, pitch)
        pictures, total = grid.sums(yaw, pitch, replica == 0), grid.sums(yaw, pitch, counted)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = grid.show(ax, np.where(total > 0, total / np.maximum(pictures, 1), np.nan), cmap=theme.colors)
    _bar(made, theme, drawn, "weight" if facts.weighted else "copies of a picture")
    degree_ticks(ax)
    return made


def density(facts: Facts, theme: Theme) -> Figure:
    """How often poses of each cell count, on a logarithmic scale."""
    from matplotlib.colors import LogNorm

    made = figure(theme)
    ax = axes(made, theme, YAW, PITCH)
    yaw, pitch = (angles[facts.has_camera] for angles in facts.degrees)
    grid = _Grid.around(yaw, pitch, 2.0 if len(yaw) > SCATTER else 3.0)
    total = grid.sums(yaw, pitch, facts.counted[facts.has_camera]) / grid.cell**2
    low, high = float(total[total > 0].min(initial=np.inf)), float(total.max(initial=0.0))
    if not high:
        low = high = 1.0
    drawn = grid.show(
        ax, np.where(total > 0, total, np.nan), cmap=theme.colors, norm=LogNorm(low, max(high, low * 1.01))
    )
    bar = _bar(made, theme, drawn, "weight per square degree" if facts.weighted else "samples per square degree")
    if high > low:
        plain_logarithms(bar.ax.yaxis)
    else:
        bar.set_ticks([low], labels=[f"{low:,.2g}"], minor=False)
        bar.minorticks_off()
    degree_ticks(ax)
    return made


def _dots(ax: Axes, yaw: Floats, pitch: Floats, **paint: Any) -> Any:
    size = float(np.clip(12_000 / max(len(yaw), 1), 3.0, 26.0))
    return ax.scatter(yaw, pitch, s=size, alpha=0.8 if len(yaw) < 2000 else 0.6, linewidths=0, **paint)


def _bar(made: Figure, theme: Theme, drawn: Any, label: str) -> Colorbar:
    bar = made.colorbar(drawn, pad=0.02, aspect=28)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=theme.quiet, labelsize=TEXT, length=0, which="both")
    bar.set_label(label, color=theme.quiet, fontsize=TEXT)
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    return bar


class _Grid:
    """Cells of some degrees over the plane."""

    def __init__(self, cell: float, yaw: tuple[int, int], pitch: tuple[int, int]) -> None:
        self.cell, self._yaw, self._pitch = cell, yaw, pitch

    @classmethod
    def around(cls, yaw: Floats, pitch: Floats, cell: float = 2.0) -> _Grid:
        """The cells that poses in degrees lie in, with a rim of one."""

        def span(angles: Floats) -> tuple[int, int]:
            low, high = float(angles.min(initial=0.0)), float(angles.max(initial=0.0))
            return int(np.floor(low / cell)) - 1, int(np.floor(high / cell)) + 2

        return cls(cell, span(yaw), span(pitch))

    def sums(self, yaw: Floats, pitch: Floats, counted: NDArray[Any]) -> Floats:
        """The sum of what counts in each cell, float64 [rows of pitch, columns of yaw]."""
        columns, rows = self._yaw[1] - self._yaw[0], self._pitch[1] - self._pitch[0]
        column = np.floor(yaw / self.cell).astype(np.int64) - self._yaw[0]
        row = np.floor(pitch / self.cell).astype(np.int64) - self._pitch[0]
        sums: Floats = np.bincount(row * columns + column, counted, minlength=rows * columns).astype(np.float64)
        return sums.reshape(rows, columns)

    def show(self, ax: Axes, values: NDArray[Any], **how: Any) -> Any:
        """Draws a value, or RGBA, a cell."""
        edges = [edge * self.cell for edge in (*self._yaw, *self._pitch)]
        return ax.imshow(
            values, origin="lower", extent=(edges[0], edges[1], edges[2], edges[3]), aspect="auto",
            interpolation="nearest", **how,
        )  # fmt: skip


def _blend(ax: Axes, theme: Theme, sets: list[tuple[Floats, Floats]], colors: list[str]) -> None:
    """Cells colored by the share of each set, the stronger the more samples they hold, on a logarithmic scale."""
    from matplotlib.colors import to_rgb

    grid = _Grid.around(np.concatenate([yaw for yaw, _ in sets]), np.concatenate([pitch for _, pitch in sets]))
    counts = np.stack([grid.sums(yaw, pitch, np.ones(len(yaw))) for yaw, pitch in sets], axis=-1)
    total = counts.sum(axis=-1, keepdims=True)
    mixed = (counts / np.maximum(total, 1)) @ np.array([to_rgb(color) for color in colors])
    strength = np.where(total > 0, 0.3 + 0.7 * np.log1p(total) / np.log1p(total.max()), 0.0)
    grid.show(ax, strength * mixed + (1 - strength) * np.array(to_rgb(theme.paper)))
    ax.set_axisbelow(False)
    ax.grid(True, color=theme.line, linewidth=0.5, alpha=0.5)
