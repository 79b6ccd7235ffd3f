"""How large shards are, and how even their poses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lpff_shards.report.facts import Facts
from lpff_shards.report.theme import Theme, axes, figure, legend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 120
"""Shards up to which each has a bar of its own."""


def sizes(facts: Facts, theme: Theme) -> Figure:
    """Bytes of each shard, in their order."""
    made = figure(theme)
    largest = max((shard.bytes for shard in facts.shards), default=0)
    unit, name = (1e9, "GB") if largest >= 2e9 else (1e6, "MB") if largest >= 2e6 else (1e3, "KB")
    ax = axes(made, theme, "shard", f"{name}, estimated" if facts.planned else name, grid="y")
    held = np.array([shard.bytes for shard in facts.shards]) / unit
    splits = list(dict.fromkeys(shard.split for shard in facts.shards))
    handles: list[Any] = []
    for number, split in enumerate(splits):
        own = np.array([i for i, shard in enumerate(facts.shards) if shard.split == split])
        color = theme.main if not number else theme.spare[(number - 1) % len(theme.spare)]
        if len(held) <= BARS:
            handles.append(ax.bar(own, held[own], width=0.8, color=color))
        else:
            handles.append(ax.scatter(own, held[own], s=6, color=color, linewidths=0))
    if len(splits) > 1:
        legend(ax, theme, handles, splits)
    ax.set_ylim(0, float(held.max(initial=0.0)) * 1.08 or 1)
    ax.set_xlim(-0.7, len(held) - 0.3)
    _whole(ax.xaxis)
    return made


def poses(facts: Facts, theme: Theme) -> Figure:
    """How far each shard's poses are from its split's, beside what chance gives."""
    made = figure(theme)
    ax = axes(made, theme, "shard", "divergence from the whole, bits", grid="y")
    found = facts.evenness
    dots = ax.scatter(
        found.shards, found.divergence, s=26 if len(found.shards) <= BARS else 7, color=theme.main, zorder=3
    )
    (line,) = ax.plot(found.shards, found.chance, color=theme.ink, linewidth=1.4, linestyle=(0, (4, 2)), zorder=4)
    legend(ax, theme, [dots, line], ["each shard", "dealt out at random"])
    ax.set_ylim(0, max(float(found.divergence.max(initial=0.0)), float(found.chance.max(initial=0.0))) * 1.15 or 1)
    _whole(ax.xaxis)
    return made


def _whole(axis: object) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(8, integer=True))  # type: ignore[attr-defined]
