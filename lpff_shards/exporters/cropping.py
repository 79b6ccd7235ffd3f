"""Crop faces from pictures: the pixels of the data sets' own scripts, by EG3D's or FFHQ's alignment.

Pillow and OpenCV resize and turn, with the filters of the scripts. Left out is what changes no pixel: rows and columns
that EG3D's crop does not show, and a direct Gaussian filter, for which Fourier transforms take a tenth of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from lpff_shards.errors import ShardsError
from lpff_shards.formats.pictures.decoding import PictureError, Pixels
from lpff_shards.schemas import landmarks
from lpff_shards.schemas.crops import KEPT, Cropping, eg3d_window

Plane = NDArray[np.float32]
"""One channel of a picture, float32 [height, width], 0 to 255."""
Vector = NDArray[np.float64]
_Blur = Callable[[Plane, float], Plane]

_LIBRARIES = {"scipy": "scipy", "cv2": "opencv-python-headless"}
_TURNED = 4096
"""Side in pixels to which FFHQ's alignment turns its square, before that is resized."""
_FAST_TURNED = 1.5
"""The same with `fast`, relative to the larger of the square's and the crop's sides."""
_LEAST_SQUARE = 8.0
"""Side in pixels of the smallest square of a face."""
_LEAST_SHOWN = 0.25
"""Least width and height of the picture in its crop, relative to the crop's side."""
_LARGEST = 1 << 17
"""Largest side in pixels to which a picture is resized."""
_BLOCK = 64
"""Rows that are blended at a time."""


def check_libraries(cropping: Cropping) -> None:
    """Raise ShardsError if a library that a crop needs is not installed."""
    if cropping.kind != "eg3d":
        missing = [library for module, library in _LIBRARIES.items() if find_spec(module) is None]
        if missing:
            raise ShardsError(
                f"--crop {cropping.name} needs {' and '.join(missing)}", 'Install it: pip install "lpff-shards[crops]"'
            )


def crop(pixels: Pixels, points: NDArray[np.floating], cropping: Cropping, side: int, *, fast: bool = False) -> Pixels:
    """Return the crop of one face, uint8 [side, side, 3].

    Args:
        pixels: of the picture, uint8 [height, width, 3].
        points: landmarks of the face in pixels of the picture, float [68, 2].
        side: of the crop in pixels.
        fast: FFHQ's alignment turns the square to fewer pixels, and blurs smaller copies.

    Raises:
        PictureError: the landmarks are no face, or the face is too small or too far outside the picture.
    """
    if fault := landmarks.fault(points):
        raise PictureError(fault)
    if cropping.kind == "eg3d":
        return _eg3d(pixels, points, cropping, side)
    return _ffhq(pixels, np.asarray(points, np.float64), cropping, side, fast)


def _eg3d(pixels: Pixels, points: NDArray[np.floating], cropping: Cropping, side: int) -> Pixels:
    from PIL import Image

    height, width, _ = pixels.shape
    resized, start = eg3d_window(points[None], np.array([[width, height]]), cropping.scale)
    if not (np.isfinite(start).all() and resized.min() >= 1):
        raise PictureError("its landmarks are no face")
    if resized.max() > _LARGEST:
        raise PictureError(f"the face is too small in its picture of {width}x{height}")
    first, last = np.maximum(start[0], 0), np.minimum(start[0] + KEPT, resized[0])
    if (last - first).min() < KEPT * _LEAST_SHOWN:
        raise PictureError(f"the face is too far outside its picture of {width}x{height}")
    (w, h), (left, up) = resized[0].astype(int).tolist(), start[0].astype(int).tolist()
    (x0, y0), (x1, y1) = first.astype(int).tolist(), last.astype(int).tolist()
    if height > 2 * width and h < height:
        # Pillow from 13 on resizes the columns first.
        shown = Image.fromarray(pixels).resize((w, h), Image.Resampling.BICUBIC).crop((x0, y0, x1, y1))
    else:
        # Pillow too resizes the rows, rounds, then resizes the columns. A bicubic filter reaches two pixels.
        reach = 2 * max(height / h, 1) + 2
        top, bottom = int(max(y0 * height / h - reach, 0)), int(min(y1 * height / h + reach, height))
        rows = Image.fromarray(pixels[top:bottom]).resize((w, bottom - top), Image.Resampling.BICUBIC)
        columns = Image.new("RGB", (x1 - x0, height))
        columns.paste(rows.crop((x0, 0, x1, bottom - top)), (0, top))
        shown = columns.resize((x1 - x0, h), Image.Resampling.BICUBIC).crop((0, y0, x1 - x0, y1))
    # Black outside the picture.
    window = Image.new("RGB", (KEPT, KEPT))
    window.paste(shown, (x0 - left, y0 - up))
    return np.asarray(window.resize((side, side), Image.Resampling.LANCZOS))


def _ffhq(pixels: Pixels, points: Vector, cropping: Cropping, side: int, fast: bool) -> Pixels:
    from PIL import Image

    quad, length = _square(points, cropping.scale)
    size = np.array(pixels.shape[1::-1])
    if not length >= _LEAST_SQUARE:
        raise PictureError("its landmarks are no face")
    if (np.minimum(quad.max(axis=0), size) - np.maximum(quad.min(axis=0), 0)).min() < length * _LEAST_SHOWN:
        raise PictureError(f"the face is too far outside its picture of {size[0]}x{size[1]}")
    shrink = int(length / side / 2)
    if shrink > 1:
        size = np.rint(size / shrink).astype(int)
        pixels = np.asarray(Image.fromarray(pixels).resize((size[0], size[1]), Image.Resampling.LANCZOS))
        quad, length = quad / shrink, length / shrink
    border = max(round(length * cropping.border[0]), cropping.border[1])
    first = np.floor(quad.min(axis=0)).astype(int) - border
    last = np.ceil(quad.max(axis=0)).astype(int) + border
    (left, up), (right, down) = np.maximum(first, 0), np.minimum(last, size)
    pixels, quad = pixels[up:down, left:right], quad - (left, up)
    outside = np.maximum([-first, last - size], 0)
    if outside.max() > border - 4:
        outside = np.maximum(outside, round(length * 0.3))
        pixels, quad = _padded(pixels, outside, length * 0.02, cropping.low_resolution_blur, fast), quad + outside[0]
    turned = min(math.ceil(max(length, side) * _FAST_TURNED), _TURNED) if fast else _TURNED
    corners = (quad + 0.5).ravel().tolist()
    image = Image.fromarray(pixels).transform(
        (turned, turned), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR
    )
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def _square(points: Vector, scale: float) -> tuple[Vector, float]:
    """Return the corners of FFHQ's square, float64 [4, 2], and its side: `schemas.crops` with the script's rounding."""
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes, across = (left + right) * 0.5, right - left
    down = (points[48] + points[54]) * 0.5 - eyes
    x = across - down[::-1] * (-1, 1)
    with np.errstate(all="ignore"):
        x = x / np.hypot(*x) * max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8) * scale
    y = x[::-1] * (-1, 1)
    center = eyes + down * 0.1
    corners = np.stack([center - x - y, center - x + y, center + x + y, center + x - y])
    return corners, float(np.hypot(*x) * 2)


def _padded(pixels: Pixels, outside: NDArray[np.int64], sigma: float, low_resolution: bool, fast: bool) -> Pixels:
    """Return pixels padded by their reflection, which is blurred more and more, then fades to the median color.

    Args:
        outside: pixels to add at left and top, and at right and bottom, [2, 2].
        sigma: of the blur in pixels.
    """
    (left, up), (right, down) = outside.tolist()
    height, width = pixels.shape[0] + up + down, pixels.shape[1] + left + right
    rows, columns = _distances(height, up, down), _distances(width, left, right)
    blur = _low_resolution_blur if low_resolution else _fast_blur if fast else _blur
    padded = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        plane = np.pad(pixels[..., channel].astype(np.float32), ((up, down), (left, right)), "reflect")
        _blend(plane, blur(plane, sigma), rows * 3 + 1, columns * 3 + 1)
        median = np.median(_tenth(plane) if low_resolution else plane)
        _blend(plane, np.broadcast_to(median, plane.shape), rows, columns)
        padded[..., channel] = np.clip(np.rint(plane, out=plane), 0, 255, out=plane)
    return padded


def _distances(length: int, before: int, after: int) -> Vector:
    """Return how far pixels are outside, float64 [length]: 0 at the picture's edges, 1 at those of the padding."""
    place = np.arange(length)
    distances: Vector = 1.0 - np.minimum(place / before, place[::-1] / after)
    return distances


def _blend(plane: Plane, towards: Plane, rows: Vector, columns: Vector) -> None:
    """Move values towards others, in place, by the larger weight of row and column, 0 to 1."""
    rows, columns = rows.clip(0, 1), columns.clip(0, 1)
    for start in range(0, len(plane), _BLOCK):
        block = slice(start, start + _BLOCK)
        plane[block] += (towards[block] - plane[block]) * np.maximum.outer(rows[block], columns)


def _blur(plane: Plane, sigma: float) -> Plane:
    """Return scipy.ndimage.gaussian_filter(plane, sigma), computed by Fourier transforms."""
    from scipy.fft import irfft, next_fast_len, rfft

    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    kernel /= kernel.sum()
    for axis, length in enumerate(plane.shape):
        around = np.array([(radius, radius) if axis == each else (0, 0) for each in range(2)])
        count = next_fast_len(length + 2 * radius, real=True)
        spectrum = rfft(np.pad(plane, around, "symmetric").astype(np.float64), count, axis)
        spectrum *= np.expand_dims(rfft(kernel, count), 1 - axis)
        kept = (slice(None),) * axis + (slice(2 * radius, 2 * radius + length),)
        plane = irfft(spectrum, count, axis, overwrite_x=True)[kept].astype(np.float32)
    return plane


def _low_resolution_blur(plane: Plane, sigma: float) -> Plane:
    import cv2

    height, width = plane.shape
    blurred = _blur(_tenth(plane), sigma * 0.1)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LANCZOS4), np.float32)


def _tenth(plane: Plane) -> Plane:
    import cv2

    return np.asarray(cv2.resize(plane, (0, 0), fx=0.1, fy=0.1, interpolation=cv2.INTER_AREA), np.float32)


def _fast_blur(plane: Plane, sigma: float) -> Plane:
    import cv2

    factor = max(int(sigma / 4), 1)
    height, width = plane.shape
    reduced = cv2.resize(plane, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    blurred = _blur(np.asarray(reduced, np.float32), sigma / factor)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
