"""The demo: published-style records that need no download, the same ones every time."""

from __future__ import annotations

import io
import pickle
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dataset_factories import LPFF_IDS, mirrored, write_lpff, zip_folder
from inventories import clean
from msgspec.structs import replace
from numpy.typing import NDArray
from PIL import Image

from lpff_shards.schemas import camera
from lpff_shards.schemas.keys import KEY_RULE, sample_key
from lpff_shards.schemas.record import Blob
from lpff_shards.sources.demo import SIZES, Demo, RenderedBlob
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import FileBlob, ZipBlob
from lpff_shards.sources.lpff import Lpff

BOTH = pytest.mark.parametrize("alignment", ["eg3d", "stylegan"])
MANY = 400


@pytest.fixture(scope="module")
def many() -> Inventory:
    return clean(Demo(MANY, "eg3d").inventory())


def pixels(blob: Blob) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(blob.read())) as image:
        assert image.format == "PNG" and image.mode == "RGB"
        return np.asarray(image)


def test_ids_are_unique_and_in_order(many: Inventory) -> None:
    assert len(set(many.ids)) == len(many) == MANY
    assert list(many.ids) == sorted(many.ids)
    assert all(re.fullmatch(r"\d{5}@N00_\d{8}_\d\d", id) for id in many.ids)
    assert many.faces.tolist() == [int(id[-2:]) for id in many.ids]
    keys = {sample_key("demo", id, False, 0) for id in many.ids}
    assert len(keys) == MANY and all(KEY_RULE.fullmatch(key) for key in keys)


def test_photos_authors_and_licenses_are_shared_as_in_the_published_sets(many: Inventory) -> None:
    photos = Counter(credit.photo_id for credit in many.credits)
    assert set(photos.values()) == {1, 2, 3}
    assert len({credit.author_id for credit in many.credits}) < len(photos)
    short = {"CC-BY-2.0", "CC-BY-SA-2.0", "PDM-1.0", "CC0-1.0"}
    assert {credit.license.short for credit in many.credits} == short
    for id, credit in zip(many.ids, many.credits, strict=True):
        assert id.startswith(f"{credit.author_id}_{credit.photo_id}_")
        assert credit.author and credit.title and credit.source_url.startswith("https://example.org/")
    by_photo = {credit.photo_id: credit for credit in many.credits}
    assert all(credit == by_photo[credit.photo_id] for credit in many.credits)


@BOTH
def test_the_same_every_time_and_by_any_count(alignment: str) -> None:
    few, more = Demo(5, alignment).inventory(), Demo(9, alignment).inventory()
    assert list(few.ids) == list(more.ids)[:5] and list(few.credits) == list(more.credits)[:5]
    assert np.array_equal(few.cameras, more.cameras[:5])
    assert np.array_equal(few.landmarks, more.landmarks[:5])
    assert few.blobs[4] == more.blobs[4] and few.blobs[4].read() == more.blobs[4].read()
    assert few.blobs[3].read() != few.blobs[4].read()


def test_the_cameras_never_change() -> None:
    # Python promises the numbers of random.Random(0): yaw 13.78 degrees, pitch 15.48.
    numbers = Demo(1, "eg3d").inventory().cameras[0]
    assert numbers[[3, 7, 11]].tolist() == pytest.approx([0.61967, 0.72051, 2.52723], abs=1e-5)


def test_cameras_are_like_the_published_ones(many: Inventory) -> None:
    assert camera.faults(many.cameras) == {} and many.has_camera.all()
    assert np.allclose(np.linalg.norm(many.cameras[:, [3, 7, 11]], axis=1), 2.7, atol=1e-12)
    assert (many.cameras[:, 16:] == (4.2647, 0, 0.5, 0, 4.2647, 0.5, 0, 0, 1)).all()
    yaw, pitch = np.degrees(camera.yaw_pitch(camera.centers(many.cameras))).T
    assert np.abs(yaw[::2]).max() <= 20 and 60 < np.abs(yaw[1::2]).max() <= 75 and np.abs(pitch).max() <= 30
    assert yaw.min() < -60 and yaw.max() > 60


@BOTH
def test_landmarks_lie_on_the_picture(alignment: str) -> None:
    inventory = clean(Demo(40, alignment).inventory())
    assert inventory.landmark_rows.tolist() == list(range(40))
    points, size = inventory.landmarks, SIZES[alignment]
    assert points.dtype == np.float32 and np.isfinite(points).all()
    assert points.min() > 0 and points.max() < size - 1
    spread = np.ptp(points, axis=1)
    assert (spread[:, 1] > size / 6).all() and (spread < size * 0.8).all()  # neither a dot nor the whole picture
    assert (points[:, 8, 1] > points[:, 27, 1] + size / 8).all()  # the chin below the bridge of the nose


@BOTH
def test_rendered_pictures_have_their_size(alignment: str) -> None:
    inventory = Demo(2, alignment).inventory()
    size = SIZES[alignment]
    assert inventory.typical_size == (size, size)
    for blob in inventory.blobs:
        assert pixels(blob).shape == (size, size, 3)
        assert blob.size / 4 < len(blob.read()) < blob.size * 4


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_mirrored_camera_renders_the_mirrored_picture(number: int) -> None:
    blob = Demo(4, "eg3d").inventory().blobs[number]
    assert isinstance(blob, RenderedBlob)
    picture, other = pixels(blob), pixels(replace(blob, camera=tuple(mirrored(blob.camera))))
    assert np.array_equal(other, picture[:, ::-1]) and not np.array_equal(other, picture)


def one_blob(kind: str, folder: Path) -> Blob:
    if kind == "rendered":
        return Demo(1, "eg3d").inventory().blobs[0]
    root = write_lpff(folder / "set", LPFF_IDS[:1], ["eg3d"])
    place = root if kind == "file" else zip_folder(root, folder / "a.zip", deflated=kind == "deflated")
    return Lpff(str(place), "eg3d").inventory().blobs[0]


@pytest.mark.parametrize(
    ("kind", "type_"), [("file", FileBlob), ("stored", ZipBlob), ("deflated", ZipBlob), ("rendered", RenderedBlob)]
)
def test_a_blob_travels_to_another_process(tmp_path: Path, kind: str, type_: type) -> None:
    blob = one_blob(kind, tmp_path)
    again = pickle.loads(pickle.dumps(blob))
    assert type(blob) is type_ and again == blob
    assert (again.where, again.size) == (blob.where, blob.size)
    assert again.read() == blob.read() and len(pickle.dumps(blob)) < 1000
