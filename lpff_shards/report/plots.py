"""The plots of a report: what each is called, what it shows in words, and where there is nothing to plot, why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lpff_shards.report.charts import histograms, poses, shards, shares
from lpff_shards.report.facts import Facts
from lpff_shards.report.theme import THEMES, Theme, as_png, own_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200.0
NO_CAMERAS = "No sample has a known camera, so there are no poses to show."


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot.

    Attributes:
        name: of its file, one of `schemas.filenames.PLOTS`.
        caption: what it shows.
        draw: makes it.
        lacking: why there is nothing to plot, or nothing.
    """

    name: str
    caption: str
    draw: Callable[[Facts, Theme], Figure]
    lacking: Callable[[Facts], str]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A plot as PNGs by theme; none, and the reason, where there is nothing to plot."""

    caption: str
    pictures: Mapping[str, bytes]
    lacking: str


def _never(_: Facts) -> str:
    return ""


def _cameras(facts: Facts) -> str:
    return "" if facts.has_camera.any() else NO_CAMERAS


def _training_cameras(facts: Facts) -> str:
    return "" if (facts.has_camera & facts.training).any() else _cameras(facts) or "No training sample has a camera."


def _rebalanced(facts: Facts) -> str:
    return "" if facts.rebalanced else "The set is not rebalanced: every picture counts once."


def _both(facts: Facts) -> str:
    return _rebalanced(facts) or _training_cameras(facts)


def _several_shards(facts: Facts) -> str:
    lacking = _cameras(facts)
    return lacking or ("" if len(facts.evenness.shards) else "No split has several shards to compare.")


PLOTS: tuple[Plot, ...] = (
    Plot("poses-by-source", "Poses by source", poses.by_source, _cameras),
    Plot("poses-by-replicas", "Poses by how often a picture counts", poses.by_replicas, _both),
    Plot("pose-density", "How often each pose comes", poses.density, _cameras),
    Plot("yaw", "Yaw of the training samples", histograms.yaw, _training_cameras),
    Plot("pitch", "Pitch of the training samples", histograms.pitch, _training_cameras),
    Plot("replicas", "Pictures by how often they count", histograms.replicas, _rebalanced),
    Plot("resolutions", "Sizes of pictures in pixels", histograms.resolutions, _never),
    Plot("file-sizes", "Sizes of files", histograms.file_sizes, _never),
    Plot("licenses", "Licenses by source", shares.licenses, _never),
    Plot("splits", "Splits by source", shares.splits, _never),
    Plot("shard-sizes", "Sizes of shards", shards.sizes, _never),
    Plot("shard-poses", "How even the poses of shards are", shards.poses, _several_shards),
)


def draw_all(facts: Facts, dpi: float = DPI) -> Iterator[tuple[str, Drawn]]:
    """All plots by name, each as a PNG a theme."""
    for plot in PLOTS:
        lacking = plot.lacking(facts)
        with own_settings():
            pictures = {} if lacking else {theme.name: as_png(plot.draw(facts, theme), dpi) for theme in THEMES}
        yield plot.name, Drawn(plot.caption, pictures, lacking)


def alternative(name: str, facts: Facts) -> str:
    """A plot's text for those who do not see it."""
    yaw, pitch = facts.degrees
    seen = facts.has_camera
    if name.startswith(("pose", "yaw", "pitch")) and seen.any():
        ranges = (
            f"yaw from {yaw[seen].min():.0f} to {yaw[seen].max():.0f} degrees, "
            f"pitch from {pitch[seen].min():.0f} to {pitch[seen].max():.0f}"
        )
        return f"{np.count_nonzero(seen):,} samples; {ranges}."
    return ""
