"""Stylized portraits drawn with numpy, so that the demo needs no photos of real people.

World: y up, the head at the origin, facing +z, symmetric in x. A mirrored camera gives the mirrored picture
byte for byte: pixel arrays use only operations that IEEE 754 rounds exactly (+ - * / sqrt min max abs compare),
sums have a fixed order (no BLAS), and shading depends on |x| alone.
"""

import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[float, float, float]
Vec = tuple[float, float, float]
Field = NDArray[np.floating[Any]]  # float32 per ray; the stubs lose the precision in sums with plain floats

_SKIN, _HAIR, _SHIRT = 1, 2, 3  # 0 is the background
_EYE_X, _EYE_Y, _MOUTH_Y, _NOSE_Y = 0.062, 0.022, -0.130, -0.058  # world units
_LIGHT_Y, _LIGHT_Z = 0.42, 0.9075  # a unit vector with x = 0, or the two halves would be lit differently
_EDGE = 0.045  # color step between neighbors above which both are supersampled
_SKINS: tuple[Rgb, ...] = ((1.0, 0.84, 0.74), (0.92, 0.71, 0.56), (0.76, 0.53, 0.38), (0.52, 0.34, 0.24))
_HAIRS: tuple[Rgb, ...] = ((0.12, 0.10, 0.10), (0.34, 0.20, 0.11), (0.70, 0.48, 0.24), (0.62, 0.61, 0.60))
_IRISES: tuple[Rgb, ...] = ((0.32, 0.19, 0.10), (0.26, 0.48, 0.70), (0.28, 0.48, 0.28), (0.50, 0.37, 0.16))

# iBUG points: index at a frontal picture's left, index at its right, the latter's x, y, z in world units.
_POINTS: tuple[tuple[int, int, float, float, float], ...] = (
    (0, 16, 0.145, 0.015, -0.010), (1, 15, 0.132, -0.030, 0.000), (2, 14, 0.128, -0.075, 0.015),
    (3, 13, 0.122, -0.115, 0.030), (4, 12, 0.112, -0.150, 0.045), (5, 11, 0.096, -0.178, 0.060),
    (6, 10, 0.074, -0.202, 0.075), (7, 9, 0.044, -0.223, 0.092), (8, 8, 0.000, -0.236, 0.118),
    (17, 26, 0.104, 0.059, 0.112), (18, 25, 0.086, 0.066, 0.149), (19, 24, 0.064, 0.070, 0.158),
    (20, 23, 0.042, 0.068, 0.162), (21, 22, 0.022, 0.060, 0.161), (27, 27, 0.000, 0.030, 0.184),
    (28, 28, 0.000, 0.003, 0.199), (29, 29, 0.000, -0.024, 0.210), (30, 30, 0.000, _NOSE_Y, 0.231),
    (31, 35, 0.028, -0.068, 0.195), (32, 34, 0.014, -0.076, 0.192), (33, 33, 0.000, -0.078, 0.194),
    (36, 45, 0.093, 0.022, 0.141), (37, 44, 0.073, 0.036, 0.153), (38, 43, 0.051, 0.036, 0.153),
    (39, 42, 0.031, 0.022, 0.155), (40, 47, 0.051, 0.013, 0.155), (41, 46, 0.073, 0.013, 0.155),
    (48, 54, 0.044, -0.130, 0.156), (49, 53, 0.028, -0.120, 0.175), (50, 52, 0.011, -0.116, 0.177),
    (51, 51, 0.000, -0.118, 0.180), (59, 55, 0.028, -0.142, 0.169), (58, 56, 0.013, -0.147, 0.173),
    (57, 57, 0.000, -0.148, 0.174), (60, 64, 0.038, -0.130, 0.160), (61, 63, 0.014, -0.129, 0.174),
    (62, 62, 0.000, -0.129, 0.175), (67, 65, 0.014, -0.131, 0.170), (66, 66, 0.000, -0.131, 0.172),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """Colors (RGB in 0..1) and proportions (near 1; hair_length 0..1) of one left-right symmetric head."""

    skin: Rgb
    hair: Rgb
    iris: Rgb
    shirt: Rgb
    background: Rgb
    head_width: float
    nose_length: float
    hair_length: float


@dataclass(frozen=True, slots=True)
class _Part:
    """One ellipsoid: ``rows`` of the matrix that takes world offsets from its center to the unit sphere."""

    material: int
    center: Vec
    rows: tuple[Vec, Vec, Vec]
    thickness: float  # the smallest radius, world units


def person(number: int) -> Person:
    """Return the person with this number, the same on every platform, Python and numpy version."""
    draw = random.Random(f"demo person {number}").random  # seeded with text, because -n and n seed alike
    skin, hair, iris = (_pick(palette, draw(), draw()) for palette in (_SKINS, _HAIRS, _IRISES))
    shirt = (0.12 + 0.6 * draw(), 0.12 + 0.6 * draw(), 0.12 + 0.6 * draw())
    background = (0.40 + 0.42 * draw(), 0.40 + 0.42 * draw(), 0.40 + 0.42 * draw())
    width, nose, length = 0.92 + 0.16 * draw(), 0.8 + 0.4 * draw(), draw() * draw()
    return Person(skin, hair, iris, shirt, background, width, nose, length)


def render(camera: NDArray[np.float64], who: Person, size: int) -> NDArray[np.uint8]:
    """Render a person as the camera, float64 [25], sees them: uint8 [size, size, 3] RGB."""
    m: list[float] = camera.tolist()
    # Whole numbers over 2 * size: exactly antisymmetric about the middle whatever the size.
    steps = np.arange(1 - size, size, 2) / (2.0 * size)
    u, v = (((steps + (0.5 - m[c])) / m[f]).astype(np.float32) for c, f in ((18, 16), (21, 20)))
    picture = _colors(m, who, u[None, :], v[:, None])
    rows, columns = np.nonzero(_edges(picture))
    du, dv, ue, ve = 0.25 / (size * m[16]), 0.25 / (size * m[20]), u[columns], v[rows]
    us, vs = np.concatenate((ue - du, ue + du)), np.concatenate((ve, ve))
    fine = (_colors(m, who, us, vs - dv) + _colors(m, who, us, vs + dv)).reshape(3, 2, -1)
    # Left and right are summed apart, because a mirrored camera swaps exactly these two.
    picture[:, rows, columns] = (fine[:, 0] + fine[:, 1]) * 0.25
    levels = np.minimum(np.maximum(picture, 0.0), 1.0) * 255.0 + 0.5
    return np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0))


def landmarks(camera: NDArray[np.float64], who: Person, size: int) -> NDArray[np.float32]:
    """Return the 68 iBUG points, float32 [68, 2] (x, y) in pixels (centers at whole numbers), hidden or not."""
    m: list[float] = camera.tolist()
    pixels = np.zeros((68, 2), np.float32)
    for left, right, x, y, z in _POINTS:
        forward = 0.042 * (who.nose_length - 1.0) if 27 <= left <= 35 else 0.0
        for index, side in ((left, -who.head_width), (right, who.head_width)):
            d = (side * x - m[3], y - m[7], z + forward - m[11])
            cx, cy, cz = (m[k] * d[0] + m[k + 4] * d[1] + m[k + 8] * d[2] for k in range(3))
            pixels[index] = (cx / cz * m[16] + m[18]) * size - 0.5, (cy / cz * m[20] + m[21]) * size - 0.5
    return pixels


def _pick(palette: tuple[Rgb, ...], which: float, shade: float) -> Rgb:
    r, g, b = (level * (0.82 + 0.18 * shade) for level in palette[int(which * len(palette))])
    return r, g, b


def _parts(who: Person) -> list[_Part]:
    tip, long = 0.168 + 0.042 * who.nose_length, who.hair_length
    side_x = 0.130 + 0.022 * min(1.0, 3.0 * long)  # short hair leaves the ears free
    # Material, center x y z, radii x y z, tilt about the x axis in radians; one with x > 0 is repeated at -x.
    ellipsoids = (
        (_SKIN, 0.0, 0.075, -0.035, 0.160, 0.185, 0.195, 0.0),  # skull
        (_SKIN, 0.0, -0.055, 0.045, 0.132, 0.185, 0.125, 0.0),  # face and jaw
        (_SKIN, 0.070, -0.032, 0.097, 0.052, 0.046, 0.046, 0.0),  # cheekbones
        (_SKIN, 0.0, -0.196, 0.106, 0.064, 0.044, 0.050, 0.0),  # chin
        (_SKIN, 0.048, 0.058, 0.130, 0.050, 0.022, 0.036, 0.0),  # brow ridge
        (_SKIN, _EYE_X, _EYE_Y, 0.124, 0.036, 0.033, 0.034, 0.0),  # eyeballs with their lids
        (_SKIN, 0.0, -0.125, 0.127, 0.060, 0.048, 0.043, 0.0),  # around the mouth
        (_SKIN, 0.164, 0.0, -0.030, 0.018, 0.047, 0.030, -0.2),  # ears
        (_SKIN, 0.0, -0.300, -0.040, 0.083, 0.200, 0.085, 0.0),  # neck
        (_HAIR, 0.0, 0.105, -0.065, 0.178, 0.195, 0.205, 0.0),  # cap
        (_HAIR, 0.0, 0.205, 0.030, 0.128, 0.068, 0.098, 0.4),  # fringe
        (_SHIRT, 0.0, -0.530, -0.050, 0.400, 0.230, 0.160, 0.0),  # shoulders
        (_SHIRT, 0.0, -0.345, -0.040, 0.125, 0.060, 0.115, 0.25),  # collar
        (_SKIN, 0.0, -0.012, tip - 0.030, 0.019, 0.070, 0.024, -0.42),  # bridge of the nose
        (_SKIN, 0.0, _NOSE_Y, tip - 0.012, 0.024, 0.021, 0.033, 0.0),  # tip of the nose
        (_SKIN, 0.021, _NOSE_Y - 0.005, tip - 0.027, 0.016, 0.014, 0.022, 0.0),  # nostrils
        (_SKIN, 0.0, _MOUTH_Y + 0.009, 0.158, 0.043, 0.013, 0.022, 0.0),  # upper lip
        (_SKIN, 0.0, _MOUTH_Y - 0.011, 0.155, 0.037, 0.014, 0.022, 0.0),  # lower lip
        (_HAIR, 0.0, -0.02 - 0.12 * long, -0.12, 0.160, 0.17 + 0.12 * long, 0.13, 0.0),  # back
        (_HAIR, side_x, 0.05 - 0.16 * long, -0.03, 0.036, 0.06 + 0.20 * long, 0.07, 0.0),  # sides
    )
    parts = []
    for material, x, y, z, rx, ry, rz, tilt in ellipsoids:
        c, s, w = math.cos(tilt), math.sin(tilt), who.head_width
        rows = ((1.0 / (rx * w), 0.0, 0.0), (0.0, c / ry, s / ry), (0.0, -s / rz, c / rz))
        for side in (x, -x) if x else (x,):
            parts.append(_Part(int(material), (side * w, y, z), rows, min(rx, ry, rz)))
    return parts


def _colors(m: list[float], who: Person, u: Field, v: Field) -> Field:
    """Return RGB, float32 [3, *shape], along the camera's rays (u, v, 1); shape is that of u and v broadcast."""
    parts = _parts(who)
    depth, material = _trace(m, parts, u, v)
    plain = np.array(who.background, np.float32).reshape((3,) + (1,) * u.ndim) * (1.0 - 1.8 * v)
    out = np.array(np.broadcast_to(plain, (3, *depth.shape)))
    for kind, reach, gloss in ((_SKIN, 0.03, 0.0), (_HAIR, 0.03, 0.16), (_SHIRT, 0.02, 0.03)):
        mask = material == kind
        t, us, vs = depth[mask], np.broadcast_to(u, mask.shape)[mask], np.broadcast_to(v, mask.shape)[mask]
        x, y, z = (m[k + 3] + t * (m[k] * us + (m[k + 1] * vs + m[k + 2])) for k in (0, 4, 8))
        x = np.abs(x)
        ny, nz = _normals([p for p in parts if p.material == kind and p.center[0] >= 0.0], reach, x, y, z)
        lit = np.maximum(ny * _LIGHT_Y + nz * _LIGHT_Z, 0.0)
        light, shine = 0.50 + 0.12 * ny + 0.58 * lit, lit * lit * lit
        if kind == _SKIN:  # the jaw keeps the light from the neck
            light = light * (1.0 - 0.42 * _cover(-0.165 - 0.4 * z - y - 0.5 * np.maximum(z, 0.0), 0.05))
            base = _painted(who, x / who.head_width, y, z)
        else:
            base = np.array(who.hair if kind == _HAIR else who.shirt, np.float32)[:, None]
        out[:, mask] = base * light + gloss * (shine * shine)
    return out


def _trace(m: list[float], parts: list[_Part], u: Field, v: Field) -> tuple[Field, NDArray[np.int8]]:
    """Return, per ray, the nearest hit's depth along the camera's axis (infinite without a hit) and material."""
    shape = np.broadcast_shapes(u.shape, v.shape)
    depth, material = np.full(shape, np.inf, np.float32), np.zeros(shape, np.int8)
    for part in parts:
        o = (m[3] - part.center[0], m[7] - part.center[1], m[11] - part.center[2])
        sx, sy, sz = (q[0] * o[0] + q[1] * o[1] + q[2] * o[2] for q in part.rows)
        turn = [[q[0] * m[k] + q[1] * m[k + 4] + q[2] * m[k + 8] for k in range(3)] for q in part.rows]
        dx, dy, dz = (r[0] * u + (r[1] * v + r[2]) for r in turn)
        a, b = dx * dx + dy * dy + dz * dz, sx * dx + sy * dy + sz * dz
        inside = b * b - a * (sx * sx + sy * sy + sz * sz - 1.0)
        t = (-b - np.sqrt(np.maximum(inside, 0.0))) / a
        hit = (inside > 0.0) & (t > 0.0) & (t < depth)
        np.copyto(depth, t, where=hit)
        np.copyto(material, part.material, where=hit)
    return depth, material


def _normals(group: list[_Part], reach: float, x: Field, y: Field, z: Field) -> tuple[Field, Field]:
    """Return y and z of unit normals, blended within ``reach`` world units of where parts meet to hide the seams."""
    tx, ty, tz = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for part in group:
        a, b, c = part.rows
        dx, dy, dz = x - part.center[0], y - part.center[1], z - part.center[2]
        qx, qy, qz = a[0] * dx, b[1] * dy + b[2] * dz, c[1] * dy + c[2] * dz
        gx, gy, gz = a[0] * qx, b[1] * qy + c[1] * qz, b[2] * qy + c[2] * qz
        far = (qx * qx + qy * qy + qz * qz - 1.0) * 0.5 * max(1.0, part.thickness / reach)
        near = np.maximum(1.0 - far, 0.0)
        weight = near * near / np.sqrt(gx * gx + gy * gy + gz * gz + 1e-6)
        tx, ty, tz = tx + weight * gx, ty + weight * gy, tz + weight * gz
    length = np.sqrt(tx * tx + ty * ty + tz * tz + 1e-6)
    return ty / length, tz / length


def _cover(depth: Field, soft: float = 0.002) -> Field:
    """Return 0 (outside) to 1 (inside) for a depth (world units, positive inside), over a rim ``soft`` wide."""
    covered: Field = np.minimum(np.maximum(depth / soft, 0.0), 1.0)
    return covered


def _painted(who: Person, x: Field, y: Field, z: Field) -> Field:
    """Return the skin color, float32 [3, n], with eyes, brows, lips and nostrils painted on at (|x|, y, z)."""
    (r, g, b), ex, ey, my = who.skin, x - _EYE_X, y - _EYE_Y, y - _MOUTH_Y
    dark = (0.35 * r, 0.22 * g, 0.20 * b)
    lip, wide = np.maximum(1.0 - x * x / 0.046**2, 0.0), 1.0 - ex * ex / 0.031**2
    upper = 0.0155 * lip * (1.0 - 0.25 * np.maximum(1.0 - x / 0.012, 0.0)) - my
    lid = 0.0155 * wide
    eye = _cover(np.minimum(lid - ey, ey + 0.0105 * wide))
    iris = np.sqrt(ex * ex + (ey - 0.002) * (ey - 0.002))
    hole_x, hole_y = (x - 0.013) / 0.008, (y - _NOSE_Y + 0.017) / 0.005
    hole = _cover(1.0 - hole_x * hole_x - hole_y * hole_y, 0.4) * _cover(z - 0.108 - 0.042 * who.nose_length)
    brow = 0.0075 - 0.05 * np.maximum(ex, 0.0) - np.abs(ey - 0.048 + 6.25 * ex * ex)
    layers: tuple[tuple[Field, Rgb], ...] = (
        (_cover(np.minimum(upper, my + 0.0185 * lip)), (0.72 * r + 0.06, 0.50 * g, 0.50 * b)),
        (_cover(np.minimum(0.0014 + 0.001 * lip - np.abs(my), lip * 0.01), 0.0015), dark),
        (hole, dark),
        (0.35 * _cover(0.0022 - np.abs(ey - lid - 0.009)) * _cover(wide + 0.3, 0.3), dark),
        (eye, (0.95, 0.94, 0.92)),
        (eye * _cover(0.0130 - iris), who.iris),
        (eye * _cover(0.0058 - iris), (0.03, 0.03, 0.03)),
        (eye * _cover(0.0042 - np.abs(ex) - np.abs(ey - 0.007)), (1.0, 1.0, 1.0)),
        (_cover(0.0034 - np.abs(ey - lid)) * _cover(wide + 0.15, 0.2), (0.12, 0.08, 0.07)),
        (_cover(brow, 0.003) * _cover(0.043 - np.abs(ex), 0.006), who.hair),
    )
    front, color = _cover(z - 0.06), np.repeat(np.array(who.skin, np.float32)[:, None], x.size, axis=1)
    for cover, paint in layers:
        color += (front * cover) * (np.array(paint, np.float32)[:, None] - color)
    return color


def _edges(picture: Field) -> NDArray[np.bool_]:
    """Return the pixels, bool [h, w], that differ visibly from a neighbor in a picture [3, h, w]."""
    height, width = picture.shape[1:]
    wide = np.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="edge")
    near = [wide[:, i : i + height, j : j + width] for i, j in ((0, 1), (2, 1), (1, 0), (1, 2))]
    edges: NDArray[np.bool_] = np.any([np.abs(picture - other) > _EDGE for other in near], axis=(0, 1))
    return edges
