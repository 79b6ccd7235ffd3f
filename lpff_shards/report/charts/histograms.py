"""Poses before and after rebalancing, copies, resolutions and sizes of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lpff_shards.report.evenness import Counts, Floats
from lpff_shards.report.facts import Facts
from lpff_shards.report.theme import TEXT, Theme, axes, degree_ticks, figure, legend, plain_thousands, rows_height

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

YAW_STEP, PITCH_STEP = 5, 3
"""Whole degrees of a bar; odd, so that bars have whole degrees in their middle."""
SHOWN = 12
"""Bars at most, of labels that have no order."""


def yaw(facts: Facts, theme: Theme) -> Figure:
    """Yaw of the training split, before and after rebalancing."""
    return _angles(facts, theme, 0, "yaw", YAW_STEP)


def pitch(facts: Facts, theme: Theme) -> Figure:
    """Pitch of the training split, before and after rebalancing."""
    return _angles(facts, theme, 1, "pitch", PITCH_STEP)


def _angles(facts: Facts, theme: Theme, which: int, name: str, step: int) -> Figure:
    made = figure(theme)
    weighted = facts.weighted
    unit = "share of weight, %" if weighted else "share of samples, %"
    ax = axes(made, theme, name, unit, grid="y")
    seen = facts.training & facts.has_camera
    after = _binned(np.rint(facts.degrees[which][seen]), facts.counted[seen], step)
    before = None
    if facts.rebalanced and facts.pool is not None:
        angles = facts.pool.pitch if which else facts.pool.yaw
        before = _binned(angles.astype(np.float64), facts.pool.pictures.astype(np.float64), step)
    bars = ax.bar(*_percent(after, step), width=step * 0.86, color=theme.main)
    if before is not None:
        places, shares = _percent(before, step)
        edges = np.append(places - step / 2, places[-1:] + step / 2)
        line = ax.stairs(shares, edges, color=theme.ink, linewidth=1.4)
        legend(ax, theme, [line, bars], ["before rebalancing", "after"])
    degree_ticks(ax, yaw=True, pitch=False)
    ax.margins(x=0.02)
    return made


def _binned(angles: Floats, counted: Floats, step: int) -> tuple[int, Floats]:
    """The first bar's number and the sums of all; bar k holds the whole degrees nearest to k * step."""
    if not len(angles):
        return 0, np.zeros(1)
    bars = np.floor((angles + step // 2) / step).astype(np.int64)
    first = int(bars.min())
    return first, np.bincount(bars - first, counted).astype(np.float64)


def _percent(binned: tuple[int, Floats], step: int) -> tuple[Floats, Floats]:
    first, sums = binned
    places = (first + np.arange(len(sums), dtype=np.float64)) * step
    total = float(sums.sum())
    return places, 100 * sums / total if total else sums


def replicas(facts: Facts, theme: Theme) -> Figure:
    """Pictures by how many copies they have, or by their weights."""
    made = figure(theme)
    train = facts.training
    if facts.weighted:
        ax = axes(made, theme, "weight", "pictures", grid="y")
        ax.hist(facts.weight[train], bins=40, color=theme.main)
    else:
        copies, pictures = copies_of_pictures(facts)
        ax = axes(made, theme, "copies of a picture", "pictures", grid="y")
        _labeled(ax, theme, [str(number) for number in copies.tolist()], pictures)
    plain_thousands(ax.yaxis)
    return made


def copies_of_pictures(facts: Facts) -> tuple[Counts, Counts]:
    """How many training pictures have so many copies: int64 [k] each.

    Pictures whose first copies were skipped are told from the highest replica that is there.
    """
    train = facts.training
    if (facts.copies[train] > 1).any():
        return np.unique(facts.copies[train], return_counts=True)
    having = np.bincount(facts.replica[train])
    pictures = np.maximum(having - np.append(having[1:], 0), 0)
    found = np.flatnonzero(pictures)
    return found + 1, pictures[found]


def resolutions(facts: Facts, theme: Theme) -> Figure:
    """Samples by the size of their pictures, the commonest first."""
    names, counts = sizes_of_pictures(facts)
    made = figure(theme, height=rows_height(min(len(names), SHOWN + 1)))
    ax = axes(made, theme, "samples", "", grid="x")
    shown = [*zip(names, counts.tolist(), strict=True)][:SHOWN]
    if len(names) > SHOWN:
        shown.append((f"{len(names) - SHOWN:,} others", int(counts[SHOWN:].sum())))
    places = np.arange(len(shown))[::-1]
    bars = ax.barh(places, [count for _, count in shown], height=0.62, color=theme.main)
    ax.bar_label(bars, [f"{count:,}" for _, count in shown], padding=4, color=theme.ink, fontsize=TEXT)
    ax.set_yticks(places, [name for name, _ in shown])
    ax.set_ylim(-0.8, len(shown) - 0.2)
    ax.margins(x=0.16)
    plain_thousands(ax.xaxis)
    return made


def sizes_of_pictures(facts: Facts) -> tuple[list[str], Counts]:
    """Widths and heights in words, and samples of each, the commonest first."""
    sizes, counts = np.unique(np.stack([facts.width, facts.height]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    names = [f"{w} x {h}" if w and h else "unknown" for w, h in sizes[:, order].T.tolist()]
    return names, counts[order].astype(np.int64)


def file_sizes(facts: Facts, theme: Theme) -> Figure:
    """Pictures by the size of their files."""
    made = figure(theme)
    unit, name = _unit(float(np.median(facts.bytes)) if len(facts) else 0.0)
    ax = axes(made, theme, f"{name} a sample, estimated" if facts.planned else f"{name} a picture", "samples", grid="y")
    sizes = facts.bytes / unit
    if len(facts):
        low, top, largest = (float(found) for found in np.quantile(sizes, [0, 0.999, 1]))
        high = top if top > low else largest
        if high > low:
            ax.hist(np.minimum(sizes, high), bins=50, range=(low, high), color=theme.main)
        else:
            _labeled(ax, theme, [f"{low:,.1f}" if unit > 1 else f"{low:,.0f}"], np.array([len(facts)]))
    plain_thousands(ax.yaxis)
    ax.margins(x=0.02)
    return made


def _unit(typical: float) -> tuple[float, str]:
    return (1e6, "MB") if typical >= 2e6 else (1e3, "KB") if typical >= 2e3 else (1.0, "bytes")


def _labeled(ax: Axes, theme: Theme, names: list[str], counts: Counts) -> None:
    bars = ax.bar(np.arange(len(names)), counts, width=0.7 if len(names) > 2 else 0.35, color=theme.main)
    if len(names) <= SHOWN:
        ax.bar_label(bars, [f"{count:,}" for count in counts.tolist()], padding=2, color=theme.ink, fontsize=TEXT)
    every = -(-len(names) // 16)
    ax.set_xticks(np.arange(len(names))[::every], names[::every])
    ax.set_xlim(-0.8, len(names) - 0.2)
