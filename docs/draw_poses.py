"""Draws poses.png, the picture of the pose conventions: beside this script, and in the package for the data-set cards.

    python docs/draw_poses.py

It needs matplotlib. Cameras and heads are the package's own, so that the picture cannot disagree with the code.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.schemas.camera import yaw_pitch
from lpff_shards.sources.demo import RADIUS, look_at
from lpff_shards.sources.demo_render import person, render

HERE = Path(__file__).parent / "poses.png"
PACKAGED = Path(__file__).parents[1] / "lpff_shards/sidecars/card/poses.png"

WIDTH, HEIGHT, DPI = 1400, 1100, 100
HEAD, GAP = 188, 9
PERSON = 10
YAWS = (-60, -40, -20, 0, 20, 40, 60)
PITCHES = (-30, -15, 0, 15, 30)
SHOWN_YAW, SHOWN_PITCH = 40, 30

INK, GREY, FAINT = "#1a1a2e", "#6b7280", "#b6bcc6"
RED, GREEN, BLUE = "#c62828", "#2e7d32", "#1f5fbf"
ACCENT = "#b45309"
SKIN, HAIR = "#f1d3bd", "#5a4636"
SMALL, NORMAL, LARGE = 15, 16.5, 19

# A view takes two world axes: horizontal, vertical, each with its sign on the page.
Axes = tuple[tuple[int, int], tuple[int, int]]
TOP: Axes = ((0, 1), (2, -1))
SIDE: Axes = ((2, 1), (1, 1))


def draw() -> NDArray[np.uint8]:
    """The picture, uint8 [HEIGHT, WIDTH, 3]."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"font.family": "DejaVu Sans", "font.size": NORMAL, "text.color": INK}):
        figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        _view_from_above(_axes(figure, 10, 20, 690, 550, (-3.35, 3.36)))
        _view_from_the_side(_axes(figure, 700, 20, 690, 550, (-1.9, 4.81)))
        _heads(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """The picture as a small PNG: 160 colors are plenty for it."""
    out = io.BytesIO()
    palette = Image.fromarray(pixels).quantize(160, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(out, "PNG", optimize=True)
    return out.getvalue()


def _axes(figure: Any, left: int, top: int, width: int, height: int, across: tuple[float, float]) -> Any:
    axes = figure.add_axes((left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT))
    axes.set_xlim(*across)
    axes.set_aspect("equal", adjustable="box")
    axes.axis("off")
    return axes


def _view_from_above(axes: Any) -> None:
    axes.set_ylim(-3.6, 1.75)
    _title(axes, "Seen from above", "world: y up, the head at the origin looks along z")
    _path(axes, TOP, [look_at(math.radians(angle), 0.0) for angle in range(-62, 63)])
    _head_from(axes, [(-0.13, -0.4), (0.0, -0.68), (0.13, -0.4)], (0, 0.1), (0.44, 0.46))
    _world(axes, TOP, "⊙ y, towards you", (-0.62, 0.42), "right")
    for yaw in (0, -SHOWN_YAW):
        _camera(axes, TOP, look_at(math.radians(yaw), 0.0), FAINT)
    shown = look_at(math.radians(SHOWN_YAW), 0.0)
    _camera(axes, TOP, shown, INK)
    _camera_axes(axes, TOP, shown, {0: ("x", (0.16, 0.1)), 2: ("z", (0.2, 0.08))})
    axes.text(1.02, -2.1, "⊗ y", color=GREEN, size=NORMAL, ha="center", va="center")
    _angle(axes, TOP, SHOWN_YAW, "yaw > 0", (2.05, -2.55), "left")
    _angle(axes, TOP, -SHOWN_YAW, "yaw < 0", (-2.05, -2.55), "right")
    axes.text(0.0, -3.0, "yaw 0", ha="center", va="top", size=NORMAL, color=GREY)
    _radius(axes, TOP, look_at(math.radians(-SHOWN_YAW), 0.0), (-1.12, -0.7))


def _view_from_the_side(axes: Any) -> None:
    axes.set_ylim(-2.6, 2.75)
    _title(axes, "Seen from the side", "camera (OpenCV): x right, y down, z forward")
    _path(axes, SIDE, [look_at(0.0, math.radians(angle)) for angle in range(-42, 43)])
    _head_from(axes, [(0.4, 0.02), (0.68, -0.18), (0.38, -0.24)], (-0.1, 0.1), (0.46, 0.46))
    _world(axes, SIDE, "⊗ x, away from you", (0.95, -1.0), "right")
    for pitch in (0, -SHOWN_PITCH):
        _camera(axes, SIDE, look_at(0.0, math.radians(pitch)), FAINT)
    shown = look_at(0.0, math.radians(SHOWN_PITCH))
    _camera(axes, SIDE, shown, INK)
    _camera_axes(axes, SIDE, shown, {1: ("y", (0.2, 0.05)), 2: ("z", (-0.08, 0.24))})
    axes.text(2.35, 1.85, "⊗ x", color=RED, size=NORMAL, ha="center", va="center")
    _angle(axes, SIDE, SHOWN_PITCH, "pitch > 0", (2.72, 1.52), "left")
    _angle(axes, SIDE, -SHOWN_PITCH, "pitch < 0", (2.72, -1.42), "left")
    axes.text(3.0, 0.0, "pitch 0", ha="left", va="center", size=NORMAL, color=GREY)
    _radius(axes, SIDE, look_at(0.0, math.radians(-SHOWN_PITCH)), (1.5, -1.2))


def _title(axes: Any, title: str, words: str) -> None:
    axes.text(0.03, 1.0, title, transform=axes.transAxes, size=LARGE, weight="bold", va="top")
    axes.text(0.03, 0.925, words, transform=axes.transAxes, size=SMALL, color=GREY, va="top")


def _seen(view: Axes, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a point, or the end of a vector, lies on the page."""
    return np.array([sign * point[axis] for axis, sign in view])


def _path(axes: Any, view: Axes, cameras: list[NDArray[np.float64]]) -> None:
    """Where cameras stand, as a line."""
    points = np.array([_seen(view, camera[3:12:4]) for camera in cameras])
    axes.plot(*points.T, color=FAINT, lw=1.6, ls=(0, (5, 4)), zorder=0)


def _head_from(
    axes: Any, nose: list[tuple[float, float]], hair: tuple[float, float], radii: tuple[float, float]
) -> None:
    """The head: a face with a nose, and hair behind it."""
    from matplotlib.patches import Ellipse, Polygon

    axes.add_patch(Ellipse((0, 0), 0.94, 1.02, color=SKIN, zorder=1))
    axes.add_patch(Polygon(nose, color=SKIN, zorder=1))
    axes.add_patch(Ellipse(hair, 2 * radii[0], 2 * radii[1], color=HAIR, zorder=1.2))


def _world(axes: Any, view: Axes, third: str, where: tuple[float, float], align: str) -> None:
    """The axes of the world, from the middle of the head."""
    for axis, name, color in zip(range(3), "xyz", (RED, GREEN, BLUE), strict=True):
        end = _seen(view, 1.3 * np.eye(3)[axis])
        if np.any(end):
            _arrow(axes, np.zeros(2), end, color, 3.4)
            axes.text(*(end * 1.14), name, color=color, size=LARGE, weight="bold", ha="center", va="center")
        else:
            axes.text(*where, third, color=color, size=NORMAL, weight="bold", ha=align, va="center")


def _camera(axes: Any, view: Axes, camera: NDArray[np.float64], color: str) -> None:
    """A camera: its body, and what it looks at."""
    from matplotlib.patches import Polygon

    pose = camera[:16].reshape(4, 4)
    center = _seen(view, pose[:3, 3])
    forward = _seen(view, pose[:3, 2])
    side = np.array([-forward[1], forward[0]])
    front = center + 0.3 * forward
    body = [center - 0.12 * forward + 0.17 * side, center - 0.12 * forward - 0.17 * side]
    axes.add_patch(Polygon([*body, front - 0.1 * side, front + 0.1 * side], closed=True, color=color, zorder=3))


def _camera_axes(
    axes: Any, view: Axes, camera: NDArray[np.float64], names: dict[int, tuple[str, tuple[float, float]]]
) -> None:
    pose = camera[:16].reshape(4, 4)
    center = _seen(view, pose[:3, 3])
    for axis, (name, offset) in names.items():
        color = (RED, GREEN, BLUE)[axis]
        end = center + 0.95 * _seen(view, pose[:3, axis])
        _arrow(axes, center, end, color, 2.4)
        axes.text(*(end + offset), name, color=color, size=NORMAL, ha="center", va="center")


def _angle(axes: Any, view: Axes, degrees: int, name: str, where: tuple[float, float], align: str) -> None:
    """An arc from the frontal camera's direction to another's."""
    steps = np.radians(np.linspace(0, degrees, 40))
    cameras = [look_at(s, 0.0) if view is TOP else look_at(0.0, s) for s in steps]
    told = yaw_pitch(cameras[-1][None, 3:12:4])[0][0 if view is TOP else 1]
    if not math.isclose(told, math.radians(degrees)):
        raise RuntimeError(f"the code calls this camera's angle {math.degrees(told):g}, not {degrees}")
    color = ACCENT if degrees > 0 else GREY
    points = np.array([_seen(view, camera[3:12:4]) / RADIUS * 1.72 for camera in cameras])
    axes.plot(*points[:-3].T, color=color, lw=2.2, zorder=2)
    _arrow(axes, points[-5], points[-1], color, 2.2)
    weight = "bold" if degrees > 0 else "normal"
    axes.text(*where, name, color=color, size=NORMAL, weight=weight, ha=align, va="center", zorder=5)


def _radius(axes: Any, view: Axes, camera: NDArray[np.float64], where: tuple[float, float]) -> None:
    center = _seen(view, camera[3:12:4])
    axes.plot(*np.array([0.25 * center, 0.9 * center]).T, color=GREY, lw=1.3, ls=":", zorder=0.5)
    axes.text(*where, f"{RADIUS}", color=GREY, size=NORMAL, ha="center", va="center")


def _arrow(axes: Any, start: NDArray[np.float64], end: NDArray[np.float64], color: str, width: float) -> None:
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        zorder=4,
        arrowprops={
            "arrowstyle": "-|>,head_width=0.36,head_length=0.75",
            "color": color,
            "lw": width,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _heads(figure: Any) -> None:
    """Rows of pictures of one person from many cameras."""
    left = (WIDTH - len(YAWS) * HEAD - (len(YAWS) - 1) * GAP) // 2
    for number, yaw in enumerate(YAWS):
        _head(
            figure,
            left + number * (HEAD + GAP),
            600,
            look_at(math.radians(yaw), 0.0),
            f"yaw {yaw:+d}°" if yaw else "yaw 0",
        )
    for number, pitch in enumerate(PITCHES):
        label = f"pitch {pitch:+d}°" if pitch else "pitch 0"
        _head(figure, left + number * (HEAD + GAP), 846, look_at(0.0, math.radians(pitch)), label)
    words = "yaw > 0 shows the\nperson's left cheek:\nthe nose points to\nthe picture's left.\n\n"
    words += "pitch > 0 looks\ndown on the head."
    at = left + len(PITCHES) * (HEAD + GAP) + 14
    figure.text(at / WIDTH, 1 - (846 + HEAD / 2) / HEIGHT, words, size=NORMAL, va="center", linespacing=1.35)


def _head(figure: Any, left: int, top: int, camera: NDArray[np.float64], label: str) -> None:
    axes = figure.add_axes((left / WIDTH, 1 - (top + HEAD) / HEIGHT, HEAD / WIDTH, HEAD / HEIGHT))
    axes.imshow(render(camera, person(PERSON), HEAD), interpolation="nearest")
    axes.axis("off")
    figure.text((left + HEAD / 2) / WIDTH, 1 - (top + HEAD + 8) / HEIGHT, label, size=NORMAL, ha="center", va="top")


if __name__ == "__main__":
    picture = encoded(draw())
    for path in (HERE, PACKAGED):
        path.write_bytes(picture)
