"""The drawn portraits: exact mirroring, sensible geometry, stable people."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpff_shards.sources.demo_render import landmarks, person, render

RADIUS, FOCAL = 2.7, 4.2647
PERSON_ZERO = (1.0053897379616046, 1.0142456021452648, 0.3569048065712272)  # width, nose, hair
MIRRORED = [1, 2, 3, 4, 8]  # elements [0,1], [0,2], [0,3], [1,0], [2,0] of the camera-to-world matrix

# For each of the 68 iBUG points, the point that takes its place in a mirrored picture.
SWAP = [
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *(27, 28, 29, 30),  # bridge of the nose
    *(35, 34, 33, 32, 31),  # nostrils
    *(45, 44, 43, 42, 47, 46),  # the eye at the left
    *(39, 38, 37, 36, 41, 40),  # the eye at the right
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
    *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
]

yaws = st.floats(-80, 80)
pitches = st.floats(-40, 40)
rolls = st.floats(-15, 15)
sizes = st.sampled_from([1, 2, 33, 47, 64])
numbers = st.integers(0, 10_000)


def look_at(yaw: float, pitch: float, roll: float = 0.0) -> NDArray[np.float64]:
    """A camera, float64 [25], at these angles in degrees around the origin, looking at it."""
    y, p, r = math.radians(yaw), math.radians(pitch), math.radians(roll)
    forward = -np.array([math.cos(p) * math.sin(y), math.sin(p), math.cos(p) * math.cos(y)])
    right = np.array([math.cos(y), 0.0, -math.sin(y)])
    down = np.cross(forward, right)
    pose = np.eye(4)
    pose[:3, 0] = math.cos(r) * right + math.sin(r) * down
    pose[:3, 1] = math.cos(r) * down - math.sin(r) * right
    pose[:3, 2] = forward
    pose[:3, 3] = -RADIUS * forward
    return np.concatenate((pose.ravel(), [FOCAL, 0, 0.5, 0, FOCAL, 0.5, 0, 0, 1]))


def mirrored(camera: NDArray[np.float64]) -> NDArray[np.float64]:
    other = camera.copy()
    other[MIRRORED] *= -1.0
    return other


def test_the_swap_table_undoes_itself() -> None:
    assert sorted(SWAP) == list(range(68))
    assert [SWAP[i] for i in SWAP] == list(range(68))


def test_the_camera_helper_makes_proper_cameras() -> None:
    pose = look_at(50, -20, 10)[:16].reshape(4, 4)
    assert np.allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3))
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
    frontal = look_at(0, 0)[:16].reshape(4, 4)
    assert np.allclose(np.diag(frontal), (1, -1, -1, 1))
    assert np.allclose(frontal[:3, 3], (0, 0, RADIUS))


@settings(max_examples=25, deadline=None)
@given(yaws, pitches, rolls, sizes, numbers)
def test_a_mirrored_camera_takes_the_mirrored_picture(
    yaw: float, pitch: float, roll: float, size: int, number: int
) -> None:
    camera, who = look_at(yaw, pitch, roll), person(number)
    picture = render(camera, who, size)
    assert np.array_equal(render(mirrored(camera), who, size), np.flip(picture, axis=1))


@pytest.mark.parametrize("size", [33, 64, 256])
@pytest.mark.parametrize("pitch", [0.0, -25.0])
def test_a_frontal_picture_is_its_own_mirror_image(size: int, pitch: float) -> None:
    picture = render(look_at(0, pitch), person(3), size)
    assert np.array_equal(picture, np.flip(picture, axis=1))


@settings(max_examples=25, deadline=None)
@given(yaws, pitches, rolls, sizes, numbers)
def test_a_mirrored_camera_sees_the_mirrored_landmarks(
    yaw: float, pitch: float, roll: float, size: int, number: int
) -> None:
    camera, who = look_at(yaw, pitch, roll), person(number)
    flipped = landmarks(camera, who, size)[SWAP]
    flipped[:, 0] = size - 1 - flipped[:, 0]
    assert np.abs(landmarks(mirrored(camera), who, size) - flipped).max() < 1e-3


def test_shapes_and_types() -> None:
    picture, points = render(look_at(20, 5), person(0), 48), landmarks(look_at(20, 5), person(0), 48)
    assert picture.shape == (48, 48, 3) and picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert points.shape == (68, 2) and points.dtype == np.float32


def test_frontal_landmarks_lie_where_a_face_has_them() -> None:
    x, y = landmarks(look_at(0, 0), person(5), 256).T
    assert (x > 0).all() and (x < 255).all() and (y > 0).all() and (y < 255).all()
    assert x[0] < x[36] < x[39] < x[27] < x[42] < x[45] < x[16]
    assert x[27] == x[30] == x[8] == 127.5  # between the two middle pixels, whose centers are 127 and 128
    assert y[19] < y[37] < y[30] < y[51] < y[57] < y[8]


@pytest.mark.parametrize("number", range(6))
def test_landmarks_lie_on_what_was_drawn(number: int) -> None:
    camera, who = look_at(0, 0), person(number)
    picture = render(camera, who, 256).astype(int)
    points = np.rint(landmarks(camera, who, 256)).astype(int)
    for corners in (points[36:42], points[42:48]):
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        eye = picture[top : bottom + 1, left : right + 1]
        assert eye.min(axis=2).max() > 180  # the white
        assert eye.max(axis=2).min() < 60  # the pupil
    lips, chin = picture[(points[57, 1] + points[66, 1]) // 2, points[57, 0]], picture[points[8, 1] - 8, 128]
    assert lips[0] / lips[1] > 1.15 * chin[0] / chin[1]  # redder than the skin


def test_the_nose_points_left_from_the_heads_left_and_up_from_below() -> None:
    who = person(1)
    nose = [landmarks(look_at(yaw, 0), who, 256)[30, 0] for yaw in (-60, -30, 0, 30, 60)]
    assert (np.diff(nose) < -15).all()
    assert landmarks(look_at(0, -30), who, 256)[30, 1] < landmarks(look_at(0, 30), who, 256)[30, 1] - 20


def test_the_drawn_nose_sticks_out_on_the_left_from_the_heads_left() -> None:
    who, size = person(2), 128
    picture = render(look_at(80, 0), who, size).astype(int)
    tip_x, tip_y = landmarks(look_at(80, 0), who, size)[30]
    covered = np.abs(picture - picture[:, :1]).sum(axis=2) > 12  # the first column is background
    outline = covered[: int(size * 0.75)].argmax(axis=1)  # the leftmost pixel of the head in each row
    row = round(float(tip_y))
    assert abs(outline[row] - tip_x) < 4
    assert outline[row] < outline[row - 16] - 4 and outline[row] < outline[row + 8] - 4


def test_the_back_and_side_differ_from_the_face() -> None:
    who = person(1)
    front, side, back = (render(look_at(yaw, 0), who, 64).astype(int) for yaw in (0, 75, 180))
    for a, b in ((front, side), (front, back), (side, back)):
        assert (np.abs(a - b).max(axis=2) > 30).mean() > 0.15


def test_a_person_is_the_same_every_time() -> None:
    assert person(7) == person(7)
    assert np.array_equal(render(look_at(10, 5), person(7), 40), render(look_at(10, 5), person(7), 40))


def test_person_zero_never_changes() -> None:
    who = person(0)
    assert (who.head_width, who.nose_length, who.hair_length) == PERSON_ZERO


def test_people_differ() -> None:
    assert len({person(number) for number in range(-100, 100)}) == 200
    assert not np.array_equal(render(look_at(0, 0), person(0), 32), render(look_at(0, 0), person(1), 32))


@pytest.mark.parametrize("number", range(30))
def test_colors_and_proportions_stay_in_range(number: int) -> None:
    who = person(number)
    for color in (who.skin, who.hair, who.iris, who.shirt, who.background):
        assert len(color) == 3 and all(0.0 <= level <= 1.0 for level in color)
    assert 0.9 <= who.head_width <= 1.1 and 0.75 <= who.nose_length <= 1.25 and 0.0 <= who.hair_length <= 1.0
