"""Crops by the data sets' published steps, one after the other and without shortcuts; and photos to crop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.schemas.crops import Cropping

Array = NDArray[np.float64]

TURNED = 4096
MEAN_FACE = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032535, -0.04617932, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ]
)


def slow_crop(image: Image.Image, points: Array, cropping: Cropping, side: int) -> Image.Image:
    """The crop as the published steps make it, without a shortcut."""
    return (slow_eg3d if cropping.kind == "eg3d" else slow_ffhq)(image, points, cropping, side)


def slow_eg3d(image: Image.Image, points: Array, cropping: Cropping, side: int) -> Image.Image:
    width, height = image.size
    five = np.stack([(points[36] + points[39]) / 2, (points[42] + points[45]) / 2, *points[[30, 48, 54]]])
    five[:, 1] = height - 1 - five[:, 1]
    fit = np.linalg.lstsq(np.hstack([MEAN_FACE, np.ones((5, 1))]), five, rcond=None)[0]
    s = 300 * cropping.scale / ((np.linalg.norm(fit[:3, 0]) + np.linalg.norm(fit[:3, 1])) / 2)
    tx, ty = fit[3]
    w, h = int(width * s), int(height * s)
    left = int(w / 2 - 512 + (tx - width / 2) * s)
    up = int(h / 2 - 512 + (height / 2 - ty) * s)
    window = image.resize((w, h), Image.Resampling.BICUBIC).crop((left, up, left + 1024, up + 1024))
    return window.crop((162, 162, 862, 862)).resize((side, side), Image.Resampling.LANCZOS)


def slow_ffhq(image: Image.Image, points: Array, cropping: Cropping, side: int) -> Image.Image:
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes, d = (left_eye + right_eye) / 2, right_eye - left_eye
    m = (points[48] + points[54]) / 2 - eyes
    x = d - m[::-1] * [-1, 1]
    x /= np.hypot(*x)
    x *= max(2 * np.hypot(*d), 1.8 * np.hypot(*m)) * cropping.scale
    y = x[::-1] * [-1, 1]
    c = eyes + 0.1 * m
    quad, q = np.stack([c - x - y, c - x + y, c + x + y, c + x - y]), 2 * np.hypot(*x)
    k = int(np.floor(q / side / 2))
    if k > 1:
        w, h = (int(np.rint(length / k)) for length in image.size)
        image, quad, q = image.resize((w, h), Image.Resampling.LANCZOS), quad / k, q / k
    b = max(int(np.rint(q * cropping.border[0])), cropping.border[1])
    box = np.array([np.floor(quad.min(axis=0)) - b, np.ceil(quad.max(axis=0)) + b]).astype(int)
    inside = np.array([np.maximum(box[0], 0), np.minimum(box[1], image.size)])
    pads = np.array([inside[0] - box[0], box[1] - inside[1]]).ravel()
    image, quad = image.crop(tuple(inside.ravel().tolist())), quad - inside[0]
    if pads.max() > b - 4:
        pads = np.maximum(pads, int(np.rint(0.3 * q)))
        image, quad = slow_padding(image, pads, q, cropping.low_resolution_blur), quad + pads[:2]
    large = image.transform(
        (TURNED, TURNED), Image.Transform.QUAD, (quad + 0.5).ravel().tolist(), Image.Resampling.BILINEAR
    )
    return large.resize((side, side), Image.Resampling.LANCZOS)


def slow_padding(image: Image.Image, pads: NDArray[np.integer], q: float, low_resolution: bool) -> Image.Image:
    import cv2
    from scipy.ndimage import gaussian_filter

    left, up, right, down = pads
    found = np.pad(np.asarray(image, np.float32), ((up, down), (left, right), (0, 0)), "reflect")
    h, w, _ = found.shape
    y, x, _ = np.ogrid[:h, :w, :1]
    across, along = (np.minimum(x / left, (w - 1 - x) / right), np.minimum(y / up, (h - 1 - y) / down))
    mask = np.maximum(1 - across, 1 - along)
    if low_resolution:
        small = cv2.resize(found, (0, 0), fx=0.1, fy=0.1, interpolation=cv2.INTER_AREA)
        small = gaussian_filter(small, [0.002 * q, 0.002 * q, 0])
        blurred = cv2.resize(small, (w, h), interpolation=cv2.INTER_LANCZOS4)
    else:
        blurred = gaussian_filter(found, [0.02 * q, 0.02 * q, 0])
    found += (blurred - found) * np.clip(3 * mask + 1, 0, 1)
    seen = cv2.resize(found, (0, 0), fx=0.1, fy=0.1, interpolation=cv2.INTER_AREA) if low_resolution else found
    found += (np.median(seen, axis=(0, 1)) - found) * np.clip(mask, 0, 1)
    return Image.fromarray(np.uint8(np.clip(np.rint(found), 0, 255)))


def noisy_photo(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """Smooth shapes under noise, uint8 [height, width, 3]."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 256, (height // 12 + 2, width // 12 + 2, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return np.asarray(np.clip(smooth + draw.integers(-12, 13, smooth.shape), 0, 255), np.uint8)
