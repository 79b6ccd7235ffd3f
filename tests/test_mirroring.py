"""Mirroring a sample of a batch makes of it what an export's own mirror is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dataset_factories
import numpy as np
import pytest
from loading import NAMES, lpff, write

from lpff_shards import SourceOptions
from lpff_shards.loaders import ShardSource
from lpff_shards.loaders.batches import load_batch, mirror_batch
from lpff_shards.loaders.sampler import EpochSampler, SampleOrder


@pytest.fixture(scope="module", params=["wds", "tfrecord"])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four portraits and their mirrors, with cameras and landmarks."""
    root = tmp_path_factory.mktemp("demo")
    return write(root / "out", request.param, SourceOptions(demo=4), 2, image="raw", resolution=32)


def _mirrored(batch: dict[str, Any], flips: list[bool], channels_last: bool = True) -> dict[str, Any]:
    mirror_batch(batch, np.array(flips), channels_last)
    return batch


def _copied(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value.copy() for name, value in batch.items()}


@pytest.mark.parametrize("order", ["last", "first"])
def test_a_mirrored_original_is_the_export_s_own_mirror(demo: Path, order: Any) -> None:
    source = ShardSource(demo, order=order)
    numbers = {key: number for number, key in enumerate(source.column("key"))}
    originals = sorted(key for key in numbers if not key.endswith("_m"))
    assert len(originals) == 4
    found = source.batch([numbers[key] for key in originals], NAMES)
    before = found["image"].copy()
    _mirrored(found, [True] * 4, order == "last")
    expected = source.batch([numbers[f"{key}_m"] for key in originals], NAMES)
    assert np.array_equal(found["image"], expected["image"])
    assert not np.array_equal(found["image"], before)
    assert np.allclose(found["camera"], expected["camera"], rtol=0, atol=1e-7)
    assert np.allclose(found["landmarks"], expected["landmarks"], rtol=0, atol=4e-6)
    for name in ("yaw", "pitch", "mirrored", "photo_id", "face", "width", "height", "has_camera", "has_landmarks"):
        assert list(found[name]) == list(expected[name])
    assert all(found["mirrored"])


def test_flipping_twice_changes_nothing(demo: Path) -> None:
    batch = ShardSource(demo).batch(range(8), ["yaw", "mirrored"])
    before = _copied(batch)
    flips = [True, False, True, True, False, False, True, True]
    _mirrored(batch, flips)
    for row, flip in enumerate(flips):
        for name in ("image", "camera", "landmarks", "yaw", "mirrored"):
            assert np.array_equal(batch[name][row], before[name][row]) != flip
    _mirrored(batch, flips)
    for name, value in before.items():
        assert np.allclose(batch[name], value, rtol=0, atol=4e-6 if name == "landmarks" else 0)


def test_cameras_out_of_the_middle_are_mirrored_about_it() -> None:
    numbers = np.arange(1, 26, dtype=np.float32)[None] / 32
    batch = {"image": np.zeros((1, 2, 2, 3), np.uint8), "camera": numbers.copy()}
    _mirrored(batch, [True])
    expected = numbers[0].copy()
    expected[[1, 2, 3, 4, 8, 17]] *= -1
    expected[18] = 1 - expected[18]
    assert np.array_equal(batch["camera"][0], expected)
    assert batch["camera"].dtype == np.float32


def test_what_is_unknown_stays_zeros(tmp_path: Path) -> None:
    lpff_folder = str(dataset_factories.write_lpff(tmp_path / "lpff"))
    (tmp_path / "lpff/realign2400_lm.json").unlink()
    ffhq = str(dataset_factories.write_ffhq_stylegan(tmp_path / "ffhq"))
    v2 = str(dataset_factories.write_ffhq_v2(tmp_path / "v2.json", range(3)))
    sources = SourceOptions(ffhq=ffhq, ffhq_metadata=v2, lpff=lpff_folder, alignment="stylegan")
    source = ShardSource(write(tmp_path / "out", "wds", sources))
    batch = source.batch(range(6), NAMES)
    _mirrored(batch, [True] * 6)
    for name in ("camera", "landmarks"):
        known = batch[f"has_{name}"]
        assert set(known.tolist()) == {True, False}
        assert not batch[name][~known].any()
        assert batch[name][known].any(axis=tuple(range(1, batch[name].ndim))).all()
    assert not batch["yaw"][~batch["has_camera"]].any()
    assert batch["mirrored"].all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (5, 1), (4, 7), (7, 4)])
@pytest.mark.parametrize("channels_last", [True, False])
def test_pictures_of_any_shape(height: int, width: int, channels_last: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
    points = np.random.default_rng(1).random((3, 68, 2), np.float32)
    image = pixels.copy() if channels_last else np.moveaxis(pixels.copy(), 3, 1)
    batch = {"image": image, "landmarks": points.copy()}
    _mirrored(batch, [False, True, False], channels_last)
    found = image if channels_last else np.moveaxis(image, 1, 3)
    assert np.array_equal(found[1], pixels[1][:, ::-1])
    assert np.array_equal(found[::2], pixels[::2])
    assert np.array_equal(batch["landmarks"][::2], points[::2])
    assert np.array_equal(batch["landmarks"][1, 30], [np.float32(width - 1) - points[1, 30, 0], points[1, 30, 1]])
    assert np.array_equal(batch["landmarks"][1, 0], [np.float32(width - 1) - points[1, 16, 0], points[1, 16, 1]])


def test_nothing_is_flipped_where_nothing_is_to_be() -> None:
    image = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3)
    image.flags.writeable = False
    mirror_batch({"image": image}, np.zeros(2, bool), True)


@pytest.mark.parametrize("order", ["last", "first"])
def test_batches_are_mirrored_as_their_draws_say(tmp_path: Path, order: Any) -> None:
    out = write(tmp_path / "out", "wds", lpff(tmp_path, 12), 2)
    source = ShardSource(out, order=order)
    sampling = EpochSampler(counts=[12], batch_size=5, seed=1, mirror=True)
    seen = set()
    for number in range(len(sampling)):
        draw = sampling.draw(0, number)
        found = load_batch(source, draw, ["mirrored"])
        assert found["mirrored"].tolist() == draw.flips.tolist()
        expected = source.batch(draw.indices)["image"]
        for row, flip in enumerate(draw.flips):
            assert np.array_equal(found["image"][row], np.flip(expected[row], -2 if order == "last" else -1)) == flip
            assert np.array_equal(found["image"][row], expected[row]) != flip
        seen |= set(draw.flips.tolist())
    assert seen == {True, False}


def test_labels_are_the_mirrored_cameras(demo: Path, tmp_path: Path) -> None:
    order = SampleOrder(np.array([3, 1]), np.array([True, False]))
    batch = load_batch(ShardSource(demo), order)
    image, label = load_batch(ShardSource(demo), order, labels=True)
    assert np.array_equal(image, batch["image"])
    assert np.array_equal(label, batch["camera"])
    assert batch["camera"][0, 3] == -ShardSource(demo)[3]["camera"][3]
    ffhq = SourceOptions(ffhq=str(dataset_factories.write_ffhq_stylegan(tmp_path / "ffhq")), alignment="stylegan")
    bare = ShardSource(write(tmp_path / "bare", "wds", ffhq))
    _, label = load_batch(bare, SampleOrder(np.arange(2), np.zeros(2, bool)), labels=True)
    assert (label.shape, label.dtype) == ((2, 0), np.float32)


def test_labels_come_with_the_fields_that_were_asked_for(demo: Path) -> None:
    source, fields = ShardSource(demo), ("key", "mirrored", "key")
    order = SampleOrder(np.array([3, 1]), np.array([True, False]))
    batch = load_batch(source, order, fields)
    image, label, found = load_batch(source, order, fields, labels=True)
    assert np.array_equal(image, batch["image"])
    assert np.array_equal(label, batch["camera"])
    assert {name: list(values) for name, values in found.items()} == {
        "key": batch["key"],
        "mirrored": batch["mirrored"].tolist(),
    }
