"""Cameras and landmarks of crops: a head with known points goes through the data sets' own steps, pixel by pixel."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA
from dataset_factories import (
    FOLDERS,
    LPFF_IDS,
    dump,
    edit,
    lpff_info,
    points,
    v2_record,
    write_ffhq_stylegan,
    write_lpff,
)
from msgspec import structs
from numpy.typing import NDArray
from PIL import Image

from lpff_shards import ExportOptions, PictureOptions, SourceOptions, export, plan_export, verify_export
from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.formats.checks import deep_fault
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders import ShardSource
from lpff_shards.schemas import crops
from lpff_shards.schemas.camera import faults, mirror, yaw_pitch_of
from lpff_shards.schemas.landmarks import mirror as mirror_points
from lpff_shards.sources.demo import look_at
from lpff_shards.sources.demo_render import _POINTS
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.lpff import Lpff

Array = NDArray[np.float64]
ID = "100004356@N06_21795165006_01"
LANDMARKS = "realign2400_lm.json"
PHOTO = (3400, 3000)
SIGMA = 6.0


def _face() -> Array:
    """The 68 landmarks in 3D, [68, 3]."""
    found = np.zeros((68, 3))
    for left, right, x, y, z in _POINTS:
        found[left], found[right] = (-x, y, z), (x, y, z)
    return found


def _project(points: Array, camera: Array, size: tuple[int, int]) -> Array:
    """World points in pixels of a picture, pixel centers at whole numbers."""
    pose, lens = camera[:16].reshape(4, 4), camera[16:].reshape(3, 3)
    seen = (points - pose[:3, 3]) @ pose[:3, :3]
    at = seen @ lens.T
    return at[:, :2] / at[:, 2:] * np.array(size) - 0.5


# The data sets' steps, slowly: see the facts that `schemas.crops` names.


def _quad(points: Array, scale: float) -> tuple[Array, float]:
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes, mouth = (left + right) / 2, (points[48] + points[54]) / 2
    down = mouth - eyes
    x = (right - left) - np.flipud(down) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*(right - left)) * 2.0, np.hypot(*down) * 1.8) * scale
    y = np.flipud(x) * [-1, 1]
    c = eyes + down * 0.1
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y]), np.hypot(*x) * 2


def _ffhq_step(image: Image.Image, points: Array, side: int, scale: float, border: tuple[float, int]) -> Image.Image:
    quad, q = _quad(points, scale)
    shrink = int(np.floor(q / side * 0.5))
    if shrink > 1:
        image = image.resize(tuple(int(np.rint(s / shrink)) for s in image.size), Image.Resampling.LANCZOS)
        quad, q = quad / shrink, q / shrink
    b = max(int(np.rint(q * border[0])), border[1])
    box = (*np.floor(quad.min(axis=0)).astype(int) - b, *np.ceil(quad.max(axis=0)).astype(int) + b)
    assert min(box) >= 0 and box[2] <= image.size[0] and box[3] <= image.size[1], "padding is not done here"
    image = image.crop(tuple(map(int, box)))
    quad -= box[:2]
    image = image.transform(
        (4096, 4096), Image.Transform.QUAD, (quad + 0.5).flatten().tolist(), Image.Resampling.BILINEAR
    )
    return image.resize((side, side), Image.Resampling.LANCZOS)


def _in_ffhq_crop(at: Array, points: Array, side: int, scale: float) -> Array:
    """Where points of a picture are in its crop, without shrinking."""
    quad, _ = _quad(points, scale)
    uv = np.linalg.solve(np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1), (at - quad[0]).T).T
    return side * uv - 0.5


def _eg3d_step(image: Image.Image, points: Array) -> Image.Image:
    width, height = image.size
    five = np.stack([(points[36] + points[39]) / 2, (points[42] + points[45]) / 2, *points[[30, 48, 54]]])
    five[:, 1] = height - 1 - five[:, 1]
    shape = np.hstack([np.array(crops._FACE), np.ones((5, 1))])
    fit = np.linalg.lstsq(shape, five, rcond=None)[0]
    s = 300 / np.linalg.norm(fit[:3], axis=0).mean()
    (tx, ty), w, h = fit[3], int(width * s), int(height * s)
    left, up = int(w / 2 - 512 + (tx - width / 2) * s), int(h / 2 - 512 + (height / 2 - ty) * s)
    image = image.resize((w, h), Image.Resampling.BICUBIC).crop((left, up, left + 1024, up + 1024))
    return image.crop((162, 162, 862, 862)).resize((512, 512), Image.Resampling.LANCZOS)


def _dots(at: Array, size: tuple[int, int]) -> Image.Image:
    """A picture with a soft white dot at each place."""
    width, height = size
    found = np.zeros((height, width), np.float32)
    for x, y in at:
        columns = np.exp(-((np.arange(width) - x) ** 2) / (2 * SIGMA**2))
        found += np.outer(np.exp(-((np.arange(height) - y) ** 2) / (2 * SIGMA**2)), columns).astype(np.float32)
    return Image.fromarray(np.rint(np.clip(found, 0, 1) * 220).astype(np.uint8)).convert("RGB")


def _found(image: Image.Image, near: Array, scale: float) -> Array:
    """The centers of the dots nearest to some places, in a picture that is so much larger than the photo."""
    far = int(np.ceil(4 * SIGMA * scale))
    pixels = np.asarray(image)[..., 0].astype(np.float64)
    found = []
    for x, y in np.rint(near).astype(int):
        reach = 10
        window = pixels[y - reach : y + reach + 1, x - reach : x + reach + 1]
        row, column = np.unravel_index(window.argmax(), window.shape)
        y0, x0 = y - reach + row, x - reach + column
        dot = pixels[y0 - far : y0 + far + 1, x0 - far : x0 + far + 1]
        rows, columns = np.mgrid[-far : far + 1, -far : far + 1]
        found.append((x0 + (dot * columns).sum() / dot.sum(), y0 + (dot * rows).sum() / dot.sum()))
    return np.array(found)


def _fitted(world: Array, at: Array) -> Array:
    """The camera that sees world points at places of a picture (0 to 1): by a linear fit, without our code."""
    rows = []
    for (x, y, z), (u, v) in zip(world, at, strict=True):
        rows += [
            [x, y, z, 1, 0, 0, 0, 0, -u * x, -u * y, -u * z, -u],
            [0, 0, 0, 0, x, y, z, 1, -v * x, -v * y, -v * z, -v],
        ]
    p = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 4)
    p *= np.sign(np.linalg.det(p[:, :3]))
    turn, lens = (m[::-1, ::-1].T if i else m for i, m in enumerate(np.linalg.qr(p[::-1, :3].T)))
    lens, turn = lens[:, :], turn.T[::-1]
    signs = np.diag(np.sign(np.diag(lens)))
    lens, turn = lens @ signs, signs @ turn
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn.T, -np.linalg.solve(p[:, :3], p[:, 3])
    return np.concatenate([pose.ravel(), (lens / lens[2, 2]).ravel()])


@dataclass(frozen=True)
class Photo:
    """A photo of a head in the published layout; `markers` are world points, `seen` where each picture has them."""

    root: Path
    markers: Array
    seen: dict[str, Array]
    landmarks: dict[str, Array]


@pytest.fixture(scope="module", params=[(0.3, 0.1, 0.25), (-1.1, -0.2, -0.4)], ids=["frontal", "large pose"])
def photo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Photo:
    root = tmp_path_factory.mktemp("photo")
    yaw, pitch, roll = request.param
    camera = look_at(yaw, pitch, roll)
    focal, middle = 4300.0, (1600.0, 1450.0)
    camera[16:] = [focal / PHOTO[0], 0, middle[0] / PHOTO[0], 0, focal / PHOTO[1], middle[1] / PHOTO[1], 0, 0, 1]
    spread = np.random.default_rng(5).uniform(-1, 1, (400, 3)) * (0.11, 0.11, 0.1) + (0, -0.04, 0.06)
    markers = spread[:1]
    for one in spread:
        apart = np.linalg.norm(_project(markers, camera, PHOTO) - _project(one[None], camera, PHOTO), axis=1)
        if apart.min() > 55 and len(markers) < 16:
            markers = np.vstack([markers, one])
    assert len(markers) >= 10
    at = {"raw": _project(markers, camera, PHOTO)}
    points = {"raw": _project(_face(), camera, PHOTO)}
    points["realign2400"] = _in_ffhq_crop(points["raw"], points["raw"], 2400, 1.8)
    images = {"raw": _dots(at["raw"], PHOTO)}
    images["realign2400"] = _ffhq_step(images["raw"], points["raw"], 2400, 1.8, (0.1, 3))
    images["stylegan"] = _ffhq_step(images["realign2400"], points["realign2400"], 1024, 1.0, (0.2, 100))
    images["eg3d"] = _eg3d_step(images["realign2400"], points["realign2400"])
    size = np.array([[2400, 2400]])
    scale = {"realign2400": 2400 / _quad(points["raw"], 1.8)[1]}
    scale |= {"stylegan": 1024 / _quad(points["raw"], 1.0)[1], "eg3d": 512 / _quad(points["raw"], 1.0)[1]}
    maps = {"stylegan": crops.ffhq_crop(points["realign2400"][None], size, "stylegan"),
            "eg3d": crops.eg3d_crop(points["realign2400"][None], size)}  # fmt: skip
    at["realign2400"] = _found(
        images["realign2400"], _in_ffhq_crop(at["raw"], points["raw"], 2400, 1.8), scale["realign2400"]
    )
    for alignment, crop in maps.items():
        # Where to look for the dots; where they are, the pictures tell.
        near = crops.carry(np.resize(at["realign2400"], (68, 2))[None], size, crop, crops.SIDES[alignment])
        at[alignment] = _found(images[alignment], near[0, : len(markers)], scale[alignment])
    at["raw"] = _found(images["raw"], at["raw"], 1.0)
    for alignment, folder in FOLDERS.items():
        (root / folder).mkdir(parents=True)
        name = ID[:-3] if alignment == "raw" else ID
        images[alignment].save(root / folder / f"{name}.png", compress_level=1)
    dump(root / "camera_parameters.json", {ID: _fitted(markers, (at["eg3d"] + 0.5) / 512).tolist()})
    dump(root / "info.json", {ID: lpff_info(ID)})
    for alignment in ("raw", "realign2400"):
        dump(root / f"{alignment}_lm.json", {ID: points[alignment].tolist()})
    return Photo(root, markers, at, points)


def _inventory(root: Path, alignment: str) -> Inventory:
    return Lpff(str(root), alignment).inventory()


@pytest.mark.parametrize("alignment", ["eg3d", "stylegan", "realign2400", "raw"])
def test_the_stored_camera_sees_the_head_where_the_picture_has_it(photo: Photo, alignment: str, tmp_path: Path) -> None:
    sources = SourceOptions(lpff=str(photo.root), alignment=alignment, mirror=True)
    export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources))
    for sample in ShardSource(str(tmp_path / "out")):
        fields = sample["metadata"]
        size = (fields["width"], fields["height"])
        at = photo.seen[alignment].copy()
        world = photo.markers.copy()
        if fields["mirrored"]:
            at[:, 0] = size[0] - 1 - at[:, 0]
            world[:, 0] *= -1
        off = np.abs(_project(world, sample["camera"].astype(np.float64), size) - at).max()
        assert off < 0.1, off
        assert fields["camera_alignment"] == alignment
        assert fields["landmarks_source"] == ("published" if alignment in ("raw", "realign2400") else "computed")
        assert fields["has_landmarks"]
    assert verify_export(str(tmp_path / "out"), deep=True).ok


@pytest.mark.parametrize("alignment", ["eg3d", "stylegan"])
def test_landmarks_of_crops_are_those_of_the_realigned_picture(photo: Photo, alignment: str) -> None:
    record = _inventory(photo.root, alignment).record(0)
    assert record.camera is not None and record.landmarks is not None
    side = crops.SIDES[alignment]
    assert record.landmarks_size == (side, side)
    # The head's own landmarks, seen by the crop's camera.
    assert np.abs(_project(_face(), record.camera, (side, side)) - record.landmarks).max() < 0.1


def test_a_crop_of_another_size_has_its_landmarks_scaled(photo: Photo, tmp_path: Path) -> None:
    sources = SourceOptions(lpff=str(photo.root), mirror=False)
    for side in (512, 128):
        out = str(tmp_path / str(side))
        export(ExportOptions(format="wds", out=out, sources=sources, picture=PictureOptions(resolution=side)))
    large, small = (ShardSource(str(tmp_path / name))[0] for name in ("512", "128"))
    assert np.allclose((large["landmarks"] + 0.5) / 4 - 0.5, small["landmarks"], atol=1e-4)
    assert np.array_equal(large["camera"], small["camera"])


MADE = [
    ("eg3d", "raw"),
    ("stylegan", "raw"),
    ("realign2400", "raw"),
    ("eg3d", "realign2400"),
    ("stylegan", "realign2400"),
]


@pytest.mark.parametrize(("crop", "pictures"), MADE)
def test_camera_and_landmarks_of_a_crop_made_at_export_fit_its_pixels(
    photo: Photo, crop: str, pictures: str, tmp_path: Path
) -> None:
    sources = SourceOptions(lpff=str(photo.root), crop=crop, from_=pictures, mirror=True)
    export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources))
    for sample in ShardSource(str(tmp_path / "out")):
        fields, camera = sample["metadata"], sample["camera"].astype(np.float64)
        side = crops.SIDES[crop]
        assert (fields["alignment"], fields["camera_alignment"], fields["landmarks_source"]) == (crop, crop, "computed")
        assert (fields["width"], fields["height"]) == (side, side)
        world = photo.markers * ((-1, 1, 1) if fields["mirrored"] else (1, 1, 1))
        seen = _project(world, camera, (side, side))
        transform = np.array(json.loads(fields["crop_transform"]))
        scale = np.hypot(*transform[:, 0]) * (1 if pictures == "raw" else 2400 / _quad(photo.landmarks["raw"], 1.8)[1])
        assert np.abs(_found(Image.fromarray(sample["image"]), seen, scale) - seen).max() < 0.1
        assert np.abs(_project(_face(), camera, (side, side)) - sample["landmarks"]).max() < 0.1
        carried = photo.landmarks[pictures].astype(np.float32) @ transform[:, :2].T + transform[:, 2]
        given = mirror_points(sample["landmarks"], side) if fields["mirrored"] else sample["landmarks"]
        assert np.abs(given - carried).max() < 1e-3
    assert verify_export(str(tmp_path / "out"), deep=True).ok


def test_the_eg3d_crop_of_a_realigned_picture_has_the_published_camera(photo: Photo, tmp_path: Path) -> None:
    sources = SourceOptions(lpff=str(photo.root), crop="eg3d", from_="realign2400", mirror=False)
    export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources))
    (sample,) = ShardSource(str(tmp_path / "out"))
    published = json.loads((photo.root / "camera_parameters.json").read_text())[ID]
    assert np.array_equal(sample["camera"], np.array(published, np.float32))


def test_without_landmarks_the_camera_is_told_to_be_the_eg3d_crops(photo: Photo, tmp_path: Path) -> None:
    for alignment, lost in (("stylegan", "realign2400"), ("realign2400", "realign2400"), ("raw", "raw")):
        root = tmp_path / alignment
        root.mkdir()
        for path in photo.root.iterdir():
            if path.name != f"{lost}_lm.json":
                (root / path.name).symlink_to(path)
        inventory = _inventory(root, alignment)
        sources = SourceOptions(lpff=str(root), alignment=alignment)
        notes = plan_export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources)).notes
        assert any(
            note.startswith("lpff: 1 pictures have the camera of their EG3D crop: yaw and pitch") for note in notes
        )
        record = inventory.record(0)
        assert record.camera is not None and record.camera_alignment == "eg3d"
        published = json.loads((root / "camera_parameters.json").read_text())[ID]
        assert record.camera.tolist() == published
        assert yaw_pitch_of(record.camera)[0] == pytest.approx(_yaw(photo.root, alignment))


def _yaw(root: Path, alignment: str) -> float:
    camera = _inventory(root, alignment).record(0).camera
    assert camera is not None
    return yaw_pitch_of(camera)[0]


# Landmarks of another size.


def _ffhq(root: Path, side: int, pixel_size: object = 1024) -> SourceOptions:
    """StyleGAN-aligned FFHQ of a size, with records of pictures of `pixel_size`."""
    write_ffhq_stylegan(root / "images", 2, size=side)
    records = {str(n): v2_record(n, 1024) for n in range(2)}
    for record in records.values():
        record["image"]["pixel_size"] = [pixel_size, pixel_size]
    metadata = dump(root / "v2.json", records)
    return SourceOptions(ffhq=str(root / "images"), ffhq_metadata=str(metadata), alignment="stylegan")


@pytest.mark.parametrize("side", [1024, 256, 128])
def test_ffhq_landmarks_are_scaled_to_the_picture(tmp_path: Path, side: int) -> None:
    export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=_ffhq(tmp_path, side)))
    for sample in ShardSource(str(tmp_path / "out")):
        published = np.array(v2_record(int(sample["metadata"]["source_id"]), 1024)["image"]["face_landmarks"])
        assert sample["image"].shape == (side, side, 3)
        assert np.allclose(sample["landmarks"], (published + 0.5) * side / 1024 - 0.5, atol=1e-4)
    assert verify_export(str(tmp_path / "out"), deep=True).ok


def test_ffhq_landmarks_without_a_size_that_leave_the_picture_are_refused(tmp_path: Path) -> None:
    sources = _ffhq(tmp_path, 128, 0)
    with pytest.raises(BadInput, match=r"landmarks reach \d+, \d+ in a picture of 128x128: they are of one of another"):
        export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources))


@pytest.mark.parametrize("size", [-3, 2**31, 10**30])
def test_a_pixel_size_that_is_none_is_the_records_fault(tmp_path: Path, size: int) -> None:
    with pytest.raises(BadInput, match=rf"v2.json: 00000: its pixel_size is {size}x{size}"):
        plan_export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=_ffhq(tmp_path, 128, size)))


def test_ffhq_pictures_that_are_not_square_are_refused_when_they_are_written(tmp_path: Path) -> None:
    sources = _ffhq(tmp_path, 64)
    for path in (tmp_path / "images").rglob("00001.png"):
        Image.new("RGB", (64, 48)).save(path)
    with pytest.raises(ShardsError, match="64x48"):
        export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources))


@pytest.mark.parametrize("alignment", ["raw", "realign2400"])
def test_landmarks_of_a_larger_picture_are_refused_before_anything_is_written(tmp_path: Path, alignment: str) -> None:
    root = write_lpff(tmp_path / "L", [ID], [alignment], size=64)
    far = [[3000 + x, 2000 + y] for x, y in points(ID, 512)]
    dump(root / f"{alignment}_lm.json", {ID: far})
    sources = SourceOptions(lpff=str(root), alignment=alignment)
    given = ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources)
    with pytest.raises(BadInput, match=f"{alignment}_lm.json: {ID}: its landmarks reach"):
        plan_export(given)


def test_realigned_pictures_that_were_made_smaller_have_their_landmarks_scaled(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "L", [ID], ["realign2400"], size=60)
    sources = SourceOptions(lpff=str(root), alignment="realign2400")
    export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=sources))
    published = np.array(json.loads((root / "realign2400_lm.json").read_text())[ID])
    (sample,) = ShardSource(str(tmp_path / "out"))
    assert np.allclose(sample["landmarks"], (published + 0.5) / 40 - 0.5, atol=1e-4)
    assert sample["metadata"]["camera_alignment"] == "realign2400"


@pytest.mark.parametrize("side", [2000, 1300, 700])
def test_the_side_that_fits_better_is_taken(photo: Photo, tmp_path: Path, side: int) -> None:
    """Landmarks are of 2400 pixels, though the picture's own side is within a factor of two."""
    root = tmp_path / "L"
    shutil.copytree(photo.root, root)
    for path in (root / "realign2400").iterdir():
        Image.open(path).resize((side, side)).save(path)
    whole, smaller = (_inventory(place, "realign2400").record(0) for place in (photo.root, root))
    assert smaller.landmarks_size == (2400, 2400) and smaller.camera_alignment == "realign2400"
    assert whole.camera is not None and smaller.camera is not None
    assert np.allclose(whole.camera, smaller.camera)


@pytest.mark.parametrize("alignment", ["eg3d", "stylegan"])
@pytest.mark.parametrize("scale", [0.2, 0.66, 1.5, 2.5])
def test_crops_take_no_landmarks_of_pictures_of_another_size(tmp_path: Path, alignment: str, scale: float) -> None:
    root = write_lpff(tmp_path / "L", LPFF_IDS[:3], [alignment])
    edit(root / LANDMARKS, lambda all_: {id: [[x * scale, y * scale] for x, y in at] for id, at in all_.items()})
    inventory = _inventory(root, alignment)
    (note,) = (note for note in inventory.notes if "times as large as in pictures of 2400 pixels" in note)
    assert float(note.partition("the faces are ")[2].split()[0]) == pytest.approx(scale, rel=0.05)
    for record in map(inventory.record, range(3)):
        assert record.landmarks is None and record.camera_alignment == "eg3d"


def test_crops_without_landmarks_beside_others_are_told(tmp_path: Path) -> None:
    root = write_lpff(tmp_path / "L", LPFF_IDS[:3], ["eg3d"])
    edit(root / LANDMARKS, lambda all_: dict(list(all_.items())[:1]))
    inventory = _inventory(root, "eg3d")
    assert inventory.notes == (f"{root / LANDMARKS}: 2 of 3 pictures have no fitting landmarks",)


def test_with_one_face_of_a_photo_made_smaller_go_all(tmp_path: Path) -> None:
    ids = [f"100004356@N06_21795165006_{face:02d}" for face in (1, 2)]
    root = write_lpff(tmp_path / "L", ids, ["raw"], size=64)
    edit(root / "raw_lm.json", lambda all_: {**all_, ids[1]: [[x + 300, y + 300] for x, y in all_[ids[1]]]})
    reasons = {one.id: one.reason for one in _inventory(root, "raw").problems}
    assert reasons[ids[0]] == "the landmarks of another face of this photo are of a larger picture"
    assert reasons[ids[1]].startswith("its landmarks reach")


def test_verify_deep_finds_landmarks_outside_their_picture(photo: Photo, tmp_path: Path) -> None:
    export(ExportOptions(format="wds", out=str(tmp_path / "out"), sources=SourceOptions(lpff=str(photo.root))))
    manifest = ShardSource(str(tmp_path / "out")).manifest
    (shard,) = manifest.shards
    (sample, *_) = get_format("wds").samples(memoryview((tmp_path / "out" / shard.file).read_bytes()), manifest.layout)
    assert sample.landmarks is not None and deep_fault(sample) is None
    for shift in (600, -600):
        moved = structs.replace(sample, landmarks=sample.landmarks + np.float32(shift))
        assert deep_fault(moved) == "its landmarks are all outside its picture of 512x512"
    one_inside = sample.landmarks + np.float32(600)
    one_inside[5] = (3, 4)
    assert deep_fault(structs.replace(sample, landmarks=one_inside)) is None


# The arithmetic.


def test_a_map_back_and_forth_is_none() -> None:
    maps = np.random.default_rng(1).normal(size=(50, 2, 3))
    again = crops.then(maps, crops.inverse(maps))
    assert np.allclose(again, [[1, 0, 0], [0, 1, 0]])


def test_a_camera_of_a_turned_crop_sees_what_the_map_says() -> None:
    draw = np.random.default_rng(2)
    world = draw.uniform(-0.2, 0.2, (30, 3))
    for _ in range(40):
        camera = look_at(draw.uniform(-1.5, 1.5), draw.uniform(-0.6, 0.6), draw.uniform(-1, 1))
        camera[16:] = [*draw.uniform(1, 5, 1), 0.1, 0.4, 0, *draw.uniform(1, 5, 1), 0.6, 0, 0, 1]
        turn, scale = draw.uniform(-3, 3), draw.uniform(0.2, 4)
        linear = (
            scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * draw.uniform(0.9, 1.1, 2)
        )
        crop = np.hstack([linear, draw.uniform(-0.3, 0.3, (2, 1))])[None]
        moved = crops.recrop(camera[None], crop)[0]
        before = (_project(world, camera, (1, 1)) + 0.5) @ crop[0, :, :2].T + crop[0, :, 2]
        assert np.allclose(_project(world, moved, (1, 1)) + 0.5, before)
        assert moved[19] == 0 and np.allclose(moved[3:12:4], camera[3:12:4])
        # A mirrored crop's camera is the mirrored camera of the crop.
        flipped = mirror(moved[None])[0]
        seen = _project(world * (-1, 1, 1), flipped, (1, 1)) + 0.5
        assert np.allclose(seen, (1, 0) + before * (-1, 1))


def test_a_crop_that_is_not_turned_keeps_its_camera_but_for_the_lens() -> None:
    camera = look_at(0.4, -0.2, 0.1)
    moved = crops.recrop(camera[None], np.array([[[0.5, 0, 0.25], [0, 0.5, 0.25]]]))[0]
    assert np.array_equal(moved[:16], camera[:16])
    assert moved[16:].tolist() == [4.2647 / 2, 0, 0.5, 0, 4.2647 / 2, 0.5, 0, 0, 1]


def test_large_pictures_are_shrunk_by_whole_pixels_first() -> None:
    size = (5001, 4803)
    camera = look_at(0.2, 0.1, 0.05)
    camera[16:] = [10_000 / size[0], 0, 0.52, 0, 10_000 / size[1], 0.49, 0, 0, 1]
    points = _project(_face() * 1.9, camera, size)
    assert np.floor(_quad(points, 1.0)[1] / 1024 * 0.5) == 2
    markers = np.array([[0.1, 0.1, 0.1], [-0.1, 0.12, 0], [0.05, -0.15, 0.1], [-0.12, -0.1, -0.1]])
    at = _project(markers, camera, size)
    crop = _ffhq_step(_dots(at, size), points, 1024, 1.0, (0.0, 3))
    maps = crops.ffhq_crop(points[None], np.array([size]), "stylegan")
    told = crops.carry(np.resize(at, (68, 2))[None], np.array([size]), maps, 1024)[0, :4]
    assert np.abs(_found(crop, told, 1024 / _quad(points, 1.0)[1]) - told).max() < 0.05


def test_points_that_are_no_face_give_no_camera() -> None:
    points = np.full((1, 68, 2), 700.0)
    assert not np.isfinite(crops.ffhq_crop(points, np.array([[2400, 2400]]), "stylegan")).all()
    maps = crops.inverse(crops.eg3d_crop(points, np.array([[2400, 2400]])))
    with np.errstate(all="ignore"):
        assert faults(crops.recrop(look_at(0.1, 0.1)[None], maps))


# The documented samples: how their crops lie in one another, by their pixels alone (least squares over a similarity).

DOCUMENTED = {
    "lpff": ((1261, 249, 320), (1.064509, -0.046102, -0.114732, 0.048511), 2.367, -2.6),
    "unsplash_pexels": ((1239, 244, 311), (1.003278, 0.252343, 0.089048, -0.027119), 2.409, 14.5),
}


def _picture(path: Path, side: int) -> Array:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").convert("L").resize((side, side), Image.Resampling.LANCZOS), np.float64)


def _off(first: Array, second: Array, crop: Array) -> float:
    """How far the gray levels of two pictures differ where a map says that they show the same."""
    ndimage = pytest.importorskip("scipy.ndimage")
    first, second = ndimage.gaussian_filter(first, 2), ndimage.gaussian_filter(second, 2)
    y, x = (np.mgrid[: len(first), : len(first)] + 0.5) / len(first)
    u, v = (row[0] * x + row[1] * y + row[2] for row in crop)
    seen = ndimage.map_coordinates(second, [v * len(second) - 0.5, u * len(second) - 0.5], order=1)
    inside = (np.minimum(u, v) > 0.02) & (np.maximum(u, v) < 0.98)
    return float(np.sqrt(np.mean(np.square(seen - first)[inside])))


@pytest.mark.parametrize("source", DOCUMENTED)
def test_documented_crops_have_the_cameras_that_their_pixels_say(source: str) -> None:
    folder = DATA / "documented" / source
    if not folder.is_dir():
        pytest.skip("the documented samples are not at hand")
    (width, left, up), (scale, turn, x, y), focal, degrees = DOCUMENTED[source]
    name = next((folder / "crop/eg3d").iterdir()).name
    eg3d, realigned = _picture(folder / "crop/eg3d" / name, 256), _picture(folder / "realign2400" / name, 512)
    stylegan = _picture(folder / "crop/stylegan" / name, 256)
    # EG3D's window: 700 pixels of a picture resized to a whole number of them, from a whole number on.
    window = np.array([[700, 0, left], [0, 700, up]]) / width
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    square = np.array([[c, -s, x], [s, c, y]])
    assert _off(eg3d, realigned, window) < 2
    assert _off(eg3d, stylegan, square) < 2
    published = np.array([json.loads((folder / "camera_parameters.json").read_text())[name[:-4]]])
    wide, turned = (crops.recrop(published, crop[None])[0] for crop in (window, square))
    assert wide[16] == pytest.approx(focal, abs=1e-3) and wide[20] == pytest.approx(focal, abs=1e-3)
    assert np.allclose(wide[:16], published[0, :16])
    assert turned[16] == pytest.approx(4.2647 * scale, abs=1e-3)
    relative = published[0, :16].reshape(4, 4)[:3, :3].T @ turned[:16].reshape(4, 4)[:3, :3]
    assert np.degrees(np.arctan2(relative[0, 1], relative[0, 0])) == pytest.approx(degrees, abs=0.1)
