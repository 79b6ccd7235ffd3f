"""The one sample of LPFF and the one of Unsplash-Pexels that are documented, as they are published."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from dataset_factories import ALIGNMENTS, FOLDERS, zip_folder
from inventories import clean, read
from PIL import Image

from lpff_shards.schemas import camera
from lpff_shards.schemas.license import PEXELS, License
from lpff_shards.schemas.record import Credit, Record

LPFF_ID, UP_ID = "100004356@N06_21795165006_01", "guess-attic-girl-woman-pretty_01"
LPFF_CREDIT = Credit(
    photo_id="21795165006",
    author="cbcmemberphotos2477",
    author_id="100004356@N06",
    source_url="https://www.flickr.com/photos/100004356@N06/21795165006/",
    low_resolution_download_url="https://live.staticflickr.com/5727/21795165006_809c964c3a_z_d.jpg",
    high_resolution_download_url="https://live.staticflickr.com/5727/21795165006_4840597377_o_d.jpg",
    license=License("CC-BY-2.0", "https://creativecommons.org/licenses/by/2.0/", "Attribution License"),
)
UP_CREDIT = Credit(
    photo_id="guess-attic-girl-woman-pretty",
    source_url="https://images.pexels.com/photos/34525/guess-attic-girl-woman-pretty.jpg",
    license=PEXELS,
)
SAMPLES = pytest.mark.parametrize(
    ("name", "id", "credit"), [("lpff", LPFF_ID, LPFF_CREDIT), ("unsplash_pexels", UP_ID, UP_CREDIT)]
)


def only(name: str, place: Path, alignment: str) -> Record:
    """The one record of a place; landmark files are not among the documented ones."""
    inventory = read(name, place, alignment)
    assert len(inventory) == 1 and inventory.problems == ()
    lacks = ["_lm.json was not found" in note for note in inventory.notes]
    assert lacks == [True] * {"eg3d": 0, "stylegan": 1, "realign2400": 1, "raw": 2}[alignment]
    return inventory.record(0)


@SAMPLES
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_documented_sample(shared_data: Path, name: str, id: str, credit: Credit, alignment: str) -> None:
    root = shared_data / "documented" / name
    record = only(name, root, alignment)
    assert (record.source, record.id, record.face, record.alignment) == (name, id, 1, alignment)
    assert record.credit == credit and not record.is_mirror and record.landmarks is None
    assert record.camera is not None
    assert record.camera.tolist() == json.loads((root / "camera_parameters.json").read_text())[id]
    (file,) = (root / FOLDERS[alignment]).iterdir()
    assert record.blob.read() == file.read_bytes() and record.blob.size == file.stat().st_size


@SAMPLES
def test_its_camera_stands_where_the_face_is_seen_from(shared_data: Path, name: str, id: str, credit: Credit) -> None:
    found = only(name, shared_data / "documented" / name, "eg3d").camera
    assert found is not None
    assert camera.faults(found[None]) == {}
    x, y, z = found[[3, 7, 11]]
    assert math.hypot(x, y, z) == pytest.approx(2.7, abs=1e-5)
    assert x < 0 < z  # in front of the face, towards world -x
    yaw, pitch = camera.yaw_pitch_of(found)
    assert pitch == pytest.approx(math.asin(y / 2.7), abs=1e-5)
    assert math.radians(-40) < yaw < math.radians(-30) and 0 < pitch < math.radians(25)
    mirrored = camera.mirror(found[None])
    assert camera.yaw_pitch_of(mirrored[0]) == (-yaw, pitch) and camera.faults(mirrored) == {}


@SAMPLES
@pytest.mark.parametrize("deflated", [False, True])
def test_a_zip_of_a_sample_reads_the_same(
    shared_data: Path, tmp_path: Path, name: str, id: str, credit: Credit, deflated: bool
) -> None:
    root = shared_data / "documented" / name
    folder, packed = only(name, root, "eg3d"), only(name, zip_folder(root, tmp_path / "a.zip", deflated), "eg3d")
    assert packed.blob.read() == folder.blob.read()
    assert (packed.id, packed.credit) == (folder.id, folder.credit)


@SAMPLES
def test_its_pictures_decode(shared_data: Path, name: str, id: str, credit: Credit) -> None:
    root = shared_data / "documented" / name
    inventory = clean(read(name, root))
    with Image.open(io.BytesIO(inventory.blobs[0].read())) as image:
        assert image.size == inventory.typical_size and image.width == image.height
        image.load()
