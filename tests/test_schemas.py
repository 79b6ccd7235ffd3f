"""Cameras and landmarks: the rules as tables, the mirrors as properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import sample

from lpff_shards.schemas import camera, landmarks
from lpff_shards.schemas.fields import Layout, fault
from lpff_shards.sources.demo import look_at

yaws = st.floats(-3, 3)
pitches = st.floats(-1.5, 1.5)
rolls = st.floats(-0.5, 0.5)
cameras = st.builds(look_at, yaws, pitches, rolls)
centers = st.floats(0.05, 0.95)

few = settings(max_examples=50, deadline=None)


def changed(**numbers):
    """A good camera with some of its 25 numbers changed: _3=1.0."""
    found = look_at(0.3, 0.1, 0.05)
    for place, value in numbers.items():
        found[int(place[1:])] = value
    return found


def posed(rotation):
    """A good camera with another rotation."""
    found = look_at(0.3, 0.1, 0.05).copy()
    found[:12].reshape(3, 4)[:, :3] = rotation
    return found


def project(numbers, point):
    """Where a point of the world lands in a camera's picture, in picture widths and heights."""
    pose, intrinsics = numbers[:16].reshape(4, 4), numbers[16:].reshape(3, 3)
    x, y, z = intrinsics @ (np.linalg.inv(pose) @ [*point, 1.0])[:3]
    return x / z, y / z


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (changed(_0=np.nan), "camera number 1 of 25 is not finite"),
        (changed(_11=-np.inf, _13=1.0), "camera number 12 of 25 is not finite"),
        (changed(_24=np.inf), "camera number 25 of 25 is not finite"),
        (changed(_12=0.5), "camera's last row is 0.5 0 0 1, not 0 0 0 1"),
        (changed(_15=0.0), "camera's last row is 0 0 0 0, not 0 0 0 1"),
        (changed(_15=1.002), "camera's last row is 0 0 0 1.002, not 0 0 0 1"),
        (posed(np.eye(3) * 1.1), "camera's rotation is not orthonormal: off by 0.21"),
        (posed(np.zeros((3, 3))), "camera's rotation is not orthonormal: off by 1"),
        (posed(np.full((3, 3), 1e200)), "camera number 1 of 25 is not finite"),
        (changed(_3=1e39), "camera number 4 of 25 is not finite"),
        (posed(np.full((3, 3), 1e30)), "camera's rotation is not orthonormal: off by 3e+60"),
        (posed(np.diag([1.0, 1.0, -1.0])), "camera's rotation has determinant -1, not +1"),
        (changed(_16=0.0), "camera's focal length is 0, not positive"),
        (changed(_20=-4.5), "camera's focal length is -4.5, not positive"),
        (changed(_18=1.0), "camera's principal point is 1 0.5, outside the picture (0 to 1)"),
        (changed(_21=-0.25), "camera's principal point is 0.5 -0.25, outside the picture (0 to 1)"),
        (changed(_18=256.0, _21=256.0), "camera's principal point is 256 256, outside the picture (0 to 1)"),
        (changed(_22=0.5), "camera's intrinsics end in 0.5 0 1, not 0 0 1"),
        (changed(_24=0.0), "camera's intrinsics end in 0 0 0, not 0 0 1"),
        (np.zeros(25), "camera's last row is 0 0 0 0, not 0 0 0 1"),
    ],
)
def test_a_bad_camera_is_told_from_good_ones(bad, message):
    good = look_at(0, 0)
    assert camera.faults(np.array([good, bad, good, bad])) == {1: message, 3: message}


@pytest.mark.parametrize(
    "good",
    [
        look_at(0, 0),
        look_at(math.pi, math.pi / 2, 3),
        changed(_3=1000.0),
        changed(_12=9e-4, _22=-9e-4),
        changed(_16=0.001, _17=0.2, _18=0.01, _21=0.99),
        posed(np.eye(3) * 1.0003),
        look_at(0.3, 0.1).astype(np.float32).astype(np.float64),
    ],
)
def test_good_cameras_have_no_fault(good):
    assert camera.faults(np.array([good])) == {}
    assert camera.faults(camera.mirror(np.array([good]))) == {}


def test_no_cameras_have_no_fault():
    assert camera.faults(np.zeros((0, 25))) == {}


@given(st.lists(st.floats(), min_size=25, max_size=25))
@few
def test_any_numbers_can_be_checked(numbers):
    found = camera.faults(np.array([numbers, look_at(0, 0)]))
    assert set(found) == {0} and found[0].startswith("camera")


@given(cameras, centers, st.floats(-0.1, 0.1))
@few
def test_mirroring_a_camera_twice_is_nothing(numbers, cx, skew):
    twice = camera.mirror(camera.mirror(numbers[None]))
    np.testing.assert_array_equal(twice[0], numbers)
    numbers[17:19] = skew, cx
    np.testing.assert_allclose(camera.mirror(camera.mirror(numbers[None]))[0], numbers, rtol=0, atol=1e-15)


@given(cameras)
@few
def test_mirroring_follows_the_published_rule(numbers):
    before = numbers.copy()
    mirrored = camera.mirror(numbers[None])[0]
    pose, expected = mirrored[:16].reshape(4, 4), numbers[:16].reshape(4, 4).copy()
    for row, column in ((0, 1), (0, 2), (1, 0), (2, 0), (0, 3)):
        expected[row, column] = -expected[row, column]
    np.testing.assert_array_equal(pose, expected)
    assert mirrored[16:].tobytes() == numbers[16:].tobytes()
    np.testing.assert_array_equal(numbers, before)


@given(yaws, pitches, rolls)
@few
def test_a_mirror_stands_on_the_other_side(yaw, pitch, roll):
    mirrored = camera.mirror(look_at(yaw, pitch, roll)[None])[0]
    np.testing.assert_allclose(mirrored, look_at(-yaw, pitch, -roll), rtol=0, atol=1e-12)


@given(cameras, centers, st.floats(-0.1, 0.1), st.tuples(*[st.floats(-0.5, 0.5)] * 3))
@few
def test_a_mirrored_camera_sees_the_mirrored_world(numbers, cx, skew, point):
    numbers[17:19] = skew, cx
    x, y = project(numbers, point)
    mirrored = project(camera.mirror(numbers[None])[0], (-point[0], point[1], point[2]))
    np.testing.assert_allclose(mirrored, (1 - x, y), rtol=0, atol=1e-9)


@given(yaws, pitches, rolls)
@few
def test_yaw_and_pitch_tell_where_the_camera_stands(yaw, pitch, roll):
    one = look_at(yaw, pitch, roll)
    mirrored = camera.mirror(one[None])[0]
    np.testing.assert_allclose(camera.yaw_pitch_of(one), (yaw, pitch), rtol=0, atol=1e-9)
    np.testing.assert_allclose(camera.yaw_pitch_of(mirrored), (-yaw, pitch), rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        camera.yaw_pitch(camera.centers(one[None])), [camera.yaw_pitch_of(one)], rtol=0, atol=1e-14
    )


def test_a_frontal_camera_is_the_published_one():
    one = look_at(0, 0)
    pose = [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 2.7, 0, 0, 0, 1]
    np.testing.assert_array_equal(one, [*pose, 4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1])
    assert camera.yaw_pitch_of(one) == (0, 0)


# Numbers that float32 holds with room to spare, so that mirroring them is exact.
grid = st.lists(st.integers(-8000, 40_000), min_size=136, max_size=136).map(
    lambda numbers: (np.array(numbers, np.float32) / 8).reshape(68, 2)
)
sizes = st.tuples(st.integers(1, 4096), st.integers(1, 4096))


def test_mirror_order_swaps_left_and_right():
    order = landmarks.MIRROR_ORDER
    assert sorted(order) == list(range(68))
    assert [order[place] for place in order] == list(range(68))
    jaw, brows, bridge, nostrils = range(16, -1, -1), range(26, 16, -1), range(27, 31), range(35, 30, -1)
    eyes = (45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40)
    outer_lips, inner_lips = (*range(54, 47, -1), *range(59, 54, -1)), (*range(64, 59, -1), *range(67, 64, -1))
    assert order == (*jaw, *brows, *bridge, *nostrils, *eyes, *outer_lips, *inner_lips)


@given(grid, st.integers(1, 4096))
@few
def test_mirroring_landmarks_twice_is_nothing(points, width):
    mirrored = landmarks.mirror(points, width)
    np.testing.assert_array_equal(landmarks.mirror(mirrored, width), points)
    np.testing.assert_array_equal(mirrored[:, 1], points[list(landmarks.MIRROR_ORDER), 1])
    assert mirrored.dtype == np.float32


def test_a_mirrored_point_is_as_far_from_the_other_edge():
    points = np.zeros((68, 2), np.float32)
    points[0], points[30] = (0, 10), (255.5, 7)
    mirrored = landmarks.mirror(points, 512)
    assert mirrored[16].tolist() == [511, 10] and mirrored[30].tolist() == [255.5, 7]
    assert points[0].tolist() == [0, 10]


@given(grid, sizes, sizes)
@few
def test_rescaling_can_be_undone(points, old, new):
    np.testing.assert_array_equal(landmarks.rescale(points, old, old), points)
    there = landmarks.rescale(points, old, new)
    back = landmarks.rescale(there, new, old)
    # float32 keeps 24 bits of the smaller picture's coordinates.
    np.testing.assert_allclose(back, points, rtol=0, atol=1e-6 * 5000 * max(1, old[0] / new[0], old[1] / new[1]))
    assert there.dtype == np.float32


@given(grid, st.integers(1, 64), st.integers(1, 64))
@few
def test_mirroring_and_rescaling_go_in_either_order(points, old, new):
    one = landmarks.mirror(landmarks.rescale(points, (old, old), (new, new)), new)
    other = landmarks.rescale(landmarks.mirror(points, old), (old, old), (new, new))
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize(
    ("point", "old", "new", "expected"),
    [
        ((-0.5, 511.5), (512, 512), (256, 256), (-0.5, 255.5)),
        ((0, 0), (512, 512), (256, 256), (-0.25, -0.25)),
        ((0.5, 0.5), (512, 512), (256, 256), (0, 0)),
        ((3, 4), (10, 20), (20, 10), (6.5, 1.75)),
    ],
)
def test_rescaling_maps_pixel_areas(point, old, new, expected):
    points = np.full((68, 2), point, np.float32)
    np.testing.assert_array_equal(landmarks.rescale(points, old, new), np.full((68, 2), expected, np.float32))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((68, 2)), None),
        (np.zeros((5, 2)), "landmarks have shape 5x2, not 68x2"),
        (np.zeros((68, 3)), "landmarks have shape 68x3, not 68x2"),
        (np.zeros(136), "landmarks have shape 136, not 68x2"),
        (np.where(np.arange(136).reshape(68, 2) == 15, np.nan, 0), "landmark 7 is not finite"),
        (np.where(np.arange(136).reshape(68, 2) == 134, np.inf, 0), "landmark 67 is not finite"),
    ],
)
def test_landmark_faults(points, message):
    assert landmarks.fault(points) == message


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        *(("face", 2**63 - 1, True), ("face", 2**63, False), ("face", -(2**63) - 1, False), ("yaw", 1e39, False)),
        *(("density", float("inf"), False), ("density", float("nan"), False), ("density", 3.4e38, True)),
    ],
)
def test_a_number_that_no_table_holds_is_a_fault(name: str, value: float, fits: bool) -> None:
    scalars = {**sample(Layout(raw=False, camera=False, landmarks=False)).scalars, name: value}
    kind = "int64" if name == "face" else "float32"
    assert fault(scalars) == (None if fits else f"its field {name} is {value}, which no {kind} holds")
