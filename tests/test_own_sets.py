"""`--dataset NAME=PATH`: pictures of the user's own, their cameras in the conventions of others, and their credits."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_factories import picture
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lpff_shards import export, index_export, plan_export, read_manifest, verify_export
from lpff_shards.errors import BadInput, ShardsError
from lpff_shards.formats.registry import get_format
from lpff_shards.loaders.source import ShardSource
from lpff_shards.options.export import ExportOptions
from lpff_shards.options.mix import MixOptions
from lpff_shards.options.sources import SourceOptions
from lpff_shards.schemas.camera import mirror
from lpff_shards.schemas.columns import Texts
from lpff_shards.schemas.fields import PYTHON_TYPES
from lpff_shards.sources.demo import look_at
from lpff_shards.sources.inventory import Inventory
from lpff_shards.sources.io.blobs import BlobError
from lpff_shards.sources.io.picture_tables import column_of
from lpff_shards.sources.registry import sources

SIDE = 64
NAMES = tuple(f"p{number // 3}/{number:03d}.png" for number in range(9))
IDS = tuple(name.removesuffix(".png") for name in NAMES)
POINTS = np.random.default_rng(0).uniform(-0.3, 0.3, (20, 3))
"""Points in the head, in the world of cameras."""
Matrix = NDArray[np.float64]


def cameras() -> Matrix:
    """A camera for each name, with a principal point and focal lengths that are not the usual ones: float64 [n, 25]."""
    found = np.array([look_at(0.2 * number - 0.8, 0.05 * number - 0.2, 0.1 * number) for number in range(len(NAMES))])
    found[:, 16], found[:, 20], found[:, 18], found[:, 21] = 3.5, 3.75, 0.48, 0.53
    return found


def project(pose: Matrix, intrinsics: Matrix) -> Matrix:
    """Where `POINTS` are in a picture, parts of its width and height, for an OpenCV camera-to-world pose."""
    seen = (np.c_[POINTS, np.ones(len(POINTS))] @ np.linalg.inv(pose).T)[:, :3] @ intrinsics.T
    return seen[:, :2] / seen[:, 2:]


Write = Callable[[Path, Matrix], None]
"""Writes a file of cameras, and returns nothing."""


def dataset_json(root: Path, of: Matrix) -> None:
    labels = [[name, numbers.tolist()] for name, numbers in zip(NAMES, of, strict=True)]
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))


def cameras_json(root: Path, of: Matrix) -> None:
    (root / "cameras.json").write_text(json.dumps(dict(zip(IDS, of.tolist(), strict=True))))


def cameras_csv(root: Path, of: Matrix) -> None:
    with (root / "cameras.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "c2w", "fx", "fy", "cx", "cy", "w", "h"])
        for name, m in zip(NAMES, of.tolist(), strict=True):
            inner = (m[16] * SIDE, m[20] * SIDE, m[18] * SIDE, m[21] * SIDE, SIDE, SIDE)
            rows.writerow([name, " ".join(map(repr, m[:12])), *inner])


def opencv_cameras_json(root: Path, of: Matrix) -> None:
    frames = [
        {"file_path": name, "w": SIDE, "h": SIDE, "fx": m[16] * SIDE, "fy": m[20] * SIDE, "cx": m[18] * SIDE,
         "cy": m[21] * SIDE, "w2c": np.linalg.inv(m[:16].reshape(4, 4)).tolist()}
        for name, m in zip(NAMES, of, strict=True)
    ]  # fmt: skip
    (root / "opencv_cameras.json").write_text(json.dumps({"frames": frames}))


def transforms_json(root: Path, of: Matrix) -> None:
    frames = []
    for id, m in zip(IDS, of, strict=True):
        # OpenGL's y and z axes point the other way.
        turned = m[:16].reshape(4, 4) @ np.diag([1.0, -1.0, -1.0, 1.0])
        inner = {"fl_x": m[16] * SIDE, "fl_y": m[20] * SIDE, "cx": m[18] * SIDE, "cy": m[21] * SIDE}
        frames.append({"file_path": f"./{id}", "transform_matrix": turned.tolist(), **inner})
    (root / "transforms.json").write_text(json.dumps({"w": SIDE, "h": SIDE, "frames": frames}))


def imagefolder(root: Path, of: Matrix) -> None:
    for folder in sorted({name.partition("/")[0] for name in NAMES}):
        rows = [
            {"file_name": name.partition("/")[2], "K": m[16:].reshape(3, 3).tolist(), "pose": m[:16].tolist(),
             "author": f"author of {name}", "license": "CC-BY-4.0"}
            for name, m in zip(NAMES, of, strict=True)
            if name.startswith(folder)
        ]  # fmt: skip
        (root / folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


LAYOUTS: Mapping[str, Write] = {
    write.__name__: write
    for write in (dataset_json, cameras_json, cameras_csv, opencv_cameras_json, transforms_json, imagefolder)
}


def write_set(root: Path, write: Write | None = None, of: Matrix | None = None) -> Path:
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(name, SIDE))
    if write:
        write(root, cameras() if of is None else of)
    return root


def inventory(path: Path, *, flags: str = "", alignment: Any = "eg3d", **more: Any) -> Inventory:
    options = SourceOptions(dataset=(f"heads={path}{flags}",), alignment=alignment, **more)
    (source,) = sources(options)
    return source.inventory()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cameras_of_a_layout(tmp_path: Path, layout: str, zipped: bool) -> None:
    root = write_set(tmp_path / "set", LAYOUTS[layout])
    if zipped:
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for file in sorted(root.rglob("*.*")):
                archive.write(file, file.relative_to(tmp_path))
    found = inventory(tmp_path / "set.zip" if zipped else root)
    assert tuple(found.ids) == IDS and found.source == "heads"
    assert np.abs(found.cameras - cameras()).max() < 1e-6
    for ours, theirs in zip(found.cameras, cameras(), strict=True):
        seen, expected = (project(m[:16].reshape(4, 4), m[16:].reshape(3, 3)) for m in (ours, theirs))
        assert np.abs(seen - expected).max() * SIDE < 0.01


def test_lens_distortion_is_told(tmp_path: Path) -> None:
    root = write_set(tmp_path, transforms_json)
    content = json.loads((root / "transforms.json").read_text())
    for coefficient in (0, 0.1):
        (root / "transforms.json").write_text(json.dumps(content | {"k1": 0.0, "p2": coefficient}))
        told = [note for note in inventory(root).notes if "the lens distortion (p2) is not used" in note]
        assert len(told) == (coefficient != 0)


def test_a_point_is_seen_where_nerf_sees_it(tmp_path: Path) -> None:
    """Blender's file has one angle of view; its cameras look along their -z, with y up."""
    pose = look_at(0.4, 0.1)[:16].reshape(4, 4) @ np.diag([1.0, -1.0, -1.0, 1.0])
    frames = [{"file_path": f"./{id}", "transform_matrix": pose.tolist()} for id in IDS]
    root = write_set(tmp_path)
    (root / "transforms_train.json").write_text(json.dumps({"camera_angle_x": 0.5, "frames": frames}))
    seen = (np.c_[POINTS, np.ones(len(POINTS))] @ np.linalg.inv(pose).T)[:, :3]
    focal = 0.5 * SIDE / math.tan(0.25)
    pixels = np.stack([SIDE / 2 + focal * seen[:, 0] / -seen[:, 2], SIDE / 2 + focal * seen[:, 1] / seen[:, 2]], axis=1)
    ours = inventory(root).cameras[0]
    assert np.abs(project(ours[:16].reshape(4, 4), ours[16:].reshape(3, 3)) * SIDE - pixels).max() < 0.01


@given(opengl=st.booleans(), w2c=st.booleans(), pixels=st.booleans())
def test_every_convention(tmp_path_factory: pytest.TempPathFactory, opengl: bool, w2c: bool, pixels: bool) -> None:
    root = write_set(tmp_path_factory.mktemp("set"))
    written = []
    for m in cameras():
        pose, inner = m[:16].reshape(4, 4), m[16:].reshape(3, 3)
        pose = pose @ np.diag([1.0, -1.0, -1.0, 1.0]) if opengl else pose
        pose = np.linalg.inv(pose) if w2c else pose
        inner = np.diag([SIDE, SIDE, 1.0]) @ inner if pixels else inner
        written.append([*pose.ravel(), *inner.ravel()])
    cameras_json(root, np.array(written))
    words = ("opengl" if opengl else "opencv", "w2c" if w2c else "c2w", "pixels" if pixels else "normalized")
    found = inventory(root, camera_convention=(f"heads={','.join(words)}",))
    assert np.abs(found.cameras - cameras()).max() < 1e-6


def test_other_conventions_are_found(tmp_path: Path) -> None:
    turned = cameras()
    turned[:, :16] = (turned[:, :16].reshape(-1, 4, 4) @ np.diag([1.0, -1.0, -1.0, 1.0])).reshape(-1, 16)
    root = write_set(tmp_path / "set", cameras_json, turned)
    manifest = export(options(tmp_path / "out", f"heads={root}"))
    assert any("OpenGL axes" in note and "see --camera-convention heads=" in note for note in manifest.notes)


def test_cameras_on_one_side_are_told(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    for number in range(24):
        (root / f"{number}.png").write_bytes(picture(str(number)))
    poses = {str(number): look_at(1.2 + 0.02 * number, 0.0).tolist() for number in range(24)}
    (root / "cameras.json").write_text(json.dumps(poses))
    (note,) = (note for note in inventory(root, license_of=("heads=CC0-1.0",)).notes)
    assert "all 24 cameras are on one side, at yaws from 69 to 95 degrees" in note


def options(out: Path, *sets: str, rebalance: Any = "none", **more: Any) -> ExportOptions:
    sources, mix = SourceOptions(dataset=sets, **more), MixOptions(rebalance=rebalance)
    return ExportOptions(format="wds", out=str(out), sources=sources, mix=mix)


def test_credits_and_licenses(tmp_path: Path) -> None:
    root = write_set(tmp_path, cameras_json)
    with (root / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "license", "license_url", "author", "title", "source_url", "photo_id", "age"])
        rows.writerow([IDS[0], "cc-by-4.0", "", "Ann, B.", "T", "https://example.org/1", "1", "30"])
        rows.writerow([IDS[1], "https://creativecommons.org/publicdomain/zero/1.0/", "", "", "", "", "", ""])
        rows.writerow([IDS[2], "Attribution", "https://creativecommons.org/licenses/by/2.0/", "", "", "", "", ""])
    found = inventory(root, license_of=("heads=CC-BY-NC-4.0",))
    first, second, third, fourth = list(found.credits)[:4]
    assert (first.license.short, first.license.url) == ("CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/")
    assert (first.author, first.title, first.photo_id) == ("Ann, B.", "T", "1")
    assert [credit.license.short for credit in (second, third, fourth)] == ["CC0-1.0", "CC-BY-2.0", "CC-BY-NC-4.0"]
    assert list(found.extra) == ["age"] and found.extra["age"].tolist() == [30] + [0] * (len(NAMES) - 1)


COLUMNS: tuple[tuple[Sequence[object], Sequence[object], str], ...] = (
    (["1", "", "-20"], [1, 0, -20], "int64"),
    ([1, None, 2.5], [1.0, 0.0, 2.5], "float64"),
    (["1e3", "0.5", ""], [1000.0, 0.5, 0.0], "float64"),
    (["true", "False", None], [True, False, False], "bool"),
    ([True, False, 1], ["True", "False", "1"], "str"),
    (["007", "1", ""], ["007", "1", ""], "str"),
    (["nan", "1", ""], ["nan", "1", ""], "str"),
    ([10**30, 1], [str(10**30), "1"], "str"),
    ([2**62, "-9223372036854775808"], [2**62, -(2**63)], "int64"),
    (["123456789.0", "1.5"], ["123456789.0", "1.5"], "str"),
    ([1.5, float("nan"), 2], [1.5, 0.0, 2.0], "float64"),
    (["1e39", "1"], ["1e39", "1"], "str"),
    ([None, "", None], ["", "", ""], "str"),
    (["a", 1, None], ["a", "1", ""], "str"),
)


@pytest.mark.parametrize(("values", "expected", "kind"), COLUMNS)
def test_a_column_has_the_type_of_all_its_values(values: list[object], expected: list[object], kind: str) -> None:
    column = column_of(values)
    assert column is not None and column.tolist() == expected
    assert kind == ("str" if isinstance(column, Texts) else column.dtype.name)
    assert column_of([*values, [1]]) is None


def described_sets(tmp_path: Path) -> tuple[str, str]:
    """Two sets, of which one has ages, words and truths, the other sharpness, and both a city."""
    first, second = (write_set(tmp_path / name, cameras_json) for name in ("first", "second"))
    with (first / "metadata.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "age", "smiles", "words", "city", "bad name"])
        rows.writerows([[id, 20 + n, str(n % 2 == 0).lower(), f"w{n}, ä", f"c{n}", "x"] for n, id in enumerate(IDS)])
    lines = [{"id": id, "sharpness": n / 3, "city": "Ürümqi"} for n, id in enumerate(IDS)]
    (second / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"a={first}", f"b={second}"


EXTRA = {"age": int, "city": str, "sharpness": float, "smiles": bool, "words": str}


@pytest.mark.parametrize("format", ["wds", "msgpack", "tfrecord", "parquet", "arrayrecord", "zip"])
def test_columns_become_fields_in_every_format(tmp_path: Path, format: str) -> None:
    more: dict[str, Any] = {"metadata": "msgpack"} if format == "msgpack" else {}
    given = ExportOptions(
        format="wds" if more else format, out=str(tmp_path / "out"), **more,
        sources=SourceOptions(dataset=described_sets(tmp_path), mirror=True),
    )  # fmt: skip
    manifest = export(given)
    assert any("not used: bad name" in note for note in manifest.notes)
    assert {f.name: PYTHON_TYPES[f.kind] for f in manifest.layout.extra or ()} == EXTRA
    assert verify_export(tmp_path / "out", deep=True).ok
    layout, seen = read_manifest(tmp_path / "out").layout, 0
    for shard in manifest.shards:
        data = memoryview((tmp_path / "out" / shard.file).read_bytes())
        for sample in get_format(given.format).samples(data, layout):
            row, number = sample.scalars, IDS.index(str(sample.scalars["source_id"]))
            own = {"age": 20 + number, "smiles": number % 2 == 0, "words": f"w{number}, ä", "city": f"c{number}"}
            other = {"sharpness": float(np.float32(number / 3)), "city": "Ürümqi"}
            expected = {name: kind() for name, kind in EXTRA.items()} | (own if row["dataset"] == "a" else other)
            assert {name: row[name] for name in EXTRA} == expected
            assert [*row][-len(EXTRA) :] == sorted(EXTRA)
            seen += 1
    assert seen == 4 * len(NAMES)
    card = (tmp_path / "out/README.md").read_text()
    assert "| `age` | int64 |  |  | column `age` of a |" in card and "column `city` of a or b" in card
    (tmp_path / "out/samples.sqlite").unlink()
    index_export(tmp_path / "out")
    assert verify_export(tmp_path / "out").ok


@pytest.mark.parametrize("format", ["wds", "tfrecord"])
def test_loaders_give_the_columns(tmp_path: Path, format: str) -> None:
    sets = described_sets(tmp_path)
    sources = SourceOptions(dataset=sets, mirror=False)
    export(ExportOptions(format=format, out=str(tmp_path / "out"), sources=sources))
    source = ShardSource(tmp_path / "out")
    batch = source.batch(range(len(source)), fields=("source_id", "dataset", *EXTRA))
    first = [
        IDS.index(id) if name == "a" else -1 for id, name in zip(batch["source_id"], batch["dataset"], strict=True)
    ]
    assert batch["age"].tolist() == [20 + number if number >= 0 else 0 for number in first]
    assert batch["age"].dtype == np.int64 and batch["sharpness"].dtype == np.float32 and batch["smiles"].dtype == bool
    assert source.column("age").tolist() == batch["age"].tolist()
    with pytest.raises(ShardsError, match=r"field 'ages' is not known. Did you mean age\?"):
        source.batch([0], fields=("ages",))


def test_columns_of_words_are_no_cameras(tmp_path: Path) -> None:
    for name in NAMES[:3]:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(picture(name, SIDE))
    rows = "\n".join(f"{name},Canon EOS,frontal" for name in NAMES[:3])
    (tmp_path / "set/metadata.csv").write_text(f"file_name,camera,pose\n{rows}\n")
    plan = plan_export(options(tmp_path / "out", f"a={tmp_path / 'set'}"))
    (inventory,) = plan.inventories
    assert not inventory.has_camera.any() and inventory.extra["pose"].tolist() == ["frontal"] * 3
    assert any(note.endswith("columns that cannot be fields and are not used: camera") for note in plan.notes)


def test_a_changed_column_is_another_plan(tmp_path: Path) -> None:
    sets = described_sets(tmp_path)
    before = plan_export(options(tmp_path / "out", *sets))
    assert plan_export(options(tmp_path / "out", *sets)).digest == before.digest
    path = tmp_path / "first/metadata.csv"
    path.write_text(path.read_text().replace("w3", "w4"))
    assert plan_export(options(tmp_path / "out", *sets)).digest != before.digest
    path.write_text(path.read_text().replace("city", "sharpness"))
    with pytest.raises(ShardsError, match="the column sharpness is str in a, and float in b"):
        plan_export(options(tmp_path / "out", *sets))


def test_the_credits_of_imagefolder(tmp_path: Path) -> None:
    found = inventory(write_set(tmp_path, imagefolder))
    assert [credit.author for credit in found.credits] == [f"author of {name}" for name in NAMES]
    assert {credit.license.short for credit in found.credits} == {"CC-BY-4.0"}


def test_stylegan_labels_are_no_cameras(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    (root / "dataset.json").write_text(json.dumps({"labels": None}))
    assert not inventory(root).has_camera.any()
    (root / "dataset.json").write_text(json.dumps({"labels": [[name, 3] for name in NAMES]}))
    found = inventory(root)
    assert not found.has_camera.any() and found.extra["label"].tolist() == [3] * len(NAMES)
    (root / "dataset.json").write_text(json.dumps({"labels": [[name, [0, 1]] for name in NAMES]}))
    (note,) = (note for note in inventory(root).notes if "not used" in note)
    assert note.endswith("columns that cannot be fields and are not used: label")


def test_without_cameras_rules_by_pose_refuse(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    manifest = export(options(tmp_path / "out", f"heads={root}", mirror=False))
    assert manifest.samples == len(NAMES) and not manifest.layout.camera
    with pytest.raises(ShardsError, match="no picture of the split train has a camera"):
        export(options(tmp_path / "other", f"heads={root}", rebalance="eg3d"))


def mirrored_set(root: Path, off: float = 0.0) -> Path:
    root.mkdir()
    poses = {}
    for number, one in enumerate(cameras()):
        flipped = mirror(one[None])[0]
        flipped[3] += off * (number == 4)
        for name, pose in ((f"{number:02d}", one), (f"{number:02d}_mirror", flipped)):
            (root / f"{name}.png").write_bytes(picture(name))
            poses[name] = pose.tolist()
    (root / "cameras.json").write_text(json.dumps(poses))
    return root


def test_a_set_with_its_own_mirrors(tmp_path: Path) -> None:
    root = mirrored_set(tmp_path / "set")
    found = inventory(root, flags=",mirrored")
    assert list(found.ids) == [f"{number // 2:02d}" for number in range(2 * len(NAMES))]
    assert found.is_mirror.tolist() == [False, True] * len(NAMES)
    manifest = export(options(tmp_path / "out", f"heads={root},mirrored"))
    assert manifest.samples == 2 * len(NAMES)


def test_mirrors_that_are_none_are_named(tmp_path: Path) -> None:
    root = mirrored_set(tmp_path / "set", off=2e-3)
    with pytest.raises(ShardsError, match=r"04 and 04_mirror are not mirrored: off by 0\.002"):
        inventory(root, flags=",mirrored")
    (root / "00_mirror.png").unlink()
    with pytest.raises(ShardsError, match="17 pictures, an odd number"):
        inventory(root, flags=",mirrored")


def test_pictures_of_a_pair_share_their_credit(tmp_path: Path) -> None:
    root = mirrored_set(tmp_path / "set")
    rows = [{"id": "00", "author": "Ann", "age": 3}, {"id": "01_mirror", "author": "Ben", "license": "CC0-1.0"}]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = inventory(root, flags=",mirrored", license_of=("heads=CC-BY-4.0",))
    assert [credit.author for credit in found.credits][:5] == ["Ann", "Ann", "Ben", "Ben", ""]
    assert found.extra["age"].tolist()[:4] == [3, 3, 0, 0]
    short = [credit.license.short for credit in found.credits][:5]
    assert short == ["CC-BY-4.0", "CC-BY-4.0", "CC0-1.0", "CC0-1.0", "CC-BY-4.0"]


def test_rows_by_number_and_labels_beside_cameras(tmp_path: Path) -> None:
    rows = []
    for number, m in enumerate(cameras()):
        (tmp_path / f"{number}.png").write_bytes(picture(str(number), SIDE))
        rows.append({"id": number, "label": [1, 2], "c2w": m[:16].tolist(), "K": str(m[16:].tolist()), "camera": ""})
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert np.abs(inventory(tmp_path).cameras - cameras()).max() < 1e-6


BAD_CAMERAS = {
    '{"p0/000": [1, 2]}': "camera has 2 numbers, not 25",
    '{"p0/000": {"c2w": [1, 2, 3], "fx": 1}}': "c2w has 3 numbers, not 12 or 16 numbers",
    '{"p0/000": {"c2w": "a b"}}': "c2w is not a list of numbers",
    '{"p0/000": {"c2w": [1,0,0,0, 0,1,0,0, 0,0,1,0]}}': "its camera has no intrinsics",
    '{"p0/000": {"w2c": [0,0,0,0, 0,0,0,0, 0,0,0,0], "fx": 1, "w": 1, "h": 1}}': "its pose has no inverse",
    '{"p0/000": {"c2w": [2,0,0,0, 0,1,0,0, 0,0,1,0], "fx": 1, "w": 1, "h": 1}}': "rotation is not orthonormal",
    '{"p0/000": {"c2w": [1,0,0,0, 0,1,0,0, 0,0,1,0], "fx": 1, "w": 0, "h": 1}}': "is 0x1 pixels",
    '{"p0/000": {"c2w": [1,0,0,0, 0,1,0,0, 0,0,1,0], "camera_angle_x": 4}}': "not an angle of view in radians",
    '{"p0/000": {"c2w": [1,0,0,0, 0,1,0,0, 0,0,1,0], "camera_angle_x": 5e-324}}': "not an angle of view in radians",
    '{"p0/000": {"c2w": [1,0,0,0, 0,1,0,0, 0,0,1,0], "camera_angle_x": 1, "camera_angle_y": 0}}': "camera_angle_y is 0",
}


@pytest.mark.parametrize("text", BAD_CAMERAS)
def test_a_bad_camera_is_the_fault_of_its_picture(tmp_path: Path, text: str) -> None:
    root = write_set(tmp_path)
    (root / "cameras.json").write_text(text)
    (problem, *_) = inventory(root).problems
    assert problem.id == IDS[0] and BAD_CAMERAS[text] in problem.reason


BAD_TABLES = {
    ("metadata.csv", "id,author\nx\n"): "more or fewer cells than the header",
    ("metadata.csv", "name of it,author\nx,y\n"): "row 1 does not name its picture",
    ("metadata.csv", b"id,author\nx,\xff\n"): "is not UTF-8 text",
    ("metadata.jsonl", '{"id": "a"}\nno\n'): "line 2 is not JSON",
    ("metadata.jsonl", "[1]\n"): "row 1 is not an object with columns",
    ("cameras.json", "3"): "contains neither a list nor an object",
    ("cameras.json", '{"p0/000": '): "is not valid JSON",
    ("transforms.json", '{"frames": [{"transform_matrix": []}]}'): "row 1 does not name its picture",
}


@pytest.mark.parametrize(("name", "text"), BAD_TABLES)
def test_a_bad_table_is_named(tmp_path: Path, name: str, text: str | bytes) -> None:
    root = write_set(tmp_path)
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ShardsError, match=BAD_TABLES[name, text]) as raised:
        inventory(root)
    assert name in str(raised.value)


def test_repeated_rows_and_two_files_of_cameras(tmp_path: Path) -> None:
    root = write_set(tmp_path, cameras_json)
    (root / "metadata.csv").write_text(f"id,author\n{IDS[1]},a\n{IDS[1]},b\n")
    (problem,) = inventory(root).problems
    assert (problem.id, problem.reason) == (IDS[1], "the id is in the file twice")
    dataset_json(root, cameras())
    with pytest.raises(ShardsError, match=f"both have a camera of {IDS[0]}"):
        inventory(root)


BAD_OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "is not NAME=VALUE": {"dataset": ("heads",)},
    "was given twice": {"dataset": ("a=x", "a=y")},
    "cannot have this name": {"dataset": ("lpff=x",)},
    "is for no given --dataset": {"dataset": ("a=x",), "license_of": ("b=CC0-1.0",)},
    "is not known": {"dataset": ("a=x",), "license_of": ("a=free",)},
    "'up' is not known": {"dataset": ("a=x",), "camera_convention": ("a=up",)},
    "contradicts itself": {"dataset": ("a=x",), "camera_convention": ("a=c2w,w2c",)},
    "is empty": {"dataset": ("a= ",)},
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_options_that_are_refused(message: str) -> None:
    with pytest.raises(ShardsError, match=message):
        SourceOptions(**BAD_OPTIONS[message])  # type: ignore[arg-type]


def test_a_set_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(ShardsError, match="contains no pictures"):
        inventory(tmp_path)


def test_a_link_to_a_folder_above_ends(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    (root / "p0" / "up").symlink_to(root)
    with pytest.raises(ShardsError, match="folders deep"):
        inventory(root)


def test_one_picture_of_two_formats(tmp_path: Path) -> None:
    root = write_set(tmp_path, cameras_json)
    (root / "p0/000.jpg").write_bytes(picture("x", kind="JPEG"))
    assert {problem.id for problem in inventory(root).problems} == {IDS[0]}


def test_terms_and_command_are_on_the_card(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", cameras_json)
    (tmp_path / "TERMS.txt").write_text("Only for *tests*.\n")
    both = (f"heads={root}", f"plain={write_set(tmp_path / 'more', cameras_json)}")
    given = options(
        tmp_path / "out", *both, terms_of=(f"heads={tmp_path / 'TERMS.txt'}",), license_of=("heads=CC0-1.0",)
    )
    manifest = export(given)
    card = (tmp_path / "out/README.md").read_text()
    assert r"Only for \*tests\*." in card and "The terms of use of the data set are not known" in card
    assert "--dataset heads=set --dataset plain=more" in card and "--license-of heads=CC0-1.0" in card
    assert "--terms-of heads=TERMS.txt" in card and str(tmp_path) not in card
    assert manifest.licenses["CC0-1.0"] == 2 * len(NAMES)
    assert read_manifest(tmp_path / "out").options["terms"] == {"heads": "Only for *tests*."}
    (tmp_path / "TERMS.txt").write_text("Others.")
    with pytest.raises(ShardsError):
        export(given)


def test_bad_input_is_skipped_and_counted(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", cameras_json)
    (root / NAMES[0]).write_bytes(b"no picture")
    with pytest.raises(BadInput):
        export(options(tmp_path / "out", f"heads={root}"))


def test_a_zip_that_we_wrote_is_read_again(tmp_path: Path) -> None:
    """Cameras, landmarks and credits survive the trainers' zip."""
    demo = ExportOptions(format="zip", out=str(tmp_path / "zip"), sources=SourceOptions(demo=6))
    export(demo)
    found = inventory(tmp_path / "zip/demo-train.zip", flags=",mirrored")
    (source,) = sources(SourceOptions(demo=6))
    own = source.inventory()
    assert len(found) == 12 and not found.problems
    originals = np.flatnonzero(~found.is_mirror)
    assert np.allclose(found.cameras[originals], own.cameras.astype(np.float32))
    assert np.allclose(found.landmarks[found.landmark_rows[originals]], own.landmarks, atol=1e-4)
    assert [credit.author for credit in found.take(originals).credits] == [credit.author for credit in own.credits]
    assert [c.license.short for c in found.take(originals).credits] == [c.license.short for c in own.credits]


def test_a_table_is_read_with_a_byte_order_mark(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    text = io.StringIO()
    csv.writer(text).writerows([["file_name", "author"], [NAMES[0], "Ä"]])
    (root / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    assert inventory(root).credits[0].author == "Ä"


def test_a_table_beside_one_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "set/anna").mkdir(parents=True)
    (tmp_path / "set/anna/0001.png").write_bytes(picture("1"))
    (tmp_path / "set/metadata.csv").write_text("file_name,author,age\nanna/0001.png,Ann,30\n")
    found = inventory(tmp_path / "set")
    assert (list(found.ids), found.credits[0].author, found.extra["age"].tolist()) == (["anna/0001"], "Ann", [30])
    (tmp_path / "set/metadata.csv").unlink()
    assert list(inventory(tmp_path / "set").ids) == ["anna/0001"]


@pytest.mark.parametrize(("name", "ids"), [("heads.zip", ["anna/0001"]), ("other.zip", ["heads/anna/0001"])])
def test_an_archive_may_wrap_its_files_in_a_folder_of_its_name(tmp_path: Path, name: str, ids: list[str]) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("heads/anna/0001.png", picture("1"))
    assert list(inventory(tmp_path / name).ids) == ids


def test_columns_that_cannot_be_fields_are_named(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(picture("0"))
    row = {
        "file_name": "0.png",
        "split": "x",
        "key": "y",
        "index": 3,
        "name": "Ann",
        "id": 7,
        "__key__": 1,
        "list": [1],
    }
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row | {"nothing": None, "odd": float("nan")}) + "\n")
    found = inventory(tmp_path)
    assert {name: list(column) for name, column in found.extra.items()} == {"id": [7], "name": ["Ann"]}
    assert any(note.endswith("not used: __key__, index, key, list, split") for note in found.notes)


def test_a_license_in_words_is_counted_as_unknown(tmp_path: Path) -> None:
    root = write_set(tmp_path, cameras_json)
    (root / "metadata.csv").write_text(f"id,license\n{IDS[0]},CC BY 4.0\n{IDS[1]},My own terms\n")
    found = inventory(root, license_of=("heads=CC0-1.0",))
    assert [credit.license.short for credit in found.credits][:3] == ["CC-BY-4.0", "", "CC0-1.0"]
    assert any("the license of 1 of 9 pictures is unknown" in note for note in found.notes)


def test_an_export_is_no_data_set(tmp_path: Path) -> None:
    export(options(tmp_path / "out", f"heads={write_set(tmp_path / 'set', cameras_json)}"))
    with pytest.raises(ShardsError, match=r"is an export\. Give what it was made from"):
        inventory(tmp_path / "out")


def test_a_picture_is_excluded_by_its_path(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", cameras_json)
    (tmp_path / "names.txt").write_text(f"{NAMES[0]}\n{IDS[1]}\n")
    given = ExportOptions(
        format="wds", out=str(tmp_path / "out"), sources=SourceOptions(dataset=(f"heads={root}",), mirror=False),
        mix=MixOptions(exclude=str(tmp_path / "names.txt")),
    )  # fmt: skip
    assert export(given).samples == len(NAMES) - 2


def parquet_set(root: Path) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root.mkdir()
    table = pa.table({
        "image": [{"bytes": picture(name, SIDE), "path": name.partition("/")[2]} for name in NAMES],
        "camera": cameras().tolist(),
        "license": ["CC-BY-4.0"] * len(NAMES), "author": [f"author of {name}" for name in NAMES],
    })  # fmt: skip
    for number in range(2):
        pq.write_table(table.slice(5 * number, 5), root / f"train-{number:05d}-of-00002.parquet", row_group_size=2)
    return root


def test_parquet_as_datasets_write_it(tmp_path: Path) -> None:
    root = parquet_set(tmp_path / "set")
    found = inventory(root)
    assert list(found.ids) == [f"train-{n // 5:05d}-of-00002/{n:03d}" for n in range(len(NAMES))]
    assert [blob.read() for blob in found.blobs] == [picture(name, SIDE) for name in NAMES]
    assert np.array_equal(found.cameras, cameras())
    assert [credit.author for credit in found.credits] == [f"author of {name}" for name in NAMES]
    assert {credit.license.short for credit in found.credits} == {"CC-BY-4.0"}
    assert export(options(tmp_path / "out", f"heads={root}")).samples == 2 * len(NAMES)


def test_parquet_that_cannot_be_read(tmp_path: Path) -> None:
    root = parquet_set(tmp_path / "set")
    file = root / "train-00000-of-00002.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ShardsError, match=r"train-00000-of-00002\.parquet is not a readable Parquet file"):
        inventory(root)
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pytest.importorskip("pyarrow").table({"a": [1], "b": ["x"]}), file)
    with pytest.raises(ShardsError, match="has no column of pictures"):
        inventory(root)


def test_parquet_of_odd_types(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({
        "my.image": pa.array([picture("0"), picture("1")], pa.large_binary()),
        "taken": pa.array([1, None], pa.timestamp("ns")),
        "photo_id": pa.array([1.0, float("nan")]),
        "sharpness": pa.array([float("nan"), 1.5]),
        "words": pa.array(["a", "b"]).dictionary_encode(),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    found = inventory(tmp_path)
    assert [blob.read() for blob in found.blobs] == [picture("0"), picture("1")]
    assert [credit.photo_id for credit in found.credits] == ["1", ""]
    assert found.extra["sharpness"].tolist() == [0.0, 1.5] and found.extra["words"].tolist() == ["a", "b"]
    assert found.extra["taken"].tolist() == ["1970-01-01 00:00:00.000000001", ""]
    pq.write_table(table.append_column("mask", table["my.image"]), tmp_path / "t.parquet")
    with pytest.raises(ShardsError, match=r"has the columns my.image, mask with pictures. Name one image"):
        inventory(tmp_path)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_parquet_is_one_error(tmp_path: Path, seed: int) -> None:
    file = parquet_set(tmp_path / "set") / "train-00000-of-00002.parquet"
    data = bytearray(file.read_bytes())
    draw = random.Random(seed)
    # pyarrow itself ends the process on some damaged pages, so only the footer is damaged.
    footer = int.from_bytes(data[-8:-4], "little")
    for _ in range(3):
        data[-9 - draw.randrange(footer)] ^= 1 << draw.randrange(8)
    file.write_bytes(data)
    with suppress(ShardsError):
        for blob in inventory(tmp_path / "set").blobs:
            with suppress(BlobError):
                blob.read()


def test_our_own_parquet_is_read_again(tmp_path: Path) -> None:
    export(ExportOptions(format="parquet", out=str(tmp_path / "out"), sources=SourceOptions(demo=4)))
    root = tmp_path / "set"
    root.mkdir()
    for file in (tmp_path / "out").glob("*.parquet"):
        (root / file.name).write_bytes(file.read_bytes())
    found = inventory(root)
    assert len(found) == 8 and found.has_camera.all() and len(found.landmarks) == 8
    assert not any("not used" in note for note in found.notes)
