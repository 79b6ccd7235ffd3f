"""Cameras in tables of pictures, of any of the usual conventions, as the 25 numbers of `schemas.camera`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpff_shards.options.sources import Convention
from lpff_shards.schemas.camera import CAMERA_NUMBERS, TOLERANCE
from lpff_shards.schemas.camera import faults as faults_of
from lpff_shards.sources.io.picture_tables import PictureTable, Row, is_empty

POSES: Mapping[str, bool | None] = {
    "c2w": False,
    "w2c": True,
    "transform_matrix": None,
    "pose": None,
    "extrinsics": None,
}
"""Columns of a pose, 3x4 or 4x4; whether it is world-to-camera, None where the convention decides."""
WORDS = ("camera", "pose")
"""Columns that may hold words instead, such as the name of a camera's maker."""
MATRICES = ("intrinsics", "K")
_FOCAL = (("fx", "fy"), ("fl_x", "fl_y"))
_SIZE = (("w", "h"), ("width", "height"))
CAMERA_COLUMNS = (
    *("camera", "camera_angle_x", "camera_angle_y", "cx", "cy"),
    *(*POSES, *MATRICES, *(name for names in (*_FOCAL, *_SIZE) for name in names)),
)
Size = tuple[float, float]


def is_camera(label: object) -> bool:
    """Return whether the label of a picture is a camera, not a class."""
    return isinstance(label, list) and len(label) == CAMERA_NUMBERS


def is_word(value: object) -> bool:
    """Return whether a cell is a text that begins with no number, as a word does."""
    return isinstance(value, str) and not re.match(r"[\s\[\](]*[-+.0-9]", value) and not is_empty(value)


def _has(row: Row, name: str) -> bool:
    return not is_empty(row.get(name)) and not (name in WORDS and is_word(row[name]))


def _has_camera(row: Row) -> bool:
    return is_camera(row.get("label")) or any(_has(row, name) for name in ("camera", *POSES))


def read_camera_rows(
    table: PictureTable, convention: Convention, size_of: Callable[[str], Size]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """Return the cameras of a table, float64 [25] by the id of their picture, and the faults of bad ones.

    Args:
        convention: of the cameras; where it is None, transforms.json has OpenGL's axes, and other files the house's.
        size_of: width and height in pixels of the picture with an id, (0, 0) if unknown.
    """
    ids = [id for id, row in table.rows.items() if _has_camera(row)]
    faults: dict[str, str] = {}
    poses, intrinsics = np.tile(np.eye(4), (len(ids), 1, 1)), np.tile(np.eye(3), (len(ids), 1, 1))
    is_w2c = np.zeros(len(ids), bool)
    for at, id in enumerate(ids):
        try:
            own = {name: value for name, value in table.rows[id].items() if not is_empty(value)}
            values = {**table.common, **own}
            poses[at], intrinsics[at], is_w2c[at] = _camera(values, convention, partial(size_of, id))
        except ValueError as error:
            faults[id] = str(error)
    with np.errstate(all="ignore"):
        singular = ~(np.abs(np.linalg.det(poses)) > TOLERANCE)
        faults |= {ids[at]: "its pose has no inverse" for at in np.flatnonzero(is_w2c & singular).tolist()}
        is_w2c &= ~singular
        poses[is_w2c] = np.linalg.inv(poses[is_w2c])
    if table.is_nerf if convention.opengl is None else convention.opengl:
        poses[:, :3, 1:3] *= -1.0
    numbers = np.concatenate([poses.reshape(-1, 16), intrinsics.reshape(-1, 9)], axis=1)
    wrong = {ids[at]: reason for at, reason in faults_of(numbers).items()}
    return dict(zip(ids, numbers, strict=True)), {**wrong, **faults}


def _camera(
    values: Row, convention: Convention, size: Callable[[], Size]
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Return a pose [4, 4], intrinsics [3, 3] for a picture of width and height 1, and whether it is world-to-camera.

    Raises:
        ValueError: they are incomplete or no numbers; the text is the reason.
    """
    matrix, w2c = None, None
    flat = values["label"] if is_camera(values.get("label")) else values.get("camera")
    if not is_empty(flat) and not is_word(flat):
        both = _numbers("camera", flat, CAMERA_NUMBERS)
        pose, matrix = both[:16].reshape(4, 4), both[16:].reshape(3, 3)
    else:
        name = next(name for name in POSES if _has(values, name))
        pose, w2c = _pose(name, values[name]), POSES[name]
        if column := next((column for column in MATRICES if not is_empty(values.get(column))), None):
            matrix = _numbers(column, values[column], 9).reshape(3, 3)
    if matrix is None:
        matrix = _from_focal(values, convention, size)
    elif convention.pixels:
        width, height = _size(values, size)
        matrix = matrix / np.array([[width], [height], [1.0]])
    return pose, matrix, bool(convention.w2c) if w2c is None else w2c


def _pose(name: str, given: object) -> NDArray[np.float64]:
    numbers = _numbers(name, given, 12, 16)
    return numbers.reshape(4, 4) if len(numbers) == 16 else np.vstack([numbers.reshape(3, 4), (0.0, 0.0, 0.0, 1.0)])


def _from_focal(values: Row, convention: Convention, size: Callable[[], Size]) -> NDArray[np.float64]:
    """Return the intrinsics of focal lengths or angles of view; the principal point is the middle by default."""
    width, height = _size(values, size)
    pairs = ((_one(values, x), _one(values, y)) for x, y in _FOCAL)
    fx, fy = next((pair for pair in pairs if pair[0] is not None), (None, None))
    if fx is None:
        angles = _angle(values, "camera_angle_x"), _angle(values, "camera_angle_y")
        if angles[0] is None:
            raise ValueError("its camera has no intrinsics: give 25 numbers, K, fx and fy, or camera_angle_x")
        fx = 0.5 * width / math.tan(angles[0] / 2)
        fy = fx if angles[1] is None else 0.5 * height / math.tan(angles[1] / 2)
    elif convention.pixels is False:
        width = height = 1.0
    cx, cy = (_one(values, name) for name in ("cx", "cy"))
    focal = fx / width, (fx if fy is None else fy) / height
    center = 0.5 if cx is None else cx / width, 0.5 if cy is None else cy / height
    return np.array([[focal[0], 0.0, center[0]], [0.0, focal[1], center[1]], [0.0, 0.0, 1.0]])


def _angle(values: Row, name: str) -> float | None:
    angle = _one(values, name)
    if angle is not None and not 1e-6 < angle < math.pi:
        raise ValueError(f"{name} is {angle:g}, not an angle of view in radians")
    return angle


def _size(values: Row, size: Callable[[], Size]) -> Size:
    """Return the size of a camera's picture: the row's, the file's, or that of the picture itself."""
    for names in _SIZE:
        width, height = (_one(values, name) for name in names)
        if width is not None and height is not None:
            found = width, height
            break
    else:
        found = size()
    if not min(found) > 0:
        raise ValueError(f"the picture of its camera is {found[0]:g}x{found[1]:g} pixels")
    return found


def _one(values: Row, name: str) -> float | None:
    given = values.get(name)
    return None if is_empty(given) else float(_numbers(name, given, 1)[0])


def _numbers(name: str, given: object, *counts: int) -> NDArray[np.float64]:
    """Return numbers from a number, nested lists, or a text of numbers or lists: float64 [n]."""
    value: Any = re.sub(r"[\[\],;]", " ", given).split() if isinstance(given, str) else given
    try:
        numbers = np.array(value, np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} is not a list of numbers") from None
    if len(numbers) not in counts or not np.isfinite(numbers).all():
        what = "finite numbers" if len(numbers) in counts else f"{' or '.join(map(str, counts))} numbers"
        raise ValueError(f"{name} has {len(numbers)} numbers, not {what}")
    return numbers
