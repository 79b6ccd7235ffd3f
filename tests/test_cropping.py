"""The pixels of crops are those of the data sets' steps, and landmarks are where the pixels are."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import slow_crops
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.errors import ShardsError
from lpff_shards.exporters import cropping
from lpff_shards.formats.pictures.decoding import PictureError
from lpff_shards.schemas import crops
from lpff_shards.schemas.crops import CROPPINGS, Cropping
from lpff_shards.sources.demo import look_at
from lpff_shards.sources.demo_render import landmarks, person, render

pytest.importorskip("scipy")
pytest.importorskip("cv2")

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Points = NDArray[np.float32]

PHOTOS = int(os.environ.get("LPFF_SHARDS_PHOTOS", "8"))
"""Photos in which landmarks are measured: one for each alignment, exact and fast."""


@dataclass(frozen=True)
class Scene:
    """Where a head is in a photo: sizes in pixels, places in parts of the photo, angles in radians.

    A head of `head` pixels fills a published EG3D crop of so many pixels.
    """

    width: int
    height: int
    head: int
    x: float = 0.5
    y: float = 0.5
    yaw: float = 0.0
    roll: float = 0.0

    def points(self) -> Points:
        """Landmarks, float32 [68, 2]."""
        return self.placed(landmarks(look_at(self.yaw, 0.1, self.roll), person(1), self.head))

    def placed(self, at: Points) -> Points:
        """Move landmarks of a portrait of the head to the photo."""
        corner = np.array([self.x * self.width, self.y * self.height]) - self.head / 2
        return (at + np.rint(corner)).astype(np.float32)


def _same(scene: Scene, how: Cropping, side: int) -> Pixels:
    """Compare a crop with that of the published steps; return it."""
    pixels = slow_crops.noisy_photo(0, scene.width, scene.height)
    points = scene.points()
    made = cropping.crop(pixels, points, how, side)
    expected = np.asarray(slow_crops.slow_crop(Image.fromarray(pixels), points.astype(np.float64), how, side))
    assert made.dtype == np.uint8 and made.shape == (side, side, 3)
    assert np.array_equal(made, expected), np.argwhere(made != expected)[:5]
    return made


SCENES = {
    "whole": Scene(1500, 1300, 400, roll=0.2),
    "upright": Scene(1000, 1000, 256),
    "at a border": Scene(700, 800, 400, 0.25, 0.5, yaw=0.8, roll=-0.1),
    "over two borders": Scene(640, 480, 300, 0.95, 0.1, roll=0.5),
    "larger than the photo": Scene(300, 420, 500, roll=-0.3),
    "upside down": Scene(900, 700, 200, 0.5, 0.6, roll=3.0),
    "tall": Scene(250, 600, 550, yaw=0.3, roll=0.1),
    "turned away": Scene(1000, 900, 300, 0.4, 0.5, yaw=-1.4, roll=0.1),
}


@pytest.fixture
def turned_to_fewer_pixels() -> Iterator[None]:
    """FFHQ's square is turned to 512 pixels, as 4096 take a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cropping, "_TURNED", 512)
        patch.setattr(slow_crops, "TURNED", 512)
        yield


@pytest.mark.parametrize(
    ("scene", "name"), [*(("over two borders", name) for name in CROPPINGS), ("whole", "stylegan")]
)
def test_crops_have_the_pixels_of_the_published_steps(scene: str, name: str) -> None:
    where, how = SCENES[scene], CROPPINGS[name]
    exact = _same(where, how, how.side).astype(int)
    pixels = slow_crops.noisy_photo(0, where.width, where.height)
    fast = cropping.crop(pixels, where.points(), how, how.side, fast=True)
    assert np.abs(fast - exact).max() <= 4 and np.sqrt(np.square(fast - exact).mean()) < 0.6
    assert how.kind == "ffhq" or np.array_equal(fast, exact)


@pytest.mark.usefixtures("turned_to_fewer_pixels")
@pytest.mark.parametrize("name", CROPPINGS)
@pytest.mark.parametrize("scene", SCENES)
def test_crops_of_faces_anywhere_have_them_too(scene: str, name: str) -> None:
    _same(SCENES[scene], CROPPINGS[name], 256)


@pytest.mark.usefixtures("turned_to_fewer_pixels")
@pytest.mark.parametrize("name", ["stylegan", "realign2400", "ffhq"])
@pytest.mark.parametrize(("shrink", "x"), [(2, 0.5), (3, 0.3), (9, 0.5)])
def test_large_faces_are_shrunk_first(shrink: int, x: float, name: str) -> None:
    how, head = CROPPINGS[name], 500
    scene = Scene(1201, 1003, head, x, 0.5, roll=0.2)
    _, length = cropping._square(scene.points().astype(np.float64), how.scale)
    side = int(length / 2 / (shrink + 0.4))
    assert int(length / side / 2) == shrink
    _same(scene, how, side)


@pytest.mark.usefixtures("turned_to_fewer_pixels")
@pytest.mark.parametrize("name", ["eg3d", "ffhq"])
@pytest.mark.parametrize("side", [64, 1000])
def test_crops_have_any_side(side: int, name: str) -> None:
    _same(SCENES["whole"], CROPPINGS[name], side)


@pytest.mark.usefixtures("turned_to_fewer_pixels")
@pytest.mark.parametrize(
    "how",
    [
        Cropping("wide", "eg3d", 256, scale=0.6),
        Cropping("close", "eg3d", 256, scale=1.4),
        Cropping("wide", "ffhq", 256, scale=1.3, border=(0.0, 0)),
        Cropping("close", "ffhq", 256, scale=0.7, border=(0.5, 7), low_resolution_blur=True),
    ],
)
@pytest.mark.parametrize("scene", ["whole", "at a border"])
def test_alignments_of_users_change_scale_border_and_blur(scene: str, how: Cropping) -> None:
    _same(SCENES[scene], how, how.side)


@pytest.mark.usefixtures("turned_to_fewer_pixels")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.builds(
        Scene,
        width=st.integers(60, 500),
        height=st.integers(60, 500),
        head=st.integers(40, 400),
        x=st.floats(0, 1),
        y=st.floats(0, 1),
        yaw=st.floats(-1.5, 1.5),
        roll=st.floats(-3.2, 3.2),
    ),
    st.sampled_from([*CROPPINGS.values()]),
    st.floats(0.5, 2),
    st.sampled_from([16, 50, 128, 200]),
)
def test_any_crop_has_the_pixels_of_the_published_steps(scene: Scene, how: Cropping, scale: float, side: int) -> None:
    how = replace(how, scale=how.scale * scale)
    try:
        cropping.crop(slow_crops.noisy_photo(0, scene.width, scene.height), scene.points(), how, side)
    except PictureError as error:
        assert "outside its picture" in str(error)
    else:
        _same(scene, how, side)


def test_blur_is_the_gaussian_filter() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    for seed, (height, width, sigma) in enumerate([(97, 300, 4.3), (40, 30, 20.0), (331, 5, 0.1), (1, 1, 2.0)]):
        plane = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
        near = cropping._blur(plane, sigma) - ndimage.gaussian_filter(plane, sigma)
        assert np.abs(near).max() < 1e-4


# Landmarks.


def _dotted(seed: int) -> tuple[Scene, Pixels, Points]:
    """A demo portrait in a photo, in green and blue, and its landmarks; red is for marks."""
    draw = np.random.default_rng(seed)
    head = int(draw.integers(250, 700))
    scene = Scene(
        *draw.integers(head, 1400, 2).tolist(), head, *draw.uniform(0.3, 0.7, 2), *(draw.uniform(-1, 1, 2) * (1.2, 0.4))
    )
    who, camera = person(seed), look_at(scene.yaw, draw.uniform(-0.4, 0.4), scene.roll)
    points = scene.placed(landmarks(camera, who, head))
    left, up = np.rint(points[0] - landmarks(camera, who, head)[0]).astype(int).tolist()
    photo = Image.new("RGB", (scene.width, scene.height), (0, 90, 110))
    photo.paste(Image.fromarray(render(camera, who, head)), (left, up))
    pixels = np.array(photo)
    pixels[..., 0] = 0
    return scene, pixels, points


def _mark(pixels: Pixels, points: Points, sigma: float, margin: float) -> list[int]:
    """Draw a soft red dot on landmarks that are far enough from each other and the photo's edges; return which."""
    height, width, _ = pixels.shape
    chosen: list[int] = []
    reach = int(np.ceil(5 * sigma))
    for number in (30, 36, 45, 8, 48, 54, 0, 16, 27, *range(68)):
        x, y = points[number].astype(np.float64)
        apart = [np.hypot(*(points[other] - points[number])) for other in chosen]
        if min(x, y, width - 1 - x, height - 1 - y) < margin + reach or min(apart, default=1e9) < 12 * sigma:
            continue
        left, up = round(x) - reach, round(y) - reach
        columns = np.exp(-((np.arange(left, left + 2 * reach + 1) - x) ** 2) / (2 * sigma**2))
        rows = np.exp(-((np.arange(up, up + 2 * reach + 1) - y) ** 2) / (2 * sigma**2))
        window = pixels[up : up + len(rows), left : left + len(columns), 0]
        window[:] = np.maximum(window, np.rint(230 * np.outer(rows, columns)))
        chosen.append(number)
    return chosen


def _center(red: Pixels, near: Array, sigma: float) -> Array | None:
    """Return the center of the red dot near a place, or None if it is not wholly in the picture."""
    reach = int(np.ceil(5 * sigma))
    column, row = np.rint(near).astype(int).tolist()
    if min(column, row) < reach or max(column, row) >= len(red) - reach:
        return None
    dot = red[row - reach : row + reach + 1, column - reach : column + reach + 1].astype(np.float64)
    away = np.arange(-reach, reach + 1)
    total = dot.sum()
    return np.array([column + dot.sum(axis=0) @ away / total, row + dot.sum(axis=1) @ away / total])


def test_landmarks_are_where_the_crop_shows_them() -> None:
    draw = np.random.default_rng(0)
    measured, worst = 0, 0.0
    for seed in range(PHOTOS):
        how = [*CROPPINGS.values()][seed % len(CROPPINGS)]
        side = int(draw.choice([how.side, 256, 130]))
        scene, pixels, points = _dotted(seed)
        sizes = np.array([[scene.width, scene.height]])
        maps = crops.crop_maps(points[None], sizes, how, side)
        carried = crops.carry(points[None], sizes, maps, side)[0]
        _, length = cropping._square(points.astype(np.float64), how.scale)
        larger = float(np.hypot(*(carried[45] - carried[36])) / np.hypot(*(points[45] - points[36])))
        sigma = max(3.0, 2.0 / larger)
        # Blurred padding reaches inside.
        marked = _mark(pixels, points, sigma, 0.25 * length if how.kind == "ffhq" else 0.0)
        made = cropping.crop(pixels, points, how, side, fast=bool(seed // len(CROPPINGS) % 2))
        for number in marked:
            found = _center(made[..., 0], carried[number].astype(np.float64), sigma * larger)
            if found is not None:
                measured, worst = measured + 1, max(worst, float(np.abs(found - carried[number]).max()))
                assert worst < 0.05, (seed, how.name, side, number, found, carried[number])
    print(f"{measured} landmarks in {PHOTOS} photos, at most {worst:.4f} pixels off")
    assert measured >= PHOTOS


# Faults.


@pytest.mark.parametrize("name", CROPPINGS)
@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.full((68, 2), 50.0), "its landmarks are no face"),
        (np.full((68, 2), np.nan), "landmark 0 is not finite"),
        (np.zeros((5, 2)), "landmarks have shape 5x2, not 68x2"),
        (SCENES["whole"].points() + np.array([2500, 0]), "the face is too far outside its picture of 400x300"),
        (SCENES["whole"].points() - np.array([0, 1500]), "the face is too far outside its picture of 400x300"),
        (SCENES["whole"].points() * 1e30, "the face is too far outside|its landmarks are no face"),
    ],
)
def test_landmarks_that_are_no_face_of_the_picture_are_refused(points: Array, message: str, name: str) -> None:
    how = CROPPINGS[name]
    with pytest.raises(PictureError, match=message):
        cropping.crop(np.zeros((300, 400, 3), np.uint8), points, how, how.side)


def test_a_face_of_few_pixels_in_a_large_picture_is_refused() -> None:
    points = Scene(30, 30, 10).points()
    with pytest.raises(PictureError, match="the face is too small in its picture of 6000x20"):
        cropping.crop(np.zeros((20, 6000, 3), np.uint8), points, CROPPINGS["eg3d"], 512)


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for how in CROPPINGS.values():
        cropping.check_libraries(how)
    monkeypatch.setattr(cropping, "find_spec", lambda name: None if name == "cv2" else importlib.util.find_spec(name))
    cropping.check_libraries(CROPPINGS["eg3d"])
    with pytest.raises(ShardsError, match=r'--crop ffhq needs opencv-python-headless. .*"lpff-shards\[crops\]"'):
        cropping.check_libraries(CROPPINGS["ffhq"])
