"""Encoding and decoding one picture by the libraries that can, beside what exports use: milliseconds, KB, right pixels.

Pictures are generated portraits with a photo's noise, or files that are given. Libraries that are not installed are
left out, and it is said. Times are the least of some runs of one thread, in processor time.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.exporters.pictures import encode
from lpff_shards.formats.pictures.decoding import decode, inspect

Pixels = NDArray[np.uint8]
Codec = tuple[str, str, Callable[[], Any]]
"""Library, what it does, and a call that does it."""

LIBRARIES = ("pyspng", "imagecodecs", "simplejpeg", "cv2")
RLE = 3
"""zlib's number of its run-length strategy."""


def portrait(seed: int, side: int) -> Pixels:
    """Smooth shapes under noise as demosaicing leaves it: blurred, and alike in the channels."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    noise = draw.normal(0, 9, (side, side, 1)) + draw.normal(0, 3, (side, side, 3))
    blurred = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 4
    return np.clip(smooth + blurred, 0, 255).astype(np.uint8)


def saved(pixels: Pixels, kind: str, **options: int) -> bytes:
    """A picture file by Pillow."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def encoders(pixels: Pixels, have: set[str]) -> Iterator[Codec]:
    """All ways to encode, PNG first."""
    yield "pillow", "png, default", lambda: saved(pixels, "PNG")
    yield "pillow", "png, level 1, run lengths", lambda: saved(pixels, "PNG", compress_level=1, compress_type=RLE)
    yield "lpff-shards", "png", lambda: encode(pixels, "png", None)[0]
    if "imagecodecs" in have:
        import imagecodecs

        yield "imagecodecs", "png, level 1", lambda: imagecodecs.png_encode(pixels, level=1)
        yield "imagecodecs", "png, level 1, run lengths", lambda: imagecodecs.png_encode(pixels, level=1, strategy=RLE)
        yield "imagecodecs", "jpeg 95, 4:4:4", lambda: imagecodecs.jpeg_encode(pixels, 95, subsampling="444")
        yield "imagecodecs", "webp, lossless", lambda: imagecodecs.webp_encode(pixels, lossless=True, level=0, method=0)
    if "cv2" in have:
        import cv2

        flags = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
        yield "opencv", "png, level 1, run lengths", lambda: bytes(cv2.imencode(".png", pixels[..., ::-1], flags)[1])
    if "simplejpeg" in have:
        import simplejpeg

        yield "simplejpeg", "jpeg 95, 4:4:4", lambda: simplejpeg.encode_jpeg(pixels, 95, "RGB", "444")
    yield "lpff-shards (pillow)", "jpeg 95, 4:4:4", lambda: encode(pixels, "jpeg", None)[0]
    yield "lpff-shards (pillow)", "webp, lossless", lambda: encode(pixels, "webp", None)[0]


def decoders(data: bytes, kind: str, have: set[str]) -> Iterator[Codec]:
    """All ways to decode a file."""
    yield "pillow", kind, lambda: np.asarray(Image.open(io.BytesIO(data)))
    yield "lpff-shards", kind, lambda: decode(data, inspect(data))[0]
    if "imagecodecs" in have:
        import imagecodecs

        read = {"png": imagecodecs.png_decode, "jpeg": imagecodecs.jpeg_decode, "webp": imagecodecs.webp_decode}
        yield "imagecodecs", kind, lambda: read[kind](data)
    if "cv2" in have:
        import cv2

        yield "opencv", kind, lambda: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if "pyspng" in have and kind == "png":
        import pyspng

        yield "pyspng", kind, lambda: pyspng.load(data)
    if "simplejpeg" in have and kind == "jpeg":
        import simplejpeg

        yield "simplejpeg", kind, lambda: simplejpeg.decode_jpeg(data)


def timed(call: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """Least milliseconds of some runs, and what the call returns."""
    least = float("inf")
    for _ in range(runs):
        start = time.process_time()
        result = call()
        least = min(least, time.process_time() - start)
    return least * 1e3, result


def show(name: str, pixels: Pixels, runs: int, have: set[str]) -> None:
    """The tables of one picture."""
    height, width, _ = pixels.shape
    print(f"\n{name}, {width}x{height}\n\n| encoder | what | ms | KB |\n|---|---|---|---|")
    for library, what, call in encoders(pixels, have):
        spent, data = timed(call, runs)
        if "jpeg" not in what and not np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels):
            raise RuntimeError(f"{library} {what}: wrong pixels")
        print(f"| {library} | {what} | {spent:.1f} | {len(data) / 1e3:.0f} |")
    files = {
        "png": saved(pixels, "PNG"),
        "jpeg": saved(pixels, "JPEG", quality=95, subsampling=0),
        "webp": saved(pixels, "WEBP", lossless=True, quality=0, method=0),
    }
    print("\n| decoder | what | ms | as Pillow decodes |\n|---|---|---|---|")
    for kind, data in files.items():
        expected = np.asarray(Image.open(io.BytesIO(data)))
        for library, what, call in decoders(data, kind, have):
            spent, decoded = timed(call, runs)
            print(f"| {library} | {what} | {spent:.1f} | {'yes' if np.array_equal(decoded, expected) else 'NO'} |")


def main() -> None:
    """Prints the tables of each picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="*", help="picture files; generated ones without any")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    have = {name for name in LIBRARIES if importlib.util.find_spec(name) is not None}
    for name in sorted(set(LIBRARIES) - have):
        print(f"left out: {name} is not installed")
    if "cv2" in have:
        import cv2

        cv2.setNumThreads(1)
    shown = {Path(path).name: np.asarray(Image.open(path).convert("RGB")) for path in given.pictures}
    for name, pixels in (shown or {"a generated portrait": portrait(2, given.side)}).items():
        show(name, pixels, given.runs, have)


if __name__ == "__main__":
    main()
