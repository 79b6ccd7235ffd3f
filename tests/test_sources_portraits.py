"""LPFF and Unsplash-Pexels as published: wherever the parts lie, the same pictures, cameras, landmarks and credits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import (
    ALIGNMENTS,
    FOLDERS,
    LPFF_IDS,
    UP_IDS,
    camera,
    dump,
    edit,
    lpff_info,
    picture,
    points,
    up_info,
    write,
    write_lpff,
    zip_folder,
)
from inventories import clean, contents, publish, read

from lpff_shards.errors import ShardsError
from lpff_shards.schemas import crops
from lpff_shards.schemas.license import License
from lpff_shards.schemas.record import Credit
from lpff_shards.sources.io.blobs import ZipBlob

JSONS = ("camera_parameters.json", "info.json", "raw_lm.json", "realign2400_lm.json")
BOTH = pytest.mark.parametrize("name", ["lpff", "unsplash_pexels"])
IDS = {"lpff": LPFF_IDS, "unsplash_pexels": UP_IDS}


def credit(name: str, id: str) -> Credit:
    """The credit that the written info.json gives."""
    if name == "unsplash_pexels":
        pexels = License("Pexels", "https://www.pexels.com/license/", "Pexels License")
        unsplash = License("Unsplash", "https://unsplash.com/license", "Unsplash License")
        url = up_info(id)
        return Credit(photo_id=id[:-3], source_url=url, license=pexels if "pexels.com" in url else unsplash)
    image = lpff_info(id)["image_info"]
    words, url = image["license"]["name"], image["license"]["url"]
    short = {"by": "CC-BY-2.0", "by-sa": "CC-BY-SA-2.0"}[url.split("/")[-3]]
    return Credit(
        photo_id=image["photo_id"],
        author=image["username"],
        author_id=image["user_id"],
        source_url=image["photo_url"],
        low_resolution_download_url=image["low_resolution_download_url"],
        high_resolution_download_url=image["high_resolution_download_url"],
        license=License(short, url, words),
    )


def expected(name: str, root: Path, alignment: str) -> list[tuple[Any, ...]]:
    """What `dataset_factories.contents` gives of a data set, told from its files."""
    found = []
    for id in sorted(IDS[name]):
        file = f"{id[:-3]}.jpg" if alignment == "raw" else f"{id}.png"
        numbers, marks = seen_by(id, alignment)
        data = (root / FOLDERS[alignment] / file).read_bytes()
        face = int(id[-2:])
        found.append(((name, alignment, id, face, False, credit(name, id)), numbers, marks, data))
    return found


def seen_by(id: str, alignment: str) -> tuple[list[float], list[list[float]]]:
    """The camera and the landmarks of a picture; `test_crops` holds the arithmetic against pixels."""
    own, realigned = np.array([points(f"raw {id}")]), np.array([points(f"realign2400 {id}", 2400)])
    measured = alignment in ("raw", "realign2400")
    size = np.array([[crops.REALIGNED] * 2])
    window = crops.eg3d_crop(realigned, size)
    if alignment == "eg3d":
        return camera(id), crops.carry(realigned, size, window, 512)[0].tolist()
    if measured:
        maps = (
            np.eye(2, 3)[None]
            if alignment == "realign2400"
            else crops.inverse(crops.ffhq_crop(own, np.array([[8, 8]]), "realign2400"))
        )
        marks = (own if alignment == "raw" else realigned)[0].tolist()
    else:
        maps = crops.ffhq_crop(realigned, size, "stylegan")
        marks = crops.carry(realigned, size, maps, 1024)[0].tolist()
    moved = crops.recrop(np.array([camera(id)]), crops.then(crops.inverse(window), maps))
    return moved[0].tolist(), marks


@BOTH
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_the_published_folder(tmp_path: Path, name: str, alignment: str) -> None:
    root = publish(name, tmp_path / "set")
    assert contents(clean(read(name, root, alignment))) == expected(name, root, alignment)


def stored(root: Path, _: Path) -> Path:
    return zip_folder(root, root.parent / "a.zip")


def deflated(root: Path, _: Path) -> Path:
    return zip_folder(root, root.parent / "a.zip", deflated=True)


def wrapped(root: Path, _: Path) -> Path:
    return zip_folder(root, root.parent / "a.zip", wrapper="LPFF")


def wrapped_by_a_mac(root: Path, _: Path) -> Path:
    dump(root.parent / "mac/__MACOSX/LPFF/._info.json", {})
    shutil.copytree(root, root.parent / "mac/LPFF")
    return zip_folder(root.parent / "mac", root.parent / "a.zip")


def in_a_folder_of_its_own(root: Path, _: Path) -> Path:
    shutil.copytree(root, root.parent / "outer/LPFF")
    return root.parent / "outer"


def flat_with_jsons(root: Path, crops: Path) -> Path:
    shutil.copytree(crops, root.parent / "flat")
    for file in JSONS:
        shutil.copy(root / file, root.parent / "flat")
    return root.parent / "flat"


def flat_below_jsons(root: Path, crops: Path) -> Path:
    shutil.move(crops, root / "unpacked")
    return root / "unpacked"


def flat_two_below_jsons(root: Path, crops: Path) -> Path:
    return crops if crops.parent.parent == root else Path(shutil.move(crops, root / "unpacked" / "crops"))


def short_folder(root: Path, crops: Path) -> Path:
    if crops != root / crops.name:
        shutil.move(crops, root / crops.name)
    return root


def flat_zip_beside_jsons(root: Path, crops: Path) -> Path:
    return zip_folder(crops, root / "crops.zip")


def zip_of_the_crop_folder_beside_jsons(root: Path, crops: Path) -> Path:
    return zip_folder(crops, root / "crops.zip", wrapper=crops.name)


def crop_folder_unpacked_into_its_namesake(root: Path, crops: Path) -> Path:
    shutil.move(crops, root / "aside")
    shutil.move(root / "aside", root / "unpacked" / crops.name)
    return root / "unpacked"


def the_folder_above_the_crops(root: Path, crops: Path) -> Path:
    return crops.parent


def as_downloaded(root: Path, crops: Path) -> Path:
    """A zip in the place of the folder, as the data sets' mirror has it."""
    zip_folder(crops, crops.with_suffix(".zip"))
    shutil.rmtree(crops)
    return root


def as_downloaded_with_a_folder_inside(root: Path, crops: Path) -> Path:
    zip_folder(crops, crops.with_suffix(".zip"), wrapper=crops.name)
    shutil.rmtree(crops)
    return root


def as_downloaded_below_a_folder(root: Path, crops: Path) -> Path:
    zip_folder(crops, crops.with_suffix(".zip"), deflated=True, wrapper=f"crop/{crops.name}")
    shutil.rmtree(crops)
    return in_a_folder_of_its_own(root, crops)


FORMS = [
    stored,
    deflated,
    wrapped,
    wrapped_by_a_mac,
    in_a_folder_of_its_own,
    flat_with_jsons,
    flat_below_jsons,
    flat_two_below_jsons,
    short_folder,
    flat_zip_beside_jsons,
    zip_of_the_crop_folder_beside_jsons,
    crop_folder_unpacked_into_its_namesake,
    the_folder_above_the_crops,
    as_downloaded,
    as_downloaded_with_a_folder_inside,
    as_downloaded_below_a_folder,
]


@BOTH
@pytest.mark.parametrize("alignment", ["eg3d", "raw"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same(
    tmp_path: Path, name: str, alignment: str, form: Callable[[Path, Path], Path]
) -> None:
    root = publish(name, tmp_path / "set")
    wanted = expected(name, root, alignment)
    given = form(root, root / FOLDERS[alignment])
    inventory = clean(read(name, given, alignment))
    assert contents(inventory) == wanted
    in_zip = given.suffix == ".zip" or form.__name__.startswith("as_downloaded")
    assert all(isinstance(blob, ZipBlob) == in_zip for blob in inventory.blobs)
    assert inventory.typical_size == (8, 8)


@pytest.mark.parametrize(("alignment", "inside"), [("eg3d", "stylegan"), ("stylegan", "eg3d")])
def test_another_alignments_folder_in_the_zip_is_refused(tmp_path: Path, alignment: str, inside: str) -> None:
    root = write_lpff(tmp_path / "L", LPFF_IDS[:1])
    zip_folder(root / f"crop/{inside}", root / f"crop/{alignment}.zip", wrapper=inside)
    for folder in ("eg3d", "stylegan"):
        shutil.rmtree(root / "crop" / folder)
    with pytest.raises(ShardsError, match=f"has the name of {inside} pictures, not {alignment}"):
        read("lpff", root, alignment)


def test_pictures_of_another_alignments_size_are_told(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "L", LPFF_IDS[:1], ["eg3d"], size=512)
    flat = shutil.copytree(root / "crop/eg3d", root / "flat")
    (note,) = read("lpff", flat, "stylegan").notes
    assert note == f"{flat}: its pictures are 512x512, as eg3d crops are published; --alignment is stylegan"
    assert read("lpff", flat, "eg3d").notes == ()
    (root / "crop/eg3d").rename(root / "crop/stylegan")
    assert "as eg3d crops are published" in read("lpff", root, "stylegan").notes[0]


def test_a_zip_beside_its_own_folder_is_told(tmp_path: Path) -> None:
    root = publish("lpff", tmp_path / "set")
    zip_folder(root / "crop/eg3d", root / "crop/eg3d.zip")
    inventory = read("lpff", root, "eg3d")
    assert inventory.notes == (f"{root}/crop/eg3d is read, {root}/crop/eg3d.zip is not: both exist",)
    assert not any(isinstance(blob, ZipBlob) for blob in inventory.blobs)


@pytest.mark.parametrize("alignment", ["eg3d", "raw"])
def test_what_is_still_packed_is_named(tmp_path: Path, alignment: str) -> None:
    root = publish("lpff", tmp_path / "set")
    folder = root / FOLDERS[alignment]
    shutil.rmtree(folder)
    folder.with_suffix(".7z").write_bytes(b"7z")
    with pytest.raises(ShardsError) as caught:
        read("lpff", root, alignment)
    assert f"contains neither {FOLDERS[alignment]}/ nor pictures" in str(caught.value)
    assert f"Unpack {FOLDERS[alignment]}.7z there first" in str(caught.value)


def test_a_zip_in_a_zip_is_refused(tmp_path: Path) -> None:
    root = as_downloaded(publish("lpff", tmp_path / "set"), tmp_path / "set/crop/eg3d")
    packed = zip_folder(root, tmp_path / "LPFF.zip")
    with pytest.raises(ShardsError, match=r"LPFF.zip:crop/eg3d.zip is a zip in a zip. Unpack the outer one"):
        read("lpff", packed, "eg3d")


@BOTH
def test_the_order_is_by_id_whatever_the_files_say(tmp_path: Path, name: str) -> None:
    root = publish(name, tmp_path)
    for file in JSONS:
        edit(root / file, lambda value: dict(reversed(value.items())))
    assert list(clean(read(name, root)).ids) == sorted(IDS[name])
    assert contents(read(name, root)) == expected(name, root, "eg3d")


@pytest.mark.parametrize("alignment", ["eg3d", "stylegan"])
def test_previews_are_told_by_their_suffix(tmp_path: Path, alignment: str) -> None:
    root = write_lpff(tmp_path / "set", alignments=())
    data = {kind: picture(kind) for kind in ("eg3d", "stylegan")}
    for id in LPFF_IDS:
        for kind in data:
            write(root / f"{id}_{kind}.png", data[kind])
    inventory = clean(read("lpff", root, alignment))
    assert list(inventory.ids) == sorted(LPFF_IDS)
    assert [blob.read() for blob in inventory.blobs] == [data[alignment]] * 3
    assert inventory.cameras.tolist() == [seen_by(id, alignment)[0] for id in sorted(LPFF_IDS)]


def test_faces_of_a_photo_share_its_bytes_and_nothing_else(tmp_path: Path) -> None:
    root = write_lpff(tmp_path)
    (one, *_, ones), (two, *_, twos) = contents(read("lpff", root, "raw"))[:2]
    assert ones == twos == (root / "raw/100004356@N06_21795165006.jpg").read_bytes()
    assert (one[2], one[3], two[2], two[3]) == (LPFF_IDS[0], 1, LPFF_IDS[1], 2)
    inventory = read("lpff", root, "raw")
    assert inventory.blobs[0] == inventory.blobs[1]
    assert inventory.cameras[0].tolist() != inventory.cameras[1].tolist()
    assert inventory.landmarks[0].tolist() != inventory.landmarks[1].tolist()


def test_a_photo_that_nobody_knows_is_kept_under_its_name(tmp_path: Path) -> None:
    root = write_lpff(tmp_path)
    write(root / "raw/5@N00_3071459242.jpg", picture("stranger", kind="JPEG"))
    inventory = read("lpff", root, "raw")
    record = inventory.record(list(inventory.ids).index("5@N00_3071459242"))
    assert (len(inventory), record.face, record.camera, record.landmarks) == (4, 0, None, None)
    assert record.credit.license == License() and record.credit.author == ""
    assert record.blob.read() == (root / "raw/5@N00_3071459242.jpg").read_bytes()
    (note,) = inventory.notes
    assert "1 of 4" in note and "info.json" in note
