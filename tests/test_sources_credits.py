"""LPFF and Unsplash-Pexels: whose pictures they are, and what is told where a file or a record is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataset_factories import FOLDERS, LPFF_IDS, UP_IDS, dump, edit, write_lpff, write_unsplash_pexels
from inventories import read

from lpff_shards.errors import ShardsError
from lpff_shards.schemas.license import License
from lpff_shards.schemas.record import Credit


@pytest.mark.parametrize(
    ("alignment", "lost", "told"),
    [
        ("eg3d", "info.json", "licenses"),
        ("raw", "info.json", "licenses"),
        ("realign2400", "realign2400_lm.json", "no landmarks"),
        ("raw", "raw_lm.json", "no landmarks"),
        ("raw", "realign2400_lm.json", "cameras are those of the EG3D crops"),
        ("stylegan", "realign2400_lm.json", "no landmarks, and cameras are those of the EG3D crops"),
        ("stylegan", "camera_parameters.json", "no cameras"),
        ("raw", "camera_parameters.json", "no cameras"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, alignment: str, lost: str, told: str) -> None:
    root = write_lpff(tmp_path)
    (root / lost).unlink()
    inventory = read("lpff", root, alignment)
    assert list(inventory.ids) == sorted(LPFF_IDS) and inventory.problems == ()
    (note,) = inventory.notes
    assert lost in note and told in note
    assert inventory.has_camera.all() == (lost != "camera_parameters.json")
    assert (len(inventory.landmarks) == 3) == ("no landmarks" not in told)
    assert inventory.own_camera.all() == (lost == "info.json")
    if lost == "info.json":  # the id itself tells these two
        assert inventory.credits[0] == Credit(photo_id="21795165006", author_id="100004356@N06")


def test_eg3d_pictures_need_the_camera_file(tmp_path: Path) -> None:
    root = write_lpff(tmp_path)
    (root / "camera_parameters.json").unlink()
    with pytest.raises(ShardsError, match=r"camera_parameters\.json was not found") as caught:
        read("lpff", root)
    assert "camera_parameters.json" in caught.value.hint


def test_records_without_a_picture_are_told(tmp_path: Path) -> None:
    root = write_lpff(tmp_path)
    (root / FOLDERS["eg3d"] / f"{LPFF_IDS[0]}.png").unlink()
    inventory = read("lpff", root)
    assert list(inventory.ids) == sorted(LPFF_IDS)[1:] and inventory.problems == ()
    (note,) = inventory.notes
    assert "1 of its 3 cameras" in note and "camera_parameters.json" in note


@pytest.mark.parametrize(
    ("url", "short"),
    [
        ("https://images.pexels.com/photos/34525/x.jpg", "Pexels"),
        ("https://www.pexels.com/photo/x-34525/", "Pexels"),
        ("https://PEXELS.com/photo/x-34525/", "Pexels"),
        ("https://images.unsplash.com/photo-1", "Unsplash"),
        ("https://unsplash.com/photos/wYu7Rc2bqzE", "Unsplash"),
        ("https://notpexels.com/x.jpg", ""),
        ("https://plus.unsplash.com/premium_photo-1", ""),
        ("https://help.unsplash.com/x", ""),
        ("javascript://unsplash.com/%0aalert(1)", ""),
        ("https://pexels.com.example.org/x.jpg", ""),
        ("https://example.org/?from=unsplash.com", ""),
        ("x.jpg", ""),
    ],
)
def test_the_host_tells_the_license(tmp_path: Path, url: str, short: str) -> None:
    root = write_unsplash_pexels(tmp_path)
    edit(root / "info.json", lambda info: info | {UP_IDS[0]: url})
    found = read("unsplash_pexels", root).credits[0]
    assert (found.license.short, found.source_url, found.author) == (short, url, "")


@pytest.mark.parametrize(
    ("url", "short"),
    [
        ("https://creativecommons.org/licenses/by/2.0/", "CC-BY-2.0"),
        ("https://creativecommons.org/licenses/by-sa/2.0/", "CC-BY-SA-2.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "PDM-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://example.org/all-rights-reserved", ""),
    ],
)
def test_lpff_names_its_licenses_by_url(tmp_path: Path, url: str, short: str) -> None:
    root = write_lpff(tmp_path)
    info = json.loads((root / "info.json").read_text())
    info[LPFF_IDS[0]]["image_info"]["license"] = {"name": "as Flickr says", "url": url}
    dump(root / "info.json", info)
    assert read("lpff", root).credits[0].license == License(short, url, "as Flickr says")
