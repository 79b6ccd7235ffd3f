"""Crops of one photo in pictures per second, beside the published steps without shortcuts.

Photos are smooth shapes under noise, with the landmarks of a demo head. Times are the least of some interleaved runs,
in processor time, without reading and encoding. Pixels are compared: those of `--crop-quality fast` differ.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.exporters.cropping import crop
from lpff_shards.schemas.crops import CROPPINGS, Cropping
from lpff_shards.sources.demo import look_at
from lpff_shards.sources.demo_render import landmarks, person
from tests.slow_crops import noisy_photo, slow_crop

Pixels = NDArray[np.uint8]

CASES = (
    ("raw photo", "realign2400", (3000, 2000), 800, (0.5, 0.5)),
    ("raw photo, face at its border", "realign2400", (3000, 2000), 800, (0.2, 0.4)),
    ("realign2400", "stylegan", (2400, 2400), 1330, (0.5, 0.5)),
    ("realign2400", "eg3d", (2400, 2400), 1330, (0.5, 0.5)),
    ("raw photo", "eg3d", (3000, 2000), 800, (0.5, 0.5)),
    ("FFHQ in the wild", "ffhq", (2000, 1500), 900, (0.5, 0.5)),
    ("FFHQ in the wild, face at its border", "ffhq", (2000, 1500), 900, (0.2, 0.5)),
)
"""Picture, crop, size of the picture, size of an EG3D crop in it, place of the face in parts of the picture."""


def steps(pixels: Pixels, points: NDArray[np.floating], cropping: Cropping) -> Pixels:
    """Return the crop by the published steps."""
    image = Image.fromarray(pixels)
    return np.asarray(slow_crop(image, points.astype(np.float64), cropping, cropping.side))


def measure(calls: dict[str, Callable[[], Pixels]], runs: int) -> tuple[dict[str, float], dict[str, Pixels]]:
    """Return the seconds and the pixels of each call."""
    seconds, pixels = dict.fromkeys(calls, float("inf")), {}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.process_time()
            pixels[name] = call()
            seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds, pixels


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    print("| from | to | published steps, pictures/s | exact | fast | pixels of fast differ by |")
    print("|---|---|---|---|---|---|")
    for picture, name, (width, height), head, place in CASES:
        pixels, cropping = noisy_photo(0, width, height), CROPPINGS[name]
        corner = np.array(place) * (width, height) - head / 2
        points = landmarks(look_at(0.3, 0.1, 0.1), person(0), head) + corner
        calls: dict[str, Callable[[], Pixels]] = {
            "steps": partial(steps, pixels, points, cropping),
            "exact": partial(crop, pixels, points, cropping, cropping.side),
            "fast": partial(crop, pixels, points, cropping, cropping.side, fast=True),
        }
        seconds, made = measure(calls, runs)
        assert np.array_equal(made["steps"], made["exact"])
        off = made["fast"].astype(np.int16) - made["exact"]
        differs = f"{np.sqrt(np.square(off).mean()):.2f} levels, at most {np.abs(off).max()}"
        row = (picture, name, *(f"{1 / seconds[call]:.1f}" for call in calls), differs)
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
