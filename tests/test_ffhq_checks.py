"""What is given as --ffhq and is not FFHQ, or not of the alignment that was asked for, is refused by name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import (
    camera,
    dump,
    edit,
    eg3d_name,
    mirrored,
    picture,
    write,
    write_ffhq_eg3d,
    write_ffhq_stylegan,
    write_lpff,
    zip_folder,
)
from inventories import eg3d, stylegan
from PIL import Image

from lpff_shards import ExportOptions, SourceOptions, export
from lpff_shards.errors import ShardsError
from lpff_shards.sources.inventory import Inventory

NAMINGS = pytest.mark.parametrize("naming", ["id", "index"])
ONLY = "Only FFHQ can be given as --ffhq: give FFHQ's own pictures"


def refused(read: Callable[..., Inventory], *given: Any) -> ShardsError:
    with pytest.raises(ShardsError) as caught:
        read(*given)
    return caught.value


def own_set(root: Path, pictures: int) -> Path:
    """Pictures of one's own in EG3D's format, each with a camera of its own."""
    found = []
    for index in range(pictures):
        name = f"00000/img{index:08d}.png"
        write(root / name, picture(name))
        found.append([name, camera(name)])
    dump(root / "dataset.json", {"labels": found})
    return root


@pytest.mark.parametrize("pictures", [2, 5, 6])
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_pictures_of_ones_own_are_no_ffhq(tmp_path: Path, pictures: int, form: str) -> None:
    root = own_set(tmp_path / "own", pictures)
    place = root if form == "folder" else zip_folder(root, tmp_path / "own.zip")
    error = refused(eg3d, place)
    assert "the cameras of 00000/img00000000.png and 00000/img00000001.png are not mirrored" in error.message
    assert str(place) in error.message and "this is not FFHQ" in error.message and error.hint == ONLY


@NAMINGS
@pytest.mark.parametrize("off", [0.9e-3, 1.1e-3])
def test_one_pair_whose_cameras_are_no_mirrors(tmp_path: Path, naming: str, off: float) -> None:
    root = write_ffhq_eg3d(tmp_path, 60, naming)

    def shift(table: dict[str, list[list[Any]]]) -> object:
        label = next(label for label in table["labels"] if label[0] == eg3d_name(41, True, naming))
        label[1][11] += off
        return table

    edit(root / "dataset.json", shift)
    if off < 1e-3:
        assert len(eg3d(root)) == 120
    else:
        names = f"{eg3d_name(41, False, naming)} and {eg3d_name(41, True, naming)}"
        assert f"the cameras of {names} are not mirrored" in refused(eg3d, root).message


@NAMINGS
def test_a_pair_of_two_sizes(tmp_path: Path, naming: str) -> None:
    root = write_ffhq_eg3d(tmp_path, 3, naming)
    first, second = eg3d_name(2, False, naming), eg3d_name(2, True, naming)
    write(root / second, picture("other", 16))
    error = refused(eg3d, root)
    assert f"{first} (8x8) and {second} (16x16) are no mirrored pair" in error.message and error.hint == ONLY


def test_the_last_picture_without_a_mirror_or_its_label(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 3, "index")
    (root / "00000/img00000005.png").unlink()
    assert len(eg3d(root)) == 5  # the label tells that the copy lost it
    edit(root / "dataset.json", lambda table: {"labels": table["labels"][:-1]})
    error = refused(eg3d, root)
    assert "00000/img00000004.png has no mirror, so this is not FFHQ" in error.message and error.hint == ONLY


def test_a_lost_mirror_whose_label_is_another_picture(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 3, "index")
    (root / "00000/img00000004.png").unlink()
    edit(
        root / "dataset.json",
        lambda table: {"labels": [*table["labels"][:4], ["img00000004.png", camera("x")], *table["labels"][5:]]},
    )
    assert "img00000005.png and img00000004.png are not mirrored" in refused(eg3d, root).message


@NAMINGS
@pytest.mark.parametrize("photo", [0, 2])
def test_pairs_of_two_photos(tmp_path: Path, naming: str, photo: int) -> None:
    """As StyleGAN's own zip numbers its pictures, each a photo of its own."""
    root = write_ffhq_eg3d(tmp_path, 3, naming)
    write(root / eg3d_name(photo, True, naming), picture("another face"))
    told = f"{eg3d_name(photo, False, naming)} and {eg3d_name(photo, True, naming)} are not mirror images of each other"
    (note,) = (note for note in eg3d(root).notes if told in note)
    assert note.endswith("all cameras are wrong, and --alignment stylegan is right")


@NAMINGS
def test_pairs_of_two_photos_of_1024_pixels_are_refused(tmp_path: Path, naming: str) -> None:
    root = write_ffhq_eg3d(tmp_path, 1, naming)
    for mirror, shade in ((False, 40), (True, 200)):
        Image.new("RGB", (1024, 1024), (shade,) * 3).save(root / eg3d_name(0, mirror, naming))
    error = refused(eg3d, root)
    assert "so this is StyleGAN's FFHQ" in error.message and "--alignment stylegan" in error.hint


@NAMINGS
def test_a_mirror_saved_as_a_poor_jpeg_is_one(tmp_path: Path, naming: str) -> None:
    root = write_ffhq_eg3d(tmp_path, 1, naming, size=64)
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    face = np.stack([np.tile(ramp, (64, 1))] * 3, axis=2)
    Image.fromarray(face).save(root / eg3d_name(0, False, naming))
    Image.fromarray(face[:, ::-1]).save(root / eg3d_name(0, True, naming), "JPEG", quality=20)
    assert not any("mirror image" in note for note in eg3d(root).notes)


@pytest.mark.parametrize("kept", [False, True])
def test_no_pairs_at_all(tmp_path: Path, kept: bool) -> None:
    root = write_ffhq_eg3d(tmp_path, 3, "index")
    for photo in range(3):
        (root / eg3d_name(photo, kept, "index")).unlink()
    error = refused(eg3d, root)
    assert "has no pair of a picture and its mirror" in error.message and "--alignment stylegan" in error.hint


def test_originals_by_id_may_all_lack_their_mirrors(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 3)
    for photo in range(3):
        (root / eg3d_name(photo, True, "id")).unlink()
    # Flat StyleGAN pictures with EG3D's labels look the same.
    assert any("dataset.json have no pictures: " in note for note in eg3d(root).notes)
    edit(root / "dataset.json", lambda all_: {"labels": [one for one in all_["labels"] if "mirror" not in one[0]]})
    inventory = eg3d(root)
    assert not any("mirror" in note for note in inventory.notes)
    assert list(inventory.ids) == ["00000", "00001", "00002"] and not inventory.is_mirror.any()


def test_originals_of_1024_pixels_are_ffhqs_own_download(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 1, size=1024)
    (root / eg3d_name(0, True, "id")).unlink()
    assert "--alignment stylegan" in refused(eg3d, root).hint


def test_stylegans_pictures_given_as_eg3ds(tmp_path: Path) -> None:
    root = write_ffhq_stylegan(tmp_path / "s", 3)
    labels = write_ffhq_eg3d(tmp_path / "e", 3) / "dataset.json"
    assert "--alignment stylegan" in refused(eg3d, root, labels).hint


def test_faulty_cameras_are_the_pictures_problem(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 3, "index")
    edit(root / "dataset.json", lambda t: {"labels": [["00000/img00000000.png", [1.0] * 25], *t["labels"][1:]]})
    inventory = eg3d(root)
    assert [problem.id for problem in inventory.problems] == ["img00000000"] and len(inventory) == 5


def test_a_label_that_is_missing_is_the_pictures_problem(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 3, "index")
    edit(root / "dataset.json", lambda table: {"labels": table["labels"][:-1]})
    (problem,) = eg3d(root).problems
    assert problem.reason == "it has no camera for this picture"


@NAMINGS
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_eg3ds_pictures_given_as_stylegans(tmp_path: Path, naming: str, form: str) -> None:
    root = write_ffhq_eg3d(tmp_path / "set", 2, naming)
    error = refused(stylegan, root if form == "folder" else zip_folder(root, tmp_path / "a.zip", wrapper="FFHQ_512"))
    assert "is EG3D-aligned" in error.message and "--alignment eg3d" in error.hint


def test_originals_alone_of_eg3d_given_as_stylegans(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 2)
    for photo in range(2):
        (root / eg3d_name(photo, True, "id")).unlink()
    assert "dataset.json has a camera of 00000.png" in refused(stylegan, root).message


def test_cameras_of_other_paths_beside_stylegans_pictures_are_lent(tmp_path: Path) -> None:
    root = write_ffhq_stylegan(tmp_path / "s", 2, "")
    (write_ffhq_eg3d(tmp_path / "e", 2) / "dataset.json").rename(root / "dataset.json")
    assert stylegan(root, root / "dataset.json").has_camera.all()


def oblong(path: Path) -> Path:
    out = io.BytesIO()
    Image.new("RGB", (8, 10)).save(out, "PNG")
    return write(path, out.getvalue())


@pytest.mark.parametrize("alignment", ["eg3d", "stylegan"])
def test_pictures_that_are_not_square(tmp_path: Path, alignment: str) -> None:
    if alignment == "eg3d":
        root, read = write_ffhq_eg3d(tmp_path, 3), eg3d
        oblong(root / "00001_mirror.png")
    else:
        root, read = write_ffhq_stylegan(tmp_path, 3), stylegan
        oblong(root / "images1024x1024/00000/00001.png")
    message = refused(read, root).message
    assert "00001" in message and "is 8x10 pixels" in message and "is square" in message


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_pictures_that_cannot_be_read_are_for_the_export_to_tell(tmp_path: Path, data: bytes) -> None:
    root = write_ffhq_eg3d(tmp_path / "e", 2)
    write(root / "00000.png", data)
    assert len(eg3d(root)) == 4
    other = write_ffhq_stylegan(tmp_path / "s", 2)
    write(other / "images1024x1024/00000/00000.png", data)
    assert len(stylegan(other)) == 2


def test_mirrored_cameras_with_a_principal_point_off_the_middle(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 1)
    numbers = camera("00000")
    numbers[18] = 0.4
    other = mirrored(numbers)
    other[18] = 0.6
    dump(root / "dataset.json", {"labels": [["00000.png", numbers], ["00000_mirror.png", other]]})
    assert len(eg3d(root)) == 2


# Exports of our own, given back.


def _zip(out: Path, alignment: str = "eg3d", **sources: object) -> Path:
    given = SourceOptions(alignment=alignment, **sources)  # type: ignore[arg-type]
    export(ExportOptions(format="zip", out=str(out), sources=given))
    (found,) = out.glob("*.zip")
    return found


@pytest.mark.parametrize("alignment", ["eg3d", "stylegan"])
def test_a_zip_of_ours_with_other_data_sets_is_refused(tmp_path: Path, alignment: str) -> None:
    lpff = str(write_lpff(tmp_path / "L", alignments=[alignment]))
    own = write_ffhq_eg3d(tmp_path / "F") if alignment == "eg3d" else write_ffhq_stylegan(tmp_path / "F")
    combined = _zip(tmp_path / "combined", alignment, ffhq=str(own), lpff=lpff)
    read_ = eg3d if alignment == "eg3d" else stylegan
    error = refused(read_, combined)
    assert "is a zip written by lpff-shards with pictures of lpff" in error.message
    assert error.hint == "Give FFHQ's own pictures, and the other data sets separately"


def test_a_file_of_that_name_that_is_not_ours_tells_nothing(tmp_path: Path) -> None:
    root = write_ffhq_eg3d(tmp_path, 2)
    write(root / "samples.jsonl", b'{"dataset":"lpff"}\n')
    assert len(eg3d(root)) == 4
    assert "--alignment eg3d" in refused(stylegan, root).hint


def test_a_zip_of_ours_of_the_other_alignment_is_refused_by_its_alignment(tmp_path: Path) -> None:
    labels = str(write_ffhq_eg3d(tmp_path / "F") / "dataset.json")
    made = _zip(tmp_path / "s", "stylegan", ffhq=str(write_ffhq_stylegan(tmp_path / "S")), ffhq_cameras=labels)
    error = refused(eg3d, made)
    assert (error.message, error.hint) == (
        f"--ffhq {made} has stylegan pictures, not eg3d",
        "Use --alignment stylegan",
    )
    assert len(stylegan(made)) == 3
