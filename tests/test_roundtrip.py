"""What is written is read back, whole and equal, by webdataset and by TensorFlow."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from reading import Read, read_tfrecord, read_wds, read_zip

from lpff_shards import ExportOptions, PictureOptions, ShardOptions, SourceOptions, export, plan_export
from lpff_shards.exporters.sample import ImageCache, make_sample
from lpff_shards.planning.plan import Plan
from lpff_shards.schemas.camera import mirror as mirror_cameras

FORMATS = ("wds", "tfrecord", "zip")


def _write(out: Path, format: str, sources: SourceOptions, **picture: object) -> Path:
    metadata = picture.pop("metadata", "json")
    options = ExportOptions(
        format=format,
        out=str(out),
        sources=sources,
        metadata=metadata,
        picture=PictureOptions(**picture),
        shards=ShardOptions(samples_per_shard=5 if format != "zip" else None),
    )
    export(options)
    return out


def _read(folder: Path, format: str, tf: ModuleType) -> dict[str, Read]:
    if format == "zip":
        return read_zip(folder)
    return read_wds(folder) if format == "wds" else read_tfrecord(folder, tf)


def _plan(sources: SourceOptions, format: str = "wds", **picture: object) -> Plan:
    return plan_export(ExportOptions(format=format, out="x", sources=sources, picture=PictureOptions(**picture)))


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


# A container holds files or raw pixels, whatever the files are; a zip holds files.
@pytest.mark.parametrize(
    ("format", "metadata", "image"),
    [
        *(("wds", "json", image) for image in ("keep", "png", "fast-png", "stored-png", "jpeg", "webp", "raw")),
        *(("wds", "msgpack", image) for image in ("keep", "raw")),
        *(("tfrecord", "json", image) for image in ("keep", "jpeg", "raw")),
        *(("zip", "json", image) for image in ("keep", "webp")),
    ],
)
def test_every_sample_comes_back(tmp_path: Path, tf: ModuleType, format: str, metadata: str, image: str) -> None:
    sources = SourceOptions(demo=6)
    found = _read(_write(tmp_path / "out", format, sources, image=image, metadata=metadata), format, tf)
    plan = _plan(sources, format, image=image)
    assert set(found) == set(plan.keys)
    for task in plan.tasks():
        for entry in task.entries:
            # Each made alone, where the export shares what pictures have in common.
            alone = ImageCache((entry,), task.settings.picture)
            expected, got = make_sample(entry, task.settings, alone), found[entry.key]
            assert got.picture == expected.picture.data
            assert got.kind == expected.picture.kind
            assert np.array_equal(got.camera, expected.camera)
            assert np.array_equal(got.landmarks, expected.landmarks)
            assert got.fields == dict(expected.scalars)
            assert got.shape == ((256, 256, 3) if image == "raw" else None)


@pytest.mark.parametrize("format", FORMATS)
def test_kept_pictures_and_cameras_are_the_source_s_own(tmp_path: Path, tf: ModuleType, format: str) -> None:
    sources = SourceOptions(demo=6)
    found = _read(_write(tmp_path / "out", format, sources, image="keep"), format, tf)
    (inventory,) = _plan(sources).inventories
    for row, id in enumerate(inventory.ids):
        key = f"demo_{id.replace('@', '-')}"
        original, mirrored = found[key], found[f"{key}_m"]
        source = inventory.blobs[row].read()
        assert original.picture == source
        assert np.array_equal(_pixels(mirrored.picture), _pixels(source)[:, ::-1])
        assert np.array_equal(original.camera, inventory.cameras[row].astype(np.float32))
        assert np.array_equal(mirrored.camera, mirror_cameras(inventory.cameras[row : row + 1])[0].astype(np.float32))
        assert (original.fields["mirrored"], mirrored.fields["mirrored"]) == (False, True)
        assert mirrored.fields["yaw"] == -original.fields["yaw"]
        assert mirrored.fields["pitch"] == original.fields["pitch"]
        assert original.landmarks[30, 0] == pytest.approx(255 - mirrored.landmarks[30, 0], abs=1e-3)
        assert original.landmarks[0, 0] == pytest.approx(255 - mirrored.landmarks[16, 0], abs=1e-3)
        assert "mirrored" in mirrored.fields["changes"]


@pytest.mark.parametrize("format", ["wds", "tfrecord"])
@pytest.mark.parametrize("alignment", ["eg3d", "stylegan", "realign2400", "raw"])
def test_documented_samples(shared_data: Path, tmp_path: Path, tf: ModuleType, format: str, alignment: str) -> None:
    lpff, unsplash = shared_data / "documented/lpff", shared_data / "documented/unsplash_pexels"
    sources = SourceOptions(lpff=str(lpff), unsplash_pexels=str(unsplash), alignment=alignment, mirror=False)
    found = _read(_write(tmp_path / "out", format, sources), format, tf)
    folder = {"eg3d": "crop/eg3d", "stylegan": "crop/stylegan"}.get(alignment, alignment)
    for name, root in (("lpff", lpff), ("unsplash_pexels", unsplash)):
        (id,) = cameras = json.loads((root / "camera_parameters.json").read_text())
        (picture,) = (root / folder).iterdir()
        got = found[f"{name}_{id.replace('@', '-')}"]
        assert got.picture == picture.read_bytes()
        assert np.array_equal(got.camera, np.array(cameras[id], np.float32))
        image = Image.open(io.BytesIO(picture.read_bytes()))
        expected = _documented(name, id, root) | {
            "alignment": alignment,
            "width": image.width,
            "height": image.height,
            "mode": image.mode,
        }
        assert {k: got.fields[k] for k in expected} == expected
    assert len(found) == 2


def _documented(name: str, id: str, root: Path) -> dict[str, object]:
    info = json.loads((root / "info.json").read_text())[id]
    x, y, z = (json.loads((root / "camera_parameters.json").read_text())[id][i] for i in (3, 7, 11))
    fields = {
        "dataset": name,
        "source_id": id,
        "face": 1,
        "mirrored": False,
        "replica": 0,
        "split": "train",
        "has_camera": True,
        "yaw": float(np.float32(np.arctan2(x, z))),
        "pitch": float(np.float32(np.arctan2(y, np.hypot(x, z)))),
        "has_landmarks": False,
        "resize_filter": "",
    }
    if name == "unsplash_pexels":
        return fields | {"license": "Pexels", "source_url": info, "author": "", "photo_id": id[:-3]}
    image = info["image_info"]
    return fields | {
        "license": "CC-BY-2.0",
        "license_url": image["license"]["url"],
        "author": image["username"],
        "author_id": image["user_id"],
        "photo_id": image["photo_id"],
        "source_url": image["photo_url"],
    }


@pytest.mark.parametrize("image", ["keep", "png", "raw"])
def test_resized_pictures_are_pillow_s_lanczos(tmp_path: Path, tf: ModuleType, image: str) -> None:
    sources = SourceOptions(demo=2, mirror=False)
    found = read_wds(_write(tmp_path / "out", "wds", sources, image=image, resolution=64))
    (inventory,) = _plan(sources).inventories
    for row, id in enumerate(inventory.ids):
        got = found[f"demo_{id.replace('@', '-')}"]
        source = Image.open(io.BytesIO(inventory.blobs[row].read()))
        expected = np.asarray(source.resize((64, 64), Image.Resampling.LANCZOS))
        pixels = np.frombuffer(got.picture, np.uint8).reshape(64, 64, 3) if image == "raw" else _pixels(got.picture)
        assert np.array_equal(pixels, expected)
        assert got.fields["resize_filter"] == "lanczos"
        assert "resized from 256x256 to 64x64 (Lanczos)" in got.fields["changes"]
        assert np.allclose(got.landmarks, (inventory.landmarks[row] + 0.5) / 4 - 0.5, atol=1e-4)


def test_lossless_kinds_keep_every_pixel(tmp_path: Path) -> None:
    sources = SourceOptions(demo=2)
    kept = read_wds(_write(tmp_path / "keep", "wds", sources))
    for image in ("png", "fast-png", "stored-png", "webp", "raw"):
        found = read_wds(_write(tmp_path / image, "wds", sources, image=image))
        for key, sample in found.items():
            raw = np.frombuffer(sample.picture, np.uint8) if image == "raw" else _pixels(sample.picture).ravel()
            assert np.array_equal(raw, _pixels(kept[key].picture).ravel())
