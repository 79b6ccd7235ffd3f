"""Licenses and splits, each bar cut by data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lpff_shards.report.facts import Facts, Labels
from lpff_shards.report.theme import TEXT, Theme, axes, figure, legend, plain_thousands, rows_height

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def licenses(facts: Facts, theme: Theme) -> Figure:
    """Samples by license, the commonest on top."""
    return _bars(facts, theme, facts.license)


def splits(facts: Facts, theme: Theme) -> Figure:
    """Samples by split, in the order in which they are written."""
    return _bars(facts, theme, facts.split, ranked=False)


def _bars(facts: Facts, theme: Theme, labels: Labels, *, ranked: bool = True) -> Figure:
    from matplotlib.patches import Patch

    counts = labels.counts()
    held = np.flatnonzero(counts)
    made = figure(theme, height=rows_height(len(held)) + 0.3)
    ax = axes(made, theme, "samples", "", grid="x")
    order = held[np.argsort(-counts[held], kind="stable")] if ranked else held
    places = np.arange(len(order))[::-1].astype(np.float64)
    left = np.zeros(len(order))
    present = np.flatnonzero(facts.dataset.counts()).tolist()
    colors = [theme.source(facts.dataset.names[code], number) for number, code in enumerate(present)]
    for code, color in zip(present, colors, strict=True):
        own = labels.counts(np.equal(facts.dataset.codes, code))[order].astype(np.float64)
        ax.barh(places, own, left=left, height=0.62, color=color, edgecolor=theme.paper, linewidth=0.6)
        left += own
    for place, count in zip(places.tolist(), counts[order].tolist(), strict=True):
        ax.annotate(
            f"{count:,}", (count, place), xytext=(4, 0), textcoords="offset points", va="center", color=theme.ink,
            fontsize=TEXT,
        )  # fmt: skip
    ax.set_yticks(places, [labels.names[code] for code in order.tolist()])
    ax.set_ylim(-0.8, len(order) - 0.2)
    ax.margins(x=0.16)
    ax.set_xlim(left=0)
    plain_thousands(ax.xaxis)
    legend(ax, theme, [Patch(color=color) for color in colors], [facts.dataset.names[code] for code in present])
    return made
