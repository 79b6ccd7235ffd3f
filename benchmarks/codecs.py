"""Encoding and decoding one picture by the libraries that can, beside what exports use: milliseconds, KB, right pixels.

Pictures are generated portraits with a photo's noise, or files that are given. Libraries that are not installed are
left out, and it is said. With `--sides` the kinds of PNG are compared instead: these pictures, and drawings of the
demo, resized to each side. Times are medians of some interleaved runs of one thread, in processor time.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.exporters.pictures import encode
from lpff_shards.formats.pictures import png
from lpff_shards.formats.pictures.decoding import decoded, inspect
from lpff_shards.sources import demo

Pixels = NDArray[np.uint8]
Codec = tuple[str, str, Callable[[], Any]]
"""Library, what it does, and a call that does it."""

LIBRARIES = ("pyspng", "imagecodecs", "simplejpeg", "cv2", "kornia_rs", "torchvision")
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
    yield "lpff-shards", "fast-png", lambda: encode(pixels, "fast-png", None)[0]
    yield "ISA-L", "png, level 1, only the Up filter", lambda: by_isal(pixels)
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
    yield "lpff-shards", kind, lambda: decoded(data)
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
    if "kornia_rs" in have and kind == "png":
        from kornia_rs.io import decode_image_png_u8

        height, width = inspect(data).height, inspect(data).width
        yield "kornia-rs", kind, lambda: decode_image_png_u8(data, (height, width), "rgb")
    if "torchvision" in have and kind == "png":
        import torch
        from torchvision.io import decode_png

        yield "torchvision", kind, lambda: decode_png(torch.frombuffer(data, dtype=torch.uint8)).permute(1, 2, 0)
    if "simplejpeg" in have and kind == "jpeg":
        import simplejpeg

        yield "simplejpeg", kind, lambda: simplejpeg.decode_jpeg(data)


def timed(calls: Sequence[Callable[[], Any]], runs: int) -> list[tuple[float, Any]]:
    """Median milliseconds of each call's interleaved runs, and what it returns."""
    spent: list[list[float]] = [[] for _ in calls]
    for _ in range(runs):
        for call, found in zip(calls, spent, strict=True):
            start = time.process_time()
            call()
            found.append(time.process_time() - start)
    return [(statistics.median(found) * 1e3, call()) for call, found in zip(calls, spent, strict=True)]


def by_isal(pixels: Pixels) -> bytes:
    """What `--image fast-png` would be with ISA-L's compression."""
    height, width, channels = pixels.shape
    rows = np.full((height, 1 + width * channels), 2, np.uint8)
    rows[:, 1:] = np.diff(pixels.reshape(height, -1), axis=0, prepend=np.uint8(0))
    body = png._pieces(b"IDAT", isal_zlib.compress(rows.data, 1))
    return b"".join((png.beginning(height, width), *body, *png._pieces(b"IEND")))


def by_side(pictures: Mapping[str, Pixels], sides: Sequence[int], runs: int) -> Iterator[str]:
    """Yield a table of kinds of PNG: size against Pillow's default, ms to encode, to decode, to decode by Pillow."""
    yield f"| picture | side | Pillow's, KB | Pillow | png | fast-png | ISA-L | stored-png |\n|{'---|' * 8}"
    for side in sides:
        images = {name: np.asarray(Image.fromarray(p).resize((side, side))) for name, p in pictures.items()}
        for number in (1, 2):
            drawn = demo.RenderedBlob(number, tuple(demo._camera(number).tolist()), side).read()
            images[f"drawing {number}"] = np.asarray(Image.open(io.BytesIO(drawn)))
        for name, pixels in images.items():
            calls: dict[str, Callable[[], bytes]] = {
                "Pillow": partial(saved, pixels, "PNG"),
                "png": partial(png.encode, pixels),
                "fast-png": partial(png.encode_fast, pixels),
                "ISA-L": partial(by_isal, pixels),
                "stored-png": partial(png.encode_stored, pixels),
            }
            encoded = timed([*calls.values()], max(3, runs // 3))
            files = [found for _, found in encoded]
            read = timed([partial(decoded, file) for file in files], runs)
            others = timed([partial(by_pillow, file) for file in files], runs)
            cells = [
                f"{len(file) / len(files[0]):.2f}, {made[0]:.2f}, {ours[0]:.2f}, {theirs[0]:.2f}"
                for file, made, ours, theirs in zip(files, encoded, read, others, strict=True)
            ]
            yield f"| {name} | {side} | {len(files[0]) / 1e3:.0f} | {' | '.join(cells)} |"


def by_pillow(data: bytes) -> Pixels:
    """Pixels by Pillow."""
    return np.asarray(Image.open(io.BytesIO(data)))


def show(name: str, pixels: Pixels, runs: int, have: set[str]) -> None:
    """The tables of one picture."""
    height, width, _ = pixels.shape
    print(f"\n{name}, {width}x{height}\n\n| encoder | what | ms | KB |\n|---|---|---|---|")
    ways = list(encoders(pixels, have))
    for (library, what, _), (spent, data) in zip(ways, timed([way[2] for way in ways], runs), strict=True):
        if "jpeg" not in what and not np.array_equal(by_pillow(data), pixels):
            raise RuntimeError(f"{library} {what}: wrong pixels")
        print(f"| {library} | {what} | {spent:.1f} | {len(data) / 1e3:.0f} |")
    files = {
        "png": saved(pixels, "PNG"),
        "jpeg": saved(pixels, "JPEG", quality=95, subsampling=0),
        "webp": saved(pixels, "WEBP", lossless=True, quality=0, method=0),
    }
    print("\n| decoder | what | ms | as Pillow decodes |\n|---|---|---|---|")
    for kind, data in files.items():
        expected, ways = by_pillow(data), list(decoders(data, kind, have))
        for (library, what, _), (spent, found) in zip(ways, timed([way[2] for way in ways], runs), strict=True):
            print(f"| {library} | {what} | {spent:.1f} | {'yes' if np.array_equal(found, expected) else 'NO'} |")


def main() -> None:
    """Prints the tables of each picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="*", help="picture files; generated ones without any")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--sides", type=int, nargs="*", help="compare the kinds of PNG at these sides")
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    have = {name for name in LIBRARIES if importlib.util.find_spec(name) is not None}
    for name in sorted(set(LIBRARIES) - have):
        print(f"left out: {name} is not installed")
    if "cv2" in have:
        import cv2

        cv2.setNumThreads(1)
    shown = {Path(path).name: np.asarray(Image.open(path).convert("RGB")) for path in given.pictures}
    shown = shown or {"a generated portrait": portrait(2, given.side)}
    if given.sides:
        print("\n".join(by_side(shown, given.sides, given.runs)))
        return
    for name, pixels in shown.items():
        show(name, pixels, given.runs, have)


if __name__ == "__main__":
    main()
